"""Heads: from a feature map to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PooledHead(nn.Module):
    """Mean over mel, then mean and maximum over time, joined; dropout; one linear layer.

    The mean says how much of the window a sound fills, the maximum that it was there at all.

    >>> PooledHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * n_features, n_classes)

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, 2 · channels)."""
        over_time = features.float().mean(dim=2)
        return torch.cat([over_time.mean(dim=2), over_time.amax(dim=2)], dim=1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, 2 · channels) to logits (batch, classes)."""
        return self.last(self.dropout(embedding))

    def forward(self, features: Tensor) -> Tensor:
        """Features to logits."""
        return self.classify(self.pool(features))
