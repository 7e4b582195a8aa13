"""A rehearsal of training: what is too dear to be checked each time, on copies of the network, before it is trained."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from earmark.models.tagging_net import TaggingNet
from earmark.training.callbacks import measure_norm
from earmark.training.dataset import TrainingBatches
from earmark.training.diagnostics.alarms import Alarm
from earmark.training.diagnostics.clock import STAGES
from earmark.training.diagnostics.probes import Movements
from earmark.training.diagnostics.watch import Watch
from earmark.training.fit import try_out
from earmark.training.module import TaggingModule
from earmark.training.unfreezing import set_batch_norm

TRIED_STEPS = 6  # every other one watched, the others timed
LEARNING_STEPS = 100  # at most, for two clips
LEARNING_RATES = (3e-3, 3e-4)  # one after the other
LEARNT = 0.05  # of the loss of not knowing: what two clips may lose that are known by heart
UNKNOWN = 1e-3  # loss of not knowing below which there is nothing to learn


@dataclass(frozen=True)
class Rehearsal:
    """What was found.

    alarms: what is likely wrong. checks: what was measured, by name. seconds: of each stage of a step.
    """

    alarms: list[Alarm] = field(default_factory=list)
    checks: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """A batch before and after augmentation.

    clips: positions of its clips. waveform, targets, weights: as they were cut, (clips, …). spectrogram,
    heard, heard_targets, heard_weights: as the network gets them.
    """

    clips: list[int]
    waveform: Tensor
    targets: Tensor
    weights: Tensor
    spectrogram: Tensor
    heard: Tensor
    heard_targets: Tensor
    heard_weights: Tensor


def rehearse(module: TaggingModule, batches: TrainingBatches, precision: str = "auto") -> Rehearsal:
    """Try a few steps, and learn two clips by heart. `module` and its network stay as they are.

    Args:
        module, batches: of `earmark.training.fit.assemble`. precision: as for `fit`.
    """
    started = time.perf_counter()
    reading = batches[0, 0]
    found = Rehearsal(seconds={"read": round(time.perf_counter() - started, 6)})
    _try_steps(copy.deepcopy(module), batches, precision, found)
    if any(alarm.is_certain for alarm in found.alarms):
        return found
    waveform, targets, weights = reading
    pair = _two_unlike(targets, weights)
    if pair is None:
        found.checks["two_clips"] = "left out: all clips of the first batch have the same labels"
        return found
    rows = torch.tensor(pair)
    _learn_two(module, (waveform[rows], targets[rows], weights[rows]), found)
    return found


def hear(module: TaggingModule, batches: TrainingBatches, n_clips: int) -> Heard:
    """The first clips of the first batch, as the very first step hears them (or would, the batch being smaller)."""
    waveform, targets, weights = (part[:n_clips] for part in batches[0, 0])
    clips = batches.clips_of(0, 0)[:n_clips].tolist()
    module.train().on_train_batch_start(None, 0)
    with torch.random.fork_rng(), torch.no_grad():
        seen, *heard = module.hear(waveform.clone(), targets, weights)
    return Heard(clips, waveform, targets, weights, seen, *heard)


def _try_steps(module: TaggingModule, batches: TrainingBatches, precision: str, found: Rehearsal) -> None:
    """A few steps of training, watched."""
    watch = Watch(None, batches, every=2)
    n_epochs = min(-(-TRIED_STEPS // batches.n_batches), module.config.epochs)  # the schedule goes no further
    limits = {"max_epochs": n_epochs, "limit_train_batches": min(TRIED_STEPS, batches.n_batches)}
    try_out(module, batches, precision, watch, **limits)
    found.alarms.extend(watch.alarms.values())
    found.checks.update(watch.first_batch)
    timed = [row["seconds"] for row in watch.rows if "forward" in row["seconds"]]
    found.seconds.update({stage: min(row[stage] for row in timed) for stage in STAGES} if timed else {})


def _two_unlike(targets: Tensor, weights: Tensor) -> tuple[int, int] | None:
    """Two clips of a batch whose known labels differ, or None."""
    for second in range(1, len(targets)):
        known = (weights[0] > 0) & (weights[second] > 0)
        if ((targets[0] - targets[second]).abs() * known).max() > 0.5:
            return 0, second
    return None


def _learn_two(module: TaggingModule, batch: tuple[Tensor, Tensor, Tensor], found: Rehearsal) -> None:
    """Learn two clips by heart, without augmentation, smoothing or dropout; and hear what is left without sound."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    waveform, targets, weights = (part.to(device) for part in batch)
    n_classes = module.net.head.last.out_features
    even = torch.where(weights > 0, targets, 0.0)[:, :n_classes].mean(dim=0).clamp(1e-4, 1 - 1e-4)
    ignorant = torch.logit(even) if module.multi_label else even.log()
    unknown = float(module.loss(ignorant.expand(2, -1), targets, weights))
    if unknown < UNKNOWN:
        found.checks["two_clips"] = "left out: this loss asks nothing of the two clips"
        return
    for rate in LEARNING_RATES:
        net = copy.deepcopy(module.net).to(device)
        losses, still = _learn(net, module, rate, (waveform, targets, weights))
        if min(losses) <= LEARNT * unknown:
            break
    found.checks["two_clips"] = {"losses": [float(f"{loss:.4g}") for loss in losses], "unknown": unknown, "rate": rate}
    if still:
        alarm = Alarm("frozen", ", ".join(still[:3]), f"{len(still)} layers do not move when two clips are learnt")
        found.alarms.append(alarm)
    if not min(losses) <= LEARNT * unknown:
        words = f"two clips still lose {min(losses):.2g} after {len(losses)} steps (not knowing loses {unknown:.2g})"
        found.alarms.append(Alarm("two_clips", "the network", words))
        return
    measure_norm(net, module.net, [waveform])
    with torch.no_grad():
        sound, silence = (
            float(module.loss(net(each).float(), targets, weights)) for each in (waveform, torch.zeros_like(waveform))
        )
    found.checks["zeroed_input"] = {"sound": sound, "silence": silence}
    if not silence > sound:
        words = f"two clips learnt by heart lose {sound:.2g}, and {silence:.2g} without sound (expected: more)"
        found.alarms.append(Alarm("deaf", "the network", words))


def _learn(
    net: TaggingNet, module: TaggingModule, rate: float, batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[list[float], list[str]]:
    """The losses of two clips while all depths of a network learn them, and the layers that no step moved."""
    waveform, targets, weights = batch
    set_batch_norm(net, module.config.batch_norm)
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    movements, losses = Movements(net), []
    learning = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=rate)
    loss_of: Callable[..., Tensor] = module.loss
    for _ in range(LEARNING_STEPS):
        answers = net.answers(net.frontend(waveform), waveform)
        loss = torch.stack([loss_of(each.float(), targets, weights) * share for each, share in answers]).sum()
        optimizer.zero_grad()
        loss.backward()
        if len(losses) < 2:
            movements.before()
        optimizer.step()
        movements.after()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.01 * losses[0]:
            break
    return losses, [name for name, layer in movements.take().items() if not layer["moved"]]
