"""Many differences at once, and few clips that differ: p-values that do not promise too much."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from earmark.evaluation import metrics, paired_difference
from earmark.evaluation.compare import DETECTABLE_ERRORS, detectable_errors, holm, sign_flip_p


def test_holm_is_the_written_procedure():
    generator = np.random.default_rng(0)
    for _ in range(20):
        p = generator.random(7) ** 3
        expected, reached = np.empty(7), 0.0
        for rank, place in enumerate(np.argsort(p)):
            reached = max(reached, min(1.0, p[place] * (7 - rank)))
            expected[place] = reached
        np.testing.assert_allclose(holm(p), expected)
    assert holm([]).tolist() == [] and np.isnan(holm([np.nan])).all()


def test_sign_flips_of_single_clips_are_the_exact_test_of_mcnemar():
    for wins, losses in ((5, 0), (9, 2), (20, 8), (30, 30)):
        differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 50)[:, None]
        exact = binomtest(wins, wins + losses).pvalue
        [found] = sign_flip_p(differences, np.arange(len(differences)), n_flips=20_000)
        assert found == pytest.approx(exact, abs=0.012)


def test_clips_of_one_recording_turn_together():
    differences = np.ones((40, 1))
    assert sign_flip_p(differences, np.arange(40))[0] < 0.001
    assert sign_flip_p(differences, np.arange(40) // 20)[0] == pytest.approx(0.5, abs=0.02)  # two recordings


def test_equal_models_are_told_apart_one_time_in_twenty():
    generator, alarms = np.random.default_rng(1), 0
    for seed in range(200):
        differences = generator.integers(-1, 2, size=(60, 1))
        alarms += sign_flip_p(differences, np.arange(60) // 2, n_flips=500, seed=seed)[0] <= 0.05
    assert 2 <= alarms <= 19


@pytest.mark.parametrize("metric", ["accuracy", "map_macro"])
def test_the_paired_interval_holds_the_true_difference_as_often_as_it_says(metric):
    generator = np.random.default_rng(2)

    def world(n_groups):
        """Two clips of each recording; both models share most of their luck, one has more skill."""
        groups = np.repeat(np.arange(n_groups), 2)
        targets = np.eye(4)[generator.integers(4, size=n_groups)][groups]
        luck = generator.normal(size=(n_groups, 4))[groups]
        a, b = (skill * targets + luck + 0.7 * generator.normal(size=targets.shape) for skill in (2.0, 1.6))
        return targets, a, b, groups

    measure = getattr(metrics, metric)
    targets, a, b, _ = world(40_000)
    truth, hits = measure(targets, a) - measure(targets, b), 0
    for seed in range(200):
        targets, a, b, groups = world(80)
        found = paired_difference(targets, a, b, metric=metric, groups=groups, n_resamples=200, seed=seed)
        hits += found.low <= truth <= found.high
    assert 0.88 <= hits / 200 <= 0.99  # benchmarks/interval_coverage.py measures it better


def test_more_comparisons_need_larger_differences():
    assert detectable_errors() == pytest.approx(DETECTABLE_ERRORS, abs=0.01)
    assert detectable_errors(3) < detectable_errors(30)
