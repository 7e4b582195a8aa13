"""ECE and reliability diagrams: what true scores give, what false ones do, and who is counted."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import draw
from earmark.evaluation.reliability import (
    Reliability,
    asked,
    calibration_error,
    error_change,
    reliability,
)


def truthful(n_rows: int = 4000, n_classes: int = 3, seed: int = 0):
    """Scores, and labels that hold as often as they say."""
    generator = np.random.default_rng(seed)
    scores = generator.random((n_rows, n_classes))
    return (generator.random(scores.shape) < scores).astype(float), scores


def slow_error(targets, scores, bins):
    """ECE as one writes it down: equal parts of the sorted scores."""
    order = np.argsort(scores, axis=None, kind="stable")
    hits, sure = targets.ravel()[order], scores.ravel()[order]
    parts = np.array_split(np.arange(len(order)), bins)
    return sum(len(part) / len(order) * abs(hits[part].mean() - sure[part].mean()) for part in parts)


def test_it_is_the_mean_distance_in_bins_of_equal_mass():
    targets, scores = truthful(600)
    found = calibration_error(targets, scores**2, None, draw(np.arange(600), 0), bins=10)  # nothing to correct by
    assert found.value == pytest.approx(slow_error(targets, scores**2, 10), abs=1e-12)
    corrected = calibration_error(targets, scores**2, None, draw(np.arange(600), 300), bins=10)
    assert corrected.low < corrected.value < found.value < 1.1 * corrected.value


def test_true_scores_have_no_error_beyond_chance_and_overconfident_ones_have_one():
    true = []
    for seed in range(20):
        targets, scores = truthful(300, seed=seed)
        true.append(calibration_error(targets, scores, None, draw(np.arange(300), 200)))
    assert np.mean([found.low == 0 for found in true]) >= 0.9
    by_chance = np.mean([slow_error(*truthful(300, seed=seed), 15) for seed in range(20)])
    assert np.mean([found.value for found in true]) < 0.5 * by_chance

    targets, scores = truthful()
    bold, resamples = 1 / (1 + np.exp(-3 * np.log(scores / (1 - scores)))), draw(np.arange(len(targets)), 300)
    found = calibration_error(targets, bold, None, resamples)
    assert 0.05 < found.low < found.value < found.high
    ones = np.ones_like(scores)
    change = error_change((targets, scores, ones), (targets, bold, ones), resamples)
    assert 0 < change.low < change.value < change.high


def test_a_diagram_has_rising_bins_that_hold_everything_once():
    targets, scores = truthful(500)
    found = reliability(targets, scores, bins=8)
    assert found.weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.weight, 1 / 8, atol=0.001)
    assert (found.low <= found.score).all()
    assert (found.high[:-1] <= found.low[1:]).all()
    np.testing.assert_allclose(found.observed, found.score, atol=0.1)
    again = Reliability.from_dict(found.to_dict())
    np.testing.assert_array_equal(again.observed, found.observed)


def test_equal_scores_share_a_bin_and_unknown_labels_do_not_count():
    targets = np.array([[1.0], [0.0], [1.0], [1.0], [0.0]])
    scores = np.array([[0.2], [0.2], [0.2], [0.2], [0.9]])
    found = reliability(targets, scores, np.array([[1.0], [1], [1], [1], [0]]), bins=5)
    assert (found.score.tolist(), found.observed.tolist()) == ([pytest.approx(0.2)], [0.75])


def test_where_one_label_holds_its_highest_score_is_asked():
    targets, scores = np.array([[0, 1, 0], [1, 0, 0]]), np.array([[0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    hits, sure, weights = asked(targets, scores, np.array([[1, 1, 1], [1, 1, 0]]), multi_label=False)
    assert (hits.ravel().tolist(), sure.ravel().tolist(), weights.ravel().tolist()) == ([1, 0], [0.7, 0.4], [1, 0])


def test_scores_that_are_no_chances_have_no_calibration():
    targets, scores = truthful(20)
    with pytest.raises(EarmarkError, match=r"scores from .* are no chances \(expected 0 to 1\)"):
        asked(targets, 3 * scores, None, multi_label=True)


def test_copies_of_one_recording_widen_the_interval():
    targets, scores = (np.repeat(each, 5, axis=0) for each in truthful(80))
    alone = calibration_error(targets, scores**2, None, draw(np.arange(400), 300))
    grouped = calibration_error(targets, scores**2, None, draw(np.arange(400) // 5, 300))
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_without_a_known_label_there_is_no_error():
    nothing = np.zeros((2, 1))
    assert np.isnan(calibration_error(nothing, nothing, nothing, draw(np.arange(2), 5)).value)
    assert len(reliability(nothing, nothing, nothing).score) == 0
    assert [len(each) for each in asked(np.zeros((0, 3)), np.zeros((0, 3)), None, multi_label=False)] == [0, 0, 0]
