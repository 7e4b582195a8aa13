"""Kaldi's filterbank features, the front end of the Audio Spectrogram Transformer, inside the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.config import require
from earmark.errors import ConfigError

FRAME_LENGTH = 400  # samples, as is; Kaldi's 25 ms at 16 kHz
HOP_LENGTH = 160  # samples
N_FFT = 512
PRE_EMPHASIS = 0.97
LOWEST_HZ = 20.0
FLOOR = float(np.finfo(np.float32).eps)  # of a band's power, before the logarithm


@dataclass(frozen=True)
class KaldiConfig:
    """What differs from one filterbank to the next.

    sample_rate: Hz. n_mels: bands from 20 Hz to half the sample rate.
    n_frames: length of every spectrogram; a shorter one ends in frames of 0 (before it is normalised).
    mean, std: the features leave as (features - mean) / (2 · std); 0 and 0.5 leave them as they are.
    """

    sample_rate: int = 16000
    n_mels: int = 128
    n_frames: int = 1024
    mean: float = -4.2677393
    std: float = 4.5689974
    # In FrontendConfig's words, for augmentation:
    compression: ClassVar[str] = "log"
    power: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name, lowest in (("sample_rate", 1000), ("n_mels", 1), ("n_frames", 1)):
            value = getattr(self, name)
            require(value >= lowest, f"filterbank.{name}", value, f"{lowest} or more")
        require(self.std > 0, "filterbank.std", self.std, "above 0")

    @property
    def scale(self) -> float:
        """What the logarithm is multiplied by."""
        return 1 / (2 * self.std)

    @property
    def longest_samples(self) -> int:
        """Samples of the longest waveform whose frames all have a place.

        >>> round(KaldiConfig().longest_samples / 16000, 3)
        10.265
        """
        return FRAME_LENGTH + self.n_frames * HOP_LENGTH - 1


class KaldiFilterbank(nn.Module):
    """Log-mel features; each frame by itself loses its mean, is pre-emphasised, windowed, and cut into Kaldi's bands.

    All before the power is linear, so it is folded, in float64, into one matrix product per frame, which exports as
    it is. Always float32, even under autocast.

    >>> KaldiFilterbank(KaldiConfig(n_frames=100))(torch.zeros(2, 16000)).shape
    torch.Size([2, 1, 128, 100])

    Source: Kaldi, feat/feature-fbank.h; equal to transformers' ASTFeatureExtractor without torchaudio, see
        tests/models/test_kaldi_filterbank.py. Its settings: Gong et al. 2021, arXiv 2104.01778.
    """

    def __init__(self, config: KaldiConfig):
        super().__init__()
        self.config = config
        transform = np.concatenate(_transform())
        self.register_buffer("transform", torch.tensor(transform, dtype=torch.float32), persistent=False)
        bank = kaldi_bank(config.sample_rate, config.n_mels)
        self.register_buffer("mel", torch.tensor(bank, dtype=torch.float32), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a waveform.

        Args:
            waveform: (batch, samples), full scale ±1, at the config's sample rate.

        Returns:
            (batch, 1, mels, n_frames) float32.

        Raises:
            ConfigError: the waveform is shorter than a frame, or has more frames than there is place for.
        """
        config, n_samples = self.config, waveform.shape[1]
        if not FRAME_LENGTH <= n_samples <= config.longest_samples:
            raise ConfigError(
                f"window: found {n_samples} samples at {config.sample_rate} Hz, and this front end takes "
                f"{FRAME_LENGTH} to {config.longest_samples} ({FRAME_LENGTH / config.sample_rate:.3f} to "
                f"{config.longest_samples / config.sample_rate:.2f} s). Choose a window between them."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            # Not a convolution: on a GPU those round to ten bits by default.
            frames = waveform.float().unfold(1, FRAME_LENGTH, HOP_LENGTH).transpose(1, 2)
            real, imaginary = (self.transform @ frames).chunk(2, dim=1)
            bands = torch.log((self.mel @ (real * real + imaginary * imaginary)).clamp(min=FLOOR))
            bands = functional.pad(bands, (0, config.n_frames - bands.shape[2]))
            return ((bands - config.mean) * config.scale)[:, None]

    def exportable(self) -> KaldiFilterbank:
        """The form for the exported file: this one."""
        return self


def _transform() -> tuple[np.ndarray, np.ndarray]:
    """From a frame to its spectrum, real and imaginary part: each (bins, FRAME_LENGTH)."""
    without_mean = np.eye(FRAME_LENGTH) - 1 / FRAME_LENGTH
    emphasis = np.eye(FRAME_LENGTH) - PRE_EMPHASIS * np.eye(FRAME_LENGTH, k=-1)
    emphasis[0, 0] = 1 - PRE_EMPHASIS  # the sample before the first is taken to be the same
    samples = np.arange(FRAME_LENGTH)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * samples / (FRAME_LENGTH - 1))
    angle = 2 * np.pi / N_FFT * (np.outer(np.arange(N_FFT // 2 + 1), samples) % N_FFT)
    before = (window[:, None] * emphasis) @ without_mean
    return np.cos(angle) @ before, -np.sin(angle) @ before


def kaldi_bank(sample_rate: int, n_mels: int) -> np.ndarray:
    """Weights of the mel bands over the power spectrum: triangles of height 1 that stand evenly on the mel axis.

    `mel_filterbank` has the same bands, but not where one is so narrow that it lies between two bins: these features
    keep such a band, silent as it is.

    Returns:
        float64 (mels, N_FFT // 2 + 1).
    """

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(LOWEST_HZ), mel(sample_rate // 2), n_mels + 2)[:, None]
    bins = mel(np.arange(N_FFT // 2 + 1) * sample_rate / N_FFT)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))
