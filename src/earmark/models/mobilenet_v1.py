"""mobilenet_v1: depthwise separable convolutions; with YAMNet's weights, YAMNet."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from earmark.models.layers import MelNorm

STEM_CHANNELS = 32
# Per layer after the stem: channels out, stride.
LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)


class MobileNetV1(nn.Module):
    """Strided stem, then thirteen layers that filter each channel by itself and mix the channels. Time and mel / 32.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: multiplies all channels.
        mel_norm: normalise each mel band first.
        folded: convolutions with a bias instead of batch normalisation, as weights come for which it was folded in.
        dropout: before the last layer of the head.

    Source: Howard et al. 2017, arXiv 1704.04861; for sound YAMNet, tensorflow/models, research/audioset/yamnet.

    >>> import torch
    >>> MobileNetV1(64)(torch.zeros(2, 1, 64, 96)).shape
    torch.Size([2, 1024, 2, 3])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        width: float = 1.0,
        mel_norm: bool = True,
        folded: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        n_in = int(STEM_CHANNELS * width)
        layers = OrderedDict[str, nn.Module](layer1=_convolution(n_channels, n_in, 3, 2, 1, folded))
        for index, (n_outside, stride) in enumerate(LAYERS, start=2):
            n_out = int(n_outside * width)
            depthwise = _convolution(n_in, n_in, 3, stride, n_in, folded)
            pointwise = _convolution(n_in, n_out, 1, 1, 1, folded)
            layers[f"layer{index}"] = nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise))
            n_in = n_out
        self.dropout = dropout
        self.n_features = n_in
        self.norm = MelNorm(n_mels, n_channels) if mel_norm else nn.Identity()
        self.features = nn.Sequential(layers)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return self.features(self.norm(spectrogram))


class SameConv2d(nn.Conv2d):
    """Convolution whose strided form pads after the end only, as TensorFlow's "SAME" does for an even size."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        if self.stride == (2, 2):
            features = functional.pad(features, (0, 1, 0, 1))
        return super().forward(features)


def _convolution(n_in: int, n_out: int, kernel: int, stride: int, groups: int, folded: bool) -> nn.Sequential:
    padding = 0 if stride == 2 else kernel // 2
    layers: list[nn.Module] = [SameConv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=folded)]
    if not folded:
        layers.append(nn.BatchNorm2d(n_out, eps=1e-4))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
