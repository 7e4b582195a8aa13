"""Augmentation of waveforms (batch, samples), on their device, every draw from the generator that is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import uniform


class Sometimes(nn.Module):
    """Change a random share of the clips, and the others not at all.

    Args:
        change: what is done to the chosen clips.
        share: of the clips, 0 to 1.
    """

    def __init__(self, change: nn.Module, share: float):
        super().__init__()
        self.change = change
        self.share = share

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        chosen = torch.nonzero(uniform(len(waveform), 0.0, 1.0, generator) < self.share)[:, 0].to(waveform.device)
        if not len(chosen):
            return waveform
        return waveform.index_copy(0, chosen, self.change(waveform[chosen], generator))


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


class Polarity(nn.Module):
    """Turn each waveform upside down, as a microphone wired the other way round would."""

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        return -waveform if self.training else waveform


def rms(waveform: Tensor) -> Tensor:
    """Root mean square of each clip (batch, 1), never quite 0, so that one can divide by it.

    >>> rms(torch.tensor([[3.0, -3.0], [0.0, 0.0]])).tolist()
    [[3.0], [9.99999993922529e-09]]
    """
    return waveform.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-8)
