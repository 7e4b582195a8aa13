"""When what was measured is an alarm. Pure functions of rows of diagnostics.jsonl."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.training.diagnostics.alarms import Alarm

Row = Mapping[str, Any]

DEAD_SHARE = 0.5  # of a layer's units
FEWEST_UNITS = 8  # in a layer of which a share may be dead
LARGEST_UPDATE = 0.3  # of the weights, by the median layer in one step; healthy ones lie between 1e-4 and 0.1
LEAST_UPDATE = 1e-6
FAST = 0.01  # share of the highest rate from which weights have to move
FASTEST = 0.5  # and from which they should move well
SILENT_SHARE = 0.5  # of the windows
DIVERGED = 3.0  # times the loss of the class prior
NOT_BETTER = 0.97  # of the loss of the class prior
PATIENCE_EPOCHS, PATIENCE_SHARE, PATIENCE_STEPS = 5, 0.3, 60  # before a network must have learnt something
CHANCE_MARGIN = 0.02
WAITING_SHARE = 0.5  # of the time
SHORTEST_EPOCH_SECONDS = 5.0  # that is judged by its time
NAMED_LAYERS = 3  # in an alarm


@dataclass(frozen=True)
class Expected:
    """What a network is held against.

    prior_loss: of the class frequencies as the answer to every clip; None where the labels of mixtures are not the
    mixtures of labels, which makes it another one. chance: lwlrap of an inner validation that a network which has
    learnt nothing stays below; None without inner validation. epochs: planned. steps_per_epoch: batches.
    """

    prior_loss: float | None
    chance: float | None
    epochs: int
    steps_per_epoch: int


def alarms_of(rows: Sequence[Row], before: Row | None, expected: Expected) -> list[Alarm]:
    """The alarms of the last of some rows.

    Args:
        rows: of the last epochs, at least 3 if there are so many.
        before: the last row before this one with layers in it.
    """
    row = rows[-1]
    found = list(_of_layers(row, before))
    found += _of_losses(rows, expected)
    found += _of_time(row)
    return found


def _of_layers(row: Row, before: Row | None) -> Iterator[Alarm]:
    layers: Mapping[str, Row] = row["layers"]
    if not layers:
        return
    if broken := [name for name, layer in layers.items() if "mean" in layer and not _finite(layer["mean"])]:
        yield Alarm("not_finite", _named(broken[:1]), "gives numbers that are not finite, the first layer to do so")
        return
    if row["silent"] > SILENT_SHARE:
        yield Alarm("silent_input", "the input", f"{row['silent']:.0%} of the windows are silent (below -80 dB)")
    # A layer may start with zero weights, and 16 clips may miss a rare unit: what is dead twice is dead.
    earlier = before["layers"] if before else {}
    dead = [name for name, layer in layers.items() if _is_dead(layer) and _is_dead(earlier.get(name, {}))]
    if dead:
        worst = max(layers[name]["dead"] for name in dead)
        words = f"up to {worst:.0%} of the units were zero on all clips that were looked at"
        yield Alarm("dead_units", _named(dead), f"{words} (expected: few)")
    if row["rate"] >= FAST:
        meant = [name for name, layer in layers.items() if layer.get("learns")]
        still = [name for name in meant if not layers[name]["moved"]]
        # As with the dead ones, for labels may be unknown in a whole batch.
        if still := [name for name in still if earlier and not earlier.get(name, {}).get("moved", True)]:
            yield Alarm("frozen", _named(still), f"no step moved the weights ({len(still)} of {len(meant)} layers)")
    updates = [layer["update"] for layer in layers.values() if layer.get("learns") and layer.get("moved")]
    typical = statistics.median(updates) if updates else None
    if typical is not None and typical > LARGEST_UPDATE:
        words = f"a step changes the median layer by {typical:.1g} of its weights (expected: 1e-4 to 0.1)"
        yield Alarm("rate_too_high", "the weights", words)
    elif typical is not None and typical < LEAST_UPDATE and row["rate"] >= FASTEST:
        words = f"a step changes the median layer by {typical:.1g} of its weights (expected: 1e-4 to 0.1)"
        yield Alarm("rate_too_low", "the weights", words)


def _of_losses(rows: Sequence[Row], expected: Expected) -> Iterator[Alarm]:
    row = rows[-1]
    loss, prior = row["train_loss"], expected.prior_loss
    if not _finite(loss):
        yield Alarm("not_finite", "the loss", "is not finite")
        return
    if prior is not None and row["epoch"] > 0 and loss > DIVERGED * prior:
        yield Alarm("diverged", "the loss", f"is {loss:.3g}, that of the class frequencies alone {prior:.3g}")
        return
    n_epochs = row["epoch"] + 1
    patience = max(PATIENCE_EPOCHS, PATIENCE_SHARE * expected.epochs)
    if n_epochs < patience or n_epochs * expected.steps_per_epoch < PATIENCE_STEPS:
        return
    recent = statistics.mean(each["train_loss"] for each in rows[-3:])
    if prior is not None and recent > NOT_BETTER * prior:
        words = f"after {n_epochs} epochs it is {recent:.3g}, that of the class frequencies alone {prior:.3g}"
        yield Alarm("no_better_than_prior", "the loss", words)
        return
    scores = [each["validation_score"] for each in rows[-3:]]
    if expected.chance is not None and all(map(_finite, scores)) and statistics.mean(scores) <= expected.chance:
        found, chance = statistics.mean(scores), expected.chance
        words = f"after {n_epochs} epochs lwlrap is {found:.3f} (by chance up to {chance:.3f})"
        yield Alarm("no_better_than_chance", "the inner validation", words)


def _of_time(row: Row) -> Iterator[Alarm]:
    seconds = row["seconds"]
    if row["epoch"] < 1 or seconds["epoch"] < SHORTEST_EPOCH_SECONDS:  # in the first the disk is read anew
        return
    share = seconds["waiting"] / seconds["epoch"]
    if share > WAITING_SHARE:
        yield Alarm("waiting", "the batches", f"{share:.0%} of the epoch was spent waiting for data")


def _is_dead(layer: Row) -> bool:
    share = layer.get("dead", 0)
    return share == 1 or (share > DEAD_SHARE and layer["units"] >= FEWEST_UNITS)


def _named(layers: Sequence[str]) -> str:
    more = f" and {len(layers) - NAMED_LAYERS} more" if len(layers) > NAMED_LAYERS else ""
    return ", ".join(layers[:NAMED_LAYERS]) + more


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
