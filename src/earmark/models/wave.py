"""The front end of networks that hear the raw waveform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from earmark.errors import ConfigError

VARIANCE_FLOOR = 1e-7  # added to a waveform's variance before it is divided by


@dataclass(frozen=True)
class WaveConfig:
    """How a network that hears the raw waveform wants it.

    sample_rate: Hz. standardised: each window to mean 0 and variance 1. shortest_samples: what gives one frame.
    """

    sample_rate: int
    standardised: bool
    shortest_samples: int = 1
    # In FrontendConfig's words, for augmentation:
    compression: ClassVar[str] = "none"
    power: ClassVar[int] = 1
    scale: ClassVar[float] = 1.0


class Wave(nn.Module):
    """The front end of models that hear the raw waveform: the waveform, as one row of a spectrogram.

    >>> Wave(WaveConfig(16000, True, 400))(torch.rand(2, 16000)).shape
    torch.Size([2, 1, 1, 16000])

    Source: equal to transformers' Wav2Vec2FeatureExtractor, see tests/models/test_huggingface.py.
    """

    def __init__(self, config: WaveConfig):
        super().__init__()
        self.config = config

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), full scale ±1, to (batch, 1, 1, samples) float32.

        Raises:
            ConfigError: the waveform is shorter than a frame.
        """
        config = self.config
        if waveform.shape[1] < config.shortest_samples:
            raise ConfigError(
                f"window: found {waveform.shape[1]} samples, and this model hears {config.shortest_samples} at once "
                f"({config.shortest_samples / config.sample_rate:g} s). Choose a longer window."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            heard = waveform.float()
            if config.standardised:
                heard = heard - heard.mean(dim=1, keepdim=True)
                heard = heard / torch.sqrt((heard * heard).mean(dim=1, keepdim=True) + VARIANCE_FLOOR)
            return heard[:, None, None]

    def exportable(self) -> Wave:
        """The form for the exported file: this one."""
        return self
