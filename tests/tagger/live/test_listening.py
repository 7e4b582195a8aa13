"""Listening gives the events of a file of the same sound, at times that stay true when some of it is lost."""

import gc
import tracemalloc

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError
from earmark.tagger import EventRule
from earmark.tagger.live import ClipKeeper, Listening, Origin, Watch, longest_delay
from earmark.tagger.live.listening import WallClock

BIRDS = ((500, 1.3), (3000, 0.9), (500, 0.4), (100, 2.0), (3500, 1.7))
ORIGIN = Origin("given", "fake 0")
HOP = 0.25  # of the tagger, in seconds: the edges of its events are no finer


def events_of(listening):
    return sorted((heard.event for moment in listening for heard in moment.events), key=lambda event: event.start)


def assert_same(events, expected):
    """Windows come in other batches, so that scores may differ by rounding."""
    assert [(event.label, event.start, event.end) for event in events] == [
        (event.label, event.start, event.end) for event in expected
    ]
    for name in ("score", "mean_score"):
        np.testing.assert_allclose(
            [getattr(event, name) for event in events], [getattr(event, name) for event in expected], atol=1e-6
        )


def as_s16(waveform):
    return np.rint(waveform * 32767).astype("<i2")


@pytest.mark.parametrize("chunk", [1, 4099, 1 << 20])
def test_a_pipe_gives_the_events_of_its_file(make_tagger, make_tone, piped, chunk):
    tagger, path = make_tagger(), make_tone("birds.wav", *BIRDS)
    content = audio.load(path, 8000).astype("<f4").tobytes()[: 40_000 if chunk == 1 else None]
    rule = EventRule(min_seconds=0.3)
    got = events_of(Listening(piped(content, 8000, chunk=chunk), tagger, rule))
    if chunk == 1:  # so many writes take their time
        assert [event.label for event in got] == ["low"]
        return
    assert len(got) == 4
    assert_same(got, tagger.events(tagger.score(path), rule))


def test_whole_numbers_and_two_channels_give_the_events_of_their_mean(make_tagger, make_tone, piped, tones):
    tagger, path = make_tagger(), make_tone("birds.wav", *BIRDS)
    left = as_s16(audio.load(path, 8000))
    both = np.stack([left, np.zeros_like(left)], axis=1).tobytes()
    expected = tagger.events(tagger.score(path))
    for content, n_channels in ((left.tobytes(), 1), (both, 2)):
        got = events_of(Listening(piped(content, 8000, "s16le", n_channels), tagger))
        assert_same(got, expected)


def test_a_little_that_is_lost_is_heard_as_silence_and_times_stay_true(make_tagger, given, tones):
    tagger, waveform = make_tagger(), tones((500, 2.0), (3000, 2.0), (500, 2.0))
    moments = list(Listening(given(waveform, lost={25: 400}), tagger))
    [loss] = [moment.loss for moment in moments if moment.loss]
    assert (loss.start, loss.end) == (2.5, 2.55)
    assert moments[-1].seconds == len(waveform) / 8000
    waveform[20_000:20_400] = 0
    assert_same(events_of(Listening(given(waveform), tagger)), events_of(moments))


def test_after_much_that_is_lost_a_new_stream_begins_at_the_true_time(make_tagger, given, tones):
    waveform = tones((500, 3.0), (3000, 12.0), (500, 3.0))
    listening = Listening(given(waveform, lost={50: 80_000}), make_tagger())
    moments = list(listening)
    [loss] = [moment.loss for moment in moments if moment.loss]
    assert (loss.start, loss.end, loss.at) == (5.0, 15.0, 1_000_005.0)
    assert loss.line(ORIGIN)["error"].startswith("10 s of sound were lost")
    told = [heard for moment in moments for heard in moment.events]
    assert [heard.event.label for heard in told] == ["low", "high", "low"]
    assert [heard.event.start for heard in told] == pytest.approx([0.0, 3.0, 15.0], abs=HOP)
    assert [heard.event.end for heard in told] == pytest.approx([3.0, 5.0, 18.0], abs=HOP)
    assert (told[1].event.end, told[2].event.start) == (5.0, 15.0)  # to the sample
    assert [heard.at - heard.event.start for heard in told] == pytest.approx([1_000_000.0] * 3)
    assert moments[-2].windows.starts[-1] > 15


def test_the_wall_clock_follows_when_sound_comes(make_tagger, given, tones):
    """Two hours of sleep after 3 s, and then a sound card that is 1 s an hour slow, hurried up a thousandfold."""
    waveform = tones((500, 4.0), (3000, 4.0), (500, 6.0))

    def slept(seconds):
        return 1e9 + seconds + (7200 if seconds > 3 else 0) + max(seconds - 3, 0) * 1000 / 3600

    told = [heard for moment in Listening(given(waveform, came=slept), make_tagger()) for heard in moment.events]
    assert [heard.event.start for heard in told] == pytest.approx([0.0, 4.0, 8.0], abs=HOP)
    assert [heard.at for heard in told] == pytest.approx([slept(heard.event.start) for heard in told], abs=0.6)


def test_times_between_events_do_not_waver_with_blocks_that_come_late():
    clock, draw = WallClock(), np.random.default_rng(0)
    for number in range(1000):
        clock.set(number / 10, 1000 + number / 10 + draw.uniform(0, 0.4))
    assert clock.at(90.0) - clock.at(10.0) == pytest.approx(80.0)
    assert clock.at(-1.0) == clock.at(0.0) - 1


def test_what_sounds_at_the_end_is_told_and_so_is_what_came_before_a_failure(make_tagger, given, tones):
    waveform = tones((500, 2.0), (3000, 2.0))
    ends = [event.end for event in events_of(Listening(given(waveform), make_tagger()))]
    assert (ends[0], ends[1]) == (pytest.approx(2.0, abs=HOP), 4.0)
    told = []
    with pytest.raises(AudioError, match="the cable is out"):
        for moment in Listening(given(waveform, error=AudioError("the cable is out")), make_tagger()):
            told += moment.events
    assert [heard.event.end for heard in told] == ends


def test_sound_that_is_not_finite_ends_it_after_what_was_heard(make_tagger, given, tones):
    waveform, told = tones((500, 2.0), (3000, 2.0)), []
    waveform[30_000] = np.nan
    with pytest.raises(AudioError, match="samples that are not finite"):
        for moment in Listening(given(waveform), make_tagger()):
            told += moment.events
    assert [heard.event.label for heard in told] == ["low", "high"]


@pytest.mark.parametrize(("seconds", "lost"), [(2.55, {}), (0.0, {}), (2.55, {25: 4000})])
def test_it_stops_after_the_seconds_that_were_asked_for(make_tagger, given, tones, seconds, lost):
    moments = list(Listening(given(tones((500, 9.0)), lost=lost), make_tagger(), seconds=seconds))
    assert moments[-1].seconds == seconds
    assert [heard.event.end for moment in moments for heard in moment.events] == [seconds] * (seconds > 0)


def test_no_sound_at_all_is_no_event(make_tagger, given):
    [moment] = Listening(given(np.zeros(0, dtype=np.float32)), make_tagger())
    assert (moment.events, moment.seconds, moment.load) == ([], 0.0, 0.0)


def test_memory_does_not_grow_with_what_was_heard(make_tagger, given, tones, tmp_path):
    tagger, second = make_tagger(), tones((500, 5.0), (3000, 5.0))
    keeper = ClipKeeper(tmp_path, 8000, ORIGIN, 1.0, longest_delay(tagger, EventRule()))
    source = given(np.tile(second, 10))
    tracemalloc.start()
    for number, _ in enumerate(Listening(source, tagger, keeper=keeper)):
        if number == 250:
            gc.collect()
            early = tracemalloc.get_traced_memory()[0]
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - early
    tracemalloc.stop()
    assert grown < 200_000
    assert len(list(tmp_path.glob("*.flac"))) == 20


def moment_of(make_tagger, given, **fields):
    from dataclasses import replace

    [moment] = Listening(given(np.zeros(0, dtype=np.float32)), make_tagger())
    return replace(moment, **fields)


def test_a_tagger_that_is_too_slow_is_told_once_until_it_has_caught_up(make_tagger, given):
    watch = Watch()
    looks = [(0.5, 2.0), (6.0, 0.1), (6.0, 1.6), (9.0, 1.6), (0.0, 0.5), (7.0, 3.0)]
    said = [watch.look(moment_of(make_tagger, given, backlog_seconds=s, load=load)) for s, load in looks]
    assert [len(each) for each in said] == [0, 0, 1, 0, 0, 1]
    assert said[2][0].startswith("6 s behind: a second of sound takes 1.6 s to hear here")
    assert "--threads" in said[2][0]


def test_nothing_but_zeros_is_told_once(make_tagger, given):
    watch = Watch()
    said = [
        watch.look(moment_of(make_tagger, given, seconds=seconds, level=level))
        for seconds, level in [(1, 0.1), (2, 0.0), (11, 0.0), (12, 0.0), (13, 0.0), (14, 0.2), (15, 0.0), (25, 0.0)]
    ]
    assert [len(each) for each in said] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert "is it muted" in said[3][0]
