"""Linear classifiers: the same minimum as scikit-learn's, and what scikit-learn's cannot do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from earmark.baselines import linear_solver as solver
from earmark.baselines.inner import compete
from earmark.baselines.linear import fit_logistic, fit_logistic_l1, fit_prior, fit_svm
from earmark.baselines.linear_solver import labels_of

LOSSES = {"softmax": solver.softmax_loss, "sigmoid": solver.sigmoid_loss, "hinge": solver.hinge_loss}


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(solver, "TOLERANCE", 1e-12)
    monkeypatch.setattr(solver, "L1_TOLERANCE", 1e-6)
    monkeypatch.setattr(solver, "MAX_ITERATIONS", 3000)


def with_ones(features: np.ndarray) -> np.ndarray:
    return np.hstack([features, np.ones((len(features), 1), np.float32)])


def nothing_before(examples) -> np.ndarray:
    return np.zeros(examples.n_classes, np.float32)


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_gradients_are_those_of_the_losses(make_examples, kind):
    generator = np.random.default_rng(0)
    examples = make_examples(6, multi_label=kind == "sigmoid")
    weights = (examples.weights * (generator.random(examples.weights.shape) < 0.7)).astype(np.float32)
    labels = labels_of(replace(examples, weights=weights, targets=(0.9 * examples.targets + 0.03).astype(np.float32)))
    loss, shape = LOSSES[kind], weights.shape
    start = generator.normal(size=shape)
    wrong = check_grad(
        lambda flat: loss(flat.reshape(shape), labels)[0],
        lambda flat: loss(flat.reshape(shape), labels)[1].ravel(),
        start.ravel(),
    )
    assert wrong < 1e-5


def test_softmax_with_an_l2_penalty_is_scikit_learns(make_examples, exact):
    examples = make_examples()
    features = with_ones(examples.features)
    labels = labels_of(examples)
    ours = solver.fit_l2(features, labels, solver.softmax_loss, nothing_before(examples), 0.01, None)
    theirs = LogisticRegression(C=1 / (0.01 * len(examples)), fit_intercept=False, tol=1e-8, max_iter=5000)
    theirs.fit(features, examples.targets.argmax(axis=1))
    np.testing.assert_allclose(ours.theta.T, theirs.coef_, atol=2e-3)


def test_each_sigmoid_is_scikit_learns(make_examples, exact):
    examples = make_examples(multi_label=True)
    features = with_ones(examples.features)
    labels = labels_of(examples)
    ours = solver.fit_l2(features, labels, solver.sigmoid_loss, nothing_before(examples), 0.01, None)
    for label in range(examples.n_classes):
        theirs = LogisticRegression(C=1 / (0.01 * len(examples)), fit_intercept=False, tol=1e-8, max_iter=5000)
        theirs.fit(features, examples.targets[:, label])
        np.testing.assert_allclose(ours.theta[:, label], theirs.coef_[0], atol=2e-3)


def test_margins_are_those_of_scikit_learns_support_vector_machine(make_examples, exact):
    examples = make_examples()
    features = with_ones(examples.features)
    labels = labels_of(examples)
    ours = solver.fit_l2(features, labels, solver.hinge_loss, nothing_before(examples), 0.1, None)
    theirs = LinearSVC(C=1 / (0.1 * len(examples)), dual=False, fit_intercept=False, tol=1e-8)
    theirs.fit(features, examples.targets.argmax(axis=1))
    np.testing.assert_allclose(ours.theta.T, theirs.coef_, atol=2e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_an_l1_solution_meets_the_conditions_of_a_minimum(make_examples, exact, multi_label):
    examples = make_examples(n_features=20, multi_label=multi_label)
    features, labels, base = with_ones(examples.features), labels_of(examples), nothing_before(examples)
    loss = solver.sigmoid_loss if multi_label else solver.softmax_loss
    largest = solver.largest_l1_penalty(features, labels, loss, base)
    assert not solver.fit_l1(features, labels, loss, base, 1.01 * largest, None).theta.any()
    penalty = 0.2 * largest
    theta = solver.fit_l1(features, labels, loss, base, penalty, None).theta
    slope = features.T @ loss(features @ theta, labels)[1]
    assert 0 < (theta != 0).mean() < 0.7
    np.testing.assert_allclose(slope[theta != 0], -penalty * np.sign(theta[theta != 0]), atol=0.02 * penalty)
    assert np.abs(slope[theta == 0]).max() <= 1.02 * penalty


@pytest.mark.parametrize("fit", [fit_logistic, fit_svm, fit_logistic_l1, fit_prior])
def test_a_clip_of_weight_two_is_the_clip_twice(make_examples, exact, fit):
    examples = make_examples()
    examples = replace(examples, parts=np.zeros_like(examples.parts))
    doubled = np.where(examples.clips < 20, 2, 1)
    heavy = replace(examples, weights=examples.weights * doubled[:, None].astype(np.float32))
    twice = examples.select(np.repeat(np.arange(len(examples)), doubled))
    one, other = (fit(given, seed=0).predict(examples.features) for given in (heavy, twice))
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_only_known_classes_compete(make_examples):
    examples = make_examples()
    weights = examples.weights.copy()
    weights[:, 2] = 0
    weights[5] = 0
    np.testing.assert_array_equal(compete(weights)[:, 2], np.arange(len(examples)) == 5)
    loss, slope = solver.softmax_loss(
        np.zeros(weights.shape, np.float32), labels_of(replace(examples, weights=weights))
    )
    known = examples.targets[:, :2].any(axis=1) & (np.arange(len(examples)) != 5)
    assert loss == pytest.approx(np.log(2) * known.sum() / (len(examples) - 1), rel=1e-5)
    assert not slope[:, 2].any() and not slope[5].any()


def test_prior_says_each_class_as_often_as_it_stands(make_examples):
    examples = make_examples(n_clips=200, multi_label=True)
    scores = fit_prior(examples, seed=0).predict(examples.features)
    np.testing.assert_allclose(scores[0], examples.targets.mean(axis=0), atol=0.01)
    assert (scores == scores[0]).all()


def test_noise_asks_for_a_strong_penalty_and_signal_for_a_weak_one(make_examples):
    noise = fit_logistic(make_examples(n_features=60, distance=0.0), seed=0)
    signal = fit_logistic(make_examples(n_clips=400, distance=4.0), seed=0)
    assert noise.facts["penalty"] > 10 * signal.facts["penalty"]
    assert noise.facts["chosen_by"] == "4 inner folds"


def test_held_out_scores_are_made_without_the_clips_own_fold(make_examples):
    examples = make_examples(n_features=60, distance=0.0, n_clips=60)
    classifier = fit_logistic(examples, seed=0)
    truth = examples.targets.argmax(axis=1)
    seen = (classifier.predict(examples.features).argmax(axis=1) == truth).mean()
    assert (classifier.held_out.argmax(axis=1) == truth).mean() < 0.5 < seen


def test_balancing_lifts_rare_classes_and_is_taken_where_it_scores_better(make_examples):
    examples = make_examples(n_clips=600, distance=1.5, seed=3)
    rare = (examples.targets[:, 2] == 1) & (examples.clips % 30 != 2)
    uneven = examples.select(~rare)
    plain, balanced = (fit_logistic(uneven, seed=0, balanced=given) for given in (False, True))
    held = make_examples(n_clips=300, seed=4)
    recall = [
        (classifier.predict(held.features).argmax(axis=1) == 2)[held.targets[:, 2] == 1].mean()
        for classifier in (plain, balanced)
    ]
    assert recall[1] > recall[0] + 0.2
    assert plain.facts["balanced"] is False and balanced.facts["balanced"] is True
    assert fit_logistic(uneven, seed=0).facts["balanced"] is False  # most clips are of the frequent classes
    assert labels_of(uneven).unevenness() == pytest.approx(10, rel=0.01)
    sums = labels_of(uneven, balanced=True).positive.sum(axis=0)
    np.testing.assert_allclose(sums, sums[0], rtol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_margins_become_scores_that_mean_what_they_say(make_examples, multi_label):
    classifier = fit_svm(make_examples(n_clips=800, distance=1.5, multi_label=multi_label), seed=0)
    held = make_examples(n_clips=800, multi_label=multi_label, seed=1)
    scores = classifier.predict(held.features)
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (scores >= low) & (scores < low + 0.2)
        assert held.targets[inside].mean() == pytest.approx(scores[inside].mean(), abs=0.12)


def test_an_l1_penalty_drops_features_that_say_nothing(make_examples):
    classifier = fit_logistic_l1(make_examples(n_clips=300, n_features=40, distance=2.0), seed=0)
    strength = np.abs(classifier.weight).sum(axis=1)
    assert strength[:3].min() > 3 * strength[3:].max()
    assert classifier.facts["features_used"] < 40
    assert classifier.facts["features_per_class"] < 25


def test_large_features_lose_nothing_by_standardisation(make_examples):
    examples = make_examples()
    moved = replace(examples, features=(examples.features * 1e-3 + 10.0).astype(np.float32))
    one, other = (fit_logistic(given, seed=0).predict(given.features) for given in (examples, moved))
    np.testing.assert_allclose(one, other, atol=2e-2)
