"""The front end: log-mel spectrogram of a waveform, inside the network.

Two forms of one definition: `LogMel` (torch.stft) trains, `FactoredLogMel` is what the exported file runs.
docs/decisions/0002 says why there are two, benchmarks/frontend.py what each costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # the one loop that torch.onnx exports over a dynamic count
from torch.nn import functional

from earmark.errors import ConfigError

MEL_SCALES = ("slaney", "htk")
CLIPS_IN_CACHE = 2  # on a CPU, spectra of more clips leave the processor's cache and cost twice the time
FRAMES_PER_PIECE = 64  # the tensors of one piece stay in the processor's second cache
N_MEL_BLOCKS = 4  # dense blocks that cover the mel bank's diagonal
MAX_OVERLAP = FRAMES_PER_PIECE  # n_fft / hop_length; a piece borrows samples from the next one only


@dataclass(frozen=True)
class FrontendConfig:
    """How a waveform becomes a log-mel spectrogram.

    Periodic Hann window of n_fft samples, frames centred on multiples of hop_length with silence beyond both
    ends, power spectrum, dB of the power against the fixed reference 1.0.
    """

    sample_rate: int = 32000
    """Sample rate of the waveform, Hz."""
    n_fft: int = 1024
    """Length of the transform and of its window, samples; even."""
    hop_length: int = 320
    """Distance between frames, samples. Multiples of 16 are fastest in the exported file."""
    n_mels: int = 64
    """Number of mel bands."""
    fmin: float = 0.0
    """Lower edge of the lowest band, Hz."""
    fmax: float | None = None
    """Upper edge of the highest band, Hz; None is half the sample rate."""
    mel_scale: str = "slaney"
    """Scale on which the bands are evenly spaced: "slaney" (linear to 1 kHz, then logarithmic) or "htk"."""
    amin: float = 1e-8
    """Power below which all is silence. 1e-8 is -80 dB, ten dB above the rounding noise of 16 bits in a mel band:
    digital silence around a sound stands no further below it than the quietest sound a file can hold."""

    def __post_init__(self) -> None:
        self._require(self.sample_rate > 0, "sample_rate", "above 0 Hz")
        self._require(self.n_fft > 0 and self.n_fft % 2 == 0, "n_fft", "an even number of samples")
        shortest = -(-self.n_fft // MAX_OVERLAP)
        in_range = shortest <= self.hop_length <= self.n_fft
        self._require(in_range, "hop_length", f"{shortest} to n_fft = {self.n_fft} samples")
        self._require(self.n_mels > 0, "n_mels", "at least 1 band")
        self._require(self.mel_scale in MEL_SCALES, "mel_scale", " or ".join(map(repr, MEL_SCALES)))
        self._require(self.amin > 0, "amin", "a power above 0")
        nyquist = self.sample_rate / 2
        top = nyquist if self.fmax is None else self.fmax
        self._require(0 < top <= nyquist, "fmax", f"above 0, at most {nyquist:g} Hz")
        self._require(0 <= self.fmin < top, "fmin", f"0 Hz to below fmax = {top:g} Hz")
        empty = int((mel_filterbank(self).sum(axis=1) == 0).sum())
        if empty:
            raise ConfigError(
                f"frontend.n_mels: {empty} of {self.n_mels} mel bands hold no frequency of a {self.n_fft}-"
                f"sample transform at {self.sample_rate} Hz. Choose fewer bands, or a larger n_fft."
            )

    def _require(self, holds: bool, field: str, expected: str) -> None:
        if not holds:
            found = getattr(self, field)
            raise ConfigError(
                f"frontend.{field}: found {found!r}, expected {expected}. Choose another value."
            )

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of n_samples samples.

        >>> FrontendConfig().n_frames(32000)
        101
        """
        return 1 + n_samples // self.hop_length


def mel_filterbank(config: FrontendConfig) -> np.ndarray:
    """Weights of the mel bands: triangles that overlap by half, each of area 1 over frequency in Hz.

    `mel_scale` chooses where the triangles stand; both scales keep the unit area, as librosa does.

    Returns:
        float64 (mels, n_fft // 2 + 1), to be applied to the power spectrum.

    Source: Slaney, Auditory Toolbox (1998); equal to `librosa.filters.mel(norm="slaney", htk=…)`, see
        test_mel_filterbank_is_librosas.
    """
    top = config.sample_rate / 2 if config.fmax is None else config.fmax
    low, high = _hz_to_mel(np.array([config.fmin, top]), config.mel_scale)
    edges = _mel_to_hz(np.linspace(low, high, config.n_mels + 2), config.mel_scale)[:, None]
    bins = np.arange(config.n_fft // 2 + 1) * config.sample_rate / config.n_fft
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * 2.0 / (edges[2:] - edges[:-2])


_SLANEY_LINEAR_HZ = 200.0 / 3  # per mel, up to 1 kHz
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_LINEAR_HZ
_SLANEY_LOG_STEP = math.log(6.4) / 27  # 27 mels from 1 to 6.4 kHz


def _hz_to_mel(hz: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _SLANEY_BREAK_MEL + np.log(np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_BREAK_HZ, hz / _SLANEY_LINEAR_HZ, above)


def _mel_to_hz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * np.maximum(mel - _SLANEY_BREAK_MEL, 0.0))
    return np.where(mel < _SLANEY_BREAK_MEL, mel * _SLANEY_LINEAR_HZ, above)


def _hann(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def _decibels(power: Tensor, amin: float) -> Tensor:
    return torch.log(power.clamp(min=amin)) * (10 / math.log(10))


class LogMel(nn.Module):
    """Log-mel spectrogram by torch.stft: the form that trains.

    Always float32, even under autocast: half precision cannot hold 100 dB of power.

    >>> LogMel(FrontendConfig())(torch.zeros(2, 32000)).shape
    torch.Size([2, 1, 64, 101])
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.register_buffer("window", _float32(_hann(config.n_fft)), persistent=False)
        self.register_buffer("mel", _float32(mel_filterbank(config)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform.

        Args:
            waveform: (batch, samples), full scale ±1, at the config's sample rate.

        Returns:
            (batch, 1, mels, frames) float32, dB against power 1.0, at least that of `amin`.
        """
        together = CLIPS_IN_CACHE if waveform.device.type == "cpu" else len(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            return torch.cat([self._bands(clips) for clips in waveform.float().split(together)])[:, None]

    def _bands(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) to dB (batch, mels, frames)."""
        spectrum = torch.stft(
            waveform,
            self.config.n_fft,
            self.config.hop_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return _decibels(self.mel @ power, self.config.amin)

    def exportable(self) -> FactoredLogMel:
        """The same numbers in the form that is fastest in ONNX Runtime."""
        return FactoredLogMel(self.config)


class FactoredLogMel(nn.Module):
    """Log-mel spectrogram by a transform factored into two small matrix products: the form that is exported.

    With n_fft = a·b, sample n = b·i + j and bin k = r + a·s, the windowed transform is

        X[r + a·s] = Σ_j exp(-2πi·j·s / b) · Z[j, r],   Z[j, r] = Σ_i hann[n] · x[n] · exp(-2πi·n·r / n_fft)

    The inner sum is a convolution of the waveform's b phases, each with filters of its own that hold window
    and twiddle factors; r stops at a / 2 because x is real. The outer sum is one matrix for all r and all
    frames. Its rows s are ordered so that frequency rises from row to row: a block of mel bands reads a range
    of rows. Frames stay the last axis throughout, so nothing large is transposed.

    The waveform is worked off in pieces of FRAMES_PER_PIECE frames by a loop in the graph (ONNX Scan): the
    intermediate results of one piece fit into the processor's cache, those of ten seconds do not.

    >>> FactoredLogMel(FrontendConfig())(torch.zeros(2, 32000)).shape
    torch.Size([2, 1, 64, 101])

    Source: Cooley and Tukey (1965); parity with librosa in float64: tests/models/test_frontend.py.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.config = config
        self.n_phases = _choose_phases(config)
        a, b = config.n_fft // self.n_phases, self.n_phases
        self.n_residues = a // 2 + 1
        rows = _rows_by_frequency(b)
        self.register_buffer("phase_filters", _float32(_phase_filters(config.n_fft, b)), persistent=False)
        real, imaginary = _outer_transform(rows)
        self.register_buffer("outer_real", _float32(real), persistent=False)
        self.register_buffer("outer_imaginary", _float32(imaginary), persistent=False)
        self.mel_ranges = []
        for index, (start, stop, weights) in enumerate(_mel_blocks(config, a, rows)):
            self.register_buffer(f"mel_{index}", _float32(weights), persistent=False)
            self.mel_ranges.append((start, stop))

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform; see `LogMel.forward`."""
        batch, n_samples = waveform.shape
        config = self.config
        # Not -(-frames // n): exported, a division of negative integers rounds towards zero.
        n_pieces = (config.n_frames(n_samples) + FRAMES_PER_PIECE - 1) // FRAMES_PER_PIECE
        step = FRAMES_PER_PIECE * config.hop_length
        before = config.n_fft // 2
        padded = functional.pad(waveform, (before, (n_pieces + 1) * step - n_samples - before))
        # The last frames of a piece reach into the next one.
        overlap = padded[:, step:].reshape(batch * n_pieces, step)[:, : config.n_fft - config.hop_length]
        pieces = torch.cat([padded[:, :-step].reshape(batch * n_pieces, step), overlap], dim=1)
        bands = self._bands_in_turn(pieces) if torch.compiler.is_exporting() else self._bands(pieces)
        bands = bands.reshape(batch, n_pieces, config.n_mels, FRAMES_PER_PIECE).transpose(1, 2)
        bands = bands.reshape(batch, 1, config.n_mels, n_pieces * FRAMES_PER_PIECE)
        return bands[..., : config.n_frames(n_samples)]

    def _bands_in_turn(self, pieces: Tensor) -> Tensor:
        """`_bands` of one piece after the other, as a loop in the graph."""

        def step(idle: Tensor, piece: Tensor) -> tuple[Tensor, Tensor]:
            return idle + 0, self._bands(piece[None])[0]

        _, bands = scan(step, torch.zeros(1), pieces)  # a scan must carry something along
        return bands

    def _bands(self, pieces: Tensor) -> Tensor:
        """Pieces (pieces, samples) to dB (pieces, mels, frames)."""
        n_pieces, b = pieces.shape[0], self.n_phases
        phases = pieces.reshape(n_pieces, -1, b).transpose(1, 2)
        inner = functional.conv1d(phases, self.phase_filters, stride=self.config.hop_length // b, groups=b)
        inner = inner.reshape(n_pieces, 2 * b, -1)  # residue and frame are one axis
        real, imaginary = self.outer_real @ inner, self.outer_imaginary @ inner
        power = (real * real + imaginary * imaginary).reshape(n_pieces, b * self.n_residues, -1)
        blocks = [
            getattr(self, f"mel_{index}") @ power[:, start:stop]
            for index, (start, stop) in enumerate(self.mel_ranges)
        ]
        return _decibels(torch.cat(blocks, dim=1), self.config.amin)


def _choose_phases(config: FrontendConfig) -> int:
    """The number of phases b that costs the fewest multiplications; frames must start at multiples of it."""
    common = math.gcd(config.hop_length, config.n_fft)

    def multiplications(b: int) -> int:
        n_residues = config.n_fft // b // 2 + 1
        return 2 * n_residues * config.n_fft + n_residues * (2 * b) ** 2

    return min((b for b in range(1, common + 1) if common % b == 0), key=multiplications)


def _phase_filters(n_fft: int, b: int) -> np.ndarray:
    """Inner sum: (phase · real or imaginary · residue, 1, a), with window and twiddle factors."""
    a = n_fft // b
    samples = np.arange(a) * b + np.arange(b)[:, None]
    angle = 2 * np.pi / n_fft * (samples[:, None] * np.arange(a // 2 + 1)[:, None] % n_fft)
    filters = np.stack([np.cos(angle), -np.sin(angle)], axis=1) * _hann(n_fft)[samples][:, None, None]
    return filters.reshape(-1, 1, a)


def _rows_by_frequency(b: int) -> np.ndarray:
    """Rows s of the outer sum by rising frequency: 0, b - 1, 1, b - 2, …; the upper half is negative."""
    return np.array(sorted(range(b), key=lambda s: min(2 * s, 2 * (b - 1 - s) + 1)))


def _outer_transform(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outer sum, real and imaginary part: each (rows, phase · real or imaginary)."""
    b = len(rows)
    angle = 2 * np.pi / b * (np.outer(rows, np.arange(b)) % b)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine, sine], axis=2).reshape(b, -1), np.stack([-sine, cosine], axis=2).reshape(b, -1)


def _mel_blocks(config: FrontendConfig, a: int, rows: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """The mel bank for the outer sum's row order, cut into blocks of neighbouring bands without their zeros.

    Returns:
        (start, stop, weights) per block: weights (bands, stop - start) for power[start:stop], whose axis is
        (row · residue).
    """
    bins = (rows[:, None] * a + np.arange(a // 2 + 1)).ravel()
    bins = np.minimum(bins, config.n_fft - bins)
    weights = mel_filterbank(config)[:, bins]
    repeated = np.ones(len(bins), dtype=bool)
    repeated[np.unique(bins, return_index=True)[1]] = False
    weights[:, repeated] = 0.0  # residues 0 and a / 2 hold each bin twice
    blocks = []
    for bands in np.array_split(weights, min(N_MEL_BLOCKS, config.n_mels)):
        used = np.flatnonzero(bands.any(axis=0))
        start, stop = int(used[0]), int(used[-1]) + 1
        blocks.append((start, stop, bands[:, start:stop]))
    return blocks


def _float32(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
