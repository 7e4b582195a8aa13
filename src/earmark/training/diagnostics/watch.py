"""Watch: looks at a step now and then while a network trains, writes what it saw, and says what is wrong.

It draws nothing, and changes neither weights nor statistics: a training that is watched ends as one that is not.
"""

from __future__ import annotations

import logging
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim import Optimizer

from earmark.data.manifest import Manifest
from earmark.evaluation.metrics import lwlrap
from earmark.models.tagging_net import prior_logits
from earmark.run import FoldFolder, to_json, write_text
from earmark.training.dataset import TrainingBatches, choosing_labels, class_frequencies
from earmark.training.diagnostics.alarms import BEFORE, Alarm, when
from earmark.training.diagnostics.clock import StageClock
from earmark.training.diagnostics.first_batch import check_first_batch
from earmark.training.diagnostics.probes import Activations, Movements, together
from earmark.training.diagnostics.rules import CHANCE_MARGIN, Expected, alarms_of
from earmark.training.module import TaggingModule

log = logging.getLogger("earmark")

WATCH_EVERY = 32  # steps: a watched one cost 40 % more when twice as many clips were measured, 1.3 % in all
PRIOR_BATCHES = 256  # of the first epoch, whose labels give the class frequencies
CHANCE_DRAWS = 10


class Watch(lightning.Callback):
    """Appends to a fold's diagnostics.jsonl a row before the first epoch and one after each, see docs/diagnostics.md.

    Args:
        folder: of the fold; None = rows are kept in `rows` alone.
        batches: the training batches.
        every: steps from one that is watched to the next; the one after it is timed.
    """

    def __init__(self, folder: FoldFolder | None, batches: TrainingBatches, every: int = WATCH_EVERY):
        self.folder = folder
        self.batches = batches
        self.every = every
        self.rows: list[dict[str, Any]] = []  # the last few
        self.first_batch: dict[str, Any] = {}
        self.alarms: dict[str, Alarm] = {}  # the first of each name
        self._before: dict[str, Any] | None = None  # the last with layers
        self._rate = 0.0
        self._on_network: tuple[Activations | StageClock, ...] = ()  # none where other processes train

    def on_train_start(self, trainer: lightning.Trainer, module: TaggingModule) -> None:
        """Keep only the rows that the checkpoint has behind it, and find what the network is held against."""
        if not trainer.is_global_zero:
            self.folder = None  # it hears its own part of each batch, and the first process writes
        if self.folder:
            kept = [row for row in self.folder.read_diagnostics() if row["epoch"] < trainer.current_epoch]
            write_text(self.folder.diagnostics, "".join(to_json(row) + "\n" for row in kept))
            self.rows = [row for row in kept if row["epoch"] != BEFORE][-3:]
            self._rate = self.rows[-1]["rate"] if self.rows else 0.0
            self._before = next((row for row in reversed(kept) if row["layers"]), None)
        self._prior, self._expected = expected_of(module, self.batches)
        self._activations, self._movements = Activations(module.net), Movements(module.net)
        self._clock = StageClock(module.net)
        self._on_network = (self._activations, self._clock)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: TaggingModule) -> None:
        """Start the epoch's clock."""
        self._clock.start_epoch()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: TaggingModule, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int
    ) -> None:
        """Check the very first batch; listen if this step is watched, take the time if it is timed."""
        if trainer.global_step == 0:
            alarms, self.first_batch = check_first_batch(module.net, module.loss, batch, self._prior)
            self._write(trainer, {"epoch": BEFORE, "first_batch": self.first_batch, "layers": {}}, alarms)
        if trainer.global_step % self.every == 0:
            self._activations.attach()
        self._clock.begin(timed=trainer.global_step % self.every == 1)

    def on_before_backward(self, trainer: lightning.Trainer, module: TaggingModule, loss: Tensor) -> None:
        """The forward pass and the loss are done."""
        self._activations.detach()
        self._clock.mark("forward")

    def on_after_backward(self, trainer: lightning.Trainer, module: TaggingModule) -> None:
        """The gradients are there."""
        self._clock.mark("backward")

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, module: TaggingModule, optimizer: Optimizer
    ) -> None:
        """Keep a sample of the weights if this step is watched."""
        if trainer.global_step % self.every == 0:
            self._movements.before()
            shares = zip(optimizer.param_groups, module.highest_rates, strict=True)
            self._rate = max(group["lr"] / highest for group, highest in shares)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: TaggingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """See how far the weights moved, if they were kept."""
        self._movements.after()
        self._clock.end()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: TaggingModule) -> None:
        """Write the epoch's row."""
        activations, silent = self._activations.take()
        layers = together(activations, self._movements.take(), dict(module.net.named_modules()))
        for name in self._movements.meant_to_move(module.groups) if layers else ():
            layers[name]["learns"] = True
        measured = trainer.callback_metrics
        score = measured.get("validation_score")
        row = {
            "epoch": trainer.current_epoch,
            "train_loss": float(measured["train_loss"]),
            "prior_loss": self._expected.prior_loss,
            "validation_score": None if score is None else float(score),
            "chance": self._expected.chance,
            "rate": self._rate,
            "silent": silent,
            "layers": layers,
            "seconds": self._clock.take(self._expected.epochs - trainer.current_epoch - 1),
        }
        self.rows = [*self.rows[-2:], row]
        self._write(trainer, row, alarms_of(self.rows, self._before, self._expected))
        if layers:
            self._before = row

    def on_exception(self, trainer: lightning.Trainer, module: TaggingModule, exception: BaseException) -> None:
        """Leave nothing on the network."""
        for listener in self._on_network:
            listener.detach()

    def _write(self, trainer: lightning.Trainer, row: dict[str, Any], alarms: list[Alarm]) -> None:
        """A row to the file and to TensorBoard, and each alarm once to the log."""
        row["alarms"] = [alarm.to_dict() for alarm in alarms]
        for alarm in alarms:
            if alarm.name not in self.alarms:
                self.alarms[alarm.name] = alarm
                if self.folder:
                    log.warning("%s: %s", when(row["epoch"]), alarm.text)
        if self.folder:
            with open(self.folder.diagnostics, "a", encoding="utf-8") as file:
                file.write(to_json(row) + "\n")
        if isinstance(trainer.logger, TensorBoardLogger):
            for name, value in scalars(row):
                trainer.logger.experiment.add_scalar(f"diagnostics/{name}", value, trainer.global_step)


def scalars(row: dict[str, Any]) -> list[tuple[str, float]]:
    """What of a row is drawn over time: of each layer deviation, dead units and update; seconds; alarms."""
    found = [("alarms", float(len(row["alarms"])))]
    for name, layer in row["layers"].items():
        found += [(f"{kind}/{name}", layer[kind]) for kind in ("mean", "std", "dead", "update") if kind in layer]
    found += [(f"seconds/{stage}", value) for stage, value in row.get("seconds", {}).items()]
    return found


def expected_of(module: TaggingModule, batches: TrainingBatches) -> tuple[Tensor, Expected]:
    """Logits (classes,) of the class frequencies among the clips that are drawn, and what a network is held against."""
    n_classes = module.net.head.last.out_features
    drawn = [batches.clips_of(0, batch) for batch in range(min(batches.n_batches, PRIOR_BATCHES))]
    clips = np.concatenate(drawn)
    frequencies = class_frequencies(batches.targets[clips, :n_classes], batches.weights[clips, :n_classes])
    prior = prior_logits(frequencies, module.multi_label)
    mixing = module.augmentation.mixing
    prior_loss = None
    if mixing is None or not mixing.either.any():
        losses = []
        for chosen in drawn:
            labels = torch.from_numpy(batches.targets[chosen]), torch.from_numpy(batches.weights[chosen])
            losses.append(float(module.loss(prior.expand(len(chosen), -1), *labels, module.config.smoothing)))
        prior_loss = float(np.mean(losses))
    chance = chance_score(module.validation, frequencies.numpy()) if module.validation is not None else None
    return prior, Expected(prior_loss, chance, module.config.epochs, batches.n_batches)


def chance_score(validation: Manifest, frequencies: np.ndarray) -> float:
    """The lwlrap that scores without any knowledge of the clips stay below: drawn ones, and the class frequencies."""
    known = choosing_labels(validation)
    present = validation.present()
    generator = np.random.default_rng(0)  # of its own: training draws from others
    drawn = [lwlrap(present, generator.random(present.shape), known) for _ in range(CHANCE_DRAWS)]
    constant = lwlrap(present, np.broadcast_to(frequencies, present.shape), known)
    return float(max(np.mean(drawn) + 2 * np.std(drawn), constant) + CHANCE_MARGIN)
