"""mn: MobileNetV3-Large for log-mel spectrograms, in any width."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import MelNorm, SqueezeExcitation

DIVISOR = 8  # channel counts are multiples of it
# Per block: kernel, channels inside, channels out, squeeze-and-excitation, hard swish (else ReLU), stride.
BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
STEM_CHANNELS = 16
LAST_EXPANSION = 6


class MN(nn.Module):
    """Strided stem, fifteen inverted residual blocks, a 1×1 convolution to 6 times the channels. Time and mel / 32.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: multiplies all channels: 0.4 is mn04, 1.0 mn10, 2.0 mn20, 4.0 mn40.
        mel_norm: normalise each mel band first. The published weights know none: their front end scales.
        dropout: before the last layer of the head.

    Source: Howard et al. 2019, arXiv 1905.02244; for sound Schmid et al. 2023, arXiv 2211.04772 (EfficientAT).

    >>> import torch
    >>> MN(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 384, 2, 4])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        width: float = 0.4,
        mel_norm: bool = True,
        dropout: float = 0.2,
    ):
        super().__init__()
        n_in = _channels(STEM_CHANNELS, width)
        layers: list[nn.Module] = [ConvNorm(n_channels, n_in, kernel=3, stride=2, activation=nn.Hardswish)]
        for kernel, n_inside, n_out, excited, hard_swish, stride in BLOCKS:
            inside, out = _channels(n_inside, width), _channels(n_out, width)
            activation = nn.Hardswish if hard_swish else nn.ReLU
            layers.append(InvertedResidual(n_in, inside, out, kernel, stride, activation, excited=excited))
            n_in = out
        self.dropout = dropout
        self.n_features = LAST_EXPANSION * n_in
        self.norm = MelNorm(n_mels, n_channels) if mel_norm else nn.Identity()
        self.features = nn.Sequential(*layers, ConvNorm(n_in, self.n_features, activation=nn.Hardswish))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return self.features(self.norm(spectrogram))


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, activation if any; size kept unless strided."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = None,
    ):
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01),
        )
        if activation is not None:
            self.append(activation())


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, weigh the channels, narrow; added to what came in where shapes allow."""

    def __init__(
        self,
        n_in: int,
        n_inside: int,
        n_out: int,
        kernel: int,
        stride: int,
        activation: type[nn.Module],
        *,
        excited: bool,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        if n_inside != n_in:
            layers.append(ConvNorm(n_in, n_inside, activation=activation))
        layers.append(
            ConvNorm(n_inside, n_inside, kernel=kernel, stride=stride, groups=n_inside, activation=activation)
        )
        if excited:
            layers.append(SqueezeExcitation(n_inside, n_squeezed=_channels(n_inside // 4)))
        layers.append(ConvNorm(n_inside, n_out))
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and n_in == n_out

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        return features + self.layers(features) if self.is_residual else self.layers(features)


def _channels(n_channels: int, width: float = 1.0) -> int:
    """`n_channels` times `width` as the nearest multiple of DIVISOR that is not more than a tenth below."""
    wanted = n_channels * width
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest + DIVISOR if nearest < 0.9 * wanted else nearest


def hidden_channels(width: float) -> int:
    """Units of the published head's hidden layer.

    >>> hidden_channels(0.4)
    512
    """
    return _channels(1280, width)
