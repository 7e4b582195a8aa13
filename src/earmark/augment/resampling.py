"""Speed: a clip played faster is shorter and higher, as a tape that runs too fast."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import uniform

STEPS = 200  # lengths are multiples of the window's 200th: few lengths, whose transforms are fast; steps of 0.5 %


class Speed(nn.Module):
    """Play each clip faster or slower, and so higher or lower.

    Args:
        largest: largest change of the speed, as a share: 0.1 = 0.9 to 1.1 times as fast.
    """

    def __init__(self, largest: float):
        super().__init__()
        self.largest = largest

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        speed = 1 + uniform(len(waveform), -self.largest, self.largest, generator)
        step = max(1, waveform.shape[1] // STEPS)
        lengths = (waveform.shape[1] / speed / step).round().long() * step
        return play(waveform, lengths.tolist())


def play(waveform: Tensor, lengths: Sequence[int]) -> Tensor:
    """Waveform (batch, samples), each clip played so fast that it takes `lengths` samples; its window stays as long.

    What is longer then is cut off, what is shorter is said again from its beginning. The interpolation is exact for
    what is below both half sample rates, the window taken as going round.
    """
    n_samples = waveform.shape[1]
    within = torch.arange(n_samples, device=waveform.device)
    spectra = torch.fft.rfft(waveform)
    # One transform a clip, for each has its own length: a window of 5 s takes 4 ms.
    played = [
        torch.fft.irfft(spectrum, n=length)[within % length] * (length / n_samples)
        for spectrum, length in zip(spectra, lengths, strict=True)
    ]
    return torch.stack(played)
