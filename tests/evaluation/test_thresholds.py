"""The global threshold against trying them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from earmark.errors import EarmarkError
from earmark.evaluation import best_f1_threshold


def micro_f1(targets, scores, threshold):
    tags = scores >= threshold
    return 2 * (tags * targets).sum() / max(tags.sum() + targets.sum(), 1)


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(np.float32, (6, 3), elements=st.sampled_from([0.0, 1.0])),
    hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 1.0])),
)
def test_no_threshold_is_better(targets, scores):
    threshold = best_f1_threshold(targets, scores)
    assert 0 <= threshold <= 1
    if targets.any() and len(np.unique(scores)) > 1:
        best = max(micro_f1(targets, scores, each) for each in np.unique(scores))
        assert micro_f1(targets, scores, threshold) == pytest.approx(best)


def test_it_is_sklearns_best_micro_f1_on_noisy_scores():
    generator = np.random.default_rng(0)
    targets = (generator.random((200, 10)) < 0.1).astype(int)
    scores = (1 / (1 + np.exp(2 - 3 * targets - generator.normal(size=targets.shape)))).astype(np.float32)
    found = best_f1_threshold(targets, scores)
    grid = [f1_score(targets, scores >= each, average="micro") for each in np.linspace(0.01, 0.99, 99)]
    assert f1_score(targets, scores >= found, average="micro") >= max(grid)


def test_it_lies_midway_between_tags_and_the_rest():
    targets, scores = np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.7, 0.3, 0.1]])
    assert best_f1_threshold(targets, scores) == pytest.approx(0.5)


def test_neighbouring_numbers_are_still_told_apart():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([[high, low]], dtype=np.float32)
    assert (scores >= best_f1_threshold(np.array([[1, 0]]), scores)).tolist() == [[True, False]]


def test_where_nothing_can_be_learned_it_is_one_half():
    assert best_f1_threshold(np.zeros((3, 2)), np.random.default_rng(0).random((3, 2))) == 0.5
    assert best_f1_threshold(np.eye(2), np.full((2, 2), 0.9)) == 0.5
    assert best_f1_threshold(np.zeros((0, 2)), np.zeros((0, 2))) == 0.5


def test_everything_is_tagged_when_everything_is_right():
    assert best_f1_threshold(np.ones((1, 2)), np.array([[0.4, 0.2]])) == pytest.approx(0.1)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(EarmarkError, match="not finite"):
        best_f1_threshold(np.eye(2), np.full((2, 2), np.nan))
