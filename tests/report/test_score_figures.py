"""Reliability and precision against recall are what they are called."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.reliability import Reliability
from earmark.report.score_figures import (
    precision_recall,
    precision_recall_figures,
    read_calibration,
    reliability_figure,
)


def drawn(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.random(n).round(2)
    return scores, generator.random(n) < scores**2


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


def test_calibration_is_drawn_before_and_after_where_it_is_told_of_that_model(tmp_path):
    path = tmp_path / "calibration.json"
    assert read_calibration(path, "se_cnn") == {}
    bins = Reliability(*np.array([[0.0, 0.5], [0.5, 1.0], [0.2, 0.8], [0.1, 0.9], [0.5, 0.5]])).to_dict()
    was, value = (Interval(error, 0.01, 0.2, 40, False, 0, 0.01).to_dict() for error in (0.1, 0.02))
    clip = {"reliability_before": bins, "ece_before": was, "reliability": bins, "ece": value}
    path.write_text(json.dumps({"model": "se_cnn", "levels": {"clip": clip}}))
    figure = reliability_figure(read_calibration(path, "se_cnn"), True)
    assert [kind for kind, _, _ in figure.lines] == ["ideal", "before", "network"]
    assert figure.lines[2][1] == "expected calibration error 0.020 (0.01 to 0.20)"
    assert figure.dots[0] == (20.0, pytest.approx(10), "score 0.20: right in 0.10, 50% of all")
    assert read_calibration(path, "forest") == {}
    path.write_text(json.dumps({"model": "se_cnn", "levels": {"clip": clip | {"ece": None}}}))
    assert list(read_calibration(path, "se_cnn")) == ["before"]


def test_scores_that_are_all_alike_are_seen_too():
    bins = Reliability(*np.array([[1.0], [1.0], [1.0], [0.5], [1.0]]))
    found = {"before": (bins, Interval(0.5, 0.4, 0.6, 40, False, 0, 0.05))}
    assert reliability_figure(found, False).lines[1][2] == "98.00,50.00 100.00,50.00"
