"""The first batch, before it moves anything: what an untrained network must already do, on a copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from earmark.models.tagging_net import TaggingNet
from earmark.training.callbacks import measure_norm
from earmark.training.diagnostics.alarms import Alarm
from earmark.training.diagnostics.probes import SILENT_PEAK

CHECKED_CLIPS = 8
# times the loss of the class prior, at most: a fresh last layer answers at random, which costs up to 2.3 (one label a
# clip) or 4 (several)
FIRST_LOSS = 5.0
CONSTANT = 1e-6  # deviation of the logits over the clips, as a share of their size
MIXED = 1e-6  # gradient on another clip, as a share of that on the clip itself


def check_first_batch(
    net: TaggingNet,
    loss: Callable[..., Tensor],
    batch: tuple[Tensor, Tensor, Tensor],
    prior: Tensor,
) -> tuple[list[Alarm], dict[str, Any]]:
    """The alarms of a network that has not learnt yet, and what was measured; `net` and its statistics stay as they
    are.

    All of it in evaluation mode, batch normalisation at the statistics of this very batch: in training mode it mixes
    clips by design, and its statistics say nothing yet.

    Args:
        loss: of (logits, targets, weights).
        batch: waveform (batch, samples), targets and weights (batch, classes), perhaps with a column more.
        prior: logits (classes,) of the class frequencies.
    """
    waveform, targets, weights = (part[:CHECKED_CLIPS] for part in batch)
    heard = copy.deepcopy(net)
    measure_norm(heard, net, [waveform])
    with torch.no_grad():
        logits = heard(waveform).float()
    found: dict[str, Any] = {"shape": list(logits.shape)}
    expected = [len(waveform), len(prior)]
    if found["shape"] != expected:
        words = f"has the shape {found['shape']}, expected {expected} (clips, classes)"
        return [Alarm("wrong_shape", "the output", words)], found
    if not logits.isfinite().all():
        return [Alarm("not_finite", "the output", "holds numbers that are not finite")], found
    with torch.no_grad():
        found["loss"] = float(loss(logits, targets, weights))
        found["prior_loss"] = float(loss(prior.to(logits).expand_as(logits), targets, weights))
    alarms = _of_input_and_output(waveform, logits)
    if found["loss"] > FIRST_LOSS * found["prior_loss"]:
        words = f"is {found['loss']:.3g} before training, that of the class frequencies {found['prior_loss']:.3g}"
        alarms.append(Alarm("first_loss", "the loss", words))
    if len(waveform) > 1:
        found["mixing"] = mixing(heard, waveform)
        if found["mixing"] > MIXED:
            words = f"what clip 1 gets depends on the others ({found['mixing']:.1g} of its own gradient, expected 0)"
            alarms.append(Alarm("batch_mixing", "the network", words))
    return alarms, found


def _of_input_and_output(waveform: Tensor, logits: Tensor) -> list[Alarm]:
    """Silence in, zeros out, or the same for all clips."""
    silent = waveform.abs().amax(dim=1) < SILENT_PEAK
    if silent.all():
        return [Alarm("silent_input", "the input", "every window of the first batch is silent (below -80 dB)")]
    if not logits.any():
        return [Alarm("all_zero", "the output", "is zero for every clip and class")]
    alike = len(logits) > 1 and bool((logits.std(dim=0) <= CONSTANT * logits.abs().max()).all())
    differ = not torch.equal(waveform, waveform[:1].expand_as(waveform))
    if alike and differ:
        return [Alarm("constant_output", "the output", "is the same for all clips of the first batch")]
    return []


def mixing(net: TaggingNet, waveform: Tensor) -> float:
    """The largest gradient of the first clip's logits on another clip's samples, as a share of that on its own; 0 in a
    network that hears each clip by itself.

    Args:
        net: in evaluation mode. waveform: (batch, samples), 2 clips or more.
    """
    heard = waveform.detach().clone().requires_grad_()
    # cuDNN has no gradient of a recurrence in evaluation mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        logits = net(heard)[0].float()
        factors = torch.arange(1, len(logits) + 1, device=logits.device)  # so that opposite classes do not cancel out
        (gradient,) = torch.autograd.grad((logits * factors).sum(), heard, allow_unused=True)
    if gradient is None:
        return 0.0
    own, *others = gradient.nan_to_num(0.0, 0.0, 0.0).abs().amax(dim=1).tolist()
    return max(others) / max(own, 1e-30)
