"""Summary features of a window, as torch operations on the shared front end, so that the tagger's graph holds them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SummaryFeatures(nn.Module):
    """Log-mel statistics over time: mean, deviation, minimum and maximum per band, and the mean size and deviation
    of the change from frame to frame.

    Args:
        frontend: waveform (batch, samples) → (batch, 1, mels, frames) in dB.
    """

    def __init__(self, frontend: nn.Module):
        super().__init__()
        self.frontend = frontend

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) to features (batch, 6 · mels), in dB."""
        bands = self.frontend(waveform)[:, 0]
        change = bands[:, :, 1:] - bands[:, :, :-1]
        statistics = [
            bands.mean(dim=2),
            _deviation(bands),
            bands.amin(dim=2),
            bands.amax(dim=2),
            change.abs().mean(dim=2),
            _deviation(change),
        ]
        return torch.cat(statistics, dim=1)


def _deviation(values: Tensor) -> Tensor:
    """Standard deviation over the last axis (of the population, so that one frame gives 0)."""
    return (values - values.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt()
