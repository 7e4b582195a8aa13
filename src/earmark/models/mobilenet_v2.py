"""mobilenet_v2: inverted residual blocks as in the PANNs, which take the mean where others stride."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import MelNorm

STEM_CHANNELS = 32
LAST_CHANNELS = 1280
# Per stage: how many times wider inside, channels out, blocks, stride of the first.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 2), (6, 160, 3, 1), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """Stem, seventeen inverted residual blocks, a 1×1 convolution. Time and mel / 32.

    Args:
        n_mels: height of the spectrogram; 32 or more. n_channels: its channels.
        dropout: before the last layer of the head.

    Source: Sandler et al. 2018, arXiv 1801.04381; for sound Kong et al. 2020, arXiv 1912.10211 (PANNs).

    >>> import torch
    >>> MobileNetV2(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 1280, 2, 3])
    """

    def __init__(self, n_mels: int, n_channels: int = 1, *, dropout: float = 0.0):
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*_filter(n_channels, STEM_CHANNELS, stride=2))]
        n_in = STEM_CHANNELS
        for widening, n_out, n_blocks, stride in STAGES:
            for block in range(n_blocks):
                layers.append(InvertedResidual(n_in, n_out, widening, stride if block == 0 else 1))
                n_in = n_out
        self.dropout = dropout
        self.n_features = LAST_CHANNELS
        self.norm = MelNorm(n_mels, n_channels)
        self.features = nn.Sequential(*layers, nn.Sequential(*_mix(n_in, LAST_CHANNELS), nn.ReLU6()))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return self.features(self.norm(spectrogram))


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; added to what came in where shapes allow."""

    def __init__(self, n_in: int, n_out: int, widening: int, stride: int):
        super().__init__()
        n_inside = n_in * widening
        widen = [] if widening == 1 else [*_mix(n_in, n_inside), nn.ReLU6()]
        self.layers = nn.Sequential(*widen, *_filter(n_inside, n_inside, stride, n_inside), *_mix(n_inside, n_out))
        self.is_residual = stride == 1 and n_in == n_out

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        return features + self.layers(features) if self.is_residual else self.layers(features)


def _filter(n_in: int, n_out: int, stride: int, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1, groups=groups, bias=False)
    return [convolution, nn.AvgPool2d(stride), nn.BatchNorm2d(n_out), nn.ReLU6()]


def _mix(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)]
