"""A stream gives what a file of the same sound gives, however it is dealt."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.errors import AudioError, TaggerFileError
from earmark.predictions import concatenate
from earmark.tagger import EventRule, TagStream, load_tagger
from earmark.tagger.events import by_start
from earmark.tagger.tagger_folder import write_folder


def streamed(tagger, waveform, sizes, **options):
    """Windows and events of a waveform in pieces of some sizes, the rest as one."""
    stream, first, heard = TagStream(tagger, **options), 0, []
    for size in [*sizes, len(waveform)]:
        heard.append(stream.push(waveform[first : first + size]))
        first += size
    heard.append(stream.close())
    windows = concatenate([each.windows for each in heard])
    return windows, by_start([event for each in heard for event in each.events], tagger.labels)


@pytest.fixture
def sound(make_tone):
    return make_tone("birds.wav", (500, 1.3), (3000, 0.9), (500, 0.4), (100, 2.0), (3500, 1.7))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=12), st.booleans())
def test_a_stream_gives_what_its_file_gives(tmp_path_factory, sizes, multi_label):
    tagger, path = of_two_labels(tmp_path_factory, multi_label), tmp_path_factory.getbasetemp() / "tones.wav"
    if not path.exists():
        time = np.arange(40_000) / 8000
        audio.write(path, (0.5 * np.sin(2 * np.pi * (500 + 2500 * (time % 2 > 1.2)) * time)).astype(np.float32), 8000)
    rule = EventRule(min_seconds=0.3, join_seconds=0.25)
    windows, events = streamed(tagger, audio.load(path, 8000), sizes, rule=rule)
    expected = tagger.score(path)
    np.testing.assert_array_equal(windows.starts, expected.starts)
    np.testing.assert_array_equal(windows.ends, expected.ends)
    np.testing.assert_allclose(windows.scores, expected.scores, atol=1e-6)
    assert [(event.label, event.start, event.end) for event in events] == [
        (event.label, event.start, event.end) for event in tagger.events(expected, rule)
    ]


def of_two_labels(factory, multi_label):
    """The tagger of `make_tagger`, made once for all examples."""
    path = factory.getbasetemp() / f"{multi_label}.tagger.json"
    if not path.exists():
        from earmark.tagger import TaggerMetadata

        known = {"sample_rate": 8000, "window_seconds": 0.5, "hop_seconds": 0.25, "multi_label": multi_label}
        path.write_text(TaggerMetadata(name="fake", labels=("low", "high"), **known).to_json())
    return load_tagger(path, backend="fake")


def test_what_comes_at_another_rate_is_heard_as_a_file_of_that_rate(make_tagger, make_tone):
    path = make_tone("fast.wav", (500, 1.0), (3000, 1.0), rate=44_100)
    tagger, waveform = make_tagger(), audio.load(path, 44_100)
    windows, _ = streamed(tagger, waveform, [1, 441, 7, 20_000], sample_rate=44_100)
    np.testing.assert_allclose(windows.scores, tagger.score(path).scores, atol=1e-5)


def test_events_are_told_as_soon_as_they_have_surely_ended(make_tagger, sound):
    stream, waveform, told = TagStream(make_tagger()), audio.load(sound, 8000), []
    for first in range(0, len(waveform), 800):
        heard = stream.push(waveform[first : first + 800])
        told += [(round(stream.seconds, 1), event) for event in heard.events]
        if 3.0 < stream.seconds < 4.0:
            assert [event.label for event in stream.sounding] == ["low"]
    assert [event.label for _, event in told] == ["low", "high", "low"]
    for seconds, event in told:
        assert event.end < seconds <= event.end + 0.9  # a window and a hop, and a block


def test_events_are_told_by_their_end_however_blocks_were_dealt(make_tagger, sound):
    stream, waveform = TagStream(make_tagger()), audio.load(sound, 8000)
    told = [*stream.push(waveform).events, *stream.close().events]
    assert [event.label for event in told] == ["low", "high", "low", "high"]  # the finder goes label by label
    assert [event.end for event in told] == sorted(event.end for event in told)


def test_a_sound_shorter_than_a_window_is_padded_and_none_at_all_has_no_windows(make_tagger):
    tagger = make_tagger()
    windows, _ = streamed(tagger, np.full(100, 0.1, dtype=np.float32), [])
    assert (windows.starts.tolist(), windows.ends.tolist()) == ([0.0], [100 / 8000])
    windows, events = streamed(tagger, np.zeros(0, dtype=np.float32), [])
    assert (len(windows), events, windows.scores.shape) == (0, [], (0, 2))


def test_memory_does_not_grow_with_the_stream(make_tagger):
    stream, second = TagStream(make_tagger(), 16_000), np.zeros(16_000, dtype=np.float32)
    tracemalloc.start()
    for number in range(400):
        stream.push(second)
        if number == 10:
            early = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - early
    tracemalloc.stop()
    assert grown < 100_000


@pytest.mark.parametrize(
    "block",
    [
        np.zeros((2, 2), dtype=np.float32),
        np.zeros(4),
        np.array([0, np.nan], dtype=np.float32),
        np.array([0, np.inf], dtype=np.float32),
    ],
)
def test_a_block_that_is_no_sound_is_refused_and_nothing_of_it_is_taken(make_tagger, block):
    stream = TagStream(make_tagger())
    with pytest.raises(AudioError, match=r"stream: a block of shape .* \(expected float32 \(samples,\)\)"):
        stream.push(block)
    assert stream.seconds == 0


@pytest.mark.parametrize("rate", [0, -8000, 10_000_000])
def test_a_rate_that_no_sound_has_is_refused(make_tagger, rate):
    with pytest.raises(AudioError, match=f"stream: a sample rate of {rate} Hz"):
        TagStream(make_tagger(), rate)


def test_a_folder_of_taggers_is_refused(make_tagger, tmp_path, make_metadata):
    file = make_tagger().path
    combination = {"kind": "geometric"}
    manifest = write_folder(tmp_path / "several.tagger", {"a.tagger.json": file}, 0, combination, make_metadata())
    with pytest.raises(TaggerFileError, match="several.tagger: its taggers hear in different windows"):
        TagStream(load_tagger(manifest, backend="fake"))
