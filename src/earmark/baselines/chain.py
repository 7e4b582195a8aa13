"""What the classifiers' graphs are made of: nodes one behind the other, from features to scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


class Chain:
    """Nodes one behind the other, from a tensor of the feature graph to `scores`; inner names begin with "head_".

    Args:
        source: the tensor that the first node reads.
    """

    def __init__(self, source: str):
        self._flow = source
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *constants: np.ndarray, place: int = 0, outputs: int = 1, **attributes: Any) -> None:
        """One more node. It reads what the one before gave last, and the constants after it (and before, for `place`).

        Args:
            place: which of its inputs comes from the node before.
            outputs: how many the node has; the chain goes on from the last.
        """
        stem = f"head_{len(self._nodes)}_{operator.lower()}"
        inputs = [f"{stem}_constant_{number}" for number in range(len(constants))]
        self._constants += map(numpy_helper.from_array, map(np.ascontiguousarray, constants), inputs)
        inputs.insert(place, self._flow)
        names = [f"{stem}_{number}" for number in range(outputs)]
        self._nodes.append(onnx.helper.make_node(operator, inputs, names, **attributes))
        self._flow = names[-1]

    def end(self, multi_label: bool | None = None) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes and constants; what the last node gives are the scores.

        Args:
            multi_label: how logits become scores; None = the last node gives scores already.
        """
        if multi_label is not None:
            self.add("Sigmoid") if multi_label else self.add("Softmax", axis=1)
        self._nodes[-1].output[-1] = "scores"
        return self._nodes, self._constants


def squash(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """Scores (rows, classes) float32 of logits: each label's sigmoid, or the softmax over all.

    >>> squash(np.zeros((1, 4), np.float32), multi_label=False)
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    if multi_label:
        return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
