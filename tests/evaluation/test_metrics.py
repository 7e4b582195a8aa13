"""Metrics against scikit-learn and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    label_ranking_average_precision_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from earmark.evaluation import metrics


def multi_label(seed, decimals, n_clips=150, n_classes=12):
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_clips, n_classes)) < 0.2).astype(np.float32)
    return targets, np.round(targets + generator.normal(size=targets.shape), decimals).astype(np.float32)


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_lwlrap_is_sklearns_lrap_weighted_by_the_number_of_labels(decimals):
    for seed in range(5):
        targets, scores = multi_label(seed, decimals)
        expected = label_ranking_average_precision_score(targets, scores, sample_weight=targets.sum(axis=1))
        assert metrics.lwlrap(targets, scores) == pytest.approx(expected, abs=1e-12)


def test_lwlrap_is_not_plain_lrap():
    targets = np.array([[1, 0, 0, 0], [1, 1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.2, 0.3], [0.1, 0.2, 0.8, 0.9]])
    # One label at rank 1; two labels at ranks 3 and 4: (1 + 1/3 + 2/4) / 3 labels.
    assert metrics.lwlrap(targets, scores) == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)


def test_lwlrap_is_the_mean_of_its_classes_weighted_by_their_labels():
    targets, scores = multi_label(1, 1)
    share = targets.sum(axis=0) / targets.sum()
    assert metrics.lwlrap_per_class(targets, scores) @ share == pytest.approx(metrics.lwlrap(targets, scores))


def test_lwlrap_ignores_clips_without_labels():
    targets, scores = multi_label(2, 1)
    labelled = targets.any(axis=1)
    assert not labelled.all()
    assert metrics.lwlrap(targets, scores) == pytest.approx(
        metrics.lwlrap(targets[labelled], scores[labelled])
    )


def test_an_all_zero_predictor_gets_only_the_share_of_labels_wherever_the_label_stands():
    for column in range(4):
        targets = np.zeros((3, 4))
        targets[:, column] = 1
        assert metrics.lwlrap(targets, np.zeros((3, 4))) == pytest.approx(1 / 4)
        assert metrics.accuracy(targets, np.zeros((3, 4))) == 0


def test_half_precision_ties_are_not_broken():
    scores = np.array([[0.1, 0.1]], dtype=np.float32)
    assert metrics.lwlrap(np.array([[0, 1]]), scores) == 0.5


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_average_precision_and_auc_are_sklearns_ties_included(decimals):
    targets, scores = multi_label(3, decimals)
    columns = range(targets.shape[1])
    precision = [average_precision_score(targets[:, c], scores[:, c]) for c in columns]
    area = [roc_auc_score(targets[:, c], scores[:, c]) for c in columns]
    np.testing.assert_allclose(metrics.average_precision_per_class(targets, scores), precision, atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc_per_class(targets, scores), area, atol=1e-12)
    assert metrics.map_macro(targets, scores) == pytest.approx(np.mean(precision))
    assert metrics.roc_auc(targets, scores) == pytest.approx(np.mean(area))
    micro = average_precision_score(targets, scores, average="micro")
    assert metrics.map_micro(targets, scores) == pytest.approx(micro)


def test_fractional_weights_are_sklearns_sample_weights():
    targets, scores = multi_label(4, 1)
    weights = np.random.default_rng(5).random(targets.shape)
    columns = range(targets.shape[1])
    precision = [
        average_precision_score(targets[:, c], scores[:, c], sample_weight=weights[:, c]) for c in columns
    ]
    area = [roc_auc_score(targets[:, c], scores[:, c], sample_weight=weights[:, c]) for c in columns]
    found = metrics.average_precision_per_class(targets, scores, weights)
    np.testing.assert_allclose(found, precision, atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc_per_class(targets, scores, weights), area, atol=1e-12)


def test_single_label_numbers_are_sklearns_without_ties():
    generator = np.random.default_rng(6)
    classes = generator.integers(6, size=200)
    targets = np.eye(6)[classes]
    scores = generator.random((200, 6)) + 0.4 * targets
    guesses = scores.argmax(axis=1)
    assert metrics.accuracy(targets, scores) == pytest.approx(accuracy_score(classes, guesses))
    np.testing.assert_allclose(
        metrics.recall_per_class(targets, scores), recall_score(classes, guesses, average=None)
    )
    np.testing.assert_allclose(
        metrics.precision_per_class(targets, scores), precision_score(classes, guesses, average=None)
    )


def test_a_tie_for_the_first_place_is_a_miss_in_accuracy_recall_and_precision():
    targets, scores = np.eye(2), np.array([[0.9, 0.1], [0.5, 0.5]])
    assert metrics.accuracy(targets, scores) == 0.5
    assert metrics.recall_per_class(targets, scores).tolist() == [1.0, 0.0]
    assert metrics.precision_per_class(targets, scores).tolist() == [0.5, 0.0]


def test_classes_that_none_or_all_clips_have_are_nan_where_there_is_nothing_to_rank():
    targets = np.array([[0, 1, 1], [0, 1, 0]])
    scores = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    assert np.isnan(metrics.average_precision_per_class(targets, scores)).tolist() == [True, True, False]
    assert np.isnan(metrics.lwlrap_per_class(targets, scores)).tolist() == [True, False, False]
    assert np.isnan(metrics.roc_auc_per_class(targets, scores)).tolist() == [True, True, False]
    assert metrics.map_macro(targets, scores) == 1.0
    assert np.isnan(metrics.precision_per_class(np.eye(2), np.array([[1, 0], [1, 0]]))).tolist() == [
        False,
        True,
    ]
