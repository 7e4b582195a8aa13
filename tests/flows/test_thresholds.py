"""Finished taggers: calibrated in the graph, thresholds by the wish, fitted anew without training; false tags said."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from earmark.ensemble.members import read_member
from earmark.errors import ConfigError, RunError
from earmark.evaluation.scorecard import Scorecard
from earmark.flows.false_tags import N_WINDOWS, SOUNDS, false_tags
from earmark.flows.thresholds import refit_thresholds
from earmark.run import Run
from earmark.tagger import load_tagger
from earmark.tagger.metadata import calibrate


@pytest.fixture
def copied(trained, tmp_path) -> Run:
    """The finished run, to be changed."""
    shutil.copytree(trained.run.folder, tmp_path / "tones")
    return Run(tmp_path / "tones")


def test_the_shipped_graph_is_the_refitted_one_calibrated(trained, folders):
    document = json.loads(trained.run.calibration.read_text(encoding="utf-8"))
    windows = document["levels"]["window"]
    assert (document["model"], document["multi_label"]) == ("tiny_cnn", False)
    before = load_tagger(trained.run.fold("refit", "tiny_cnn").tagger)
    after = load_tagger(trained.run.tagger)
    sound = folders / "low" / "0.wav"
    expected = calibrate(before.score(sound).scores, windows["calibration"], multi_label=False)
    np.testing.assert_allclose(after.score(sound).scores, expected, atol=1e-4)
    assert after.metadata.calibration == {"window": None, "clip": document["levels"]["clip"]["calibration"]}
    assert after.metadata.thresholds["clip"] == (0.0, 0.0, 0.0)  # one label holds: the best is named
    known = after.metadata.reliability
    assert known["false_tags_per_hour"] == document["false_tags_per_hour"]
    assert set(known["false_tags_per_hour"]) == set(SOUNDS)


def test_a_member_of_an_ensemble_is_the_file_before_calibration(copied):
    member = read_member(copied.folder)
    assert member.file == copied.fold("refit", "tiny_cnn").tagger
    member.file.unlink()
    with pytest.raises(RunError, match="lacks its tagger before calibration"):
        read_member(copied.folder)


def test_thresholds_are_fitted_anew_and_everything_says_so(copied):
    trained_when = copied.fold("refit", "tiny_cnn").tagger.stat().st_mtime_ns
    found = refit_thresholds(copied.folder, precision=0.5)
    tagger = load_tagger(copied.tagger)
    assert tagger.metadata.thresholds["clip"] == tuple(found.calibrated.document["tags"]["clip"]["thresholds"])
    assert tagger.metadata.reliability["tags"]["least"] == 0.5
    remarks = Scorecard.load(copied.scorecard).remarks
    assert [remark.split(";")[0] for remark in remarks if remark.startswith("Tags: ")] == [
        "Tags: for a precision of 0.5 of each label"
    ]
    assert "meant to keep a precision of 0.5 of each label" in copied.card.read_text(encoding="utf-8")
    assert copied.fold("refit", "tiny_cnn").tagger.stat().st_mtime_ns == trained_when
    header, rows = found.table()
    assert [row[0] for row in rows] == list(tagger.labels)
    again = refit_thresholds(copied.folder)
    assert again.calibrated.document["tags"]["goal"] == "f1"
    assert load_tagger(copied.tagger).metadata.thresholds["clip"] == (0.0, 0.0, 0.0)
    assert again.calibrated.document["levels"] == found.calibrated.document["levels"]


def test_what_cannot_be_refitted_is_refused(copied, tmp_path):
    with pytest.raises(ConfigError, match="a threshold keeps one of them"):
        refit_thresholds(copied.folder, precision=0.9, recall=0.9)
    with pytest.raises(RunError, match="holds no finished run"):
        refit_thresholds(tmp_path / "nothing")
    (copied.folder / "members.json").write_text("[]", encoding="utf-8")
    with pytest.raises(RunError, match="Give --precision or --recall to the `earmark ensemble`"):
        refit_thresholds(copied.folder)


def test_a_tagger_that_always_names_one_label_has_a_false_tag_every_window(trained):
    tagger = load_tagger(trained.run.tagger)
    seconds = tagger.metadata.window_seconds + (N_WINDOWS - 1) * tagger.metadata.hop_seconds
    assert false_tags(trained.run.tagger) == dict.fromkeys(SOUNDS, round(N_WINDOWS * 3600 / seconds, 1))


def test_the_sounds_that_are_nothing_are_what_they_are_called():
    rate = 16000
    heard = {name: sound(8 * rate, rate) for name, sound in SOUNDS.items()}
    assert not heard["silence"].any()

    def octaves(name: str) -> np.ndarray:
        power = np.abs(np.fft.rfft(heard[name])) ** 2
        return np.array([power[8 * low : 16 * low].sum() for low in (250, 500, 1000, 2000)])

    np.testing.assert_allclose(octaves("pink noise") / octaves("pink noise").mean(), 1, atol=0.1)
    np.testing.assert_allclose(octaves("white noise")[1:] / octaves("white noise")[:-1], 2, atol=0.2)
    for sound in heard.values():
        assert np.abs(sound).max() <= 1
