"""The training step: what happens to one batch. Everything random in it is drawn from (seed, epoch, batch)."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from earmark.augment.pipeline import Augmentation
from earmark.data.manifest import Manifest
from earmark.evaluation.metrics import lwlrap
from earmark.models.tagging_net import TaggingNet
from earmark.training.dataset import choosing_labels, loss_weights
from earmark.training.optim_config import OptimConfig
from earmark.training.sampling import seed_for
from earmark.training.schedules import Plateau
from earmark.training.unfreezing import depth_groups, open_groups, set_batch_norm


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
        self.net.frontend.train(self.changes_sounds)  # it may add noise in training

    @property
    def changes_sounds(self) -> bool:
        """Whether this epoch has any augmentation."""
        return self.current_epoch < self.config.epochs - self.augmentation.config.off_for_last

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
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(waveform), sync_dist=True)
        return loss

    def hear(self, waveform: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A batch as the network gets it in this epoch: spectrogram, augmented waveform, targets and weights."""
        augment = self.changes_sounds
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
        score = float(lwlrap(self.validation.present(), means.numpy(), choosing_labels(self.validation)))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Of several devices the first one's, lest a last bit give each rates, and so weights, of its own.
            score = self.trainer.strategy.broadcast(score)
        self.log("validation_score", score)
        if isinstance(self._schedule, Plateau):
            self._schedule.hear(score)

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
