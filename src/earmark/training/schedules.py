"""What moves the weights, and how fast from step to step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, AdamW, NAdam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from earmark.config import require

OPTIMISERS = {
    "adamw": "earmark.training.schedules:adamw",
    "nadam": "earmark.training.schedules:nadam",
    "sgd": "earmark.training.schedules:sgd",
}
SCHEDULES = {
    "one_cycle": "earmark.training.schedules:one_cycle",
    "cosine": "earmark.training.schedules:cosine",
    "step": "earmark.training.schedules:step",
    "plateau": "earmark.training.schedules:plateau",
}
ParameterSets = Sequence[dict[str, Any]]  # each with its params, lr and weight_decay


def adamw(sets: ParameterSets, *, beta1: float = 0.9, beta2: float = 0.99) -> Optimizer:
    """Adam, its weight decay apart from the gradient.

    Args:
        beta1, beta2: what the running means of gradient and its square keep of themselves, 0 or more and below 1.

    Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    return AdamW(sets, betas=_betas(beta1, beta2), fused=True)


def nadam(sets: ParameterSets, *, beta1: float = 0.9, beta2: float = 0.999) -> Optimizer:
    """Adam with Nesterov's momentum; weight decay apart from the gradient, as AdamW's.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """
    return NAdam(sets, betas=_betas(beta1, beta2), decoupled_weight_decay=True)


def sgd(sets: ParameterSets, *, momentum: float = 0.9, nesterov: bool = True) -> Optimizer:
    """Stochastic gradient descent; weight decay is part of the gradient. Wants rates ten to a hundred times Adam's.

    Args:
        momentum: 0 or more and below 1; 0 = none.
        nesterov: look ahead along the momentum.
    """
    require(0 <= momentum < 1, "momentum of sgd", momentum, "0 or more and below 1")
    return SGD(sets, momentum=momentum, nesterov=nesterov and momentum > 0)


def _betas(beta1: float, beta2: float) -> tuple[float, float]:
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        require(0 <= beta < 1, f"{name} of the optimiser", beta, "0 or more and below 1")
    return beta1, beta2


def one_cycle(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warm_up: float) -> LRScheduler:
    """From a 25th of the rate up to it and down to almost nothing, both along half a cosine.

    Source: Smith and Topin 2018, arXiv 1708.07120; the shape is fastai's.
    """
    return OneCycleLR(
        optimizer,
        max_lr=[each["lr"] for each in optimizer.param_groups],
        total_steps=epochs * steps_per_epoch,
        pct_start=warm_up,
        div_factor=25.0,
        final_div_factor=100.0,
        cycle_momentum=False,
    )


def cosine(optimizer: Optimizer, epochs: int, steps_per_epoch: int, warm_up: float) -> LRScheduler:
    """Straight up from almost nothing to the rate, then half a cosine down to almost nothing.

    Source: Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts.
    """
    n_steps = epochs * steps_per_epoch
    n_rising = round(warm_up * n_steps)

    def share(number: int) -> float:
        if number < n_rising:
            return (number + 1) / (n_rising + 1)
        return (1 + math.cos(math.pi * (number - n_rising) / max(n_steps - n_rising, 1))) / 2

    return LambdaLR(optimizer, share)


def step(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    warm_up: float,
    *,
    at: tuple[int, ...] = (8, 12, 16),
    factor: float = 0.5,
) -> LRScheduler:
    """The rate, times a factor from each of some epochs on. There is no warm-up.

    Args:
        at: epochs done before each drop, 1 or more; none = a rate that stays.
        factor: above 0 and below 1.

    Source: the defaults are those of the FSD system (Freesound Audio Tagging 2019), first stage.
    """
    require(min(at, default=1) >= 1, "at of step", list(at), "epochs, 1 or more")
    require(0 < factor < 1, "factor of the schedule", factor, "above 0 and below 1")
    return LambdaLR(optimizer, lambda number: factor ** sum(number >= epoch * steps_per_epoch for epoch in at))


def plateau(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    warm_up: float,
    *,
    patience: int = 3,
    factor: float = 0.5,
) -> LRScheduler:
    """The rate, times a factor whenever the inner validation score has not risen for some epochs. No warm-up.

    Args:
        patience: epochs without a better score that are borne, 0 or more; the next one lowers the rate.
        factor: above 0 and below 1.
    """
    require(patience >= 0, "patience of plateau", patience, "0 or more")
    require(0 < factor < 1, "factor of the schedule", factor, "above 0 and below 1")
    return Plateau(optimizer, patience, factor)


class Plateau(LRScheduler):
    """A rate that falls when scores stop rising. What it has heard is part of its state, so of every checkpoint.

    torch's own ReduceLROnPlateau is stepped after Lightning has written the epoch's checkpoint, and a run that is
    resumed would have forgotten that epoch.
    """

    def __init__(self, optimizer: Optimizer, patience: int, factor: float):
        self.patience = patience
        self.factor = factor
        self.share = 1.0
        self.best = -math.inf
        self.n_waited = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """The rate of each set of parameters."""
        return [rate * self.share for rate in self.base_lrs]

    def hear(self, score: float) -> None:
        """Take note of an epoch's score, from which the next step's rate follows; nan is never better."""
        if score > self.best:
            self.best, self.n_waited = score, 0
            return
        self.n_waited += 1
        if self.n_waited > self.patience:
            self.share, self.n_waited = self.share * self.factor, 0
            for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
                group["lr"] = rate
