"""Tree and forest: scikit-learn's, learning from known labels alone, and small in the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeRegressor

from earmark.baselines import trees
from earmark.baselines.classifier import Examples
from earmark.baselines.trees import fit_forest, fit_tree

N_CLASSES = 4


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(trees, "N_TREES", 25)


@pytest.fixture(scope="module")
def examples(make_examples) -> Examples:
    return make_examples(200, N_CLASSES, 2 * N_CLASSES, several_windows=True)


def some_known(examples: Examples, share: float) -> Examples:
    """Each label of each clip is known with a chance of `share`; those of the first clips are."""
    known = np.random.default_rng(1).random((200, N_CLASSES)) < share
    known[:N_CLASSES] = True
    return replace(examples, weights=examples.weights * known[examples.clips])


def ensemble_node(classifier) -> dict[str, np.ndarray]:
    """Attributes of the file's tree node."""
    (node,) = [node for node in classifier.nodes()[0] if node.op_type == "TreeEnsembleRegressor"]
    return {found.name: onnx.helper.get_attribute_value(found) for found in node.attribute}


def test_a_regression_forest_on_one_hot_targets_is_as_good_as_a_classifier(examples):
    rows = examples.clips < 140
    truth = examples.targets.argmax(axis=1)
    forest = fit_forest(examples.select(rows), seed=0)
    theirs = RandomForestClassifier(25, random_state=0).fit(examples.features[rows], truth[rows])
    ours = (forest.predict(examples.features[~rows]).argmax(axis=1) == truth[~rows]).mean()
    assert ours > 0.6
    assert ours >= (theirs.predict(examples.features[~rows]) == truth[~rows]).mean() - 0.06


def test_every_clip_weighs_the_same_however_many_windows_it_has(examples):
    forest = fit_forest(examples, seed=0)
    theirs = RandomForestRegressor(25, max_features="sqrt", random_state=0)
    theirs.fit(examples.features, examples.targets, sample_weight=examples.weights[:, 0])
    np.testing.assert_allclose(forest.predict(examples.features), theirs.predict(examples.features), atol=1e-6)


def test_the_file_holds_one_tree_node_and_only_the_classes_in_each_leaf(examples):
    forest = fit_forest(examples, seed=0)
    n_leaves = sum(int((estimator.tree_.children_left < 0).sum()) for estimator in forest.forest.estimators_)
    held = ensemble_node(forest)["target_weights"]
    assert n_leaves <= len(held) < 1.5 * n_leaves


def test_a_threshold_between_two_floats_still_parts_them():
    exact = np.array([1.0 + 2**-30, -1.0 - 2**-30, 0.5, 1e-35])
    rounded = trees._round_down(exact)
    assert rounded.dtype == np.float32
    for threshold, single in zip(exact, rounded, strict=True):
        for value in (np.nextafter(single, np.float32(-np.inf)), single, np.nextafter(single, np.float32(np.inf))):
            assert (float(value) <= threshold) == (value <= single)


def test_a_pruned_tree_is_the_tree_that_was_grown_no_further(examples):
    large = DecisionTreeRegressor(max_leaf_nodes=64, random_state=0).fit(examples.features, examples.targets)
    for n_leaves in (2, 5, 16, 64):
        small = DecisionTreeRegressor(max_leaf_nodes=n_leaves, random_state=0)
        expected = small.fit(examples.features, examples.targets).predict(examples.features)
        found = trees._Pruned(large.tree_, n_leaves).logits(examples.features)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tree_is_as_large_as_the_inner_fold_asks_for(make_examples):
    noise, signal = (fit_tree(make_examples(240, 8, 10, distance=given), seed=0) for given in (0.0, 6.0))
    assert noise.facts["leaves"] < signal.facts["leaves"] <= 16
    assert signal.facts["chosen_by"] == "one inner fold"
    assert len(set(ensemble_node(signal)["nodes_treeids"])) == 1


def test_very_many_leaves_are_bounded(examples, monkeypatch):
    monkeypatch.setattr(trees, "MAX_LEAF_VALUES", 25 * N_CLASSES * 10)
    forest = fit_forest(examples, seed=0)
    assert max(estimator.get_n_leaves() for estimator in forest.forest.estimators_) == 10


@pytest.mark.parametrize("fit", [fit_forest, fit_tree])
def test_what_is_unknown_cannot_change_the_trees(examples, fit):
    known = some_known(examples, 0.5)
    known.weights[examples.clips == 7] = 0  # a clip of which nothing is known
    first = fit(known, seed=0).predict(examples.features)
    turned = np.where(known.weights > 0, examples.targets, 1 - examples.targets)
    np.testing.assert_array_equal(first, fit(replace(known, targets=turned), seed=0).predict(examples.features))
    spoilt = np.where((examples.clips == 7)[:, None], 1e6, examples.features).astype(np.float32)
    without = replace(known, features=spoilt, parts=np.where(examples.clips == 7, -1, examples.parts))
    np.testing.assert_array_equal(first, fit(without, seed=0).predict(examples.features))


def test_answers_from_known_labels_are_scikit_learns_where_all_are_known(examples):
    tree = DecisionTreeRegressor(max_leaf_nodes=20, random_state=0)
    tree.fit(examples.features, examples.targets, sample_weight=examples.weights[:, 0])
    expected = tree.tree_.value.copy()
    tree.tree_.value[:] = -1
    trees._answer_with_known(tree.tree_, examples)
    np.testing.assert_allclose(tree.tree_.value, expected, atol=1e-6)


def test_a_leaf_that_knows_nothing_answers_as_the_nearest_node_above(examples):
    weights = examples.weights.copy()
    weights[examples.clips >= 8, 0] = 0  # of the first class eight clips are known, and two of these have it
    scores = fit_forest(replace(examples, weights=weights), seed=0).predict(examples.features)
    assert scores.min() >= 0 and scores.max() <= 1
    assert roc_auc_score(examples.targets[:, 0], scores[:, 0]) > 0.6
    weights[:, 0] = 0
    assert (fit_forest(replace(examples, weights=weights), seed=0).predict(examples.features)[:, 0] == 0).all()


def test_few_known_labels_teach_more_than_taking_the_unknown_for_absent(make_examples):
    examples = make_examples(200, N_CLASSES, 2 * N_CLASSES, distance=2.5, several_windows=True)
    known = np.random.default_rng(1).random((200, N_CLASSES)) < 0.15
    present = np.eye(N_CLASSES)[np.arange(200) % N_CLASSES] == 1
    known &= ~present | (np.random.default_rng(2).random((200, N_CLASSES)) < 0.5)
    known[:N_CLASSES] = True
    known = known[examples.clips]
    rows = examples.clips < 140
    truth = examples.targets[~rows]
    aware = fit_forest(replace(examples, weights=examples.weights * known).select(rows), seed=0)
    naive = fit_forest(replace(examples, targets=examples.targets * known).select(rows), seed=0)
    found, mistaken = (np.abs(forest.predict(examples.features[~rows]) - truth).mean() for forest in (aware, naive))
    assert found < mistaken + 0.02
    assert roc_auc_score(truth, aware.predict(examples.features[~rows])) > 0.65


def test_a_heavier_clip_pulls_harder_and_soft_targets_are_learnt_as_they_are(examples):
    third = (examples.clips % N_CLASSES == 2)[:, None]
    heavy = replace(examples, weights=(examples.weights * np.where(third, 20, 1)).astype(np.float32))
    plain, pulled = (fit_forest(given, seed=0).predict(examples.features) for given in (examples, heavy))
    assert pulled[~third[:, 0], 2].mean() > plain[~third[:, 0], 2].mean()
    halves = fit_forest(replace(examples, targets=0.5 * examples.targets), seed=0).predict(examples.features)
    np.testing.assert_allclose(halves, 0.5 * plain, atol=1e-6)
