"""Pooling that tells time from mel: along time a sound goes on, along mel it is somewhere."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean
from earmark.models.layers import even

MEL, TIME = 2, 3
# What is done first along which axis, and what then.
AXIS_POOLS = {
    "max": (("max", MEL), ("max", TIME)),
    "average": (("average", MEL), ("average", TIME)),
    "avemax1": (("average", TIME), ("max", MEL)),
    "avemax2": (("average", MEL), ("max", TIME)),
    "avemax3": (("max", MEL), ("average", TIME)),
    "avemax4": (("max", TIME), ("average", MEL)),
}
LEARNT = "conv"  # beside them: weights of its own for each channel, which start as the average
SQUARES = {1: (3, 1), 2: (2, 0)}  # at a stride: how many rows and columns are pooled, how many of them beyond the map


class AxisPool(nn.Module):
    """Pooling of a map over small squares, along one axis after the other.

    Args:
        kind: a name in AXIS_POOLS, or "conv".
        n_channels: of the map.
        stride: 1 = over squares of 3, which keeps the size; 2 = over squares of 2, which halves it, rounded up.

    Raises:
        ConfigError: there is no such kind.

    Source: the FSD system (Freesound Audio Tagging 2019, second place).

    >>> import torch
    >>> AxisPool("avemax1", 8, stride=2)(torch.zeros(2, 8, 5, 10)).shape
    torch.Size([2, 8, 3, 5])
    """

    def __init__(self, kind: str, n_channels: int, *, stride: int):
        super().__init__()
        known = (*AXIS_POOLS, LEARNT)
        if kind not in known:
            raise ConfigError(f"'{kind}' is not an axis pool{did_you_mean(kind, known)}. Known: {', '.join(known)}.")
        self.halves = stride == 2
        if kind == LEARNT:
            self.layers = _learnt(n_channels, stride)
        else:
            self.layers = nn.Sequential(*(_pool(operation, axis, stride) for operation, axis in AXIS_POOLS[kind]))

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        return self.layers(even(even(features, MEL), TIME) if self.halves else features)


def _learnt(n_channels: int, stride: int) -> nn.Conv2d:
    width, beyond = SQUARES[stride]
    layer = nn.Conv2d(n_channels, n_channels, width, stride, beyond, groups=n_channels, bias=False)
    nn.init.constant_(layer.weight, 1 / width**2)
    return layer


def _pool(operation: str, axis: int, stride: int) -> nn.Module:
    """A maximum or mean along one axis; what lies beyond the map counts for neither."""
    width, beyond = SQUARES[stride]
    along = (lambda value, rest: (value, rest)) if axis == MEL else (lambda value, rest: (rest, value))
    if operation == "max":
        return nn.MaxPool2d(along(width, 1), along(stride, 1), along(beyond, 0))
    return nn.AvgPool2d(along(width, 1), along(stride, 1), along(beyond, 0), count_include_pad=False)
