"""How the weights move: settings of an optimiser, its schedule and the loss. Needs torch, but not Lightning."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from earmark.config import require
from earmark.training.objective import Objective, chosen, chosen_loss
from earmark.training.schedules import OPTIMISERS, SCHEDULES, ParameterSets
from earmark.training.unfreezing import BATCH_NORMS

PRECISIONS = ("auto", "float32", "bfloat16")  # of a training


@dataclass(frozen=True)
class OptimConfig:
    """How the weights move.

    epochs: passes over the training clips.
    batch_size: clips a step.
    learning_rate: the highest of the schedule.
    weight_decay: on weight matrices and kernels only.
    warm_up: share of the steps in which the rate rises, 0 to 1 (one_cycle, cosine).
    smoothing: label smoothing ε, 0 to 0.5, where a label of its own says nothing any more.
    loss: a name in LOSSES; empty = cross_entropy where each clip has one label, bce otherwise.
    ema_decay: of the running mean of the weights that is scored and shipped, per step; 0 = none.
    patience: epochs without a better inner validation score after which training stops; 0 = never.
    layer_decay: rate of each depth of the network as a share of the one above it (unfreezing.depth_groups); 1 = alike.
    unfreeze_epochs: epochs for the head alone, after which one more depth learns every so many; 0 = all at once.
    batch_norm: "adapted" to the clips, "kept" at the statistics that a pretrained network came with, or "group": each
    clip is normalised by itself, which small batches do not disturb.
    loss_options: of the loss, by name (training/losses.py).
    noisy_loss, noisy_loss_options: of clips of the noisy subset; empty = as the others.
    noisy_mask: of noisy clips those are left out that lose more than this share of the batch's largest loss, 0 to 1
    (published: 0.8); 0 = none.
    noisy_head: noisy clips have a last layer of their own, which is left away after training: they shape what is heard
    but not what it is called.
    noisy_share: of the noisy subset in each batch, 0 to 1; empty = as it is in the data.
    balance: how much more often clips of rare classes are heard: 1 = all classes alike, 0 = every clip once an epoch.
    optimiser, optimiser_options: a name in OPTIMISERS, and what it takes (training/schedules.py).
    schedule, schedule_options: a name in SCHEDULES, and what it takes.
    clip_gradient: largest norm of the gradient of all weights; longer ones are shortened to it. 0 = none is.
    swa_epochs: of the last epochs whose weights are averaged, in place of the running mean; 0 = none.
    open_depths: depths that learn at all, from the head down; the others stay as they are and cost less; 0 = all.
    teacher: scores that the network learns from beside its labels: the folder of a finished run or ensemble, or a table
    of clip_id and a column per label; empty = none.
    teacher_share: of the teacher in what a clip is said to hold, 0 to 1; the rest is its labels.
    teacher_hash: of the teacher's table, found when it is read.
    """

    epochs: int = 60
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: float = 0.2
    smoothing: float = 0.0
    loss: str = ""
    ema_decay: float = 0.99
    patience: int = 0
    layer_decay: float = 1.0
    unfreeze_epochs: int = 0
    batch_norm: str = "adapted"
    loss_options: dict[str, str] = field(default_factory=dict)
    noisy_loss: str = ""
    noisy_loss_options: dict[str, str] = field(default_factory=dict)
    noisy_mask: float = 0.0
    noisy_share: float | None = None
    balance: float = 0.0
    optimiser: str = "adamw"
    optimiser_options: dict[str, str] = field(default_factory=dict)
    schedule: str = "one_cycle"
    schedule_options: dict[str, str] = field(default_factory=dict)
    clip_gradient: float = 0.0
    swa_epochs: int = 0
    open_depths: int = 0
    noisy_head: bool = False
    teacher: str = ""
    teacher_share: float = 0.5
    teacher_hash: str = ""

    def __post_init__(self):
        require(self.epochs >= 1, "optim.epochs", self.epochs, "1 or more")
        require(self.batch_size >= 2, "optim.batch_size", self.batch_size, "2 or more")
        require(0 < self.learning_rate < 10, "optim.learning_rate", self.learning_rate, "above 0 and below 10")
        require(0 <= self.weight_decay < 10, "optim.weight_decay", self.weight_decay, "0 to 10")
        require(0 <= self.warm_up < 1, "optim.warm_up", self.warm_up, "0 or more and below 1")
        require(0 <= self.smoothing <= 0.5, "optim.smoothing", self.smoothing, "0 to 0.5")
        require(0 <= self.ema_decay < 1, "optim.ema_decay", self.ema_decay, "0 or more and below 1")
        require(self.patience >= 0, "optim.patience", self.patience, "0 or more")
        require(0 < self.layer_decay <= 1, "optim.layer_decay", self.layer_decay, "above 0 and at most 1")
        require(self.unfreeze_epochs >= 0, "optim.unfreeze_epochs", self.unfreeze_epochs, "0 or more")
        require(self.open_depths >= 0, "optim.open_depths", self.open_depths, "0 or more")
        known = " or ".join(BATCH_NORMS)
        require(self.batch_norm in BATCH_NORMS, "optim.batch_norm", f"'{self.batch_norm}'", known)
        require(0 <= self.noisy_mask < 1, "optim.noisy_mask", self.noisy_mask, "0 or more and below 1")
        in_range = self.noisy_share is None or 0 <= self.noisy_share <= 1
        require(in_range, "optim.noisy_share", self.noisy_share, "0 to 1, or none")
        require(0 <= self.balance <= 1, "optim.balance", self.balance, "0 to 1")
        require(self.clip_gradient >= 0, "optim.clip_gradient", self.clip_gradient, "0 or more")
        require(0 <= self.swa_epochs <= self.epochs, "optim.swa_epochs", self.swa_epochs, "0 to optim.epochs")
        require(0 <= self.teacher_share <= 1, "optim.teacher_share", self.teacher_share, "0 to 1")
        self._rehearse()

    def _rehearse(self) -> None:
        """Use what is named once, on nothing, so that a wrong option is said before anything is trained."""
        nothing = torch.zeros(1, 2)
        for multi_label in (False, True):
            self.objective(multi_label)(nothing, nothing, nothing)
        self.schedule_of(self.optimiser_of([{"params": [nn.Parameter(nothing)], "lr": self.learning_rate}]), 1)

    @property
    def knows_noisy(self) -> bool:
        """Whether the loss asks which clips are of the noisy subset."""
        return bool(self.noisy_loss or self.noisy_mask or self.noisy_head)

    def objective(self, multi_label: bool) -> Objective:
        """The loss of a batch."""
        noisy = None
        if self.noisy_loss:
            noisy = chosen_loss(self.noisy_loss, self.noisy_loss_options, multi_label=multi_label, kind="noisy_loss")
        loss = chosen_loss(self.loss, self.loss_options, multi_label=multi_label)
        return Objective(loss, noisy, self.noisy_mask)

    def optimiser_of(self, sets: ParameterSets) -> Optimizer:
        """The optimiser of parameters."""
        return chosen(OPTIMISERS, self.optimiser, self.optimiser_options, "optimiser")(sets)

    def schedule_of(self, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler:
        """The optimiser's rates, step by step; what it has now are the highest."""
        schedule = chosen(SCHEDULES, self.schedule, self.schedule_options, "schedule")
        return schedule(optimizer, self.epochs, steps_per_epoch, self.warm_up)
