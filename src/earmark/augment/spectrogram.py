"""Augmentation of log-mel spectrograms (batch, 1, mels, frames) in dB."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from earmark.augment.draws import uniform


class Equalise(nn.Module):
    """Colour each clip with a random smooth equaliser curve, as another microphone or room would.

    Args:
        range_db: the largest boost or cut, in dB.
        n_points: the curve is linear between this many points over the mel axis.
    """

    def __init__(self, range_db: float, n_points: int = 5):
        super().__init__()
        self.range_db = range_db
        self.n_points = n_points

    def forward(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), unchanged in evaluation mode."""
        if not self.training:
            return spectrogram
        points = uniform(len(spectrogram) * self.n_points, -self.range_db, self.range_db, generator)
        return equalise(spectrogram, points.view(-1, self.n_points).to(spectrogram.device))


def equalise(spectrogram: Tensor, points_db: Tensor) -> Tensor:
    """Add to each band the curve through points_db (batch, n_points), evenly spread from the lowest to the highest."""
    curve = functional.interpolate(
        points_db[:, None], size=spectrogram.shape[2], mode="linear", align_corners=True
    )
    return spectrogram + curve[:, :, :, None]


class Warp(nn.Module):
    """Stretch each clip in time and in mel, and shift it in mel, about its middle; edges are mirrored.

    Args:
        time: largest stretch in time, as the logarithm of the factor (0.2 = 0.82 to 1.22).
        mel: largest stretch along mel, likewise.
        shift: largest shift along mel, as a share of the axis.
    """

    def __init__(self, time: float, mel: float, shift: float):
        super().__init__()
        self.time = time
        self.mel = mel
        self.shift = shift

    def forward(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), unchanged in evaluation mode."""
        if not self.training:
            return spectrogram
        batch = len(spectrogram)
        time = uniform(batch, -self.time, self.time, generator).exp()
        mel = uniform(batch, -self.mel, self.mel, generator).exp()
        shift = uniform(batch, -self.shift, self.shift, generator)
        return warp(spectrogram, *(drawn.to(spectrogram.device) for drawn in (time, mel, shift)))


def warp(spectrogram: Tensor, time: Tensor, mel: Tensor, shift: Tensor) -> Tensor:
    """Show each clip's middle `time` and `mel` times as long, moved down by `shift` of the mel axis (all (batch,))."""
    matrix = spectrogram.new_zeros(len(spectrogram), 2, 3)
    matrix[:, 0, 0] = 1 / time
    matrix[:, 1, 1] = 1 / mel
    matrix[:, 1, 2] = 2 * shift
    grid = functional.affine_grid(matrix, list(spectrogram.shape), align_corners=False)
    return functional.grid_sample(spectrogram, grid, padding_mode="reflection", align_corners=False)


class Mask(nn.Module):
    """Blank one band of mels and one stretch of time in each clip with the clip's mean.

    Args:
        mel: widest band, as a share of the axis.
        time: longest stretch, likewise.

    Source: SpecAugment, Park et al. 2019, arXiv 1904.08779.
    """

    def __init__(self, mel: float, time: float):
        super().__init__()
        self.mel = mel
        self.time = time

    def forward(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), unchanged in evaluation mode."""
        if not self.training:
            return spectrogram
        fill = spectrogram.mean(dim=(2, 3), keepdim=True)
        for axis, widest in ((2, self.mel), (3, self.time)):
            width = uniform(len(spectrogram), 0.0, widest, generator)
            start = uniform(len(spectrogram), 0.0, 1.0, generator) * (1 - width)
            inside = span(spectrogram.shape[axis], start, width).to(spectrogram.device)
            shape = [len(spectrogram), 1, 1, 1]
            shape[axis] = -1
            spectrogram = torch.where(inside.view(shape), fill, spectrogram)
        return spectrogram


def span(n: int, start: Tensor, width: Tensor) -> Tensor:
    """Which of n cells lie in [start, start + width), both (batch,) as shares of the axis: (batch, n) booleans.

    >>> span(4, torch.tensor([0.25]), torch.tensor([0.5])).tolist()
    [[False, True, True, False]]
    """
    cells = torch.arange(n)[None] / n
    return (cells >= start[:, None]) & (cells < (start + width)[:, None])
