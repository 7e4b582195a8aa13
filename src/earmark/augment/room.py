"""Reverberation of made-up rooms."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import log_uniform, uniform

BLOCK = 1024  # transforms are a multiple of it: fast for almost any window


class Reverb(nn.Module):
    """Play each clip in a room: its echoes are noise that dies away.

    Args:
        sample_rate: Hz.
        seconds: shortest and longest time in which the echoes fall by 60 dB (RT60).
        wet: smallest and largest share of the echoes' amplitude in the mix.

    Source: Moorer 1979, About this reverberation business: the tail of a room is noise under an exponential.
    """

    def __init__(self, sample_rate: int, seconds: tuple[float, float], wet: tuple[float, float] = (0.1, 0.6)):
        super().__init__()
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.wet = wet

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, device = len(waveform), waveform.device
        rt60_seconds = log_uniform(batch, *self.seconds, generator)
        wet = uniform(batch, *self.wet, generator).to(device)
        noise = torch.randn(batch, max(1, int(self.seconds[1] * self.sample_rate)), generator=generator).to(device)
        return reverberate(waveform, impulse_response(noise, rt60_seconds.to(device), self.sample_rate), wet)


def impulse_response(noise: Tensor, rt60_seconds: Tensor, sample_rate: int) -> Tensor:
    """Noise (batch, samples) that falls by 60 dB in rt60_seconds (batch,), with energy 1."""
    seconds = torch.arange(noise.shape[1], device=noise.device) / sample_rate
    falling = noise * 10 ** (-3 * seconds / rt60_seconds[:, None])
    return falling / falling.square().sum(dim=1, keepdim=True).sqrt()


def reverberate(waveform: Tensor, impulse: Tensor, wet: Tensor) -> Tensor:
    """(1 − wet) · waveform + wet · its convolution with the impulse response, cut off where the window ends.

    Args:
        waveform, impulse: (batch, samples), of any two lengths.
        wet: (batch,) in [0, 1].
    """
    n_samples = waveform.shape[1]
    n_fft = -(-(n_samples + impulse.shape[1]) // BLOCK) * BLOCK
    spectrum = torch.fft.rfft(waveform, n=n_fft) * torch.fft.rfft(impulse, n=n_fft)
    echoes = torch.fft.irfft(spectrum, n=n_fft)[:, :n_samples]
    return torch.lerp(waveform, echoes, wet[:, None])
