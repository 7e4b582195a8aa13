"""Heads: from a feature map to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.models.layers import even

HEADS = {
    "attention": "earmark.models.heads:AttentionHead",
    "avemax": "earmark.models.heads:PooledHead",
    "gem": "earmark.models.heads:GeneralisedMeanHead",
    "max": "earmark.models.heads:MaximumHead",
    "mean": "earmark.models.heads:MeanHead",
    "pixel_shuffle": "earmark.models.heads:PixelShuffleHead",
}


class PooledHead(nn.Module):
    """Mean over mel, then the sum of mean and maximum over time; dropout; one linear layer.

    The mean says how much of the window a sound fills, the maximum that it was there at all.

    Args:
        n_features: channels of the feature map.
        n_classes: logits.
        dropout: before the last layer.
        n_beside: numbers that branches put beside the pooled features.

    >>> PooledHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0, n_beside: int = 0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(n_features + n_beside, n_classes)

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


class MaximumHead(PooledHead):
    """Mean over mel, then the maximum over time; dropout; one linear layer.

    >>> MaximumHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])
    """

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, channels)."""
        return features.float().mean(dim=2).amax(dim=2)


class GeneralisedMeanHead(PooledHead):
    """The generalised mean over mel and time, its power learnt (1 is the mean); dropout; one linear layer.

    What of the features is negative counts as nothing: it is made for what comes from a ReLU.

    >>> GeneralisedMeanHead(8, 3)(torch.zeros(2, 8, 4, 10)).shape
    torch.Size([2, 3])

    Source: Radenović et al. 2018, arXiv 1711.02512 (GeM), which starts from the power 3 too.
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0, n_beside: int = 0):
        super().__init__(n_features, n_classes, dropout=dropout, n_beside=n_beside)
        self.power = nn.Parameter(torch.tensor([3.0]))

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, channels)."""
        power = self.power.clamp(min=1.0)
        return features.float().clamp(min=1e-6).pow(power).mean(dim=(2, 3)).pow(1 / power)


class PixelShuffleHead(PooledHead):
    """Pairs of neighbouring mel rows become channels; maximum over time, mean over mel; dropout; one linear layer.

    Where the map has few rows left, which half of the spectrum a feature lies in is kept: 8 × 512 becomes 4 × 1,024.
    Of an odd number of rows the last one stands twice.

    >>> PixelShuffleHead(512, 3).pool(torch.zeros(2, 512, 8, 10)).shape
    torch.Size([2, 1024])

    Source: the FSD system (Freesound Audio Tagging 2019, second place); Shi et al. 2016, arXiv 1609.05158, backwards.
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0, n_beside: int = 0):
        super().__init__(2 * n_features, n_classes, dropout=dropout, n_beside=n_beside)

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, 2 · channels)."""
        pairs = even(features.float(), 2).unflatten(2, (-1, 2))  # (batch, channels, mels / 2, 2, frames)
        return pairs.amax(dim=4).mean(dim=2).flatten(1)


class AttentionHead(PooledHead):
    """Mean over mel, then the mean over time by learnt weights; dropout; one linear layer, which can answer each step.

    All classes share the weights, so that the embedding stays one row which the last layer reads, and the logits of the
    window are the mean, by these weights, of those of its steps. At first all steps weigh the same.

    >>> head = AttentionHead(8, 3)
    >>> features = torch.zeros(2, 8, 4, 10)
    >>> head(features).shape, head.classify_steps(features, head.pool(features)).shape
    (torch.Size([2, 3]), torch.Size([2, 10, 3]))

    Source: Ilse et al. 2018, arXiv 1802.04712 (attention over the instances of a bag).
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0, n_beside: int = 0):
        super().__init__(n_features, n_classes, dropout=dropout, n_beside=n_beside)
        self.attention = nn.Linear(n_features, 1, bias=False)
        nn.init.zeros_(self.attention.weight)

    def steps(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to those of each step (batch, frames, channels)."""
        return features.float().mean(dim=2).transpose(1, 2)

    def pool(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames) to embedding (batch, channels)."""
        steps = self.steps(features)
        return (torch.softmax(self.attention(steps), dim=1) * steps).sum(dim=1)

    def classify_steps(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Logits (batch, frames, classes) of each step.

        Args:
            features: (batch, channels, mels, frames).
            embedding: of the window, (batch, channels + n_beside): what stands beside holds for all of its steps.
        """
        steps = self.steps(features)
        beside = embedding[:, None, steps.shape[2] :].expand(-1, steps.shape[1], -1)
        return self.classify(torch.cat([steps, beside], dim=2))


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
