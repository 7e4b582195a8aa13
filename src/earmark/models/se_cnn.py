"""se_cnn: the squeeze-and-excitation CNN of the Freesound 2019 systems, made narrow enough to train on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import ConvNormReLU, MelNorm, SqueezeExcitation


class SECNN(nn.Module):
    """A strided stem, then blocks of two 3×3 convolutions, each block pooled and its channels re-weighted.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        channels: of the stem, then of each block.
        dropout: before the last layer of the head.

    Source: the FSD system (Freesound Audio Tagging 2019, second place), with an early stride in the stem and
    squeeze-and-excitation after the pooling, where it costs least.

    >>> import torch
    >>> SECNN(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 256, 4, 4])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        channels: tuple[int, ...] = (24, 32, 64, 128, 256),
        dropout: float = 0.2,
    ):
        super().__init__()
        self.dropout = dropout
        self.n_features = channels[-1]
        last = len(channels) - 2
        blocks = [Block(channels[i], channels[i + 1], pooled=i < last) for i in range(last + 1)]
        self.norm = MelNorm(n_mels, n_channels)
        self.stem = ConvNormReLU(n_channels, channels[0], (3, 5), (2, 4))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return self.blocks(self.stem(self.norm(spectrogram)))


class Block(nn.Sequential):
    """Two convolutions, a 2×2 maximum unless it is the last block, squeeze-and-excitation."""

    def __init__(self, n_in: int, n_out: int, *, pooled: bool):
        layers = [ConvNormReLU(n_in, n_out), ConvNormReLU(n_out, n_out)]
        if pooled:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        super().__init__(*layers, SqueezeExcitation(n_out))
