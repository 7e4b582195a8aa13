"""Features of one scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from earmark.baselines.standardise import FARTHEST, standardisation


def test_features_have_mean_zero_and_deviation_one_over_clips(make_examples):
    examples = make_examples(several_windows=True)
    standard = standardisation(examples)
    values, weights = standard(examples.features), examples.weights[:, 0]
    np.testing.assert_allclose(np.average(values, axis=0, weights=weights), 0, atol=1e-5)
    np.testing.assert_allclose(np.average(values**2, axis=0, weights=weights), 1, rtol=1e-4)


def test_a_constant_feature_says_nothing_whatever_it_is_later(make_examples):
    examples = make_examples()
    features = examples.features.copy()
    features[:, 2] = 1e6 + np.random.default_rng(0).random(len(examples)) * 0.1  # rounding
    standard = standardisation(replace(examples, features=features))
    wild = np.full((1, 6), 1e30, np.float32)
    assert standard(wild)[0, 2] == 0
    assert standard(wild)[0, 0] == FARTHEST


def test_a_feature_too_small_to_be_scaled_counts_as_constant(make_examples):
    examples = make_examples()
    features = examples.features.copy()
    features[:, 2] = 1e-39 * np.sign(features[:, 2])
    features[:, 3] *= 1e-30
    with np.errstate(all="raise", under="ignore"):
        standard = standardisation(replace(examples, features=features))
    assert standard.scale[2] == 0 < standard.scale[3]
    assert np.isfinite(standard.scale).all()


def test_clips_of_which_nothing_is_known_do_not_count(make_examples):
    examples = make_examples()
    weights = examples.weights.copy()
    weights[:60] = 0
    spoilt = np.where(np.arange(120)[:, None] < 60, 1e9, examples.features).astype(np.float32)
    one = standardisation(replace(examples, weights=weights))
    other = standardisation(replace(examples, weights=weights, features=spoilt))
    np.testing.assert_array_equal(one.mean, other.mean)
    nothing = standardisation(replace(examples, weights=np.zeros_like(weights)))
    assert nothing.mean == pytest.approx(examples.features.mean(axis=0), abs=1e-5)
