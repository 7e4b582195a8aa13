"""Heads: from a feature map to logits."""

from __future__ import annotations

from torch import Tensor, nn


class PooledHead(nn.Module):
    """Mean over mel, then the sum of mean and maximum over time; dropout; one linear layer.

    The mean says how much of the window a sound fills, the maximum that it was there at all.

    >>> import torch
    >>> PooledHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(n_features, n_classes)

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, channels)."""
        over_time = features.float().mean(dim=2)
        return over_time.mean(dim=2) + over_time.amax(dim=2)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, channels) to logits (batch, classes)."""
        return self.last(self.dropout(embedding))

    def forward(self, features: Tensor) -> Tensor:
        """Features to logits."""
        return self.classify(self.pool(features))
