"""tiny_cnn: the smallest network that learns something, for demos and tests."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import ConvNormReLU, MelNorm


class TinyCNN(nn.Module):
    """Three strided convolutions, about 75,000 weights.

    >>> import torch
    >>> TinyCNN(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 96, 4, 7])
    """

    def __init__(self, n_mels: int, n_channels: int = 1, *, width: int = 32, dropout: float = 0.1):
        super().__init__()
        self.dropout = dropout
        self.n_features = 3 * width
        self.layers = nn.Sequential(
            MelNorm(n_mels, n_channels),
            ConvNormReLU(n_channels, width, (3, 5), (2, 4)),
            ConvNormReLU(width, 2 * width, stride=(2, 2)),
            ConvNormReLU(2 * width, 3 * width, stride=(2, 2)),
            nn.MaxPool2d((2, 1), ceil_mode=True),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return self.layers(spectrogram)
