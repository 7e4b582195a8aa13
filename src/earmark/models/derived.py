"""What is derived from a spectrogram before a network hears it: cepstral coefficients, slopes over time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.models.frontend_config import FrontendConfig

DELTA_FRAMES = 9


class Derived(nn.Module):
    """A backbone that hears what is derived from the spectrogram, as `n_mfcc` and `n_deltas` of the front end ask.

    It is not part of the front end because augmentation comes first: an equaliser or a stretch means something to a
    spectrogram, and coefficients and slopes follow from what it became.

    >>> from earmark.models.tiny_cnn import TinyCNN
    >>> config = FrontendConfig(n_mfcc=20, n_deltas=2)
    >>> Derived(config, TinyCNN(config.n_rows, config.n_channels))(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 96, 2, 7])

    Source: equal to `librosa.feature.mfcc` and `librosa.feature.delta(mode="nearest")`, see
        tests/models/test_frontend_options.py.
    """

    def __init__(self, config: FrontendConfig, backbone: nn.Module):
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.n_features: int = backbone.n_features
        self.dropout: float = backbone.dropout
        self.skip_widths: tuple[int, ...] = getattr(backbone, "skip_widths", ())
        self.skip_weights: tuple[float, ...] = getattr(backbone, "skip_weights", ())
        cosines = dct_matrix(config.n_mfcc, config.n_mels)
        self.register_buffer("cosines", torch.tensor(cosines, dtype=torch.float32), persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, 1, mels, frames) to the backbone's features."""
        return self.backbone(self.derive(spectrogram))

    def with_skips(self, spectrogram: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and what its skips carry."""
        return self.backbone.with_skips(self.derive(spectrogram))

    def derive(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, 1, mels, frames) to (batch, channels, rows, frames): itself or its coefficients, then
        their slope per frame, then the slope's."""
        with torch.autocast(spectrogram.device.type, enabled=False):
            rows = self.cosines @ spectrogram.float() if self.config.n_mfcc else spectrogram.float()
            channels = [rows, *(_slope(rows, order) for order in range(1, self.config.n_deltas + 1))]
            return torch.cat(channels, dim=1)


def _slope(rows: Tensor, order: int) -> Tensor:
    """Slope per frame (order 1), or the slope's, of rows (batch, 1, rows, frames) whose ends go on as they are."""
    reach, n_frames = DELTA_FRAMES // 2, rows.shape[3]
    padded = functional.pad(rows, (reach, reach, 0, 0), mode="replicate")
    # Not a convolution: on a GPU those round to ten bits by default.
    slope = torch.zeros_like(rows)
    for at, weight in enumerate(slope_weights(reach, order).tolist()):
        slope = slope + weight * padded[..., at : at + n_frames]
    return slope


def dct_matrix(n_coefficients: int, n_bands: int) -> np.ndarray:
    """The first rows of the orthonormal cosine transform (DCT-II), float64 (coefficients, bands)."""
    order = np.arange(n_coefficients)[:, None]
    cosines = np.cos(np.pi / n_bands * order * (np.arange(n_bands) + 0.5)) * math.sqrt(2 / n_bands)
    cosines[:1] /= math.sqrt(2)
    return cosines


def slope_weights(reach: int, order: int = 1) -> np.ndarray:
    """Weights of 2 · reach + 1 frames that give the slope of the line through them (order 1), or twice the square
    term of the parabola (order 2), float64.

    >>> slope_weights(1), slope_weights(1, 2)
    (array([-0.5,  0. ,  0.5]), array([ 1., -2.,  1.]))
    """
    place = np.arange(-reach, reach + 1.0)
    if order == 1:
        return place / (place**2).sum()
    square = place**2 - (place**2).mean()
    return 2 * square / (square**2).sum()
