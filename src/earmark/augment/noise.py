"""Sounds added to each clip: noise of any colour, and stretches of recordings in which nothing of note sounds."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import uniform
from earmark.augment.waveform import rms, roll

LOWEST_HZ = 20.0  # brown noise would be all rumble below hearing


class Noise(nn.Module):
    """Add noise of a random colour, from violet over white and pink to brown.

    Args:
        sample_rate: Hz.
        snr_db: lowest and highest level of the sound above the noise, in dB.
        exponents: lowest and highest of the power over frequency: −2 brown, −1 pink, 0 white, 1 blue, 2 violet.
    """

    def __init__(self, sample_rate: int, snr_db: tuple[float, float], exponents: tuple[float, float] = (-2.0, 2.0)):
        super().__init__()
        self.sample_rate = sample_rate
        self.snr_db = snr_db
        self.exponents = exponents

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, device = len(waveform), waveform.device
        exponent = uniform(batch, *self.exponents, generator).to(device)
        snr_db = uniform(batch, *self.snr_db, generator).to(device)
        white = torch.randn(waveform.shape, generator=generator).to(device)
        return add_at(waveform, colour(white, exponent, self.sample_rate), snr_db)


def colour(white: Tensor, exponent: Tensor, sample_rate: int) -> Tensor:
    """White noise (batch, samples) with a power that goes as frequency to the exponent (batch,): −1 falls by 3 dB per
    octave. Nothing is left below 20 Hz, nor above half of it where the sample rate is lower still."""
    n_samples = white.shape[1]
    hertz = torch.fft.rfftfreq(n_samples, 1 / sample_rate, device=white.device)
    lowest_hz = min(LOWEST_HZ, sample_rate / 4)
    amplitude = (hertz.clamp(min=lowest_hz) / lowest_hz) ** (exponent[:, None] / 2) * (hertz >= lowest_hz)
    return torch.fft.irfft(torch.fft.rfft(white) * amplitude, n=n_samples)


def add_at(waveform: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Waveform and noise (batch, samples) together, the noise at snr_db (batch,) below the waveform.

    Both levels are the root mean square over the window. A silent clip stays silent.
    """
    level = rms(waveform) / rms(noise) * 10 ** (-snr_db[:, None] / 20)
    return waveform + noise * level * (waveform != 0).any(dim=1, keepdim=True)


class Background(nn.Module):
    """Add what is heard in clips that hold none of the classes.

    Args:
        windows: float32 (windows, samples), of the training clips; kept in main memory.
        snr_db: lowest and highest level of the sound above the background, in dB.
    """

    def __init__(self, windows: Tensor, snr_db: tuple[float, float]):
        super().__init__()
        self.windows = windows  # no buffer: it is data, neither kept in checkpoints nor averaged
        self.snr_db = snr_db

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, device = len(waveform), waveform.device
        chosen = torch.randint(len(self.windows), (batch,), generator=generator)
        shifts = (uniform(batch, 0.0, 1.0, generator) * waveform.shape[1]).long()
        snr_db = uniform(batch, *self.snr_db, generator).to(device)
        return add_at(waveform, roll(self.windows[chosen].to(waveform), shifts.tolist()), snr_db)
