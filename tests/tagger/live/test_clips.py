"""The sound of events is kept whole, with a second around it, under names that sort and are safe."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import example, settings
from hypothesis import given as over
from hypothesis import strategies as st

from earmark.errors import ConfigError, RunError
from earmark.tagger import Event
from earmark.tagger.live import ClipKeeper, Listening, Origin, clips
from earmark.tagger.live.clips import clip_name

ORIGIN = Origin("given", "fake 0", ("4000 Hz recording, tagger hears more.",))
NOON = 1_764_504_000.0  # 2025-11-30, UTC


def event(start, end, label="owl"):
    return Event(label, 0.9, start, end, 0.8)


def test_a_clip_is_the_sound_of_its_event_with_a_second_around_it(tmp_path):
    draw = np.random.default_rng(0)
    sound = draw.uniform(-1, 1, 8000 * 700).astype(np.float32)
    keeper = ClipKeeper(tmp_path, 8000, ORIGIN)
    for first in range(0, len(sound), 12_345):
        keeper.push(sound[first : first + 12_345])
        if first == 12_345 * 400:
            clip = keeper.save(event(560.5, 562.0), NOON)  # the ring has been filled once and begun anew
    samples, rate = soundfile.read(clip.path, dtype="float32")
    assert (clip.start, clip.end, clip.cut, rate) == (559.5, 563.0, False, 8000)
    np.testing.assert_allclose(samples, sound[4_476_000:4_504_000], atol=1 / 32767)
    beside = json.loads(clip.path.with_suffix(".json").read_text(encoding="utf-8"))
    assert beside["tags"] == [{"label": "owl", "score": 0.9, "mean_score": 0.8}]
    assert (beside["path"], beside["start"], beside["end"], beside["tagger"]) == ("given", 560.5, 562.0, "fake 0")
    assert (beside["clip"], beside["clip_start"], beside["clip_end"]) == (clip.path.name, 559.5, 563.0)
    assert beside["warnings"] == list(ORIGIN.warnings)
    assert sorted(tmp_path.iterdir()) == [clip.path, clip.path.with_suffix(".json")]


def test_at_the_beginning_and_the_end_there_is_less_around_it(tmp_path):
    keeper = ClipKeeper(tmp_path, 100, ORIGIN)
    keeper.push(np.zeros(300, dtype=np.float32))
    clip = keeper.save(event(0.5, 2.5), NOON)
    assert (clip.start, clip.end, soundfile.info(clip.path).frames) == (0.0, 3.0, 300)


def test_what_was_lost_is_silence_and_what_is_too_loud_is_clipped(tmp_path):
    keeper = ClipKeeper(tmp_path, 100, ORIGIN, around=0.0)
    keeper.push(np.full(100, 3.0, dtype=np.float32))
    keeper.skip(50)
    keeper.push(np.full(50, -0.5, dtype=np.float32))
    samples, _ = soundfile.read(keeper.save(event(0.0, 2.0), NOON).path)
    np.testing.assert_allclose(samples, [1.0] * 100 + [0.0] * 50 + [-0.5] * 50, atol=1e-4)
    keeper.skip(10_000_000)
    samples, _ = soundfile.read(keeper.save(event(100_000.0, 100_001.0), NOON).path)
    assert not samples.any()


def test_of_a_long_event_the_last_minutes_are_kept_and_that_is_said(make_tagger, given, tones, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "LONGEST_SECONDS", 4.0)
    keeper = ClipKeeper(tmp_path, 8000, ORIGIN, delay=1.0)
    moments = Listening(given(tones((500, 9.0), (3000, 3.0))), make_tagger(), keeper=keeper)
    long, short = [heard for moment in moments for heard in moment.events]
    assert (long.clip.start, long.clip.end, long.clip.cut) == (long.event.end - 5, long.event.end + 1, True)
    assert long.line(ORIGIN)["warnings"] == [*ORIGIN.warnings, "the clip holds the last 4 s of a longer event."]
    assert long.line(ORIGIN)["clip"] == str(long.clip.path)
    assert (short.clip.cut, short.line(ORIGIN)["warnings"]) == (False, list(ORIGIN.warnings))


def test_an_event_is_told_once_its_second_afterwards_has_come(make_tagger, given, tones, tmp_path):
    waveform = tones((500, 2.0), (3000, 4.0))
    for around, late in ((0.0, 0.9), (3.0, 3.2)):
        keeper = ClipKeeper(tmp_path, 8000, ORIGIN, around)
        told = [
            (moment.seconds, heard)
            for moment in Listening(given(waveform), make_tagger(), keeper=keeper)
            for heard in moment.events
        ]
        seconds, first = told[0]
        assert first.event.end + around <= seconds <= first.event.end + late
        assert all(heard.clip.path.exists() for _, heard in told)


def test_an_event_before_a_long_loss_is_kept_although_the_loss_is_longer_than_the_ring(
    make_tagger, given, tones, tmp_path
):
    keeper = ClipKeeper(tmp_path, 8000, ORIGIN, around=1.0)
    waveform = np.concatenate([tones((500, 2.0)), np.zeros(8000 * 500, np.float32), tones((3000, 1.0))])
    source = given(waveform, lost={20: 8000 * 500})
    heard = [each for moment in Listening(source, make_tagger(), keeper=keeper) for each in moment.events]
    assert [(each.event.label, each.clip.start, each.clip.end) for each in heard] == [
        ("low", 0.0, 2.0),
        ("high", 501.0, 503.0),
    ]
    samples, _ = soundfile.read(heard[0].clip.path, dtype="float32")
    np.testing.assert_allclose(samples, waveform[:16_000], atol=1e-4)


def test_labels_that_a_name_cannot_tell_apart_have_a_file_each(tmp_path):
    keeper = ClipKeeper(tmp_path, 100, ORIGIN)
    keeper.push(np.zeros(300, dtype=np.float32))
    names = [keeper.save(event(1.0, 2.0, label), NOON).path.name for label in ("a/b", "a b", "a\tb")]
    assert names == [f"20251130T120000.000Z_a-b{end}.flac" for end in ("", "_2", "_3")]


@settings(max_examples=50, deadline=None)
@over(st.text(max_size=30), st.floats(0, 4e9), st.floats(0, 4e9))
@example("../../etc/passwd", 0.0, 1.0)
@example("CON", 0.9999999, 1.0)
@example("...", 0.0, 1.0)
@example("犬" * 100, 0.0, 1.0)
def test_names_are_safe_and_sort_as_their_times(label, first, second):
    name = clip_name(label, first)
    assert name.replace("-", "").replace("_", "").replace(".", "", 1).isalnum()
    assert len(f".{name[:80]}.flac.0123456789ab".encode()) <= 255
    if abs(first - second) > 0.001:
        assert (clip_name(label, first) < clip_name(label, second)) == (first < second)


def test_events_that_are_known_later_than_sound_is_held_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--save-events: an event is known up to 3600 s after its end"):
        ClipKeeper(tmp_path, 8000, ORIGIN, delay=3600.0)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_heard(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "clips"):
        with pytest.raises(RunError, match="--save-events .*file.*: cannot be made"):
            ClipKeeper(folder, 100, ORIGIN)


def test_a_folder_that_cannot_be_written_to_any_more_is_said(tmp_path):
    keeper = ClipKeeper(tmp_path / "clips", 100, ORIGIN)
    (tmp_path / "clips").rmdir()
    (tmp_path / "clips").write_text("")
    keeper.push(np.zeros(300, dtype=np.float32))
    with pytest.raises(RunError, match="cannot be written"):
        keeper.save(event(1.0, 2.0), NOON)
