"""Paired differences and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from earmark.evaluation import paired_difference
from earmark.evaluation.bootstrap import Interval, draw, interval, resampled_values
from earmark.evaluation.compare import Comparison


def two_models(n_clips=300, gain=0.3, seed=0):
    """Scores of two models that mostly err on the same clips; the first is better by `gain`."""
    generator = np.random.default_rng(seed)
    targets = np.eye(5)[generator.integers(5, size=n_clips)]
    shared = generator.normal(size=targets.shape)
    worse = 1.5 * targets + shared + 0.1 * generator.normal(size=targets.shape)
    return targets, worse + gain * targets, worse


def test_difference_is_of_the_same_resamples():
    targets, a, b = two_models()
    folds = np.arange(300) % 5
    found = paired_difference(targets, a, b, metric="roc_auc", groups=np.arange(300), folds=folds, seed=3)
    resamples = draw(np.arange(300), seed=3)
    (va, ra, _), (vb, rb, _) = (
        resampled_values("roc_auc", targets, scores, resamples, folds=folds) for scores in (a, b)
    )
    assert found.value == va - vb
    assert found.standard_error == pytest.approx((ra - rb).std())


def test_pairing_sees_what_two_separate_intervals_hide():
    targets, a, b = two_models()
    groups = np.arange(300)
    found = paired_difference(targets, a, b, metric="accuracy", groups=groups)
    separate = [interval("accuracy", targets, scores, draw(groups)) for scores in (a, b)]
    assert separate[0].low < separate[1].high  # they overlap
    assert found.low > 0


def test_a_model_does_not_differ_from_itself_and_swapping_changes_the_sign():
    targets, a, b = two_models()
    groups = np.arange(300) // 2
    same = paired_difference(targets, a, a, metric="lwlrap", groups=groups)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    one, other = (
        paired_difference(targets, *pair, metric="lwlrap", groups=groups) for pair in ((a, b), (b, a))
    )
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))


def test_no_difference_is_found_between_equals_most_of_the_time():
    wrong = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        targets = np.eye(4)[generator.integers(4, size=100)]
        a, b = (targets + generator.normal(size=targets.shape) for _ in range(2))
        found = paired_difference(
            targets, a, b, metric="accuracy", groups=np.arange(100), n_resamples=200, seed=seed
        )
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 12


def said(value, low, high, few=False):
    return Comparison("se_cnn", "forest", "lwlrap", Interval(value, low, high, 12, few, 0, 0.01)).sentence


def test_sentences_say_who_is_better_or_that_nobody_knows():
    assert said(0.05, 0.02, 0.08) == "se_cnn is better than forest by 0.05 (0.02 to 0.08) in lwlrap."
    assert said(-0.05, -0.08, -0.02) == "forest is better than se_cnn by 0.05 (0.02 to 0.08) in lwlrap."
    assert said(0.01, -0.02, 0.04) == (
        "se_cnn and forest: the difference is inside the noise (+0.01, -0.02 to +0.04) in lwlrap."
    )
    assert said(0.004, 0.001, 0.007) == "se_cnn is better than forest by 0.004 (0.001 to 0.007) in lwlrap."
    assert "inside the noise" in said(0.0, 0.0, 0.0)
    assert said(0.05, 0.02, 0.08, few=True).endswith("Only 12 groups: the interval is too narrow.")
    assert "cannot be compared" in said(np.nan, np.nan, np.nan)


def test_a_detectable_effect_is_detected_four_times_in_five():
    comparison = Comparison("a", "b", "accuracy", Interval(0.0, -0.02, 0.02, 40, False, 0, 0.01))
    effect = comparison.smallest_detectable
    draws = np.random.default_rng(0).normal(effect, 0.01, size=100_000)
    assert np.mean(draws > 1.96 * 0.01) == pytest.approx(0.8, abs=0.01)


def test_comparison_survives_its_dictionary():
    comparison = Comparison("a", "b", "accuracy", Interval(0.1, 0.05, 0.15, 40, False, 2, 0.02))
    document = comparison.to_dict()
    assert {"a", "b", "metric", "difference", "low", "high", "sentence"} <= set(document)
    assert Comparison.from_dict(document) == comparison


def test_a_p_value_is_that_of_the_normal_distribution_and_none_where_there_is_no_value():
    for value, error in ((0.02, 0.01), (-0.03, 0.01), (0.0, 0.01)):
        found = Comparison("a", "b", "accuracy", Interval(value, 0, 0, 40, False, 0, error)).p_value
        assert found == pytest.approx(2 * norm.sf(abs(value) / error))
    for value, error, expected in ((0.1, 0.0, 0.0), (0.0, 0.0, 1.0), (np.nan, np.nan, 1.0)):
        assert Comparison("a", "b", "accuracy", Interval(value, 0, 0, 40, False, 0, error)).p_value == expected
