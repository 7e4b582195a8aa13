"""Decision tree and random forest, and how trees become one node of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import Tree as SklearnTree

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import brier, choose
from earmark.baselines.linear_solver import labels_of
from earmark.export.backbone import Nodes

N_TREES = 300
MAX_LEAF_VALUES = 10**8  # of all trees and classes together, under 1 GB; sets of a few thousand clips stay below
NUMBERS_OF_LEAVES = (2, 4, 8, 16, 32, 64, 128, 256, 512)
DEFAULT_LEAVES = 64


@dataclass(frozen=True)
class Tree:
    """A tree as arrays over its nodes; node 0 is the root.

    feature, threshold: `feature <= threshold` goes left. left, right: the next node; -1 = this is a leaf.
    leaves: (leaf, class, value) of every value that is not 0, as three arrays.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaves: tuple[np.ndarray, np.ndarray, np.ndarray]


def append_trees(
    nodes: Nodes, source: str, trees: Iterable[Tree], n_classes: int, base: np.ndarray | None = None
) -> str:
    """All trees as one TreeEnsembleRegressor, which gives the sum of their values (rows, classes).

    Args:
        source: the tensor (rows, features) that they look at.
        base: (classes,) that the sum begins with.

    Returns:
        The name of the sum.
    """
    branch: dict[str, list[np.ndarray]] = {name: [] for name in ("tree", "node", "feature", "value", "true", "false")}
    leaf: dict[str, list[np.ndarray]] = {name: [] for name in ("tree", "node", "class", "weight")}
    modes: list[np.ndarray] = []
    for number, tree in enumerate(trees):
        is_leaf = tree.left < 0
        columns = (tree.feature, _round_down(tree.threshold), tree.left, tree.right)
        branch["tree"].append(np.full(len(is_leaf), number))
        branch["node"].append(np.arange(len(is_leaf)))
        for name, column in zip(("feature", "value", "true", "false"), columns, strict=True):
            branch[name].append(np.where(is_leaf, 0, column))
        modes.append(np.where(is_leaf, "LEAF", "BRANCH_LEQ"))
        leaves, classes, values = tree.leaves
        bare = np.setdiff1d(np.flatnonzero(is_leaf), leaves)  # a leaf needs a value, even if it is 0
        leaf["tree"].append(np.full(len(leaves) + len(bare), number))
        leaf["node"].append(np.concatenate([leaves, bare]))
        leaf["class"].append(np.concatenate([classes, np.zeros_like(bare)]))
        leaf["weight"].append(np.concatenate([values, np.zeros(len(bare))]))
    nodes_of = {name: np.concatenate(parts).tolist() for name, parts in branch.items()}
    leaves_of = {name: np.concatenate(parts).tolist() for name, parts in leaf.items()}
    return nodes(
        "TreeEnsembleRegressor",
        source,
        domain="ai.onnx.ml",
        n_targets=n_classes,
        base_values=[0.0] * n_classes if base is None else base.tolist(),
        nodes_treeids=nodes_of["tree"],
        nodes_nodeids=nodes_of["node"],
        nodes_featureids=nodes_of["feature"],
        nodes_values=nodes_of["value"],
        nodes_modes=np.concatenate(modes).tolist(),
        nodes_truenodeids=nodes_of["true"],
        nodes_falsenodeids=nodes_of["false"],
        target_treeids=leaves_of["tree"],
        target_nodeids=leaves_of["node"],
        target_ids=leaves_of["class"],
        target_weights=leaves_of["weight"],
    )


def _round_down(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 not above each float64 threshold: for float32 features `x <= threshold` is the same test."""
    rounded = threshold.astype(np.float32)
    above = rounded > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


@dataclass(frozen=True)
class MeanOfTrees:
    """The mean of what scikit-learn's trees answer; their leaves hold scores."""

    forest: RandomForestRegressor | DecisionTreeRegressor
    n_classes: int
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)
    source: str = "embedding"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, features)."""
        answers = self.forest.predict(features).reshape(len(features), self.n_classes)
        return np.clip(answers, 0, 1).astype(np.float32)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as nodes. Leaves list only the classes they hold, so pure leaves stay small."""
        nodes = Nodes("head_")
        trees = _trees_of(self.forest)
        mean = append_trees(nodes, self.source, (_arrays(tree, 1 / len(trees)) for tree in trees), self.n_classes)
        # A sum of hundreds rounds.
        nodes("Clip", mean, nodes.constant(0.0), nodes.constant(1.0), output="scores")
        return nodes.nodes, nodes.constants


def fit_tree(examples: Examples, *, seed: int) -> MeanOfTrees:
    """One decision tree with as many leaves as the first inner fold asks for (by Brier loss: leaves are often sure)."""

    def grow(training: Examples, n_leaves: int, start: _Pruned | None) -> _Pruned:
        tree = start.tree if start else _grow(_plain_tree(NUMBERS_OF_LEAVES[-1], seed), training).tree_
        return _Pruned(tree, n_leaves)

    choice = choose(examples, NUMBERS_OF_LEAVES, DEFAULT_LEAVES, grow, brier, patience=2, most_folds=1)
    tree = _grow(_plain_tree(choice.setting, seed), examples)
    facts = {"leaves": int(tree.get_n_leaves()), "depth": int(tree.get_depth()), **choice.facts}
    return MeanOfTrees(tree, examples.n_classes, facts, choice.outputs)


def fit_forest(examples: Examples, *, seed: int) -> MeanOfTrees:
    """A random forest.

    A regression forest on 0/1 targets splits as a Gini forest does and answers with leaf frequencies, for one label
    per clip and for several alike; soft targets go in as they are.
    """
    most_leaves = MAX_LEAF_VALUES // (N_TREES * examples.n_classes)
    forest = RandomForestRegressor(
        N_TREES,
        max_features="sqrt",
        max_leaf_nodes=most_leaves if most_leaves < len(examples) else None,
        random_state=seed,
        n_jobs=-1,  # threads of joblib, which do not spin
    )
    _grow(forest, examples)
    unheld = np.full(examples.targets.shape, np.nan, np.float32)
    return MeanOfTrees(forest, examples.n_classes, {"trees": N_TREES}, unheld)


@dataclass(frozen=True)
class _Pruned:
    """A tree as it was when it had so many leaves: it grows where that helps most, and numbers nodes as they come."""

    tree: SklearnTree
    n_leaves: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Scores, in truth (rows, classes)."""
        rows, node = np.arange(len(features)), np.zeros(len(features), int)
        for _ in range(self.n_leaves):
            is_left = features[rows, self.tree.feature[node]] <= self.tree.threshold[node]
            child = np.where(is_left, self.tree.children_left[node], self.tree.children_right[node])
            goes_on = (child > 0) & (child < 2 * self.n_leaves - 1)
            if not goes_on.any():
                break
            node = np.where(goes_on, child, node)
        return self.tree.value[node, :, 0].astype(np.float32)


def _plain_tree(n_leaves: int, seed: int) -> DecisionTreeRegressor:
    return DecisionTreeRegressor(max_leaf_nodes=n_leaves, random_state=seed)


def _trees_of(model: RandomForestRegressor | DecisionTreeRegressor) -> list[SklearnTree]:
    return [estimator.tree_ for estimator in getattr(model, "estimators_", [model])]


def _grow(
    model: RandomForestRegressor | DecisionTreeRegressor, examples: Examples
) -> RandomForestRegressor | DecisionTreeRegressor:
    """Fit trees to the examples.

    A tree cannot leave a single label out. So unknown ones stand at their class's share while splits are sought, where
    they favour next to none, and afterwards each leaf answers with the known labels of the windows that fall into it,
    or with those of the nearest node above that has any.
    """
    weights = examples.weights.max(axis=1)
    heard = np.flatnonzero(weights > 0)
    if not len(heard):
        heard, weights = np.arange(len(examples)), np.ones(len(examples), np.float32)
    kept = examples.select(heard)
    known, answers = kept.weights > 0, kept.targets
    if not known.all():
        answers = np.where(known, answers, labels_of(kept).shares())
    model.fit(kept.features, answers, sample_weight=weights[heard])
    if not known.all():
        for tree in _trees_of(model):
            _answer_with_known(tree, kept)
    return model


def _answer_with_known(tree: SklearnTree, examples: Examples) -> None:
    """Set every node's value to the mean of the known labels of the examples that pass it, or else its parent's."""
    leaves = tree.apply(examples.features)
    known, found = np.zeros((2, tree.node_count, examples.n_classes))
    np.add.at(known, leaves, examples.weights)
    np.add.at(found, leaves, examples.weights * examples.targets)
    inner = np.flatnonzero(tree.children_left >= 0)
    children = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1)
    for node, pair in zip(inner[::-1], children[::-1], strict=True):  # children come after their parent
        known[node], found[node] = known[pair].sum(axis=0), found[pair].sum(axis=0)
    values = tree.value[:, :, 0]
    values[0] = found[0] / np.where(known[0] > 0, known[0], 1)
    for node, pair in zip(inner, children, strict=True):
        values[pair] = np.where(known[pair] > 0, found[pair] / np.maximum(known[pair], 1e-300), values[node])


def _arrays(tree: SklearnTree, share: float) -> Tree:
    """One of scikit-learn's trees, its values times its share of the answer."""
    values = tree.value[:, :, 0] * share * (tree.children_left < 0)[:, None]
    nodes, classes = np.nonzero(values)
    leaves = nodes, classes, values[nodes, classes]
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, leaves)
