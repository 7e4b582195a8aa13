"""Scores from several seeds: the noise of clips and that of training both stand in the interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from earmark.evaluation.bootstrap import draw, interval
from earmark.evaluation.compare import paired_difference
from earmark.evaluation.repeats import Repeats, mean_difference, mean_interval, measure_repeats, seed_spread

N_CLIPS = 200
TARGETS = np.eye(4)[np.arange(N_CLIPS) % 4]
GROUPS = np.arange(N_CLIPS) // 2
RESAMPLES = draw(GROUPS, 500)


def scores(skill: float, seed: int) -> np.ndarray:
    return skill * TARGETS + np.random.default_rng(seed).normal(size=TARGETS.shape)


def measured(skill: float, seeds=(0, 1, 2)) -> Repeats:
    return measure_repeats("accuracy", TARGETS, {seed: scores(skill, seed) for seed in seeds}, RESAMPLES)


def made(values: dict[int, float], groups: np.ndarray | None = None) -> Repeats:
    """Runs with these values; what resampling moves is the same for all."""
    moved = np.zeros(1000) if groups is None else groups
    return Repeats(values, np.stack([value + moved for value in values.values()]), 0, 100)


def test_one_seed_is_the_interval_of_its_clips():
    found = measured(1.0, seeds=(3,))
    expected = interval("accuracy", TARGETS, scores(1.0, 3), RESAMPLES)
    assert mean_interval(found, seed_spread([found])) == expected
    assert found.interval_of(3) == expected


def test_the_mean_of_seeds_is_their_mean_and_its_clips_move_it_together():
    found = measured(1.0)
    each = [interval("accuracy", TARGETS, scores(1.0, seed), RESAMPLES).value for seed in range(3)]
    assert mean_interval(found, math.nan).value == pytest.approx(np.mean(each))
    assert mean_interval(found, 0.0).standard_error == pytest.approx(found.resampled.mean(axis=0).std())


def test_a_spread_adds_its_share_of_one_over_the_root_of_the_seeds():
    clips = np.random.default_rng(1).normal(scale=0.03, size=1000)
    found = made({0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5}, clips)
    assert mean_interval(found, 0.08).standard_error == pytest.approx(math.hypot(0.03, 0.08 / 2), rel=0.05)
    assert mean_interval(found, 0.0).standard_error == pytest.approx(0.03, rel=0.05)


def test_the_spread_of_many_settings_is_pooled_about_each_ones_own_mean():
    low, high = made({0: 0.1, 1: 0.3}), made({0: 0.7, 1: 0.9})
    assert seed_spread([low, high]) == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert seed_spread([low]) == pytest.approx(seed_spread([high]))
    assert math.isnan(seed_spread([made({0: 0.1}), made({0: 0.9})]))


def test_a_difference_is_paired_over_clips_and_over_the_seeds_that_both_have():
    good, bad = measured(1.5, seeds=(0, 1)), measured(1.0, seeds=(1, 2))
    found = mean_difference(good, bad, math.nan, math.nan)
    expected = paired_difference(
        TARGETS, scores(1.5, 1), scores(1.0, 1), metric="accuracy", groups=GROUPS, n_resamples=500
    )
    assert found == expected
    assert mean_difference(bad, good, math.nan, math.nan).value == -expected.value


def test_both_sides_of_a_difference_scatter():
    a, b = made({0: 0.5, 1: 0.5}), made({0: 0.4, 1: 0.4})
    assert mean_difference(a, b, 0.03, 0.04).standard_error == pytest.approx(0.05 / math.sqrt(2), rel=0.05)
    assert mean_difference(a, b, 0.03, math.nan).standard_error == pytest.approx(0.03 / math.sqrt(2), rel=0.05)


def test_the_interval_of_a_difference_holds_the_truth_nearly_as_often_as_it_says():
    """Settings whose true difference is 0.1, clips that matter little, three seeds of each: 92 % is what a spread that
    ten degrees of freedom tell leaves of 95 %."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        runs = [dict(enumerate(mean + 0.05 * generator.standard_normal(3))) for mean in (0.6, 0.5, 0.5, 0.5, 0.5)]
        many = [made(values) for values in runs]
        spread = seed_spread(many)
        found = mean_difference(many[0], many[1], spread, spread)
        held += found.low <= 0.1 <= found.high
    assert 0.92 - 2.5 * math.sqrt(0.92 * 0.08 / 300) <= held / 300 <= 0.98
