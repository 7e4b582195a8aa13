"""Filters without a delay: the spectrum of the window times a real response, as if the window went round."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import log_uniform, uniform

N_KINDS = 3  # low-pass, high-pass, band-pass


class Filter(nn.Module):
    """Take away what is high, what is low, or both, as distance, walls and small loudspeakers do.

    Upper cutoffs are drawn from an octave scale between a sixteenth of half the sample rate and half the sample rate,
    lower ones between 50 Hz and there; the slope is 6 to 24 dB per octave.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        self.sample_rate = sample_rate

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, top_hz = len(waveform), self.sample_rate / 2
        kind = torch.randint(N_KINDS, (batch,), generator=generator)
        low_hz = torch.where(kind != 0, log_uniform(batch, min(50.0, top_hz / 20), top_hz / 16, generator), 0.0)
        high_hz = torch.where(kind != 1, log_uniform(batch, top_hz / 16, top_hz, generator), torch.inf)
        order = torch.randint(1, 5, (batch,), generator=generator)
        hertz = frequencies(waveform, self.sample_rate)
        drawn = (each.to(waveform.device) for each in (low_hz, high_hz, order))
        return filtered(waveform, pass_band(hertz, *drawn))


def frequencies(waveform: Tensor, sample_rate: int) -> Tensor:
    """The frequencies of the bins of `filtered`, in Hz."""
    return torch.fft.rfftfreq(waveform.shape[1], 1 / sample_rate, device=waveform.device)


def filtered(waveform: Tensor, response: Tensor) -> Tensor:
    """Waveform (batch, samples) with the amplitudes of its spectrum times the response (batch, bins)."""
    return torch.fft.irfft(torch.fft.rfft(waveform) * response, n=waveform.shape[1])


def pass_band(hertz: Tensor, low_hz: Tensor, high_hz: Tensor, order: Tensor) -> Tensor:
    """Amplitude response (batch, bins) of Butterworth filters: −3 dB at the cutoffs, 6·order dB per octave beyond.

    Args:
        hertz: of the bins.
        low_hz, high_hz, order: (batch,); 0 and infinity let everything through.
    """
    power = 2 * order[:, None]
    high_pass = 1 + (low_hz[:, None] / hertz.clamp(min=1e-3)) ** power
    low_pass = 1 + (hertz / high_hz[:, None]) ** power
    return (high_pass * low_pass) ** -0.5


class Peaks(nn.Module):
    """Boost and cut a few bands, as the resonances of rooms, loudspeakers and microphones do.

    Args:
        sample_rate: Hz.
        range_db: the largest boost or cut of a band, in dB.
        n_peaks: bands of each clip.
    """

    def __init__(self, sample_rate: int, range_db: float = 12.0, n_peaks: int = 3):
        super().__init__()
        self.sample_rate = sample_rate
        self.range_db = range_db
        self.n_peaks = n_peaks

    def forward(self, waveform: Tensor, generator: Generator) -> Tensor:
        """Waveform (batch, samples), unchanged in evaluation mode."""
        if not self.training:
            return waveform
        batch, top_hz = len(waveform), self.sample_rate / 2
        hertz, response = frequencies(waveform, self.sample_rate), torch.ones(1, device=waveform.device)
        for _ in range(self.n_peaks):
            centre_hz = log_uniform(batch, top_hz / 200, 0.9 * top_hz, generator)
            gain_db = uniform(batch, -self.range_db, self.range_db, generator)
            quality = log_uniform(batch, 0.5, 4.0, generator)
            drawn = (each.to(waveform.device) for each in (centre_hz, gain_db, quality))
            response = response * peak(hertz, *drawn)
        return filtered(waveform, response)


def peak(hertz: Tensor, centre_hz: Tensor, gain_db: Tensor, quality: Tensor) -> Tensor:
    """Amplitude response (batch, bins) of peaking equalisers: gain_db at centre_hz, 0 dB far from it.

    Args:
        hertz: of the bins.
        centre_hz, gain_db, quality: (batch,); the quality is the centre over the bandwidth.

    Source: Bristow-Johnson, Audio EQ Cookbook: H(s) = (s² + s·A/Q + 1) / (s² + s/(A·Q) + 1), A = 10^(gain/40).
    """
    ratio = hertz / centre_hz[:, None]
    half = 10 ** (gain_db[:, None] / 40)
    away = (1 - ratio.square()).square()
    above, below = ratio * half / quality[:, None], ratio / (half * quality[:, None])
    return ((away + above.square()) / (away + below.square())).sqrt()
