"""The forest learns from known labels alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import roc_auc_score

from earmark.baselines import forest as forest_module
from earmark.baselines.forest import WindowFeatures, fit_forest

N_CLIPS, N_CLASSES = 200, 4
ALL = np.arange(N_CLIPS)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(forest_module, "N_TREES", 25)


@pytest.fixture(scope="module")
def features() -> WindowFeatures:
    """One or two windows of each clip; each class has two features that tell it, none too clearly."""
    generator = np.random.default_rng(0)
    clips = np.repeat(ALL, 1 + ALL % 2)
    centres = 1.5 * np.repeat(np.eye(N_CLASSES), 2, axis=1)
    values = centres[clips % N_CLASSES] + generator.normal(size=(len(clips), 2 * N_CLASSES))
    return WindowFeatures(values.astype(np.float32), clips)


@pytest.fixture
def targets() -> np.ndarray:
    return np.eye(N_CLASSES, dtype=np.float32)[ALL % N_CLASSES]


def some_known(share: float) -> np.ndarray:
    known = (np.random.default_rng(1).random((N_CLIPS, N_CLASSES)) < share).astype(np.float32)
    known[:N_CLASSES] = 1
    return known


def test_weights_of_one_change_nothing(features, targets):
    plain, weighted = (fit_forest(features, targets, ALL, 0, weights) for weights in (None, np.ones_like(targets)))
    for one, other in zip(plain.estimators_, weighted.estimators_, strict=True):
        np.testing.assert_array_equal(one.tree_.value, other.tree_.value)


def test_what_is_unknown_cannot_change_the_forest(features, targets):
    known = some_known(0.5)
    known[7] = 0  # a clip of which nothing is known
    first = fit_forest(features, targets, ALL, 0, known)
    second = fit_forest(features, np.where(known > 0, targets, 1 - targets), ALL, 0, known)
    np.testing.assert_allclose(first.predict(features.values), second.predict(features.values), atol=1e-12)
    spoilt = WindowFeatures(features.values.copy(), features.clips)
    spoilt.values[features.clips == 7] = 1e6
    third = fit_forest(spoilt, targets, ALL, 0, known)
    np.testing.assert_allclose(first.predict(features.values), third.predict(features.values), atol=1e-12)


def test_answers_from_known_labels_are_scikit_learns_where_all_are_known(features, targets):
    owners = features.clips
    weights = np.ones(N_CLASSES) / np.bincount(owners)[owners][:, None]
    forest = RandomForestRegressor(10, bootstrap=False, max_features=2, max_leaf_nodes=20, random_state=0)
    forest.fit(features.values, targets[owners], sample_weight=weights[:, 0])
    expected = [estimator.tree_.value.copy() for estimator in forest.estimators_]
    for estimator in forest.estimators_:
        estimator.tree_.value[:] = -1
    forest_module._answer_with_known(forest, features.values, targets[owners], weights)
    for estimator, value in zip(forest.estimators_, expected, strict=True):
        np.testing.assert_allclose(estimator.tree_.value, value, atol=1e-12)


def test_a_leaf_that_knows_nothing_answers_as_the_nearest_node_above(features, targets):
    known = np.zeros_like(targets)
    known[:, 1:] = 1
    known[:8, 0] = 1  # two of these eight have the class
    forest = fit_forest(features, targets, ALL, 0, known)
    scores = forest.predict(features.values)
    assert scores.min() >= 0 and scores.max() <= 1
    truth = targets[features.clips, 0]
    assert roc_auc_score(truth, scores[:, 0]) > 0.6
    known[:, 0] = 0
    assert (fit_forest(features, targets, ALL, 0, known).predict(features.values)[:, 0] == 0).all()


def test_few_known_labels_teach_more_than_taking_the_unknown_for_absent(features, targets):
    known = some_known(0.15)
    known[targets > 0] *= np.random.default_rng(2).random(int(targets.sum())) < 0.5
    training, held_out = ALL[:140], features.clips >= 140
    truth = targets[features.clips[held_out]]
    aware = fit_forest(features, targets, training, 0, known)
    naive = fit_forest(features, targets * known, training, 0)
    found, mistaken = (np.abs(forest.predict(features.values[held_out]) - truth).mean() for forest in (aware, naive))
    assert found < mistaken + 0.02
    assert roc_auc_score(truth, aware.predict(features.values[held_out])) > 0.7


def test_a_heavier_clip_pulls_harder_and_soft_targets_are_learnt_as_they_are(features, targets):
    heavy = np.ones_like(targets)
    heavy[ALL % N_CLASSES == 2] = 20
    plain, pulled = fit_forest(features, targets, ALL, 0), fit_forest(features, targets, ALL, 0, heavy)
    others = features.clips % N_CLASSES != 2
    assert pulled.predict(features.values[others])[:, 2].mean() > plain.predict(features.values[others])[:, 2].mean()
    halves = fit_forest(features, 0.5 * targets, ALL, 0)
    np.testing.assert_allclose(halves.predict(features.values), 0.5 * plain.predict(features.values), atol=1e-9)
