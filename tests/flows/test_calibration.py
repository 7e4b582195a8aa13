"""What is fitted on out-of-fold scores, what is refused, and that nothing is judged on what fitted it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from earmark.data.manifest import Manifest
from earmark.evaluation.thresholds import ThresholdConfig
from earmark.flows import calibration
from earmark.flows.calibration import CLIP, WINDOW, OutOfFold, calibrated, fit_all, nested_scores, sentences
from earmark.predictions import Predictions
from earmark.run import to_json

LABELS = ("a", "b", "c")
KINDS = {WINDOW: ("none", "temperature", "platt"), CLIP: ("none", "temperature", "platt")}


def out_of_fold(n_clips: int = 240, n_windows: int = 2, multi_label: bool = True, bent=2.0, seed: int = 0, folds=4):
    """Overconfident scores of windows: true log odds times a number per class."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(-0.5, 1.5, (n_clips, len(LABELS)))
    if multi_label:
        targets = generator.random(odds.shape) < expit(odds)
    else:
        shares = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        targets = np.eye(len(LABELS))[[generator.choice(len(LABELS), p=row) for row in shares]] > 0
    names = [f"{number}.wav" for number in range(n_clips)]
    labels = [tuple(np.array(LABELS)[row]) for row in targets]
    manifest = Manifest.build(
        Path("."), names, labels, folds=[number % folds for number in range(n_clips)], multi_label=multi_label
    ).with_vocabulary(LABELS)
    rows = np.repeat(odds, n_windows, axis=0) + generator.normal(0, 0.3, (n_clips * n_windows, len(LABELS)))
    scores = expit(bent * rows) if multi_label else np.exp(bent * rows) / np.exp(bent * rows).sum(axis=1, keepdims=True)
    starts = np.tile(np.arange(n_windows, dtype=float), n_clips)
    ids = np.repeat(np.array(names, dtype=object), n_windows)
    windows = Predictions(ids, starts, starts + 1, scores.astype(np.float32), LABELS, "window")
    return OutOfFold.of(manifest, windows, "mean", multi_label)


@pytest.mark.parametrize("multi_label", [True, False])
def test_overconfident_scores_become_true_at_both_levels(multi_label):
    found = calibrated(out_of_fold(600, multi_label=multi_label, bent=3.0), "auto", ThresholdConfig())
    for level in (WINDOW, CLIP):
        facts = found.document["levels"][level]
        assert facts["ece"]["value"] < 0.5 * facts["ece_before"]["value"]
        assert facts["ece_change"]["high"] < 0
        assert facts["refused"] == []
    assert found.window["kind"] in (("temperature", "platt") if multi_label else ("temperature",))
    assert json.loads(to_json(found.document)) == json.loads(to_json(found.document))
    assert found.sentences[0].startswith("Calibration: expected error of clip scores 0.0")


def test_no_part_sees_what_is_fitted_on_it(monkeypatch):
    scored = out_of_fold()
    before = nested_scores(scored, KINDS, ThresholdConfig("precision", 0.7))
    mine = scored.parts == 1
    targets, weights = scored.known
    turned = np.where(mine[:, None], 1 - targets, targets)
    monkeypatch.setitem(scored.__dict__, "known", (turned, weights))
    after = nested_scores(scored, KINDS, ThresholdConfig("precision", 0.7))
    for level in (WINDOW, CLIP):
        rows = mine[scored.rows_of(level)]
        np.testing.assert_array_equal(before.scores[level][rows], after.scores[level][rows])
        np.testing.assert_array_equal(before.tags[level][rows], after.tags[level][rows])
        assert not np.array_equal(before.scores[level][~rows], after.scores[level][~rows])


def test_clips_are_fitted_on_what_the_calibrated_windows_pool_to():
    scored = out_of_fold(bent=3.0)
    found = fit_all(scored, KINDS, ThresholdConfig())
    scores = found.scores(scored)
    by_hand = scores[WINDOW].reshape(-1, 2, 3).mean(axis=1)
    np.testing.assert_allclose(scored.pooled(scores[WINDOW]), by_hand, atol=1e-6)
    if found.calibrations[CLIP] is None:
        np.testing.assert_allclose(scores[CLIP], by_hand, atol=1e-6)


def test_a_kind_that_costs_ranking_is_refused_for_a_plainer_one(monkeypatch):
    scored = out_of_fold(bent=1.0)
    fit = calibration.fit

    def spoilt(kind, evidence):
        found = fit(kind, evidence)
        if kind == "platt":  # lifts one class above all others, whatever is heard
            found["bias"] = [found["bias"][0] + 30, *found["bias"][1:]]
        return found

    monkeypatch.setattr(calibration, "fit", spoilt)
    monkeypatch.setattr(calibration, "choose", lambda kinds, evidence: list(kinds)[-1])
    found = calibrated(scored, "auto", ThresholdConfig())
    refused = [found.document["levels"][level]["refused"] for level in (WINDOW, CLIP)]
    assert refused == [["platt"], ["platt"]]
    assert set(found.fit.kinds.values()) <= {"none", "temperature"}


def test_too_few_recordings_leave_scores_as_they_are():
    scored = out_of_fold(2, folds=2)
    found = calibrated(scored, "auto", ThresholdConfig())
    assert found.window is None
    assert found.document["levels"][CLIP]["ece"] is None
    assert found.sentences == ["Calibration: too few recordings to calibrate, scores are as the model gives them."]
    assert found.short["calibration"] == {}


def test_a_promise_is_told_with_what_it_costs_and_who_cannot_keep_it():
    scored = out_of_fold(600, bent=1.0)
    found = calibrated(scored, "none", ThresholdConfig("precision", 0.9), levels=(CLIP,))
    tags = found.document["tags"][CLIP]
    assert tags["precision"]["value"] > 0.85
    told = sentences(found.document)[1]
    assert told.startswith("Tags: for a precision of 0.9 of each label; measured precision ")
    assert "% of the clips unknown" in told
    assert ("never named" in told) == bool(tags["never"])
    header, rows = calibration.threshold_table(found.document)
    assert len(header) == len(rows[0]) == 4
    assert [row[0] for row in rows if row[1] == "never"] == tags["never"]
    assert found.short["tags"]["least"] == 0.9
