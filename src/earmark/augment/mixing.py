"""Mixing clips of a batch with one another, sound and labels alike."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import beta, uniform


class Mixup(nn.Module):
    """Add to each clip another of the batch, share drawn from Beta(alpha, alpha); labels are mixed by the same share.

    Args:
        alpha: of the Beta distribution; small = mostly one of the two.
        probability: that a clip is mixed at all.

    Source: Zhang et al. 2018, arXiv 1710.09412.
    """

    def __init__(self, alpha: float, probability: float):
        super().__init__()
        self.alpha = alpha
        self.probability = probability

    def forward(
        self, waveform: Tensor, targets: Tensor, weights: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform (batch, samples), targets and weights (batch, classes), unchanged in evaluation mode."""
        if not self.training:
            return waveform, targets, weights
        batch = len(waveform)
        partner = torch.randperm(batch, generator=generator)
        share = beta(batch, self.alpha, generator).float()
        mixed = uniform(batch, 0.0, 1.0, generator) < self.probability
        share = torch.where(mixed, share, torch.ones(()))
        return mix(waveform, targets, weights, partner.to(waveform.device), share.to(waveform.device))


def mix(
    waveform: Tensor, targets: Tensor, weights: Tensor, partner: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """share · clip + (1 − share) · partner, for waveform (batch, samples), targets and weights (batch, classes).

    A label that only one of the two knows keeps that one's target, at its share of the weight. So binary cross-entropy
    of the mixture is the mixture of both clips' own losses. To keep only what both know would leave almost nothing
    where each clip knows few labels; the price is that an "absent" may be said, in its share, of a sound that the
    other clip holds unlabelled.

    Args:
        partner: (batch,) positions in the batch.
        share: (batch,) in [0, 1].
    """
    own = share[:, None]
    weight = own * weights + (1 - own) * weights[partner]
    total = own * (weights * targets) + (1 - own) * (weights * targets)[partner]
    mixed = total / torch.where(weight > 0, weight, torch.ones_like(weight))
    return own * waveform + (1 - own) * waveform[partner], mixed, weight
