"""The cheap model every network is held against: a random forest on summary features, ending as one ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from sklearn.ensemble import RandomForestRegressor

from earmark.baselines.features import SummaryFeatures
from earmark.data.clip_audio import ClipAudio
from earmark.export.graph import open_graph, trace
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.windows import Framing

N_TREES = 300
MAX_LEAF_VALUES = 10**8  # of all trees and classes together, under 1 GB; sets of a few thousand clips stay below
WINDOWS_AT_ONCE = 64


@dataclass(frozen=True)
class WindowFeatures:
    """Features of all windows of some clips: values (windows, features) float32, clips (windows,) each one's clip."""

    values: np.ndarray
    clips: np.ndarray


class FeatureGraph:
    """The exported graph from waveform (batch, window_samples) to `embedding` (batch, features): the one that ships."""

    def __init__(self, frontend: FrontendConfig, framing: Framing):
        self.framing = framing
        self.model = trace(SummaryFeatures(LogMel(frontend).exportable()), framing.window_samples, ("embedding",))
        self._session = open_graph(self.model)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Features (windows, features) of windows (windows, window_samples)."""
        return self._session.run(["embedding"], {"waveform": windows})[0]

    def of_clips(self, audio: ClipAudio) -> WindowFeatures:
        """Features of every window of every clip."""
        values, clips = [], []
        for number in range(len(audio)):
            for windows in self.framing.pieces(audio[number], WINDOWS_AT_ONCE):
                values.append(self(windows))
                clips.append(np.full(len(windows), number))
        return WindowFeatures(np.concatenate(values), np.concatenate(clips))


def fit_forest(
    features: WindowFeatures,
    targets: np.ndarray,
    clips: np.ndarray,
    seed: int,
    weights: np.ndarray | None = None,
) -> RandomForestRegressor:
    """Fit on the windows of the chosen clips, each clip weighing the same however many windows it has.

    A regression forest on 0/1 targets splits as a Gini forest does and answers with leaf frequencies, for one label
    per clip and for several alike; soft targets go in as they are.

    A tree cannot leave a single label out. So unknown ones stand at their class's mean while splits are sought, where
    they favour none, and afterwards each leaf answers with the known labels of the windows that fall into it, or with
    those of the nearest node above that has any.

    Args:
        targets: (all clips, classes) float32, in [0, 1].
        clips: positions of the clips to train on.
        weights: (all clips, classes) float32, 0 = unknown, else the weight of the clip; None = all 1.
    """
    weights = np.ones_like(targets) if weights is None else weights
    clip_weights = weights.max(axis=1)
    rows = np.flatnonzero(np.isin(features.clips, clips) & (clip_weights > 0)[features.clips])
    owners = features.clips[rows]
    sample_weights = clip_weights[owners] / np.bincount(owners, minlength=len(targets))[owners]
    known = weights[owners] > 0
    answers = targets[owners]
    if not known.all():
        answers = np.where(known, answers, _known_mean(answers, known * sample_weights[:, None]))
    most_leaves = MAX_LEAF_VALUES // (N_TREES * targets.shape[1])
    forest = RandomForestRegressor(
        N_TREES,
        max_features="sqrt",
        max_leaf_nodes=most_leaves if most_leaves < len(rows) else None,
        random_state=seed,
        n_jobs=-1,
    )
    forest.fit(features.values[rows], answers, sample_weight=sample_weights)
    if not known.all():
        _answer_with_known(forest, features.values[rows], answers, known * sample_weights[:, None])
    return forest


def _known_mean(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean target of each class (classes,), by weight; 0 where nothing is known."""
    total = weights.sum(axis=0)
    return (targets * weights).sum(axis=0) / np.where(total > 0, total, 1)


def _answer_with_known(
    forest: RandomForestRegressor, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> None:
    """Set every node's value to the mean of the known labels of the windows that pass it, or else its parent's.

    Args:
        features: (windows, features) that the forest was fitted on.
        targets: (windows, classes) float32.
        weights: (windows, classes), 0 = unknown.
    """
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        leaves = tree.apply(features)
        known, found = np.zeros((2, tree.node_count, targets.shape[1]))
        np.add.at(known, leaves, weights)
        np.add.at(found, leaves, weights * targets)
        inner = np.flatnonzero(tree.children_left >= 0)
        children = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1)
        for node, pair in zip(inner[::-1], children[::-1], strict=True):  # children come after their parent
            known[node], found[node] = known[pair].sum(axis=0), found[pair].sum(axis=0)
        values = tree.value[:, :, 0]
        values[0] = found[0] / np.where(known[0] > 0, known[0], 1)
        for node, pair in zip(inner, children, strict=True):
            values[pair] = np.where(known[pair] > 0, found[pair] / np.maximum(known[pair], 1e-300), values[node])


def forest_graph(features: onnx.ModelProto, forest: RandomForestRegressor, n_classes: int) -> onnx.ModelProto:
    """The feature graph with the forest behind it: outputs `scores` (batch, classes) and `embedding`."""
    model = onnx.ModelProto()
    model.CopyFrom(features)
    model.graph.node.append(_tree_node(forest, n_classes))
    scores = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", n_classes])
    model.graph.output.insert(0, scores)
    return model


def _tree_node(forest: RandomForestRegressor, n_classes: int) -> onnx.NodeProto:
    """All trees as one TreeEnsembleRegressor. Leaves list only the classes they hold, so pure leaves stay small."""
    nodes: dict[str, list[np.ndarray]] = {name: [] for name in ("tree", "node", "feature", "value", "true", "false")}
    leaves: dict[str, list[np.ndarray]] = {name: [] for name in ("tree", "node", "class", "weight")}
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        identifiers = np.arange(tree.node_count)
        is_leaf = tree.children_left < 0
        nodes["tree"].append(np.full(tree.node_count, number))
        nodes["node"].append(identifiers)
        nodes["feature"].append(np.where(is_leaf, 0, tree.feature))
        nodes["value"].append(np.where(is_leaf, 0.0, _round_down(tree.threshold)))
        nodes["true"].append(np.where(is_leaf, 0, tree.children_left))
        nodes["false"].append(np.where(is_leaf, 0, tree.children_right))
        fractions = tree.value[:, :, 0] / len(forest.estimators_)
        # A tree needs a weight in every leaf, also in one that holds no label.
        held = (fractions != 0) & is_leaf[:, None]
        held[is_leaf & ~held.any(axis=1), 0] = True
        rows, classes = np.nonzero(held)
        leaves["tree"].append(np.full(len(rows), number))
        leaves["node"].append(identifiers[rows])
        leaves["class"].append(classes)
        leaves["weight"].append(fractions[rows, classes])
    branch = {name: np.concatenate(parts) for name, parts in nodes.items()}
    leaf = {name: np.concatenate(parts) for name, parts in leaves.items()}
    is_leaf = (branch["true"] == 0) & (branch["false"] == 0)  # no child is the root
    return onnx.helper.make_node(
        "TreeEnsembleRegressor",
        ["embedding"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=n_classes,
        nodes_treeids=branch["tree"].tolist(),
        nodes_nodeids=branch["node"].tolist(),
        nodes_featureids=branch["feature"].tolist(),
        nodes_values=branch["value"].tolist(),
        nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=branch["true"].tolist(),
        nodes_falsenodeids=branch["false"].tolist(),
        target_treeids=leaf["tree"].tolist(),
        target_nodeids=leaf["node"].tolist(),
        target_ids=leaf["class"].tolist(),
        target_weights=leaf["weight"].tolist(),
    )


def _round_down(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 not above each float64 threshold: for float32 features `x <= threshold` is the same test."""
    rounded = threshold.astype(np.float32)
    above = rounded > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded
