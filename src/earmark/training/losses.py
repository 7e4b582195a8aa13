"""Losses on logits (batch, classes) and targets (batch, classes) in [0, 1], soft ones as they are.

Every loss takes weights (batch, classes): 0 where a label is unknown, else the weight of its clip. A loss is the sum
of `weight · loss of the label` over all labels, divided by the sum of the clips' weights (of a clip, the largest of
its labels'). So an unknown label moves neither the loss nor any logit, a clip without a known label is as if it were
not there, and a clip of weight 2 is the clip twice. A label in a hundred known is one question asked, not a hundred:
clips that know little do not shout.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LOSSES = {
    "bce": "earmark.training.losses:binary_cross_entropy",
    "cross_entropy": "earmark.training.losses:cross_entropy",
}


def binary_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over clips of the sum over known classes: each label is a question of its own.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε·(1 − y), the FSD system's label smoothing.
    """
    smoothed = targets * (1 - 2 * smoothing) + smoothing
    losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    return _mean_over_clips((losses * weights).sum(dim=1).sum(), weights)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy, mean over clips: exactly one label per clip. Only known classes compete in the softmax.

    Args:
        smoothing: ε of y' = (1 − ε)·y + ε/(known classes).
    """
    known = weights > 0
    competes = known | ~known.any(dim=1, keepdim=True)  # no softmax of nothing: such a clip weighs 0 anyway
    likely = functional.log_softmax(logits.masked_fill(~competes, -torch.inf), dim=1)
    smoothed = targets * (1 - smoothing) + smoothing / competes.sum(dim=1, keepdim=True)
    return _mean_over_clips(-(likely.masked_fill(~known, 0.0) * smoothed * weights).sum(), weights)


def _mean_over_clips(total: Tensor, weights: Tensor) -> Tensor:
    """`total` over the weight of the clips; 0 where they weigh nothing."""
    weight = weights.amax(dim=1).sum()
    return total / torch.where(weight > 0, weight, torch.ones_like(weight))
