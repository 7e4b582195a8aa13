"""Means of scores and of ranks, and weights of each class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize

from earmark.ensemble.blend import class_weights, equal_weights, fit_weights, greedy, mean, rank, rank_table
from earmark.evaluation.metrics import accuracy, lwlrap
from earmark.tagger.combination import combine


def test_the_mean_weighs_all_alike(make_panel):
    panel = make_panel()
    np.testing.assert_allclose(combine(panel.scores, mean(panel), False), panel.scores.mean(axis=1), atol=1e-6)


@given(arrays(np.float32, (30, 3), elements=st.floats(0, 1, width=32)))
def test_a_table_of_ranks_rises_strictly_from_0_to_1_whatever_the_scores(scores):
    ranks = np.linspace(0, 1, 20)
    table = rank_table(scores, ranks)
    assert (table[0], table[-1]) == (0.0, 1.0)
    assert (np.diff(ranks) / np.diff(table)).max() <= 1000 * (1 + 1e-6)
    assert (np.diff(table) > 0).all()


def test_ranks_are_monotone_so_a_member_alone_keeps_its_order(make_panel):
    panel = make_panel((1.5,))
    ranks = combine(panel.scores, rank(panel), False)
    scores = panel.scores[:, 0]
    order = np.argsort(scores, axis=None)
    assert (np.diff(ranks.ravel()[order]) >= 0).all()
    for metric in (accuracy, lwlrap):
        assert metric(panel.row_targets, ranks) == pytest.approx(metric(panel.row_targets, scores), abs=0.01)


def test_ranks_do_not_care_on_which_scale_a_member_scores(make_panel):
    panel = make_panel((1.0, 1.0))
    squeezed = panel.scores.copy()
    squeezed[:, 1] = 0.2 * squeezed[:, 1] ** 1.5
    other = make_panel((1.0, 1.0), scores=squeezed)
    ranks, again = combine(panel.scores, rank(panel), False), combine(squeezed, rank(other), False)
    assert np.abs(ranks - again).mean() < 0.02
    assert np.abs(combine(panel.scores, mean(panel), False) - combine(squeezed, mean(other), False)).mean() > 0.1


def test_greedy_leaves_out_what_does_not_help(make_panel):
    panel = make_panel((2.0, 2.0, 0.0))
    weights = np.array(greedy(panel)["weights"])
    assert weights[:2].tolist() == [[0.5] * 4] * 2
    assert not weights[2].any()


def test_weights_of_a_class_go_to_the_member_that_knows_it(make_panel):
    panel = make_panel((1.0, 1.0), n_clips=400)
    scores = panel.scores.copy()
    scores[:, 1, 0] = np.random.default_rng(1).random(len(scores)) * 0.5  # the second guesses the first class
    weights = fit_weights(make_panel((1.0, 1.0), n_clips=400, scores=scores))
    assert weights[0, 0] > 0.65
    np.testing.assert_allclose(weights[:, 1:], 0.5, atol=0.15)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-9)
    assert (weights >= 0).all()


def test_weights_are_those_of_a_slow_solver(make_panel):
    panel = make_panel((2.0, 0.5, 1.0), n_clips=60)
    known, targets = panel.row_weights[:, 1], panel.row_targets[:, 1]

    def loss(weights):
        apart = panel.scores[:, :, 1] @ weights - targets
        return known @ apart**2 + 10 * ((weights - 1 / 3) ** 2).sum()

    found = optimize.minimize(
        loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}
    )
    np.testing.assert_allclose(fit_weights(panel)[:, 1], found.x, atol=1e-3)


def test_without_a_known_label_weights_stay_equal(make_panel):
    panel = make_panel((1.0, 2.0))
    unknown = make_panel((1.0, 2.0), weights=np.zeros_like(panel.weights))
    np.testing.assert_allclose(class_weights(unknown)["weights"], equal_weights(panel), atol=1e-6)
