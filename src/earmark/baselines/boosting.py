"""Gradient boosting: many small trees, each mending what those before it left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import onnx
import torch

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import choose, compete, log_loss
from earmark.baselines.linear_solver import base_logits
from earmark.baselines.scores import append_squash, squash
from earmark.baselines.trees import Tree, append_trees
from earmark.export.backbone import Nodes

ROUNDS = (10, 20, 40, 70, 100)  # of one tree per class
MAX_TREES = 5000  # of all classes together: a minute's work on a few thousand windows
DEFAULT_ROUNDS = 40
LEAST_BEND = 1e-4  # LightGBM estimates how many examples a leaf has from their second derivatives
SETTINGS = {
    "num_leaves": 4,
    "feature_fraction": 0.1,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "min_data_in_leaf": 3,
    "lambda_l2": 1.0,  # in clips
    "max_bin": 63,
    "learning_rate": 0.2,
    "boost_from_average": False,
    "use_missing": False,
    "feature_pre_filter": False,
    "force_col_wise": True,
    "deterministic": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class BoostedTrees:
    """LightGBM's trees, whose sum on top of base: (classes,) is the logits."""

    booster: lightgbm.Booster
    base: np.ndarray
    multi_label: bool
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)
    source: str = "embedding"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, features)."""
        return squash(_sums(self.booster, features, self.base), self.multi_label)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as nodes."""
        nodes = Nodes("head_")
        logits = append_trees(nodes, self.source, _trees_of(self.booster, len(self.base)), len(self.base), self.base)
        append_squash(nodes, logits, self.multi_label)
        return nodes.nodes, nodes.constants


def fit_boosting(examples: Examples, *, seed: int) -> BoostedTrees:
    """Boosted trees on the cross-entropy of a softmax, or of a sigmoid per class; rounds by inner log loss.

    Its loss is ours, so that unknown labels pull at nothing and targets may be soft. Only the first inner fold is
    held out: fitting takes longest of all classifiers.
    """
    most = max(MAX_TREES // examples.n_classes, 1)
    rounds = [number for number in ROUNDS if number <= most] or [most]

    def fit(training: Examples, number: int, start: _Boosting | None) -> _Boosting:
        boosting = start or _Boosting(training, seed)
        boosting.grow_to(number)
        return boosting

    default = min(DEFAULT_ROUNDS, most)
    choice = choose(examples, rounds, default, fit, log_loss, patience=2, most_folds=1)
    boosting = fit(examples, choice.setting, None)
    facts = {"rounds": choice.setting, "trees": boosting.booster.num_trees(), **choice.facts}
    held_out = squash(choice.outputs, examples.multi_label)
    return BoostedTrees(boosting.booster, boosting.base, examples.multi_label, facts, held_out)


class _Boosting:
    """Boosting under way: rounds can be added."""

    def __init__(self, examples: Examples, seed: int):
        known = examples.weights.any(axis=1)
        self._examples = examples.select(known | ~known.any())
        self.base = base_logits(self._examples)
        settings = {
            **SETTINGS,
            "objective": "none",
            "bagging_fraction": max(SETTINGS["bagging_fraction"], 1 / len(self._examples)),  # one at least
            "num_class": examples.n_classes,
            "seed": seed,
            "num_threads": torch.get_num_threads(),  # one in a worker that has neighbours
        }
        start = np.tile(self.base.astype(np.float64), (len(self._examples), 1))
        unused = np.zeros(len(self._examples))
        data = lightgbm.Dataset(self._examples.features, unused, init_score=_flat_if_one(start), params=settings)
        self.booster = lightgbm.Booster(settings, data)
        scale = 1 / np.maximum(np.abs(self._examples.weights).max(), 1e-12)
        self._weights = self._examples.weights * scale
        self._competing = compete(self._examples.weights)
        self._rounds = 0

    def grow_to(self, rounds: int) -> None:
        """Add rounds until there are so many."""
        while self._rounds < rounds:
            self._rounds += 1  # our own count: a round that finds nothing to split leaves no trees
            self.booster.update(fobj=self._slope)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(rows, classes) of features (rows, features)."""
        return _sums(self.booster, features, self.base)

    def _slope(self, sums: np.ndarray, _: lightgbm.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivative of the loss at the sums (rows, classes); the second one as an upper bound."""
        sums = sums.reshape(self._weights.shape)
        targets, weights = self._examples.targets, self._weights
        if self._examples.multi_label:
            likely, factor = squash(sums, multi_label=True), 1.0
            slope, said = weights * (likely - targets), weights
        else:
            likely, factor = squash(np.where(self._competing, sums, -np.inf), multi_label=False), 2.0
            said = (weights * targets).sum(axis=1, keepdims=True)
            slope = said * likely - weights * targets
        bend = np.maximum(factor * said * likely * (1 - likely), LEAST_BEND)
        return _flat_if_one(slope), _flat_if_one(bend)


def _flat_if_one(values: np.ndarray) -> np.ndarray:
    """(rows, classes), but (rows,) of a single class, as LightGBM wants them."""
    return values[:, 0] if values.shape[1] == 1 else values


def _sums(booster: lightgbm.Booster, features: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Logits (rows, classes) float32: the base and all trees."""
    return (base + booster.predict(features, raw_score=True).reshape(len(features), -1)).astype(np.float32)


def _trees_of(booster: lightgbm.Booster, n_classes: int) -> Iterator[Tree]:
    """LightGBM's trees; it writes them down one class after the other, round by round."""
    blocks = booster.model_to_string().split("\n\nTree=")[1:] or ["0\nleaf_value=0"]
    for number, block in enumerate(blocks):
        lines = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
        columns = ("split_feature", "threshold", "left_child", "right_child", "leaf_value")
        feature, threshold, left, right, value = (np.array(lines.get(name, "").split(), float) for name in columns)
        inner = len(feature)
        n_leaves = len(value)
        # Inner nodes come first; a child below 0 is leaf -1 - child.
        left, right = (np.where(child < 0, inner - 1 - child, child).astype(int) for child in (left, right))
        absent, nothing = np.full(n_leaves, -1), np.zeros(n_leaves)
        leaves = inner + np.arange(n_leaves), np.full(n_leaves, number % n_classes), value
        yield Tree(
            np.concatenate([feature, nothing]).astype(int),
            np.concatenate([threshold, nothing]),
            np.concatenate([left, absent]),
            np.concatenate([right, absent]),
            leaves,
        )
