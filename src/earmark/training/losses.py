"""Losses on logits (batch, classes) and targets (batch, classes) that may be soft, as after mixing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

LOSSES = {
    "bce": "earmark.training.losses:binary_cross_entropy",
    "cross_entropy": "earmark.training.losses:cross_entropy",
}


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over clips of the sum over classes: each label is a question of its own.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε·(1 − y), the FSD system's label smoothing.
    """
    smoothed = targets * (1 - 2 * smoothing) + smoothing
    return functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").sum(dim=1).mean()


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy, mean over clips: exactly one label per clip.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε/classes.
    """
    return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
