"""What summary features are made of: series over time, from the front end's spectrum or from the waveform itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.models.derived import dct_matrix
from earmark.models.frontend_config import FrontendConfig, mel_filterbank
from earmark.models.steps import N_STEPS, STEP_PERCENTILES, step_statistics

N_MFCC = 20
ROLLOFF_SHARE = 0.85  # of a frame's magnitude that lies below the rolloff
CONTRAST_LOWEST_HZ = 200.0  # upper edge of the lowest octave
CONTRAST_OCTAVES = 6
CONTRAST_SHARE = 0.02  # of a band's bins that make its peak and its valley
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
CHROMA_CENTRE_OCTAVE = 5.0  # of the octaves that count, A0 being octave 0 …
CHROMA_OCTAVES = 2.0  # … and how far to either side they still do
LEVEL_FLOOR = 1e-9  # mean square, -90 dB: ten dB above the rounding noise of 16 bits
MODULATION_BANDS = 8
MODULATION_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # edges of the octaves of rhythm


class Heard(NamedTuple):
    """A batch of windows in every form that a descriptor starts from.

    waveform: (batch, samples), full scale ±1.
    bands: (batch, mels, frames) log-mel, in the front end's unit (dB by default).
    power: (batch, bins, frames) power spectrum. magnitude: its root.
    """

    waveform: Tensor
    bands: Tensor
    power: Tensor
    magnitude: Tensor


def bin_floor(config: FrontendConfig) -> float:
    """Power in one bin below which all is silence: what `amin` is in a mel band of area 1 over Hz."""
    return config.amin * config.sample_rate / config.n_fft


def _decibels(power: Tensor) -> Tensor:
    return torch.log(power) * (10 / math.log(10))


def _frequencies(config: FrontendConfig) -> np.ndarray:
    """Of the bins, Hz, (n_fft // 2 + 1,)."""
    return np.arange(config.n_fft // 2 + 1) * config.sample_rate / config.n_fft


def _constant(module: nn.Module, name: str, values: np.ndarray) -> None:
    module.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)


class LogMelBands(nn.Module):
    """The front end's bands as they are."""

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.names = [f"mel {number} ({hertz:.0f} Hz)" for number, hertz in enumerate(mel_centres(config))]

    def forward(self, heard: Heard) -> Tensor:
        """(batch, mels, frames)."""
        return heard.bands


class Mfcc(nn.Module):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of the bands.

    Source: Davis and Mermelstein (1980); equal to `librosa.feature.mfcc(S=bands)`.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        n_coefficients = min(N_MFCC, config.n_mels)
        _constant(self, "cosines", dct_matrix(n_coefficients, config.n_mels))
        self.names = [f"mfcc {number}" for number in range(n_coefficients)]

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 20, frames), in the bands' unit; fewer where there are fewer bands."""
        return self.cosines @ heard.bands


class Shape(nn.Module):
    """Where the spectrum's magnitude lies: its mean frequency, its spread around that, the frequency below which 85 %
    of it lies, all in Hz (0 in digital silence); and how flat its power is, in dB (0 = white noise without end).

    Source: Peeters, A large set of audio features (2004); equal to librosa's `spectral_centroid`,
        `spectral_bandwidth`, `spectral_rolloff` and, in dB, `spectral_flatness`.
    """

    names = ("centroid", "bandwidth", "rolloff", "flatness")

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.floor = bin_floor(config)
        self.bin_hz = config.sample_rate / config.n_fft
        _constant(self, "frequencies", _frequencies(config)[:, None])

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 4, frames)."""
        magnitude = heard.magnitude
        total = magnitude.sum(dim=1, keepdim=True)
        share = magnitude / total.clamp(min=1e-20)
        centroid = (share * self.frequencies).sum(dim=1, keepdim=True)
        bandwidth = (share * (self.frequencies - centroid).square()).sum(dim=1, keepdim=True).sqrt()
        below = magnitude.cumsum(dim=1) < ROLLOFF_SHARE * total
        rolloff = below.float().sum(dim=1, keepdim=True) * self.bin_hz
        power = heard.power.clamp(min=self.floor)
        flatness = _decibels(power).mean(dim=1, keepdim=True) - _decibels(power.mean(dim=1, keepdim=True))
        return torch.cat([centroid, bandwidth, rolloff, flatness], dim=1)


class Contrast(nn.Module):
    """Peak over valley of the magnitude in each octave, dB.

    Source: Jiang et al., Music type classification by spectral contrast feature (2002); equal to
        `librosa.feature.spectral_contrast`, which takes 10 · log10 of the magnitude as we do.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.floor = math.sqrt(bin_floor(config))
        self.bands = contrast_bands(config)
        self.names = [f"contrast {number}" for number in range(len(self.bands))]

    def forward(self, heard: Heard) -> Tensor:
        """(batch, octaves, frames), dB."""
        peaks, valleys = [], []
        for start, stop, n_extreme in self.bands:
            band = heard.magnitude[:, start:stop]
            peaks.append(_extreme(band, n_extreme, largest=True))
            valleys.append(_extreme(band, n_extreme, largest=False))
        peak, valley = (torch.cat(each, dim=1).clamp(min=self.floor) for each in (peaks, valleys))
        return _decibels(peak) - _decibels(valley)


def _extreme(band: Tensor, n: int, largest: bool) -> Tensor:
    """Mean of the n largest or smallest bins, (batch, 1, frames)."""
    if n == 1:
        return band.amax(dim=1, keepdim=True) if largest else band.amin(dim=1, keepdim=True)
    return band.topk(n, dim=1, largest=largest).values.mean(dim=1, keepdim=True)


def contrast_bands(config: FrontendConfig) -> list[tuple[int, int, int]]:
    """(start, stop, bins of a peak) of each octave, in bins; where bins are wide, the lowest octave begins higher.

    The edges are librosa's: an octave begins one bin below its lower edge and, but for the last, ends one bin short.
    """
    frequencies, nyquist = _frequencies(config), config.sample_rate / 2
    lowest = CONTRAST_LOWEST_HZ
    while lowest < config.sample_rate / config.n_fft:
        lowest *= 2
    edges = [0.0, *(lowest * 2.0**octave for octave in range(CONTRAST_OCTAVES + 1))]
    edges = [edge for number, edge in enumerate(edges) if number == 0 or edges[number - 1] < nyquist]
    bands = []
    for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        last = number == len(edges) - 2
        start = int(inside[0]) - (number > 0)
        stop = len(frequencies) if last else int(inside[-1]) + 1
        bands.append((start, stop if last else stop - 1, max(1, round(CONTRAST_SHARE * (stop - start)))))
    return bands


class Flux(nn.Module):
    """Mean rise of the bands since the frame before, in the front end's unit; 0 in the first frame.

    Source: Böck and Widmer (2013); equal to `librosa.onset.onset_strength(S=bands, center=False)`.
    """

    names = ("flux",)

    def __init__(self, config: FrontendConfig):
        super().__init__()

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 1, frames)."""
        rise = (heard.bands[:, :, 1:] - heard.bands[:, :, :-1]).relu().mean(dim=1, keepdim=True)
        return functional.pad(rise, (1, 0))


class Chroma(nn.Module):
    """Power in each pitch class of the tempered scale (A = 440 Hz), the strongest of a frame being 1; 0 in silence.

    Source: Ellis, Chroma feature analysis and synthesis (2007); equal to `librosa.feature.chroma_stft(tuning=0)`.
    """

    names = tuple(f"chroma {name}" for name in PITCH_CLASSES)

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.floor = bin_floor(config)
        _constant(self, "weights", chroma_filterbank(config))

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 12, frames), in [0, 1]."""
        chroma = self.weights @ heard.power
        return chroma / chroma.amax(dim=1, keepdim=True).clamp(min=self.floor)


def chroma_filterbank(config: FrontendConfig) -> np.ndarray:
    """Weights of the bins in each pitch class, float64 (12, n_fft // 2 + 1); equal to `librosa.filters.chroma`."""
    bins = np.arange(1, config.n_fft) * config.sample_rate / config.n_fft
    octaves = np.log2(bins / (440.0 / 16))
    pitch = 12 * np.concatenate([[octaves[0] - 1.5], octaves])  # of 0 Hz: made up, far from that of the first bin
    width = np.concatenate([np.maximum(np.diff(pitch), 1.0), [1.0]])
    distance = np.remainder(pitch - np.arange(12)[:, None] + 6, 12) - 6
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    weights *= np.exp(-0.5 * ((pitch / 12 - CHROMA_CENTRE_OCTAVE) / CHROMA_OCTAVES) ** 2)
    return np.roll(weights, -3, axis=0)[:, : config.n_fft // 2 + 1]


class Level(nn.Module):
    """Of the waveform in each frame: root mean square, dB of full scale, and share of samples where the sign changes.

    Source: equal to librosa's `rms`, in dB, and `zero_crossing_rate`, for the front end's frames.
    """

    names = ("rms", "zero crossings")

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.block = math.gcd(config.n_fft, config.hop_length)

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 2, frames): dB of full scale, and a share."""
        waveform, n_fft = heard.waveform, self.config.n_fft
        n_frames = heard.bands.shape[2]
        signs = (waveform >= 0).float()
        crossings = functional.pad((signs[:, 1:] - signs[:, :-1]).abs(), (1, 0))
        framed = [self._padded(values, n_frames) for values in (waveform.square(), crossings)]
        power, crossed = (self._frame_sums(values) / n_fft for values in framed)
        # Whether a frame's first sample differs from the one before lies outside the frame.
        first = framed[1][:, :: self.config.hop_length][:, :n_frames] / n_fft
        return torch.stack([_decibels(power.clamp(min=LEVEL_FLOOR)), crossed - first], dim=1)

    def _padded(self, values: Tensor, n_frames: int) -> Tensor:
        """Values (batch, samples) between zeros, just long enough for the frames."""
        before = self.config.margins[0]
        needed = (n_frames - 1) * self.config.hop_length + self.config.n_fft
        return functional.pad(values, (before, needed - before - values.shape[1]))

    def _frame_sums(self, values: Tensor) -> Tensor:
        """Sums over frames, (batch, frames), by way of the blocks that frames share."""
        blocks = values.reshape(values.shape[0], -1, self.block).sum(dim=2)
        per_frame, step = self.config.n_fft // self.block, self.config.hop_length // self.block
        return functional.avg_pool1d(blocks[:, None], per_frame, step)[:, 0] * per_frame


class Modulation(nn.Module):
    """How strongly the level of a part of the spectrum swings at the speed of syllables, steps, beats: its standard
    deviation in each octave of modulation frequency, in the front end's unit (dB by default).

    An octave that the window is too short for is 0.

    Source: Tzanetakis and Cook (2002) on rhythm, McKinney and Breebaart (2003) on modulation energies.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.frame_hz = config.sample_rate / config.hop_length
        parts = np.array_split(np.arange(config.n_mels), min(MODULATION_BANDS, config.n_mels))
        mean = np.zeros((len(parts), config.n_mels))
        for row, part in zip(mean, parts, strict=True):
            row[part] = 1 / len(part)
        _constant(self, "mean", mean)
        centres = mel_centres(config)
        self.octaves = list(zip(MODULATION_HZ[:-1], MODULATION_HZ[1:], strict=True))
        self.names = [
            f"swing of {centres[part].mean():.0f} Hz at {low:g} to {high:g} Hz"
            for low, high in self.octaves
            for part in parts
        ]

    def forward(self, heard: Heard) -> Tensor:
        """(batch, octaves · parts of the spectrum)."""
        envelope = self.mean @ heard.bands
        envelope = envelope - envelope.mean(dim=2, keepdim=True)
        real, imaginary, octave = self._transform(envelope.shape[2])
        power = (envelope @ real).square() + (envelope @ imaginary).square()
        return (power @ octave).sqrt().transpose(1, 2).flatten(1)

    def _transform(self, n_frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines and sines (frames, bins) under a Hann window, scaled to variance; and the octave of each bin."""
        frequencies = np.arange(n_frames // 2) * self.frame_hz / n_frames
        used = np.flatnonzero((frequencies >= MODULATION_HZ[0]) & (frequencies < MODULATION_HZ[-1]))
        window = np.sin(np.pi * (np.arange(n_frames) + 0.5) / n_frames) ** 2
        window *= np.sqrt(2 / (n_frames * (window**2).sum()))
        angle = 2 * np.pi / n_frames * np.outer(np.arange(n_frames), used)
        octave = [[low <= hertz < high for low, high in self.octaves] for hertz in frequencies[used]]
        matrices = (
            window[:, None] * np.cos(angle),
            window[:, None] * np.sin(angle),
            np.array(octave).reshape(len(used), len(self.octaves)),
        )
        return tuple(torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices)


class Steps(nn.Module):
    """The course of the window in 128 equal steps: mean, deviation, range and percentiles of the raw samples.

    Source: see `step_statistics`.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        kinds = ["mean", "std", "range", *(f"p{percent}" for percent in STEP_PERCENTILES)]
        self.names = [f"step {step} {kind}" for step in range(N_STEPS) for kind in kinds]

    def forward(self, heard: Heard) -> Tensor:
        """(batch, 128 · 12), full scale ±1."""
        return step_statistics(heard.waveform).flatten(1)


def mel_centres(config: FrontendConfig) -> np.ndarray:
    """Centre of mass of each mel band, Hz, (mels,)."""
    bank = mel_filterbank(config)
    return bank @ _frequencies(config) / bank.sum(axis=1)
