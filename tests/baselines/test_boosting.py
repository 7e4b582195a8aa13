"""Boosting: LightGBM's trees on a loss of our own."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from earmark.baselines import boosting
from earmark.baselines.boosting import fit_boosting
from earmark.baselines.inner import log_loss


@pytest.mark.parametrize("multi_label", [False, True])
def test_slopes_are_those_of_the_log_loss(make_examples, multi_label):
    generator = np.random.default_rng(0)
    examples = make_examples(8, multi_label=multi_label)
    weights = (examples.weights * (generator.random(examples.weights.shape) < 0.7)).astype(np.float32)
    weights[0] = 1
    examples = replace(examples, weights=weights)
    state = boosting._Boosting(examples, seed=0)
    known = examples.select(weights.any(axis=1))
    logits, moved = generator.normal(size=known.weights.shape), 1e-4
    slope, bend = state._slope(logits, None)
    clips = known.weights.max(axis=1).sum()  # the log loss is a mean over these
    for row, label in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[row, label] += moved
        down[row, label] -= moved
        expected = clips * (log_loss(known, up) - log_loss(known, down)) / (2 * moved)
        assert slope[row, label] == pytest.approx(expected, abs=1e-3)
    assert (bend > 0).all()


def test_with_all_known_it_is_lightgbms_own_binary_boosting(make_examples):
    """One sigmoid per class is one binary booster per class, begun at the class's log-odds."""
    examples = make_examples(n_classes=2, multi_label=True)
    settings = {**boosting.SETTINGS, "feature_fraction": 1.0, "bagging_fraction": 1.0, "seed": 0, "num_threads": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "SETTINGS", settings)
        state = boosting._Boosting(examples, seed=0)
        state.grow_to(10)
    for label in range(2):
        start = np.full(len(examples), float(state.base[label]))
        data = lightgbm.Dataset(examples.features, examples.targets[:, label].copy(), init_score=start)
        theirs = lightgbm.train({**settings, "objective": "binary"}, data, num_boost_round=10)
        expected = state.base[label] + theirs.predict(examples.features, raw_score=True)
        np.testing.assert_allclose(state.logits(examples.features)[:, label], expected, atol=0.02)


def test_rounds_added_later_are_rounds_added_at_once(make_examples):
    examples = make_examples()
    once, slowly = (boosting._Boosting(examples, seed=0) for _ in range(2))
    once.grow_to(12)
    for rounds in (3, 7, 12):
        slowly.grow_to(rounds)
    np.testing.assert_array_equal(once.logits(examples.features), slowly.logits(examples.features))
    assert once.booster.num_trees() == 12 * 3


def test_noise_asks_for_fewer_rounds_than_signal(make_examples):
    noise, signal = (fit_boosting(make_examples(distance=given), seed=0) for given in (0.0, 3.0))
    assert noise.facts["rounds"] < signal.facts["rounds"]
    assert noise.facts["chosen_by"] == "one inner fold"


def test_many_classes_get_fewer_rounds(make_examples, monkeypatch):
    monkeypatch.setattr(boosting, "MAX_TREES", 60)
    assert fit_boosting(make_examples(distance=3.0), seed=0).facts["rounds"] <= 20
    monkeypatch.setattr(boosting, "MAX_TREES", 2)
    assert fit_boosting(make_examples(distance=3.0), seed=0).facts["trees"] == 3


def test_one_class_alone_is_boosted_too(make_examples):
    examples = make_examples(n_classes=1, multi_label=True)
    half = (examples.clips % 2)[:, None].astype(np.float32)
    features = (examples.features + 4 * half).astype(np.float32)
    classifier = fit_boosting(replace(examples, targets=half, features=features), seed=0)
    scores = classifier.predict(features)
    assert scores.shape == half.shape
    assert ((scores >= 0.5) == half).mean() > 0.95
