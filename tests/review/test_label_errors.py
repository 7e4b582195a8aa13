"""Label quality: cleanlab's numbers where it is installed, and what must hold anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.review.label_errors import confidence, estimated_errors, label_quality


def one_label(n_classes: int = 6, n_wrong: int = 60, n_clips: int = 400):
    """Scores of a fair model of clips with one label, and given labels of which the first are wrong."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, n_classes, n_clips)
    scores = generator.dirichlet(np.full(n_classes, 0.5), n_clips)
    scores[np.arange(n_clips), truth] += 1.0
    scores /= scores.sum(axis=1, keepdims=True)
    given = truth.copy()
    given[:n_wrong] = (truth[:n_wrong] + 1) % n_classes
    return given, scores


def several_labels(n_clips: int = 400, n_wrong: int = 60):
    generator = np.random.default_rng(1)
    truth = (generator.random((n_clips, 5)) < 0.3).astype(np.float32)
    scores = np.clip(generator.normal(0.25, 0.12, truth.shape) + 0.5 * truth, 0, 1)
    given = truth.copy()
    given[np.arange(n_wrong), np.arange(n_wrong) % 5] = 1 - given[np.arange(n_wrong), np.arange(n_wrong) % 5]
    return given, scores, given != truth


def test_quality_and_errors_of_one_label_are_those_of_cleanlab():
    rank, count = (pytest.importorskip(f"cleanlab.{name}") for name in ("rank", "filter"))
    given, scores = one_label()
    quality, likely = confidence(given, scores)
    expected = rank.get_label_quality_scores(given, scores, adjust_pred_probs=True)
    assert np.abs(quality - expected).max() < 1e-12
    issues = count.find_label_issues(given, scores, filter_by="confident_learning", n_jobs=1)
    assert ((likely != given) == issues).all()


def test_quality_and_errors_of_several_labels_are_those_of_cleanlab():
    rank = pytest.importorskip("cleanlab.rank")
    multi = pytest.importorskip("cleanlab.multilabel_classification.filter")
    given, scores, _ = several_labels()
    known = np.ones_like(given)
    quality = label_quality(given, known, scores, True, normalised=True)
    for column in range(given.shape[1]):
        both = np.stack([1 - scores[:, column], scores[:, column]], axis=1)
        expected = rank.get_label_quality_scores(given[:, column].astype(int), both, adjust_pred_probs=True)
        assert np.abs(quality[:, column] - expected).max() < 1e-12
    lists = [np.flatnonzero(row).tolist() for row in given]
    issues = multi.find_multilabel_issues_per_class(lists, scores, filter_by="confident_learning", n_jobs=1)
    assert estimated_errors(given, known, scores, True) == issues.sum()


@pytest.mark.parametrize("normalised", [False, True])
def test_wrong_labels_stand_before_right_ones(normalised):
    given, scores = one_label()
    present = np.eye(6)[given]
    quality = label_quality(present, np.ones_like(present), scores, False, normalised=normalised)
    order = np.argsort(quality[np.arange(len(given)), given])
    assert (order[:60] < 60).mean() > 0.9
    found, scores, wrong = several_labels()
    quality = label_quality(found, np.ones_like(found), scores, True, normalised=normalised)
    assert wrong.ravel()[np.argsort(quality, axis=None)[:60]].mean() > 0.8


def test_the_number_of_errors_is_about_right():
    given, scores = one_label()
    present = np.eye(6)[given]
    assert 40 <= estimated_errors(present, np.ones_like(present), scores, False) <= 80


def test_nothing_is_said_of_what_is_unknown_nor_does_it_change_what_is_said_of_the_rest():
    present, scores, _ = several_labels()
    known = np.ones_like(present)
    known[:50, 2] = 0
    quality = label_quality(present, known, scores, True, normalised=True)
    assert np.isnan(quality[:50, 2]).all()
    alone = label_quality(present[50:], known[50:], scores[50:], True, normalised=True)
    assert quality[50:, 2] == pytest.approx(alone[:, 2])


def test_of_one_label_only_the_given_one_is_asked_about():
    present = np.array([[1.0, 0.0], [0.0, 1.0]])
    quality = label_quality(present, np.ones((2, 2)), np.array([[0.3, 0.1], [0.5, 0.5]]), False)
    assert quality[0, 0] == pytest.approx(0.75)  # scores are shares
    assert np.isnan([quality[0, 1], quality[1, 0]]).all()


def test_a_class_that_nobody_is_given_is_nobodys_likely_label():
    quality, likely = confidence(np.array([0, 0, 1]), np.array([[0.2, 0.2, 0.6], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    assert 2 not in likely
    assert np.isfinite(quality).all()
