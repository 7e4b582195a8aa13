"""Layers that several families share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class MelNorm(nn.Module):
    """Batch normalisation of each mel band over clips and time: puts dB values near zero, whatever the recording level.

    Each channel of a spectrogram has bands of its own.

    >>> MelNorm(4)(torch.zeros(2, 1, 4, 10)).shape
    torch.Size([2, 1, 4, 10])
    """

    def __init__(self, n_mels: int, n_channels: int = 1):
        super().__init__()
        self.norm = nn.BatchNorm2d(n_channels * n_mels)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, channels, mels, frames), same shape out."""
        return self.norm(spectrogram.flatten(1, 2)[:, :, None]).reshape(spectrogram.shape)


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU; size kept unless strided.

    Args:
        momentum: of the running statistics, torch's sense: the share of a new batch.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        *,
        momentum: float = 0.1,
    ):
        padding = (kernel[0] // 2, kernel[1] // 2)
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(n_out, momentum=momentum),
            nn.ReLU(inplace=True),
        )


class SqueezeExcitation(nn.Module):
    """Weigh channels by what the whole map holds.

    Args:
        n_squeezed: width of the middle layer; by default a quarter of the channels.

    Source: Hu et al. 2018, arXiv 1709.01507.
    """

    def __init__(self, n_channels: int, n_squeezed: int | None = None):
        super().__init__()
        n_squeezed = n_squeezed or n_channels // 4
        self.squeeze = nn.Linear(n_channels, n_squeezed)
        self.excite = nn.Linear(n_squeezed, n_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames), same shape out."""
        summary = torch.relu(self.squeeze(features.mean(dim=(2, 3))))
        return features * torch.sigmoid(self.excite(summary))[:, :, None, None]


def even(features: Tensor, axis: int) -> Tensor:
    """Features with an even length along an axis: of an odd one, the last row or column stands twice.

    >>> even(torch.zeros(2, 8, 5, 4), 2).shape
    torch.Size([2, 8, 6, 4])
    """
    length = features.shape[axis]
    if isinstance(length, int) and length % 2 == 0:
        return features
    # Without a branch on a length that an exported graph is to leave open: none is added to an even one.
    return torch.cat([features, features.narrow(axis, length - 1, length % 2)], dim=axis)


class TransformerBlock(nn.Module):
    """Every step looks at all steps, then is worked on by itself; normalised before each, added to what came in.

    Args:
        n_features: of a step; a multiple of n_heads.
        n_hidden: width of the middle layer; by default four times the features.
        dropout: of what each half adds.

    Source: Vaswani et al. 2017, arXiv 1706.03762; normalisation first as in Xiong et al. 2020, arXiv 2002.04745.

    >>> TransformerBlock(8, 2)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, n_features: int, n_heads: int, *, n_hidden: int | None = None, dropout: float = 0.0):
        super().__init__()
        n_hidden = n_hidden or 4 * n_features
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(n_features)
        self.look = nn.Linear(n_features, 3 * n_features)
        self.join = nn.Linear(n_features, n_features)
        self.work = nn.Sequential(
            nn.LayerNorm(n_features), nn.Linear(n_features, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_features)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequence: Tensor) -> Tensor:
        """Sequence (batch, steps, features), same shape out."""
        batch, n_steps, n_features = sequence.shape
        parts = self.look(self.norm(sequence)).reshape(batch, n_steps, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        sequence = sequence + self.dropout(self.join(seen.transpose(1, 2).reshape(batch, n_steps, n_features)))
        return sequence + self.dropout(self.work(sequence))


def positions(n_steps: int, n_features: int, device: torch.device) -> Tensor:
    """Sines and cosines that tell each of any number of steps from the others, (steps, features).

    >>> positions(3, 4, torch.device("cpu"))[0].tolist()
    [0.0, 0.0, 1.0, 1.0]

    Source: Vaswani et al. 2017, arXiv 1706.03762.
    """
    rates = torch.exp(torch.arange(n_features // 2, device=device) * (-2 * math.log(10000) / n_features))
    angles = torch.arange(n_steps, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
