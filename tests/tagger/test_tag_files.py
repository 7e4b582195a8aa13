"""Many recordings: order, failures, warnings, early ends."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from earmark.tagger import Clip, score_files, tag_files
from earmark.tagger.jobs import LINES_PER_THREAD
from earmark.tagger.tag_files import default_threads


@pytest.fixture
def mixed(make_tone, tmp_path):
    """Recordings of growing length, a broken one and an absent one."""
    paths = [make_tone(f"{number}.wav", (500 if number % 2 else 3000, 3 - number / 4)) for number in range(8)]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    return [*paths[:3], tmp_path / "broken.wav", *paths[3:], tmp_path / "absent.wav"]


@pytest.mark.parametrize("threads", [1, 3])
def test_order_is_kept_and_failures_are_rows(make_tagger, mixed, threads):
    tagged = list(tag_files(make_tagger(), mixed, threads=threads))
    assert [one.clip.path for one in tagged] == mixed
    assert [one.clip.path.name for one in tagged if one.error] == ["broken.wav", "absent.wav"]
    assert "broken.wav: is not a sound" in tagged[3].error
    for one in tagged:
        assert (one.predictions is None) == (one.error is not None)


def test_threads_change_nothing_but_the_time(make_tagger, mixed):
    alone, failures = score_files(make_tagger(), mixed, level="window", threads=1)
    together, failures_again = score_files(make_tagger(), mixed, level="window", threads=4)
    np.testing.assert_array_equal(alone.scores, together.scores)
    assert alone.clip_ids.tolist() == together.clip_ids.tolist()
    assert [one.clip for one in failures] == [one.clip for one in failures_again]


def test_score_files_gives_one_row_per_clip(make_tagger, mixed):
    scores, failures = score_files(make_tagger(), mixed)
    assert scores.level == "clip"
    assert len(scores) == 8
    assert len(failures) == 2
    np.testing.assert_allclose(scores.scores[:, 0], [0, 1] * 4, atol=1e-3)


def test_nothing_that_can_be_heard_is_an_empty_table(make_tagger, tmp_path):
    scores, failures = score_files(make_tagger(), [tmp_path / "absent.wav"])
    assert scores.scores.shape == (0, 2)
    assert len(failures) == 1


def test_clips_keep_their_own_ids(make_tagger, make_tone):
    path = make_tone("a.wav", (500, 2.0))
    scores, _ = score_files(make_tagger(), [Clip(path, 0.5, 1.0, "row 7"), Clip(path, clip_id="row 8")])
    assert scores.clip_ids.tolist() == ["row 7", "row 8"]
    assert scores.starts.tolist() == [0.5, 0.0]
    assert scores.ends.tolist() == [1.0, 2.0]


def test_a_recording_of_a_narrower_band_is_tagged_with_a_warning(make_tagger, make_tone):
    (tagged,) = tag_files(make_tagger(sample_rate=32000), [make_tone("phone.wav", (500, 1.0))])
    assert tagged.predictions is not None
    assert tagged.warnings == (
        "8000 Hz recording, tagger hears up to 16000 Hz: "
        "nothing above 4000 Hz is there to hear, scores may be off.",
    )
    (wide,) = tag_files(make_tagger(), [make_tone("wide.wav", (500, 1.0), rate=44100)])
    assert wide.warnings == ()


def test_a_clip_longer_than_the_calibration_is_marked_in_its_summary_only(make_tagger, make_tone):
    tagger, path = make_tagger(clip_seconds_max=1.0), make_tone("long.wav", (500, 1.5))
    (clip,) = tag_files(tagger, [path])
    assert "1.5 s long" in clip.warnings[0]
    assert "up to 1 s" in clip.warnings[0]
    (windows,) = tag_files(tagger, [path], level="window")
    assert windows.warnings == ()
    (region,) = tag_files(tagger, [Clip(path, 0.2, 1.2)])
    assert region.warnings == ()


def test_paths_are_read_no_further_ahead_than_needed(make_tagger, make_tone):
    path, read = make_tone("a.wav", (500, 0.6)), []

    def endless():
        while True:
            read.append(path)
            yield path

    tagged = tag_files(make_tagger(), endless(), threads=2)
    for _ in range(10):
        next(tagged)
    tagged.close()
    assert len(read) <= 10 + 2 * LINES_PER_THREAD + 1


def test_leaving_early_ends_a_long_recording_at_its_next_windows(make_tagger, make_tone):
    tagger = make_tagger()
    short, long = make_tone("short.wav", (500, 0.5)), make_tone("long.wav", (500, 60.0))
    run, began = tagger.backend.run, threading.Event()

    def slow_run(windows):
        if len(windows) > 1:
            began.set()
            time.sleep(0.05)
        return run(windows)

    tagger.backend.run = slow_run
    tagged = tag_files(tagger, [short, long, long, long, long, long], threads=1)
    next(tagged)
    assert began.wait(20)
    left = time.perf_counter()
    tagged.close()
    assert time.perf_counter() - left < 1.5  # to its end it would take 3 s


def test_default_threads_is_at_least_one():
    assert default_threads() >= 1


def test_clip_takes_text_paths():
    assert Clip("a/b.wav") == Clip(Path("a/b.wav"))
    assert Clip("a/b.wav", 1.25, 86399.5).clip_id == "a/b.wav#1.25-86399.5"
