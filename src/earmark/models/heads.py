"""Heads: from a feature map to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PooledHead(nn.Module):
    """Mean over mel, then the sum of mean and maximum over time; dropout; one linear layer.

    The mean says how much of the window a sound fills, the maximum that it was there at all.

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


class MeanHead(PooledHead):
    """Mean over mel and time; dropout; one linear layer.

    >>> MeanHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, channels)."""
        return features.float().mean(dim=(2, 3))


class HiddenHead(MeanHead):
    """Mean over mel and time; a hidden layer with hard swish; dropout; one linear layer.

    >>> HiddenHead(8, 16, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def __init__(self, n_features: int, n_hidden: int, n_classes: int, *, dropout: float = 0.0):
        super().__init__(n_hidden, n_classes, dropout=dropout)
        self.hidden = nn.Linear(n_features, n_hidden)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding (batch, channels) to logits (batch, classes)."""
        return super().classify(nn.functional.hardswish(self.hidden(embedding)))


class ProjectedHead(PooledHead):
    """Pooled as in PooledHead, then a hidden layer with ReLU, whose output is the embedding; dropout around it.

    >>> ProjectedHead(8, 16, 3).pool(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 16])
    """

    def __init__(self, n_features: int, n_hidden: int, n_classes: int, *, dropout: float = 0.0):
        super().__init__(n_hidden, n_classes, dropout=dropout)
        self.hidden = nn.Linear(n_features, n_hidden)

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, hidden)."""
        return torch.relu(self.hidden(self.dropout(super().pool(features))))
