"""Random draws from an explicit generator on the CPU: the same on every device, and without the global seed."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """n numbers from [low, high), float32 on the CPU."""
    return low + (high - low) * torch.rand(n, generator=generator)


def log_uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """n numbers from [low, high), both above 0, whose logarithms are spread evenly; float32 on the CPU."""
    return uniform(n, math.log(low), math.log(high), generator).exp()


def beta(n: int, alpha: float, generator: Generator) -> Tensor:
    """n numbers from Beta(alpha, alpha), float64 on the CPU, by Jöhnk's method (torch's own Beta takes no generator).

    Exact for any alpha > 0; numbers that are refused are drawn again, so it suits alpha up to about 2.
    """
    result = torch.empty(n, dtype=torch.float64)
    missing = torch.arange(n)
    while len(missing):
        u = torch.rand(2, len(missing), generator=generator, dtype=torch.float64) ** (1 / alpha)
        total = u.sum(dim=0)
        accepted = (total <= 1) & (total > 0)
        result[missing[accepted]] = (u[0] / total)[accepted]
        missing = missing[~accepted]
    return result
