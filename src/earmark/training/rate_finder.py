"""A learning rate to begin with: train a copy of the network while the rate rises, and see where the loss is least."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as lightning
import numpy as np

from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.data.manifest import Manifest
from earmark.models.tagging_net import TaggingNet
from earmark.training.fit import assemble, try_out
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

RATES = (1e-6, 10.0)  # first and last
N_STEPS = 200
MEMORY = 0.9  # what the smoothed loss keeps of itself
NEAR = 0.1  # of the fall: how far above its least the smoothed loss is still as good
DIVERGED = 3.0  # times the least smoothed loss, where the rising ends


@dataclass(frozen=True)
class RateCurve:
    """What a rising rate did.

    rates: of each step, rising by the same factor. losses: of each step's batch. smoothed: their running mean.
    steepest, lowest: the rates at which the smoothed loss falls fastest and is least (the middle of where it is
        nearly that); None where it never fell.
    suggested: midway between them by factor. Where all rates were tried out the best lay there: the steepest descent is
    too slow for the highest rate of a schedule, and where the loss is least it is about to rise.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float | None = None
    lowest: float | None = None
    suggested: float | None = None


def find_rate(
    net: TaggingNet,
    training: Manifest,
    *,
    framing: Framing,
    cache: Cache,
    optim: OptimConfig,
    augment: AugmentConfig,
    precision: str = "auto",
    seed: int = 0,
    fresh: bool = True,
) -> RateCurve:
    """Train a copy of `net` for at most N_STEPS steps, the rate rising from the first to the last of RATES; all of it
    learns from the first step on. `net` stays as it is. The arguments are those of `fit`.

    Source: Smith 2017, arXiv 1506.01186 (the range test).
    """
    optim = replace(optim, epochs=N_STEPS + augment.off_for_last, unfreeze_epochs=0, swa_epochs=0)
    module, batches = assemble(
        copy.deepcopy(net),
        training,
        None,
        framing=framing,
        cache=cache,
        optim=optim,
        augment=augment,
        seed=seed,
        fresh=fresh,
    )
    rising = RisingRate(optim.learning_rate)
    try_out(module, batches, precision, rising, max_epochs=N_STEPS, max_steps=N_STEPS)
    return rising.curve()


class RisingRate(lightning.Callback):
    """Sets the rate of each step, over the schedule, and stops once the loss has left its lowest far behind.

    Args:
        highest: the schedule's, by which the rate of each set of parameters is known as a share.
    """

    def __init__(self, highest: float):
        self.highest = highest
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The next rate, each depth of the network at its share."""
        first, last = RATES
        self.rates.append(first * (last / first) ** (trainer.global_step / (N_STEPS - 1)))
        for group, rate in zip(trainer.optimizers[0].param_groups, module.highest_rates, strict=True):
            group["lr"] = self.rates[-1] * rate / self.highest

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, *batch: Any
    ) -> None:
        """Note the loss."""
        self.losses.append(float(outputs["loss"]))
        smoothed = smooth(self.losses)
        if not smoothed[-1] < DIVERGED * min(smoothed):  # nor is nan
            trainer.should_stop = True

    def curve(self) -> RateCurve:
        """All of it."""
        smoothed = smooth(self.losses)
        curve = tuple(self.rates), tuple(self.losses), tuple(smoothed)
        found = landmarks(np.array(self.rates), np.array(smoothed))
        return RateCurve(*curve, *found, math.sqrt(math.prod(found))) if found else RateCurve(*curve)


def smooth(losses: list[float]) -> list[float]:
    """The running mean, as if there had been nothing before the first.

    >>> smooth([2.0, 2.0, 2.0])
    [2.0, 2.0, 2.0]
    """
    mean, found = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        found.append(mean / (1 - MEMORY**number))
    return found


def landmarks(rates: np.ndarray, smoothed: np.ndarray) -> tuple[float, float] | None:
    """Where the smoothed loss falls fastest, and the middle of the valley it falls into; None if it never fell.

    Both are rates, found on the scale of factors. The slope is taken over a tenth of the steps, so that one lucky batch
    is no descent; the valley is what lies within NEAR of the fall above the least loss, on both sides of it.
    """
    known = np.where(np.isnan(smoothed), np.inf, smoothed)
    lowest = int(np.argmin(known))
    highest = known[: lowest + 1].max()
    if not known[lowest] < highest < np.inf:
        return None
    fall = highest - known[lowest]
    span = min(max(2, len(rates) // 10), lowest)
    drops = known[: lowest + 1 - span] - known[span : lowest + 1]
    steepest = int(np.argmax(drops))
    above = np.flatnonzero(known > known[lowest] + NEAR * fall)
    first = int(above[above < lowest].max()) + 1
    last = int(above[above > lowest].min(initial=len(rates))) - 1
    return float(np.sqrt(rates[steepest] * rates[steepest + span])), float(np.sqrt(rates[first] * rates[last]))
