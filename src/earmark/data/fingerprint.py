"""Acoustic fingerprints: the same recording found again after re-encoding, gain, trimming, resampling or noise.

A fingerprint holds two views of the sound at 8 kHz: *peaks* of its spectrogram, and the *signs* of its whitened
waveform, one bit a sample. Steady tones and hum are whitened away, silence has no weight. `matches` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter

from earmark.audio.resample import ResampleStream

RATE = 8000  # Hz
BLOCK = 128  # samples: the step of levels and peaks, 16 ms
N_FFT, N_WHITEN = 512, 1024  # of the peaks' spectrogram; of the whitening, fine enough to part the harmonics of hum
PIECE = 1 << 16  # samples: whitening adapts to pieces of 8 to 16 s
LOW_HZ, HIGH_HZ = 156.25, 3406.25  # what a telephone keeps
WHITEN_FLOOR = 1e-6  # of the strongest bin's power
QUIETEST, LOUDEST = 3e-5, 1e6  # of full scale: less (RMS) is silence; samples beyond are cut off
LEVEL_STEP_DB, N_LEVELS = 4.0, 15  # levels reach down 60 dB

NEIGHBOURHOOD = (11, 17)  # frames, bins: a peak is the largest in it


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of a recording, about 1.3 kB a second.

    signs: uint8 (samples / 8,), packed bits of the whitened waveform at 8 kHz. levels: uint8 (blocks,) 0 (silent) to
    15. frames, bins: int32, uint8 (peaks,), of the spectrogram's peaks, in order of time. seconds: of the recording.
    """

    signs: np.ndarray
    levels: np.ndarray
    frames: np.ndarray
    bins: np.ndarray
    seconds: float


class FingerprintStream:
    """Makes the fingerprint of a recording that arrives in blocks, in memory that grows by 1.3 kB a second.

    Args:
        sample_rate: of the blocks, Hz.
    """

    def __init__(self, sample_rate: int):
        self._resampler = ResampleStream(sample_rate, RATE)
        self._waiting = np.zeros(0, np.float32)
        self._pieces: list[tuple[np.ndarray, ...]] = []
        self._n_blocks = 0
        self._n_samples = 0

    def push(self, block: np.ndarray) -> None:
        """Take mono float32 samples (n,), n >= 0."""
        self._take(self._resampler.push(np.ascontiguousarray(block, np.float32)))

    def finish(self) -> Fingerprint:
        """The fingerprint of all that was pushed."""
        self._take(self._resampler.push(np.zeros(0, np.float32), last=True))
        if len(self._waiting):
            self._digest(self._waiting)
        parts = zip(*self._pieces, strict=True)
        empty = (np.zeros(0, kind) for kind in (np.uint8, np.uint8, np.int32, np.uint8))
        arrays = (np.concatenate(part) for part in parts) if self._pieces else empty
        return Fingerprint(*arrays, seconds=self._n_samples / RATE)

    def _take(self, samples: np.ndarray) -> None:
        self._n_samples += len(samples)
        self._waiting = np.concatenate([self._waiting, np.nan_to_num(samples.clip(-LOUDEST, LOUDEST))])
        while len(self._waiting) >= 2 * PIECE:
            self._digest(self._waiting[:PIECE])
            self._waiting = self._waiting[PIECE:]

    def _digest(self, piece: np.ndarray) -> None:
        piece = np.pad(piece, (0, -len(piece) % BLOCK))
        white = _whiten(piece)
        levels = _levels(piece, white)
        frames, bins = _peaks(white, levels)
        self._pieces.append((np.packbits(white > 0), levels, frames + np.int32(self._n_blocks), bins))
        self._n_blocks += len(levels)


def fingerprint(waveform: np.ndarray, sample_rate: int) -> Fingerprint:
    """The fingerprint of a whole waveform.

    Args:
        waveform: float32 (samples,).
        sample_rate: Hz.

    >>> fingerprint(np.zeros(32_000, dtype=np.float32), 16_000).seconds
    2.0
    """
    stream = FingerprintStream(sample_rate)
    stream.push(waveform)
    return stream.finish()


def _whiten(piece: np.ndarray) -> np.ndarray:
    """Every bin of the telephone band brought to the same mean power, by overlap-add."""
    half = N_WHITEN // 2
    padded = np.pad(piece, (half, half + -len(piece) % half))
    window = np.sqrt(_hann(N_WHITEN))
    spectra, band = _spectra(padded, half, window)
    power = (spectra.real**2 + spectra.imag**2).mean(axis=0)
    gain = 1 / np.sqrt(np.maximum(power, max(WHITEN_FLOOR * power.max(), 1e-20)))
    white = np.zeros((len(spectra), half + 1), np.complex64)
    white[:, band] = spectra * gain
    out = scipy.fft.irfft(white, axis=1) * window
    return (out[1:, :half] + out[:-1, half:]).ravel()[: len(piece)]


def _hann(n_fft: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _spectra(padded: np.ndarray, hop: int, window: np.ndarray) -> tuple[np.ndarray, slice]:
    """Complex spectra (frames, bins) of the telephone band, and which bins these are."""
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop]
    band = slice(int(LOW_HZ * len(window) / RATE), int(HIGH_HZ * len(window) / RATE))
    return scipy.fft.rfft(frames * window, axis=1)[:, band], band


def _levels(piece: np.ndarray, white: np.ndarray) -> np.ndarray:
    """uint8 (blocks,): how loud the whitened blocks are against the loudest; 0 where the sound is silent."""
    loud = (piece.reshape(-1, BLOCK) ** 2).mean(axis=1) > QUIETEST**2
    power = (white.reshape(-1, BLOCK) ** 2).mean(axis=1) * loud
    decibels = 10 * np.log10(np.maximum(power, 1e-20) / max(power.max(), 1e-10))
    return np.clip(N_LEVELS + np.round(decibels / LEVEL_STEP_DB), 0, N_LEVELS).astype(np.uint8)


def _peaks(white: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames int32 and bins uint8 (peaks,) of the spectrogram's local maxima outside silence."""
    spectra, _ = _spectra(np.pad(white, (N_FFT - BLOCK) // 2), BLOCK, _hann(N_FFT))
    power = spectra.real**2 + spectra.imag**2
    largest = maximum_filter(power, NEIGHBOURHOOD, mode="constant")
    found, bins = np.nonzero((power == largest) & (levels[:, None] > 0))
    return found.astype(np.int32), bins.astype(np.uint8)


