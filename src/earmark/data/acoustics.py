"""The tools that synthetic sounds are built with: resonators, filters, pulse trains, slow random walks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.random import Generator


def damped_sines(
    hertz: np.ndarray, decay_seconds: np.ndarray, amplitudes: np.ndarray, n_samples: int, sample_rate: int
) -> np.ndarray:
    """Sum of a·sin(2πft)·exp(−t/τ) over modes; those above 0.47 of the rate are left out.

    With z the one-sample step of a mode, z^(iB + j) = z^(iB)·z^j: the whole sum is one small matrix product.

    Args:
        hertz: frequency of each mode (modes,).
        decay_seconds: time in which each falls to 1/e (modes,).
        amplitudes: linear (modes,).

    Returns:
        (n_samples,) float64.
    """
    audible = hertz < 0.47 * sample_rate
    step = (2j * np.pi * hertz[audible] - 1 / decay_seconds[audible]) / sample_rate
    block = int(np.sqrt(n_samples)) + 1
    coarse = amplitudes[audible] * np.exp(np.arange(block)[:, None] * block * step)
    fine = np.exp(step[:, None] * np.arange(block))
    return (coarse @ fine).imag.ravel()[:n_samples]


def filter_fixed(
    waveform: np.ndarray, sample_rate: int, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Multiply the spectrum by `gain(hertz)`, without delay; the clip's ends meet."""
    spectrum = np.fft.rfft(waveform)
    return np.fft.irfft(spectrum * gain(np.fft.rfftfreq(len(waveform), 1 / sample_rate)), len(waveform))


def filtered_noise(
    generator: Generator, n_samples: int, sample_rate: int, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise with the spectrum `gain(hertz)`, brought to a standard deviation of 1."""
    noise = filter_fixed(generator.standard_normal(n_samples), sample_rate, gain)
    return noise / np.std(noise)


def filter_moving(
    waveform: np.ndarray, sample_rate: int, gain: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Multiply the short-time spectrum (32 ms, Hann twice) by `gain(seconds (frames, 1), hertz (bins,))`."""
    frame = 2 ** round(np.log2(0.032 * sample_rate))
    hop = frame // 4
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    padded = np.pad(waveform, (frame, frame + -len(waveform) % hop))
    frames = sliding_window_view(padded, frame)[::hop] * hann
    seconds = (np.arange(len(frames)) * hop - frame / 2) / sample_rate
    weights = gain(seconds[:, None], np.fft.rfftfreq(frame, 1 / sample_rate))
    frames = np.fft.irfft(np.fft.rfft(frames) * weights, frame) * hann
    out = np.zeros((len(frames) + 3, hop))
    for part in range(4):
        out[part : part + len(frames)] += frames[:, part * hop : (part + 1) * hop]
    return out.ravel()[frame : frame + len(waveform)] / 1.5  # Hann² at a quarter hop sums to 1.5


def convolve(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`waveform` through an impulse response, cut to the waveform's length."""
    size = 2 ** int(np.ceil(np.log2(len(waveform) + len(response))))
    return np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: len(waveform)]


def resonance(
    hertz: np.ndarray, centre_hz: np.ndarray | float, bandwidth_hz: np.ndarray | float
) -> np.ndarray:
    """Gain of one resonance: 1 at its centre, −3 dB half its bandwidth to either side."""
    return 1 / np.sqrt(1 + ((hertz - centre_hz) / (bandwidth_hz / 2)) ** 2)


def low_pass(hertz: np.ndarray, cutoff_hz: np.ndarray | float, order: float) -> np.ndarray:
    """Butterworth gain: −3 dB at the cutoff, then −6·order dB per octave."""
    return 1 / np.sqrt(1 + (hertz / cutoff_hz) ** (2 * order))


def high_pass(hertz: np.ndarray, cutoff_hz: np.ndarray | float, order: float) -> np.ndarray:
    """Butterworth gain: 6·order dB per octave below the cutoff, where it is −3 dB."""
    return 1 / np.sqrt(1 + (cutoff_hz / np.maximum(hertz, 1e-3)) ** (2 * order))


def drift(generator: Generator, n_samples: int, sample_rate: int, hertz: float) -> np.ndarray:
    """A slow random walk about 0, standard deviation a little under 1, turning `hertz` times a second."""
    knots = generator.standard_normal(int(n_samples / sample_rate * hertz) + 3)
    at = np.arange(n_samples) * (hertz / sample_rate) + generator.uniform()
    return np.interp(at, np.arange(len(knots)), knots)


def voice(pitch_hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Smooth pulses at a moving pitch (samples,); their harmonics fade out below half the sample rate."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
    return np.exp((sample_rate / pitch_hz) ** 2 / 40 * (np.cos(phase) - 1))


def tone(pitch_hz: np.ndarray, brightness: float, sample_rate: int, n_harmonics: int = 6) -> np.ndarray:
    """A moving pitch (samples,) with harmonics of brightness^(k−1), each fading out before it would alias."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
    out = np.zeros(len(phase))
    for k in range(1, n_harmonics + 1):
        room = np.clip((0.48 - k * pitch_hz / sample_rate) / 0.05, 0, 1)
        out += brightness ** (k - 1) * room * np.sin(k * phase)
    return out


def pulses(times: np.ndarray, amplitudes: np.ndarray, n_samples: int, sample_rate: int) -> np.ndarray:
    """Single-sample impulses at `times` (s); those past the end are left out."""
    out = np.zeros(n_samples)
    at = np.round(times * sample_rate).astype(int)
    inside = at < n_samples
    np.add.at(out, at[inside], amplitudes[inside])
    return out


def perform(
    generator: Generator, seconds: float, sample_rate: int, rate_hz: float, hit: Callable[[], np.ndarray]
) -> np.ndarray:
    """Lay hits at a performer's near-regular times, the first at 0, each a little louder or softer."""
    out = np.zeros(round(seconds * sample_rate))
    for beat in range(max(1, round(seconds * rate_hz))):
        late = generator.normal(0, 0.06) if beat else 0.0
        start = min(round((beat + late) / rate_hz * sample_rate), len(out))
        piece = hit()[: len(out) - start] * 10 ** generator.normal(0, 0.12)
        out[start : start + len(piece)] += piece
    return out
