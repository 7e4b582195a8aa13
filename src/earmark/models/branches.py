"""Branches: what a network hears of the waveform beside its spectrogram, joined to the pooled features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.models.recurrence import AddedGRU
from earmark.models.steps import N_STEP_STATISTICS, step_statistics

BRANCHES = {
    "length": "earmark.models.branches:LengthBranch",
    "steps": "earmark.models.branches:StepsBranch",
}
FRAME_SECONDS = 0.02
FAINT = 1e-6  # of the loudest frame's power, 60 dB below it: from here on a frame at either end is trimmed
LENGTH_UNIT_SECONDS = 10.0


class StepsBranch(nn.Module):
    """The course of the window in 128 steps of 12 numbers, followed both ways by two recurrent layers; the maximum.

    Args:
        sample_rate: Hz; here it says nothing.

    Source: the "global features" of the second place in Freesound Audio Tagging 2019.

    >>> StepsBranch(16000)(torch.zeros(2, 16000)).shape
    torch.Size([2, 128])
    """

    n_features = 128

    def __init__(self, sample_rate: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(N_STEP_STATISTICS)
        self.recurrent = AddedGRU(N_STEP_STATISTICS, self.n_features, n_layers=2)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to (batch, 128) float32."""
        with torch.autocast(waveform.device.type, enabled=False):
            steps = self.norm(step_statistics(waveform.float()).transpose(1, 2)).transpose(1, 2)
            return self.recurrent(steps).amax(dim=1)


class LengthBranch(nn.Module):
    """How long something sounds, in units of 10 s: from the first to the last frame at most 60 dB below the loudest.

    Of clips shorter than the window it tells their own length where they are padded with zeros, not where they are
    repeated (`window.padding`), and in training where they are not rolled round its end (`augment.roll`). It has
    nothing to learn.

    Args:
        sample_rate: Hz.

    >>> LengthBranch(16000)(torch.ones(2, 16000)).tolist()
    [[0.10000000149011612], [0.10000000149011612]]
    """

    n_features = 1

    def __init__(self, sample_rate: int):
        super().__init__()
        self.frame_samples = max(1, round(FRAME_SECONDS * sample_rate))
        self.unit_samples = LENGTH_UNIT_SECONDS * sample_rate

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to (batch, 1) float32; 0 of digital silence."""
        with torch.autocast(waveform.device.type, enabled=False):
            padded = nn.functional.pad(waveform.float(), (0, self.frame_samples - 1))  # the last frame may end in zeros
            power = nn.functional.avg_pool1d(padded.square()[:, None], self.frame_samples)[:, 0]
            sounds = (power > 0) & (power >= FAINT * power.amax(dim=1, keepdim=True))
            starts = torch.arange(power.shape[1], device=waveform.device, dtype=torch.float32) * self.frame_samples
            end = torch.full((), waveform.shape[1], dtype=torch.float32, device=waveform.device)
            ends = torch.minimum(starts + self.frame_samples, end)
            first = torch.where(sounds, starts, end).amin(dim=1, keepdim=True)
            last = torch.where(sounds, ends, 0.0).amax(dim=1, keepdim=True)
            return (last - first).clamp(min=0.0) / self.unit_samples
