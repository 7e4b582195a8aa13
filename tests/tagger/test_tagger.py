"""From a recording to scores and tags, with a tagger that hears low from high."""

import tracemalloc

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError, EarmarkError
from earmark.predictions import Predictions
from earmark.tagger import Clip, Tag


def rows(tagger, scores, level="clip") -> Predictions:
    scores = np.array(scores, dtype=np.float32)
    n = len(scores)
    return Predictions(np.arange(n).astype(str), np.zeros(n), np.ones(n), scores, tagger.labels, level)


def test_each_window_is_scored_where_it_sounds(make_tagger, make_tone):
    scores = make_tagger().score(make_tone("two.wav", (500, 1.0), (3000, 1.0)))
    assert scores.level == "window"
    assert scores.starts.tolist() == [0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    assert scores.ends.tolist() == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    np.testing.assert_allclose(scores.scores[:, 0], [1, 1, 1, 0.5, 0, 0, 0], atol=0.02)


def test_clip_scores_are_the_mean_or_maximum_of_its_windows(make_tagger, make_tone):
    path = make_tone("mostly_low.wav", (500, 1.5), (3000, 0.5))
    for pool in ("mean", "max"):
        tagger = make_tagger(pool=pool)
        windows = tagger.score(path)
        clip = tagger.pool(windows)
        assert clip.level == "clip"
        assert (clip.starts.tolist(), clip.ends.tolist()) == ([0.0], [2.0])
        np.testing.assert_allclose(clip.scores[0], getattr(windows.scores, pool)(axis=0), atol=1e-6)


def test_clip_calibration_is_applied_after_pooling_and_not_to_windows(make_tagger, make_tone):
    path = make_tone("low.wav", (500, 1.0), (3000, 0.2))
    plain, calibration = make_tagger(), {"kind": "temperature", "temperature": 2.0}
    expected = 1 / (1 + np.exp(-np.log(1 / (1 / plain.pool(plain.score(path)).scores - 1)) / 2))
    calibrated = make_tagger(calibration={"window": None, "clip": calibration})
    np.testing.assert_array_equal(calibrated.score(path).scores, plain.score(path).scores)
    np.testing.assert_allclose(calibrated.pool(calibrated.score(path)).scores, expected, rtol=1e-5)


def test_a_region_is_heard_alone_and_its_times_are_the_files(make_tagger, make_tone):
    path = make_tone("two.wav", (500, 1.0), (3000, 1.0))
    scores = make_tagger().score(Clip(path, 1.2, 2.0))
    assert scores.clip_ids[0] == f"{path.as_posix()}#1.2-2"
    np.testing.assert_allclose(scores.starts, [1.2, 1.45, 1.5])
    np.testing.assert_allclose(scores.ends, [1.7, 1.95, 2.0])
    np.testing.assert_allclose(scores.scores[:, 1], 1, atol=1e-3)


def test_short_sound_is_padded_as_the_metadata_say(make_tagger, make_tone):
    path = make_tone("short.wav", (500, 0.1))
    for padding in ("zeros", "repeat"):
        scores = make_tagger(padding=padding).score(path)
        assert (scores.starts.tolist(), scores.ends.tolist()) == ([0.0], [0.1])
    silent_then = make_tagger(padding="zeros", labels=("a", "b")).score(path).scores
    repeated = make_tagger(padding="repeat", labels=("a", "b")).score(path).scores
    assert not np.array_equal(silent_then, repeated)


def test_recordings_of_other_rates_are_heard_at_the_taggers(make_tagger, make_tone):
    scores = make_tagger().score(make_tone("fast.wav", (3000, 1.0), rate=44100))
    assert scores.ends[-1] == pytest.approx(1.0, abs=1e-3)
    assert scores.scores[:, 1].min() > 0.99


def test_several_labels_hold_if_each_reaches_its_threshold(make_tagger):
    tagger = make_tagger(thresholds={"clip": (0.3, 0.6), "window": (0.9, 0.9)})
    found = tagger.tags(rows(tagger, [[0.3, 0.7], [0.31, 0.59], [0.2, 0.1]]))
    assert [[tag.label for tag in tags] for tags in found] == [["high", "low"], ["low"], []]
    assert tagger.tags(rows(tagger, [[0.3, 0.7]], "window")) == [[]]


def test_one_label_holds_if_only_one_can(make_tagger):
    tagger = make_tagger(multi_label=False, thresholds={"clip": (0.2, 0.2)})
    found = tagger.tags(rows(tagger, [[0.4, 0.6], [0.5, 0.5], [0.1, 0.15]]))
    assert [[tag.label for tag in tags] for tags in found] == [["high"], ["low"], []]


@pytest.mark.parametrize("multi_label", [True, False])
def test_a_label_without_a_threshold_is_never_named_but_when_asked_for(make_tagger, multi_label):
    tagger = make_tagger(multi_label=multi_label, thresholds={"clip": (0.2, None)})
    sure = rows(tagger, [[0.1, 1.0]])
    assert tagger.tags(sure) == [[]]
    assert [tag.label for tag in tagger.tags(sure, top=1)[0]] == ["high"]
    assert [tag.label for tag in tagger.tags(sure, threshold=0.9)[0]] == ["high"]


def test_top_takes_the_best_whatever_their_threshold(make_tagger):
    for multi_label in (True, False):
        tagger = make_tagger(multi_label=multi_label)
        assert [tag.label for tag in tagger.tags(rows(tagger, [[0.1, 0.2]]), top=2)[0]] == ["high", "low"]
        assert [tag.label for tag in tagger.tags(rows(tagger, [[0.1, 0.2]]), top=1)[0]] == ["high"]
        assert [tag.label for tag in tagger.tags(rows(tagger, [[0.1, 0.2]]), top=2, threshold=0.15)[0]] == [
            "high"
        ]


def test_a_given_threshold_replaces_the_taggers_own(make_tagger):
    tagger = make_tagger()
    assert [tag.label for tag in tagger.tags(rows(tagger, [[0.1, 0.2]]), threshold=0.1)[0]] == ["high", "low"]


def test_a_score_equal_to_its_threshold_in_single_precision_reaches_it(make_tagger):
    tagger = make_tagger(thresholds={"clip": (0.35, 0.1)})
    assert len(tagger.tags(rows(tagger, [[0.35, 0.1]]))[0]) == 2


def test_top_below_one_is_refused(make_tagger):
    tagger = make_tagger()
    with pytest.raises(EarmarkError, match="top is 0. Give 1 or more"):
        tagger.tags(rows(tagger, [[0.1, 0.2]]), top=0)


def test_tag_says_label_score_and_extent(make_tagger, make_tone):
    (tag,) = make_tagger().tag(str(make_tone("low.wav", (500, 1.0))))
    assert tag == Tag("low", pytest.approx(1.0, abs=1e-3), 0.0, 1.0)


def test_embedding_comes_with_its_windows(make_tagger, make_tone):
    scores, features = make_tagger().embed(make_tone("low.wav", (500, 1.0)))
    assert features.shape == (3, 2)
    assert len(scores) == 3


def test_what_cannot_be_read_is_an_error_not_silence(make_tagger, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    for name in ("broken.wav", "absent.wav"):
        with pytest.raises(AudioError, match=name):
            make_tagger().tag(tmp_path / name)


def test_memory_does_not_grow_with_the_length_of_a_recording(make_tagger, tmp_path):
    tagger = make_tagger()
    peaks = []
    for seconds in (150, 600):
        path = tmp_path / f"{seconds}.wav"
        audio.write(path, np.random.default_rng(0).normal(0, 0.1, seconds * 8000).astype(np.float32), 8000)
        tracemalloc.start()
        assert len(tagger.score(path)) == seconds * 4 - 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000  # 600 s of samples alone are 19 MB
