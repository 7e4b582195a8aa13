"""The settings of the front end, and what follows from them alone: the mel bands and the analysis window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from earmark.errors import ConfigError

MEL_SCALES = ("slaney", "htk", "kaldi")
PADDINGS = ("silence", "reflect", "none")
COMPRESSIONS = ("db", "log", "pcen")
REFERENCES = ("fixed", "window")
LEARNING = ("kernels", "mel", "pcen")
FRAMES_PER_PIECE = 64  # the tensors of one piece stay in the processor's second cache
MAX_OVERLAP = FRAMES_PER_PIECE  # n_fft / hop_length; a piece borrows samples from the next one only


@dataclass(frozen=True)
class FrontendConfig:
    """How a waveform becomes a log-mel spectrogram.

    By default: periodic Hann window of n_fft samples, frames centred on multiples of hop_length with silence beyond
    both ends, power spectrum, dB of the power against the fixed reference 1.0. The fields from `win_length` to `scale`
    are there for networks that were trained elsewhere, on front ends of their own; docs/frontends.md tells of those
    after them.
    """

    sample_rate: int = 32000
    """Sample rate of the waveform, Hz."""
    n_fft: int = 1024
    """Length of the transform, samples; even."""
    hop_length: int = 320
    """Distance between frames, samples. Multiples of 16 are fastest in the exported file."""
    n_mels: int = 64
    """Number of mel bands."""
    fmin: float = 0.0
    """Lower edge of the lowest band, Hz."""
    fmax: float | None = None
    """Upper edge of the highest band, Hz; None is half the sample rate."""
    mel_scale: str = "slaney"
    """Scale on which the bands are evenly spaced: "slaney" (linear to 1 kHz, then logarithmic) or "htk", both with
    triangles of area 1 over Hz; "kaldi" is the HTK scale with triangles over mel, of height 1."""
    amin: float = 1e-8
    """Power below which all is silence. 1e-8 is -80 dB, ten dB above the rounding noise of 16 bits in a mel band:
    digital silence around a sound stands no further below it than the quietest sound a file can hold.
    With `compression` "log" it is added to every band instead, with "pcen" to what a band is divided by."""
    win_length: int | None = None
    """Length of the window, samples, in the middle of the transform; None is n_fft."""
    symmetric_window: bool = False
    """The Hann window ends on zero as it begins, instead of one sample later."""
    padding: str = "silence"
    """What lies beyond both ends: "silence" or "reflect" (the waveform mirrored) for frames centred on multiples of
    hop_length; "none" for windows that lie within the waveform, the first one at its first sample."""
    pre_emphasis: float = 0.0
    """Each sample less this share of the one before it; the first one has none before it and goes. 0 is off."""
    power: int = 2
    """Of the spectrum under the mel bands: 2 is power, 1 is magnitude."""
    compression: str = "db"
    """Of the bands: "db" is 10·log10, of at least `amin`; "log" is the natural logarithm, of the band plus `amin`;
    "pcen" divides each band by its own recent past (models/pcen.py)."""
    offset: float = 0.0
    """Added after compression."""
    scale: float = 1.0
    """Multiplies what `offset` was added to."""
    reference: str = "fixed"
    """What 0 dB is: "fixed" is a power of 1.0, "window" the loudest cell of the window, silent as it may be."""
    top_db: float | None = None
    """Of dB: the window's lowest value below its highest; None leaves it to `amin`."""
    pcen_gain: float = 0.98
    """Of PCEN: how much of a band's own level is taken away, 0 (none) to 1 (all)."""
    pcen_bias: float = 2.0
    """Of PCEN: added before the root, so that small changes count less."""
    pcen_power: float = 0.5
    """Of PCEN: the root that compresses."""
    pcen_seconds: float = 0.4
    """Of PCEN: time constant of the recent past."""
    n_mfcc: int = 0
    """Cepstral coefficients in place of the bands: the first so many of their cosine transform; 0 keeps the bands."""
    n_deltas: int = 0
    """Channels beside the spectrogram: 1 is its slope over time, 2 the slope and its change."""
    learns: tuple[str, ...] = ()
    """What of the front end learns with the network: "kernels" (of the transform), "mel" (weights within the bands),
    "pcen" (its four settings, for each band)."""
    noise: float = 0.0
    """Standard deviation of noise that is added to the spectrogram in training, in its own unit (dB by default)."""

    def __post_init__(self) -> None:
        self._require(self.sample_rate > 0, "sample_rate", "above 0 Hz")
        self._require(self.n_fft > 0 and self.n_fft % 2 == 0, "n_fft", "an even number of samples")
        shortest = -(-self.n_fft // MAX_OVERLAP)
        in_range = shortest <= self.hop_length <= self.n_fft
        self._require(in_range, "hop_length", f"{shortest} to n_fft = {self.n_fft} samples")
        self._require(self.n_mels > 0, "n_mels", "at least 1 band")
        self._require_known()
        self._require(self.amin > 0, "amin", "a power above 0")
        self._require(2 <= self.window_length <= self.n_fft, "win_length", f"2 to n_fft = {self.n_fft} samples")
        self._require(0 <= self.pre_emphasis <= 1, "pre_emphasis", "0 to 1")
        self._require(self.scale > 0, "scale", "above 0")
        self._require_of_the_window()
        self._require(0 <= self.n_mfcc <= self.n_mels, "n_mfcc", f"0 to n_mels = {self.n_mels}")
        self._require(self.n_deltas in (0, 1, 2), "n_deltas", "0, 1 or 2")
        self._require(0 <= self.noise < math.inf, "noise", "0 or more")
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

    def _require_known(self) -> None:
        choices = {
            "mel_scale": MEL_SCALES,
            "padding": PADDINGS,
            "power": (1, 2),
            "compression": COMPRESSIONS,
            "reference": REFERENCES,
        }
        for field, known in choices.items():
            *others, last = map(repr, known)
            self._require(getattr(self, field) in known, field, f"{', '.join(others)} or {last}")

    def _require_of_the_window(self) -> None:
        """What is relative to the window: levels of dB, PCEN; and that what is to learn is there."""
        if self.compression != "db":
            self._require(self.reference == "fixed", "reference", "'fixed' where compression is not 'db'")
            self._require(self.top_db is None, "top_db", "none where compression is not 'db'")
        self._require(self.top_db is None or self.top_db > 0, "top_db", "above 0 dB, or none")
        self._require(0 <= self.pcen_gain <= 1, "pcen_gain", "0 to 1")
        self._require(self.pcen_bias > 0, "pcen_bias", "above 0")
        self._require(0 < self.pcen_power <= 1, "pcen_power", "above 0, at most 1")
        hop_seconds = self.hop_length / self.sample_rate
        self._require(hop_seconds <= self.pcen_seconds < math.inf, "pcen_seconds", f"a hop = {hop_seconds:g} s or more")
        known = LEARNING if self.compression == "pcen" else LEARNING[:-1]
        expected = f"any of {', '.join(known)} with compression '{self.compression}'"
        self._require(set(self.learns) <= set(known), "learns", expected)

    def _require(self, holds: bool, field: str, expected: str) -> None:
        if not holds:
            found = getattr(self, field)
            raise ConfigError(f"frontend.{field}: found {found!r}, expected {expected}. Choose another value.")

    @property
    def window_length(self) -> int:
        """Length of the window, samples."""
        return self.n_fft if self.win_length is None else self.win_length

    @property
    def n_rows(self) -> int:
        """Height of what the network hears: cepstral coefficients or mel bands."""
        return self.n_mfcc or self.n_mels

    @property
    def n_channels(self) -> int:
        """Channels of what the network hears.

        >>> FrontendConfig(n_deltas=2).n_channels
        3
        """
        return 1 + self.n_deltas

    @property
    def margins(self) -> tuple[int, int]:
        """Samples that the frames reach beyond the first and the last sample of the (pre-emphasised) waveform.

        >>> FrontendConfig().margins
        (512, 512)
        """
        if self.padding != "none":
            return self.n_fft // 2, self.n_fft // 2
        idle = self.n_fft - self.window_length  # where the window is zero
        return idle // 2, idle - idle // 2

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of n_samples samples.

        >>> FrontendConfig().n_frames(32000)
        101
        """
        heard = n_samples - 1 if self.pre_emphasis else n_samples
        return 1 + (heard if self.padding != "none" else heard - self.window_length) // self.hop_length


def hann_window(config: FrontendConfig) -> np.ndarray:
    """The analysis window, float64 (n_fft,): Hann of `win_length` samples between zeros."""
    length = config.window_length
    period = length - 1 if config.symmetric_window else length
    before = (config.n_fft - length) // 2
    window = np.zeros(config.n_fft)
    window[before : before + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / period)
    return window


def mel_filterbank(config: FrontendConfig) -> np.ndarray:
    """Weights of the mel bands: triangles that overlap by half.

    `mel_scale` chooses where the triangles stand. Those of "slaney" and "htk" are drawn over Hz and have area 1, as
    librosa's; those of "kaldi" are drawn over mel and have height 1, as Kaldi's and TensorFlow's.

    Returns:
        float64 (mels, n_fft // 2 + 1), to be applied to the power (or magnitude) spectrum.

    Source: Slaney, Auditory Toolbox (1998); equal to `librosa.filters.mel(norm="slaney", htk=…)`, see
        test_mel_filterbank_is_librosas. Kaldi, feat/mel-computations.h: test_kaldis_triangles_stand_on_the_mel_axis.
    """
    over_mel = config.mel_scale == "kaldi"
    top = config.sample_rate / 2 if config.fmax is None else config.fmax
    low, high = _hz_to_mel(np.array([config.fmin, top]), config.mel_scale)
    edges = np.linspace(low, high, config.n_mels + 2)[:, None]
    bins = np.arange(config.n_fft // 2 + 1) * config.sample_rate / config.n_fft
    if over_mel:
        bins = _hz_to_mel(bins, config.mel_scale)
    else:
        edges = _mel_to_hz(edges, config.mel_scale)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles if over_mel else triangles * 2.0 / (edges[2:] - edges[:-2])


_SLANEY_LINEAR_HZ = 200.0 / 3  # per mel, up to 1 kHz
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_LINEAR_HZ
_SLANEY_LOG_STEP = math.log(6.4) / 27  # 27 mels from 1 to 6.4 kHz


def _hz_to_mel(hz: np.ndarray, scale: str) -> np.ndarray:
    if scale != "slaney":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _SLANEY_BREAK_MEL + np.log(np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_BREAK_HZ, hz / _SLANEY_LINEAR_HZ, above)


def _mel_to_hz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * np.maximum(mel - _SLANEY_BREAK_MEL, 0.0))
    return np.where(mel < _SLANEY_BREAK_MEL, mel * _SLANEY_LINEAR_HZ, above)
