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
    return _look_at(spectrogram, 1 / time, 1 / mel, torch.zeros_like(time), shift)


def _look_at(spectrogram: Tensor, time: Tensor, mel: Tensor, time_shift: Tensor, mel_shift: Tensor) -> Tensor:
    """A view of `time` and `mel` of the axes, its middle that far from theirs, all (batch,), as shares of the axes."""
    matrix = spectrogram.new_zeros(len(spectrogram), 2, 3)
    matrix[:, 0, 0] = time
    matrix[:, 0, 2] = 2 * time_shift
    matrix[:, 1, 1] = mel
    matrix[:, 1, 2] = 2 * mel_shift
    grid = functional.affine_grid(matrix, list(spectrogram.shape), align_corners=False)
    return functional.grid_sample(spectrogram, grid, padding_mode="reflection", align_corners=False)


class Crop(nn.Module):
    """Cut a random part out of each spectrogram, and stretch it to fill the whole.

    Args:
        largest: largest share of the time axis, and of the mel axis, that is cut away.

    Source: BYOL-A, Niizumi et al. 2021, arXiv 2103.06695: random resize crop.
    """

    def __init__(self, largest: float):
        super().__init__()
        self.largest = largest

    def forward(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), unchanged in evaluation mode."""
        if not self.training:
            return spectrogram
        batch = len(spectrogram)
        time, mel = (1 - uniform(batch, 0.0, self.largest, generator) for _ in range(2))
        time_start, mel_start = (uniform(batch, 0.0, 1.0, generator) * (1 - width) for width in (time, mel))
        return crop(spectrogram, *(drawn.to(spectrogram.device) for drawn in (time_start, time, mel_start, mel)))


def crop(spectrogram: Tensor, time_start: Tensor, time: Tensor, mel_start: Tensor, mel: Tensor) -> Tensor:
    """What lies in [start, start + width) of each axis, all (batch,) as shares of it, stretched over the whole axis."""
    return _look_at(spectrogram, time, mel, time_start + time / 2 - 0.5, mel_start + mel / 2 - 0.5)


class Mask(nn.Module):
    """Blank bands of mels and stretches of time in each clip with the clip's mean.

    Args:
        mel: widest band, as a share of the axis.
        time: longest stretch, likewise.
        n_masks: bands, and stretches, of each clip; they may overlap.

    Source: SpecAugment, Park et al. 2019, arXiv 1904.08779.
    """

    def __init__(self, mel: float, time: float, n_masks: int = 1):
        super().__init__()
        self.mel = mel
        self.time = time
        self.n_masks = n_masks

    def forward(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), unchanged in evaluation mode."""
        if not self.training:
            return spectrogram
        fill = spectrogram.mean(dim=(2, 3), keepdim=True)
        for axis, widest in self.n_masks * ((2, self.mel), (3, self.time)):
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
