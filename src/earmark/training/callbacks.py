"""What is written while a network trains: the history, and the checkpoints that a killed run resumes from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from earmark.run import FoldFolder, to_json, write_atomically, write_text
from earmark.training.dataset import TrainingBatches


class MeanOfWeights(WeightAveraging):
    """A mean of the weights, kept where the network is: elsewhere each step would copy it over."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Make the mean, on this process's device."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


class RunningMean(MeanOfWeights):
    """The running mean of weights and batch norm statistics, which is what is validated and kept.

    In the first steps it is nearly a plain mean, so that a small set does not keep its untrained weights.

    Args:
        decay: share of the old mean that a step keeps, once warmed up.
    """

    def __init__(self, decay: float):
        super().__init__(multi_avg_fn=partial(_approach, decay))


def _approach(decay: float, means: Sequence[Tensor], currents: Sequence[Tensor], n_averaged: Tensor | int) -> None:
    share = max(1 - decay, 9 / (int(n_averaged) + 10))
    for mean, current in zip(means, currents, strict=True):
        mean.copy_(mean + (current - mean) * share)  # not lerp: batch norm counts its batches in integers


class LastWeights(MeanOfWeights):
    """The plain mean of the weights at the ends of the last epochs, with batch norm statistics measured anew on it:
    those of its members belong to other weights. Until those epochs it is the network itself.

    Args:
        n_averaged: epochs, of `epochs`.
        batches: the training windows, without augmentation, which are what users' files look like.

    Source: Izmailov et al. 2018, arXiv 1803.05407 (stochastic weight averaging).
    """

    def __init__(self, n_averaged: int, epochs: int, batches: TrainingBatches):
        self.first = epochs - n_averaged
        super().__init__(multi_avg_fn=partial(_join, self.first))
        self.batches = batches

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After the last step of each epoch, which is before its validation."""
        return step_idx is not None and (step_idx + 1) % self.batches.n_batches == 0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *step: Any) -> None:
        """Update the mean, and measure what batch normalisation must know of it."""
        before = self._latest_update_step
        super().on_train_batch_end(trainer, module, *step)
        epoch = trainer.current_epoch
        if self._latest_update_step > before and epoch > self.first:
            windows = (self.batches[epoch, batch][0] for batch in range(self.batches.n_batches))
            measure_norm(self._average_model.module.net, module.net, windows)


def _join(first: int, means: Sequence[Tensor], currents: Sequence[Tensor], n_before: Tensor | int) -> None:
    n_members = int(n_before) + 1 - first
    for mean, current in zip(means, currents, strict=True):
        mean.copy_(mean + (current - mean) / n_members if n_members > 1 else current)


@torch.no_grad()
def measure_norm(mean: nn.Module, net: nn.Module, windows: Iterable[Tensor]) -> None:
    """Statistics of batch normalisation on windows as users have them, in evaluation mode otherwise; of the layers that
    still learn in `net`."""
    mean.eval()
    norms = [
        norm
        for norm, learns in zip(mean.modules(), net.modules(), strict=True)
        if isinstance(norm, _BatchNorm) and learns.training
    ]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    device = next(mean.parameters()).device
    for batch in windows:
        mean(batch.to(device))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    mean.eval()


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, also where the temporary folder is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint in one step."""
        with write_atomically(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class History(lightning.Callback):
    """Appends one JSON object per finished epoch to history.jsonl; a resumed run first drops the epochs it repeats.

    Of several processes that train one network the first writes. How long they wait for data stands in
    diagnostics.jsonl (`seconds`).
    """

    def __init__(self, folder: FoldFolder):
        self.folder = folder
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Keep only the epochs that the checkpoint has behind it."""
        if not trainer.is_global_zero:
            return
        kept = [row for row in self.folder.read_history() if row["epoch"] < trainer.current_epoch]
        write_text(self.folder.history, "".join(to_json(row) + "\n" for row in kept))

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Start the epoch's clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Append the epoch's row."""
        if not trainer.is_global_zero:
            return
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            **measured,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        with open(self.folder.history, "a", encoding="utf-8") as file:
            file.write(to_json(row) + "\n")


def checkpoints(folder: FoldFolder, has_validation: bool) -> list[ModelCheckpoint]:
    """`last` after every epoch, to resume from; `best` by the inner validation score where there is one.

    `best` comes first, so that the state it keeps is inside the `last` of the same epoch.
    """
    last = ModelCheckpoint(
        folder.checkpoints,
        filename="last",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        every_n_epochs=1,
    )
    if not has_validation:
        return [last]
    best = ModelCheckpoint(
        folder.checkpoints, filename="best", monitor="validation_score", mode="max", enable_version_counter=False
    )
    return [best, last]
