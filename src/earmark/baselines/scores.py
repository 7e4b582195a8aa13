"""Scores of logits, as an array and as a node of the graph."""

from __future__ import annotations

import numpy as np

from earmark.export.backbone import Nodes


def squash(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """Scores (rows, classes) float32 of logits: each label's sigmoid, or the softmax over all.

    >>> squash(np.zeros((1, 4), np.float32), multi_label=False)
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    if multi_label:
        return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def append_squash(nodes: Nodes, logits: str, multi_label: bool, output: str = "scores") -> None:
    """The same as a node, over the last axis."""
    if multi_label:
        nodes("Sigmoid", logits, output=output)
    else:
        nodes("Softmax", logits, axis=-1, output=output)
