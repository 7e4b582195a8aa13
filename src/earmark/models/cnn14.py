"""cnn14: the plain deep network of the PANNs, six blocks of two 3×3 convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import ConvNormReLU, MelNorm


class CNN14(nn.Module):
    """Blocks of two convolutions and a 2×2 mean, the last one unpooled. Time and mel / 32; 81 million weights.

    Args:
        n_mels: height of the spectrogram; 32 or more with six blocks. n_channels: its channels.
        channels: of each block.
        block_dropout: after each block.
        dropout: before the last layer of the head.

    Source: Kong et al. 2020, arXiv 1912.10211 (PANNs).

    >>> import torch
    >>> CNN14(64, channels=(4, 8, 16, 16, 32, 64))(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 64, 2, 3])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
        block_dropout: float = 0.2,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.dropout = dropout
        self.n_features = channels[-1]
        self.norm = MelNorm(n_mels, n_channels)
        self.blocks = nn.ModuleList()
        for n_in, n_out in zip((n_channels, *channels), channels, strict=False):
            is_last = len(self.blocks) == len(channels) - 1
            pool = nn.Identity() if is_last else nn.AvgPool2d(2)
            self.blocks.append(
                nn.Sequential(ConvNormReLU(n_in, n_out), ConvNormReLU(n_out, n_out), pool, nn.Dropout(block_dropout))
            )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        features = self.norm(spectrogram)
        for block in self.blocks:
            features = block(features)
        return features
