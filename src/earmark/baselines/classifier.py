"""What a classifier on features is fitted on, what it must offer, and how it joins the graph of its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx


@dataclass(frozen=True)
class Examples:
    """What a classifier is fitted on; a row is a window of a clip.

    features: (rows, features) float32; of heads over a sequence (rows, patches, features).
    targets: (rows, classes) float32, in [0, 1].
    weights: (rows, classes) float32, 0 = unknown, else the clip's weight shared among its rows.
    clips: (rows,) int64, number of each row's clip.
    parts: (rows,) int64, inner fold of each row's clip, for every choice made while fitting; -1 = never held out.
    multi_label: several labels may be right at once (scores are sigmoids), else exactly one (scores sum to 1).
    """

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    clips: np.ndarray
    parts: np.ndarray
    multi_label: bool

    def __len__(self) -> int:
        return len(self.features)

    @property
    def n_classes(self) -> int:
        return self.targets.shape[1]

    def select(self, rows: np.ndarray) -> Examples:
        """Some rows, by mask or position."""
        return Examples(
            self.features[rows],
            self.targets[rows],
            self.weights[rows],
            self.clips[rows],
            self.parts[rows],
            self.multi_label,
        )


class Classifier(Protocol):
    """A fitted classifier.

    facts: what fitting chose and what a card must say, as JSON knows it.
    source: the tensor of the feature graph that it starts from, "embedding" or "sequence".
    """

    facts: Mapping[str, Any]
    source: str

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) float32, in [0, 1], of features (rows, …)."""

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes and constants from the tensor `source` to the tensor `scores`; inner names begin with "head_"."""


def classifier_graph(features: onnx.ModelProto, classifier: Classifier, n_classes: int) -> onnx.ModelProto:
    """The feature graph with the classifier behind it: outputs `scores` (batch, classes), then those it had.

    What else the classifier's nodes give, its `extra_outputs` (name → shape), comes last.
    """
    model = onnx.ModelProto()
    model.CopyFrom(features)
    nodes, constants = classifier.nodes()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    value = onnx.helper.make_tensor_value_info
    model.graph.output.insert(0, value("scores", onnx.TensorProto.FLOAT, ["batch", n_classes]))
    for name, shape in getattr(classifier, "extra_outputs", {}).items():
        model.graph.output.append(value(name, onnx.TensorProto.FLOAT, list(shape)))
    return model
