"""The course of a window in equal steps, as numbers of its raw samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

N_STEPS = 128
STEP_PERCENTILES = (0, 1, 25, 30, 50, 60, 75, 99, 100)
N_STEP_STATISTICS = 3 + len(STEP_PERCENTILES)


def step_statistics(waveform: Tensor) -> Tensor:
    """Mean, deviation, range and percentiles of a waveform's steps, each seen through a span of two.

    The last step is seen twice. Samples that do not fill a step are followed by the last one again.

    Args:
        waveform: (batch, samples), full scale ±1.

    Returns:
        (batch, 128, 12), full scale ±1.

    Source: the "global features" of the second place in Freesound Audio Tagging 2019; percentiles as numpy's.

    >>> step_statistics(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 12])
    """
    missing = -waveform.shape[1] % N_STEPS
    steps = functional.pad(waveform[:, None], (0, missing), mode="replicate").reshape(waveform.shape[0], N_STEPS, -1)
    spans = torch.cat([steps, torch.cat([steps[:, 1:], steps[:, -1:]], dim=1)], dim=2)
    percentiles = percentiles_of(spans, STEP_PERCENTILES)
    width = percentiles[-1] - percentiles[0]
    return torch.stack([spans.mean(dim=2), deviation(spans), width, *percentiles], dim=2)


def percentiles_of(values: Tensor, percents: Sequence[float]) -> list[Tensor]:
    """Percentiles over the last axis, between two values in proportion, as numpy's."""
    ordered = values.sort(dim=-1).values
    # As tensors, for a number would tie an exported graph to this many values.
    last = torch.full((), values.shape[-1] - 1, dtype=torch.float32, device=values.device)
    places = torch.tensor(percents, dtype=torch.float32, device=values.device) * last / 100
    low, high = (ordered.index_select(-1, each.long()) for each in (places.floor(), places.ceil()))
    return list((low + (places - places.floor()) * (high - low)).unbind(dim=-1))


def deviation(values: Tensor) -> Tensor:
    """Standard deviation over the last axis (of the population, so that one value gives 0)."""
    return (values - values.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt()
