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


def fit_forest(features: WindowFeatures, targets: np.ndarray, clips: np.ndarray, seed: int) -> RandomForestRegressor:
    """Fit on the windows of the chosen clips, each clip weighing the same however many windows it has.

    A regression forest on 0/1 targets splits as a Gini forest does and answers with leaf frequencies, for one label
    per clip and for several alike.

    Args:
        targets: (all clips, classes) float32.
        clips: positions of the clips to train on.
    """
    rows = np.flatnonzero(np.isin(features.clips, clips))
    owners = features.clips[rows]
    weights = 1.0 / np.bincount(owners, minlength=len(targets))[owners]
    most_leaves = MAX_LEAF_VALUES // (N_TREES * targets.shape[1])
    forest = RandomForestRegressor(
        N_TREES,
        max_features="sqrt",
        max_leaf_nodes=most_leaves if most_leaves < len(rows) else None,
        random_state=seed,
        n_jobs=-1,
    )
    return forest.fit(features.values[rows], targets[owners], sample_weight=weights)


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
