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

    def forward(self, waveform: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Waveform (batch, samples) and targets (batch, classes), unchanged in evaluation mode."""
        if not self.training:
            return waveform, targets
        batch = len(waveform)
        partner = torch.randperm(batch, generator=generator)
        share = beta(batch, self.alpha, generator).float()
        mixed = uniform(batch, 0.0, 1.0, generator) < self.probability
        share = torch.where(mixed, share, torch.ones(()))
        return mix(waveform, targets, partner.to(waveform.device), share.to(waveform.device))


def mix(waveform: Tensor, targets: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """share · clip + (1 − share) · partner, for waveform (batch, samples) and targets (batch, classes).

    Args:
        partner: (batch,) positions in the batch.
        share: (batch,) in [0, 1].
    """
    own = share[:, None]
    return own * waveform + (1 - own) * waveform[partner], own * targets + (1 - own) * targets[partner]
