"""What equipment does to sound: overdriven inputs, coarse codecs, lost packets, gaps."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import log_uniform, uniform
from earmark.augment.filters import filtered, frequencies, pass_band
from earmark.augment.spectrogram import span
from earmark.augment.waveform import rms

MU = 255.0  # of the compression in telephone networks. Source: ITU-T G.711
CODEC_ORDER = 12  # 72 dB per octave: a resampler's filter, nearly


class Overdrive(nn.Module):
    """Bend each waveform as an input that is turned up too far.

    Args:
        drive_db: lowest and highest level of the sound above where the bending begins, in dB.
    """

    def __init__(self, drive_db: tuple[float, float] = (-6.0, 18.0)):
        super().__init__()
        self.drive_db = drive_db

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        return overdrive(waveform, uniform(len(waveform), *self.drive_db, generator).to(waveform.device))


def overdrive(waveform: Tensor, drive_db: Tensor) -> Tensor:
    """tanh of the waveform (batch, samples) whose root mean square is brought to drive_db (batch,); the level stays."""
    level = rms(waveform)
    bent = torch.tanh(waveform / level * 10 ** (drive_db[:, None] / 20))
    return bent * (level / rms(bent)) * (waveform != 0).any(dim=1, keepdim=True)


class Codec(nn.Module):
    """Squeeze each waveform through few bits and a narrow band, as cheap codecs and telephones do.

    Args:
        sample_rate: Hz.
        bits: fewest and most of a sample, after μ-law compression.
    """

    def __init__(self, sample_rate: int, bits: tuple[int, int] = (4, 8)):
        super().__init__()
        self.sample_rate = sample_rate
        self.bits = bits

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, top_hz, device = len(waveform), self.sample_rate / 2, waveform.device
        bits = torch.randint(self.bits[0], self.bits[1] + 1, (batch,), generator=generator).to(device)
        cutoff_hz = log_uniform(batch, top_hz / 8, top_hz, generator).to(device)
        order = torch.full_like(bits, CODEC_ORDER)
        response = pass_band(frequencies(waveform, self.sample_rate), torch.zeros_like(cutoff_hz), cutoff_hz, order)
        return filtered(quantise(waveform, bits), response)


def quantise(waveform: Tensor, bits: Tensor) -> Tensor:
    """Waveform (batch, samples) in 2^bits − 1 steps (batch,) from peak to peak, finer near 0 (μ-law)."""
    peak = waveform.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
    compressed = torch.log1p(MU * waveform.abs() / peak) / math.log1p(MU)
    steps = 2.0 ** (bits[:, None] - 1) - 1
    rounded = (compressed * steps).round() / steps
    return waveform.sign() * peak * torch.expm1(rounded * math.log1p(MU)) / MU


class Dropouts(nn.Module):
    """Lose some of the packets that each clip came in.

    Args:
        sample_rate: Hz.
        largest: largest share that is lost, 0 to 1.
        packet_seconds: length of one.
    """

    def __init__(self, sample_rate: int, largest: float = 0.15, packet_seconds: float = 0.02):
        super().__init__()
        self.packet_samples = max(1, round(packet_seconds * sample_rate))
        self.largest = largest

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, n_samples = waveform.shape
        n_packets = -(-n_samples // self.packet_samples)
        share = uniform(batch, 0.0, self.largest, generator)
        kept = uniform(batch * n_packets, 0.0, 1.0, generator).view(batch, n_packets) >= share[:, None]
        return waveform * kept.to(waveform.device).repeat_interleave(self.packet_samples, dim=1)[:, :n_samples]


class Cutout(nn.Module):
    """Silence one stretch of each clip.

    Args:
        largest: longest stretch, as a share of the window.
    """

    def __init__(self, largest: float = 0.15):
        super().__init__()
        self.largest = largest

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        width = uniform(len(waveform), 0.0, self.largest, generator)
        start = uniform(len(waveform), 0.0, 1.0, generator) * (1 - width)
        return waveform.masked_fill(span(waveform.shape[1], start, width).to(waveform.device), 0.0)
