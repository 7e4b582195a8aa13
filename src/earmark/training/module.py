"""The training step: what happens to one batch. Everything random in it is drawn from (seed, epoch, batch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from earmark.augment.pipeline import Augmentation
from earmark.config import require
from earmark.data.manifest import Manifest
from earmark.evaluation.metrics import lwlrap
from earmark.models.tagging_net import TaggingNet
from earmark.training.dataset import choosing_labels, loss_weights
from earmark.training.objective import Objective, chosen, chosen_loss
from earmark.training.sampling import seed_for
from earmark.training.schedules import OPTIMISERS, SCHEDULES, ParameterSets, Plateau
from earmark.training.unfreezing import BATCH_NORMS, depth_groups, open_groups, set_batch_norm


@dataclass(frozen=True)
class OptimConfig:
    """How the weights move.

    epochs: passes over the training clips.
    batch_size: clips a step.
    learning_rate: the highest of the schedule.
    weight_decay: on weight matrices and kernels only.
    warm_up: share of the steps in which the rate rises, 0 to 1 (one_cycle, cosine).
    smoothing: label smoothing ε, 0 to 1.
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
        require(0 <= self.smoothing < 1, "optim.smoothing", self.smoothing, "0 or more and below 1")
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


class TaggingModule(lightning.LightningModule):
    """A TaggingNet with its loss, augmentation and optimiser.

    Args:
        steps_per_epoch: batches an epoch, for the schedule.
        validation: the inner validation clips, or None without any.
    """

    def __init__(
        self,
        net: TaggingNet,
        config: OptimConfig,
        augmentation: Augmentation,
        *,
        multi_label: bool,
        seed: int,
        steps_per_epoch: int,
        validation: Manifest | None = None,
    ):
        super().__init__()
        self.net = net
        self.groups = depth_groups(net)
        self.config = config
        self.augmentation = augmentation
        self.multi_label = multi_label
        self.loss = config.objective(multi_label)
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch
        self.validation = validation
        self.generator = torch.Generator()
        self.highest_rates: list[float] = []  # of each set of parameters
        self._schedule: LRScheduler | None = None
        self._validation: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        """Which weights learn now: a pure function of the epoch, so that a resumed run goes on alike."""
        epochs, most = self.config.unfreeze_epochs, self.config.open_depths or len(self.groups)
        open_groups(self.groups, min(1 + self.current_epoch // epochs, most) if epochs else most)
        set_batch_norm(self.net, self.config.batch_norm)

    def on_before_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, ...]:
        """Of several devices each hears a part of every training batch, which is cut the same however many they are."""
        step = self.trainer.world_size if self.trainer.training else 1
        return tuple(part[self.global_rank :: step] for part in batch) if step > 1 else batch

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout (global) and augmentation (own generator) for this very step, and part of it."""
        part = (self.global_rank,) if self.global_rank else ()
        torch.manual_seed(seed_for(self.seed, self.current_epoch, batch_idx, 1, *part))
        self.generator.manual_seed(seed_for(self.seed, self.current_epoch, batch_idx, 2, *part))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one augmented batch."""
        spectrogram, waveform, targets, weights = self.hear(*batch)
        answers = self.net.answers(spectrogram.contiguous(memory_format=torch.channels_last), waveform)
        losses = [self.loss(each.float(), targets, weights, self.config.smoothing) * share for each, share in answers]
        loss = torch.stack(losses).sum()
        together = self.trainer.world_size > 1
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(waveform), sync_dist=together)
        return loss

    def hear(self, waveform: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A batch as the network gets it in this epoch: spectrogram, augmented waveform, targets and weights."""
        augment = self.current_epoch < self.config.epochs - self.augmentation.config.off_for_last
        with torch.autocast(waveform.device.type, enabled=False):  # bfloat16 cannot count a spectrogram's frames
            if augment:
                waveform, targets, weights = self.augmentation.waveform(
                    waveform, targets, weights, self.generator, self.current_epoch
                )
            spectrogram = self.net.frontend(waveform)
            if augment:
                spectrogram = self.augmentation.spectrogram(spectrogram, self.generator)
        return spectrogram, waveform, targets, weights

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Shorten a gradient that is too long (Lightning's own clipping refuses a fused optimiser)."""
        if self.config.clip_gradient:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip_gradient)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep the windows' logits until all are there."""
        windows, clips = batch
        self._validation.append((self.net(windows).float().cpu(), clips.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Loss and lwlrap of the inner validation clips, window logits averaged to clips."""
        targets = torch.from_numpy(self.validation.targets())
        weights = torch.from_numpy(loss_weights(self.validation))
        logits = torch.cat([logits for logits, _ in self._validation])
        clips = torch.cat([clips for _, clips in self._validation])
        self._validation.clear()
        sums = torch.zeros_like(targets).index_add_(0, clips, logits)
        means = sums / torch.bincount(clips, minlength=len(targets))[:, None]
        self.log("validation_loss", self.loss(means, targets, weights))
        score = lwlrap(self.validation.present(), means.numpy(), choosing_labels(self.validation))
        self.log("validation_score", score)
        if isinstance(self._schedule, Plateau):
            self._schedule.hear(float(score))

    def configure_optimizers(self) -> dict[str, Any]:
        """Without decay on biases and norms, slower from depth to depth; the schedule goes step by step."""
        config = self.config
        depths = self.groups if config.layer_decay < 1 else [[p for group in self.groups for p in group]]
        sets = []
        for depth, group in enumerate(depths):
            rate = config.learning_rate * config.layer_decay**depth
            for decay, is_matrix in ((config.weight_decay, True), (0.0, False)):
                parameters = [p for p in group if (p.ndim > 1) == is_matrix]
                if parameters:
                    sets.append({"params": parameters, "weight_decay": decay, "lr": rate})
        self.highest_rates = [each["lr"] for each in sets]
        optimizer = config.optimiser_of(sets)
        self._schedule = config.schedule_of(optimizer, self.steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule, "interval": "step"}}
