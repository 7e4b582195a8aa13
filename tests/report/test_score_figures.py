"""Reliability and precision against recall are what they are called."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from earmark.report.score_figures import (
    answers,
    precision_recall,
    precision_recall_figures,
    read_calibration,
    reliability,
    reliability_figure,
)


def drawn(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.random(n).round(2)
    return scores, generator.random(n) < scores**2


def test_reliability_is_scikit_learns():
    scores, right = drawn()
    scores = 0.0031 + 0.99 * scores  # none on the edge of a bin
    found = reliability(scores, right)
    rights, means = calibration_curve(right, scores, n_bins=10)
    assert np.allclose(found.rights, rights)
    assert np.allclose(found.scores, means)
    assert found.shares.sum() == pytest.approx(1)


def test_the_calibration_error_of_honest_scores_is_small_and_of_sure_wrong_ones_is_1():
    scores = np.repeat([0.25, 0.75], 4000)
    right = np.arange(8000) % 4 < np.repeat([1, 3], 4000)
    assert reliability(scores, right).error == pytest.approx(0)
    assert reliability(np.ones(5), np.zeros(5, dtype=bool)).error == pytest.approx(1)


def test_unknown_labels_give_no_answer():
    targets, scores = np.array([[1, 0], [0, 1]]), np.array([[0.2, 0.9], [0.6, 0.3]])
    weights = np.array([[1, 0], [1, 1]])
    assert answers(targets, scores, weights, True)[0].tolist() == [0.2, 0.6, 0.3]
    said, right = answers(targets, scores, weights, False)
    assert (said.tolist(), right.tolist()) == ([0.2, 0.6], [True, False])


def test_precision_and_recall_are_scikit_learns():
    scores, right = drawn()
    thresholds, precision, recall = precision_recall(right, scores, np.ones(len(scores)))
    expected = precision_recall_curve(right, scores)
    assert np.allclose(precision[::-1], expected[0][:-1])
    assert np.allclose(recall[::-1], expected[1][:-1])
    assert np.array_equal(thresholds[::-1], expected[2])


def test_a_curve_is_marked_where_tags_are_asserted():
    scores, right = drawn(40)
    targets, both = right[:, None].astype(float), scores[:, None]
    (figure,) = precision_recall_figures(targets, both, np.ones((40, 1)), ["鸟"], both >= 0.5, [0])
    ((x, y, words),) = figure.dots
    tagged = scores >= 0.5
    assert (x, y) == pytest.approx((100 * right[tagged].sum() / right.sum(), 100 * right[tagged].mean()))
    assert words.startswith(f"{right[tagged].sum()} of {tagged.sum()} tags right")
    assert figure.title == "鸟"


def test_calibration_is_drawn_before_and_after_where_it_is_told(tmp_path):
    assert read_calibration(tmp_path / "calibration.json") == {}
    bins = {"score": [0.2, 0.8], "observed": [0.1, 0.9], "weight": [0.5, 0.5]}
    clip = {"reliability_before": bins, "ece_before": {"value": 0.1}, "reliability": bins, "ece": {"value": 0.02}}
    (tmp_path / "calibration.json").write_text(json.dumps({"levels": {"clip": clip}}))
    figure = reliability_figure(read_calibration(tmp_path / "calibration.json"), True)
    assert [kind for kind, _, _ in figure.lines] == ["ideal", "before", "network"]
    assert figure.lines[2][1] == "expected calibration error 0.020"
    (tmp_path / "calibration.json").write_text(json.dumps({"levels": {"clip": clip | {"ece": None}}}))
    assert list(read_calibration(tmp_path / "calibration.json")) == ["before"]
