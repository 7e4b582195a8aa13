"""What is seen of a network while it trains: planted faults are found, healthy training is not disturbed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from torch import nn

from earmark import audio
from earmark.augment.pipeline import AugmentConfig
from earmark.data.manifest import Manifest
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.run import FoldFolder
from earmark.training import fit as fitting
from earmark.training.diagnostics.alarms import ALARMS
from earmark.training.diagnostics.probes import Activations, Movements, layers_of
from earmark.training.diagnostics.rules import Expected, alarms_of
from earmark.training.diagnostics.watch import scalars
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
FRAMING = Framing(8000, 4000, 2000, "repeat")
AUGMENT = AugmentConfig()
# 72 steps, of which the first, the 33rd and the 65th are watched
LEARNING = OptimConfig(epochs=12, batch_size=4, learning_rate=5e-3, ema_decay=0.0)


def fresh(n_classes: int = 3):
    torch.manual_seed(0)
    return build("tiny_cnn", FRONTEND, n_classes, {"width": 8})


def rows_of(net, manifest, cache, folder, *, validation=None, optim=LEARNING, stop_after=None) -> list[dict]:
    arguments = {"framing": FRAMING, "cache": cache, "optim": optim, "augment": AUGMENT, "stop_after": stop_after}
    fitting.fit(net, manifest, validation, FoldFolder(folder), **arguments)
    return FoldFolder(folder).read_diagnostics()


def names(rows: list[dict]) -> set[str]:
    return {alarm["name"] for row in rows for alarm in row["alarms"]}


def shuffled(manifest: Manifest) -> Manifest:
    """Every clip has the labels of another."""
    labels = manifest.table["labels"].to_numpy()
    order = np.random.default_rng(1).permutation(len(labels))
    return dataclasses.replace(manifest, table=manifest.table.assign(labels=labels[order]))


class LessTheMean(nn.Module):
    """Takes from each clip what all have in common: a mean over the wrong axis."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features - features.mean(dim=0, keepdim=True)


@pytest.fixture(scope="module")
def healthy(tones, cache, tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("healthy")
    return folder, rows_of(fresh(), tones, cache, folder, validation=tones)


def test_a_healthy_training_is_not_disturbed(healthy):
    assert names(healthy[1]) == set()


def test_every_epoch_has_a_row_and_watched_ones_have_layers(healthy):
    _, (before, *rows) = healthy
    assert before["epoch"] == -1
    assert before["first_batch"].keys() == {"shape", "loss", "prior_loss", "mixing"}
    assert [row["epoch"] for row in rows] == list(range(12))
    assert [row["epoch"] for row in rows if row["layers"]] == [0, 5, 10]
    assert all(row["prior_loss"] == pytest.approx(math.log(3), rel=0.02) for row in rows)
    assert {"augment", "front_end", "forward", "backward", "optimiser", "waiting", "epoch", "left"} == set(
        rows[5]["seconds"]
    )
    layers = rows[5]["layers"]
    assert list(layers)[:3] == ["frontend", "backbone.layers.0.norm", "backbone.layers.1.0"]
    assert layers["backbone.layers.1.1"]["std"] == pytest.approx(1, abs=0.2)  # batch norm
    assert layers["backbone.layers.1.2"].keys() == {"kind", "mean", "std", "units", "dead"}
    assert layers["head.last"]["learns"] and layers["head.last"]["moved"]
    assert 1e-4 < layers["backbone.layers.1.0"]["update"] < 0.1


def test_what_is_seen_is_drawn_in_tensorboard(healthy):
    folder, rows = healthy
    written = b"".join(path.read_bytes() for path in FoldFolder(folder).tensorboard.glob("events.*"))
    for name, value in scalars(rows[6]):
        assert isinstance(value, float)
        assert f"diagnostics/{name}".encode() in written


def test_a_watched_training_ends_with_the_same_weights_as_one_that_is_not(tones, cache, tmp_path, monkeypatch):
    optim = dataclasses.replace(LEARNING, epochs=4, ema_decay=0.9)
    arguments = {"framing": FRAMING, "cache": cache, "optim": optim, "augment": AUGMENT}
    watched = fitting.fit(fresh(), tones, tones, FoldFolder(tmp_path / "watched"), **arguments)
    monkeypatch.setattr(fitting, "Watch", lambda *_: lightning.Callback())
    alone = fitting.fit(fresh(), tones, tones, FoldFolder(tmp_path / "alone"), **arguments)
    states = zip(watched.net.state_dict().values(), alone.net.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)


def test_a_training_that_goes_on_sees_what_one_that_never_stopped_sees(tones, cache, tmp_path, healthy):
    folder = tmp_path / "parts"
    rows_of(fresh(), tones, cache, folder, validation=tones, stop_after=7)
    FoldFolder(folder).diagnostics.open("a").write('{"epoch": 7, "cut sho')
    parts = rows_of(fresh(), tones, cache, folder, validation=tones)
    strip = [[{**row, "seconds": None} for row in rows] for rows in (parts, healthy[1])]
    assert strip[0] == strip[1]


def dead(net) -> None:
    nn.init.constant_(net.backbone.layers[2][1].bias, -100.0)


def frozen(net) -> None:
    net.head.requires_grad_(False)


def mixing(net) -> None:
    net.backbone.layers.append(LessTheMean())


@pytest.mark.parametrize(("fault", "alarm", "where"), [
    (dead, "dead_units", "backbone.layers.2.2"),
    (frozen, "frozen", "head.last"),
    (mixing, "batch_mixing", "the network"),
])
def test_a_fault_of_a_network_is_found_and_placed(tones, cache, tmp_path, fault, alarm, where):
    net = fresh()
    fault(net)
    optim = dataclasses.replace(LEARNING, epochs=6)
    found = [each for row in rows_of(net, tones, cache, tmp_path, optim=optim) for each in row["alarms"]]
    (first, *_) = [each for each in found if each["name"] == alarm]
    assert first["where"].startswith(where)
    assert ALARMS[alarm].remedy in first["text"]


def test_shuffled_labels_are_no_better_than_the_class_frequencies(tones, cache, tmp_path):
    found = names(rows_of(fresh(), shuffled(tones), cache, tmp_path))
    assert "no_better_than_prior" in found
    assert found <= {"no_better_than_prior", "no_better_than_chance"}


def test_a_rate_that_is_a_thousand_times_too_high_is_found_in_the_first_epochs(tones, cache, tmp_path):
    optim = dataclasses.replace(LEARNING, learning_rate=1000 * LEARNING.learning_rate)
    rows = rows_of(fresh(), tones, cache, tmp_path, optim=optim, stop_after=2)
    assert names(rows[:2]) == {"rate_too_high"}
    assert "diverged" in names(rows[:3])


def test_silence_is_found_before_the_first_step(cache, tmp_path):
    for number in range(8):
        audio.write(tmp_path / f"{number}.wav", np.full(FRAMING.window_samples, 1.2e-5 * number, np.float32), 8000)
    silence = Manifest.build(tmp_path, [f"{n}.wav" for n in range(8)], [("ab"[n % 2],) for n in range(8)])
    rows = rows_of(fresh(n_classes=2), silence, cache, tmp_path / "run", stop_after=1)
    assert names(rows[:1]) == {"silent_input"}
    assert "silent_input" in names(rows[1:])


@pytest.mark.parametrize("choice", [{"open_depths": 2}, {"unfreeze_epochs": 4}, {"batch_norm": "kept"}])
def test_what_is_held_still_by_choice_is_no_alarm(tones, cache, tmp_path, choice):
    rows = rows_of(fresh(), tones, cache, tmp_path, optim=dataclasses.replace(LEARNING, epochs=6, **choice))
    assert "frozen" not in names(rows)
    learning = [name for name, layer in rows[6]["layers"].items() if layer.get("learns")]
    assert "head.last" in learning
    assert ("backbone.layers.0.norm" in learning) == ("batch_norm" in choice)


def test_what_is_kept_of_a_network_does_not_grow_with_the_steps():
    net = fresh().train()
    heard, moves = Activations(net), Movements(net)
    held = []
    for _ in range(3):
        heard.attach()
        net(torch.randn(4, FRAMING.window_samples)).sum().backward()
        heard.detach()
        moves.before()
        moves.after()
        kept = [*heard._sums.values(), *heard._active.values(), *moves._sums.values(), *moves._kept.values()]
        held.append(sum(each.numel() for each in kept))
    assert held[0] == held[1] == held[2]
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers_of(net).values())


def test_units_are_counted_over_all_steps():
    """One is zero in the first step alone, one always."""
    net = fresh().eval()
    norm = net.backbone.layers[1][1]
    heard = Activations(net)
    for first in (-100.0, 100.0):
        nn.init.constant_(norm.bias, 1.0)
        with torch.no_grad():
            norm.bias[0], norm.bias[1], norm.weight[:2] = first, -100.0, 0.0
        heard.attach()
        net(torch.randn(4, FRAMING.window_samples))
        heard.detach()
    layer = heard.take()[0]["backbone.layers.1.2"]
    assert (layer["units"], layer["dead"]) == (8, 0.125)


# --- when it is an alarm, on rows that are written down

LAYER = {"mean": 0.0, "std": 1.0, "units": 16, "dead": 0.0, "update": 0.01, "moved": True, "learns": True}
SECONDS = {"waiting": 0.1, "epoch": 10.0, "left": 50.0}
USUAL = Expected(prior_loss=2.0, chance=0.4, epochs=20, steps_per_epoch=30)


def row(epoch: int = 9, layer: dict | None = None, **changes) -> dict:
    usual = {"epoch": epoch, "train_loss": 1.0, "validation_score": 0.8, "rate": 1.0, "silent": 0.0, "seconds": SECONDS}
    return {**usual, "layers": {"layer": {**LAYER, **(layer or {})}}, **changes}


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, None),
    ({"layer": {"mean": math.nan}}, "not_finite"),
    ({"layer": {"mean": None}}, "not_finite"),  # as a file has it
    ({"train_loss": math.nan}, "not_finite"),
    ({"silent": 0.6}, "silent_input"),
    ({"layer": {"dead": 0.6}}, "dead_units"),
    ({"layer": {"dead": 0.6, "units": 4}}, None),
    ({"layer": {"dead": 1.0, "units": 4}}, "dead_units"),
    ({"layer": {"moved": False}}, "frozen"),
    ({"layer": {"moved": False}, "rate": 1e-4}, None),  # the schedule is at its end
    ({"layer": {"moved": False, "learns": False}}, None),
    ({"layer": {"update": 0.5}}, "rate_too_high"),
    ({"layer": {"update": 1e-7}}, "rate_too_low"),
    ({"layer": {"update": 1e-7}, "rate": 0.1}, None),
    ({"train_loss": 7.0}, "diverged"),
    ({"train_loss": 1.96}, "no_better_than_prior"),
    ({"train_loss": 1.96, "epoch": 4}, None),  # it has not had the time
    ({"validation_score": 0.35}, "no_better_than_chance"),
    ({"seconds": {**SECONDS, "waiting": 6.0}}, "waiting"),
    ({"seconds": {**SECONDS, "waiting": 6.0}, "epoch": 0}, None),
    ({"seconds": {"waiting": 2.0, "epoch": 3.0}}, None),
])
def test_a_row_is_an_alarm(changes, expected):
    here = row(**changes)
    found = [alarm.name for alarm in alarms_of([here] * 3, here, USUAL)]
    assert found == ([expected] if expected else [])


def test_what_is_dead_or_still_once_is_no_alarm():
    """A layer may start with zero weights, and a batch may have no known label."""
    here = row(layer={"dead": 1.0, "moved": False})
    assert alarms_of([here], row(), USUAL) == alarms_of([here], None, USUAL) == []


def test_mixtures_with_labels_of_their_own_are_not_held_against_the_class_frequencies():
    here = row(train_loss=7.0)
    assert alarms_of([here] * 3, here, dataclasses.replace(USUAL, prior_loss=None)) == []


def test_every_alarm_is_explained(request):
    text = (request.config.rootpath / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    assert [name for name in ALARMS if f"`{name}`" not in text] == []
