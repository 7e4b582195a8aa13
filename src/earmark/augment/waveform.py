"""Augmentation of waveforms (batch, samples), on their device, every draw from the generator that is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import uniform


class Roll(nn.Module):
    """Shift each waveform by a random number of samples, what leaves at the end coming in at the start."""

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        shifts = (uniform(len(waveform), 0.0, 1.0, generator) * waveform.shape[1]).long()
        return roll(waveform, shifts.tolist())


def roll(waveform: Tensor, shifts: Sequence[int]) -> Tensor:
    """Waveform (batch, samples), each clip rolled to later by its own shift, in samples.

    >>> roll(torch.tensor([[1.0, 2.0, 3.0]]), [1]).tolist()
    [[3.0, 1.0, 2.0]]
    """
    # Ten times as fast on a CPU as gathering the batch by index.
    return torch.stack([torch.roll(clip, shift) for clip, shift in zip(waveform, shifts, strict=True)])


class Gain(nn.Module):
    """Make each waveform louder or quieter by a random level.

    Args:
        range_db: the largest change, in dB, either way.
    """

    def __init__(self, range_db: float):
        super().__init__()
        self.range_db = range_db

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        gain_db = uniform(len(waveform), -self.range_db, self.range_db, generator)
        return amplify(waveform, gain_db.to(waveform.device))


def amplify(waveform: Tensor, gain_db: Tensor) -> Tensor:
    """Waveform (batch, samples) changed by gain_db (batch,); −6.02 dB halves it."""
    return waveform * 10 ** (gain_db[:, None] / 20)
