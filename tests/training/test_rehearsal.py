"""What is tried before training: the first batch, two clips, silence."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from earmark.augment.pipeline import AugmentConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build, prior_logits
from earmark.training.diagnostics.first_batch import check_first_batch
from earmark.training.diagnostics.rehearsal import hear, rehearse
from earmark.training.fit import assemble
from earmark.training.objective import Objective, chosen_loss
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
FRAMING = Framing(8000, 4000, 2000, "repeat")
LOSS = Objective(chosen_loss("", {}, multi_label=False))
PRIOR = prior_logits(torch.full((3,), 1 / 3), multi_label=False)


def fresh(n_classes: int = 3):
    torch.manual_seed(0)
    return build("tiny_cnn", FRONTEND, n_classes, {"width": 8})


def first_batch(net):
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(3).repeat(2, 1)
    batch = (0.1 * torch.randn(6, 4000, generator=generator), targets, torch.ones_like(targets))
    return check_first_batch(net, LOSS, batch, PRIOR)


class Changed(nn.Module):
    """A layer that does something to what it gets."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.change(features)


def test_the_first_batch_leaves_the_network_as_it_is():
    net = fresh().train()
    before, draws = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    alarms, found = first_batch(net)
    assert alarms == []
    assert found["mixing"] == 0
    assert net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), draws)


def zeros(net) -> None:
    nn.init.zeros_(net.head.last.weight)
    nn.init.zeros_(net.head.last.bias)


@pytest.mark.parametrize(("fault", "expected"), [
    (lambda net: nn.init.constant_(net.head.last.weight, torch.inf), "not_finite"),
    (zeros, "all_zero"),
    (lambda net: nn.init.zeros_(net.head.last.weight), "constant_output"),
    (lambda net: nn.init.constant_(net.head.last.bias[:1].detach(), 100.0), "first_loss"),
    (lambda net: net.backbone.layers.append(Changed(lambda x: x + x.flip(0))), "batch_mixing"),
    (lambda net: net.head.register_module("last", nn.Linear(24, 5)), "wrong_shape"),
])
def test_a_fault_is_found_in_the_first_batch(fault, expected):
    net = fresh().train()
    nn.init.constant_(net.head.last.bias, 0.1)
    fault(net)
    assert [alarm.name for alarm in first_batch(net)[0]] == [expected]


@pytest.fixture
def rehearsed(tones, cache):
    """`rehearsed(net)`: what a rehearsal of its training finds."""

    def run(net, manifest=tones, **changes):
        optim = OptimConfig(epochs=4, batch_size=4, learning_rate=5e-3, **changes)
        arguments = {"framing": FRAMING, "cache": cache, "optim": optim, "augment": AugmentConfig(), "seed": 0}
        module, batches = assemble(net, manifest, None, **arguments, fresh=True)
        before = copy.deepcopy(module.state_dict())
        found = rehearse(module, batches, "float32")
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        return found

    return run


@pytest.mark.parametrize("choice", [{}, {"open_depths": 1}])
def test_a_healthy_network_learns_two_clips_by_heart_and_is_lost_without_them(rehearsed, choice):
    found = rehearsed(fresh(), **choice)
    assert found.alarms == []
    losses = found.checks["two_clips"]["losses"]
    assert losses[-1] < 0.05 * losses[0]
    assert found.checks["zeroed_input"]["silence"] > found.checks["zeroed_input"]["sound"]
    assert list(found.seconds) == ["read", "augment", "front_end", "forward", "backward", "optimiser"]
    assert all(seconds > 0 for seconds in found.seconds.values())


def test_what_the_gradient_does_not_reach_is_named(rehearsed):
    net = fresh()
    net.backbone.layers.append(Changed(torch.Tensor.detach))
    (alarm,) = [alarm for alarm in rehearsed(net).alarms if alarm.name == "frozen"]
    assert alarm.where.startswith("backbone.layers.0.norm")


def test_a_network_whose_features_are_lost_cannot_learn_two_clips(rehearsed):
    net = fresh()
    net.backbone.layers.append(Changed(lambda features: 0 * features))
    assert {alarm.name for alarm in rehearsed(net).alarms} >= {"constant_output", "two_clips"}


def test_an_answer_that_does_not_come_from_the_sound_is_found(rehearsed):
    """The place in the batch goes in beside it, so two clips can be told apart without hearing them."""
    net = fresh()
    place = torch.arange(8.0).reshape(-1, 1, 1, 1) - 0.5
    net.backbone.layers.append(Changed(lambda features: 0 * features + place[: len(features)]))
    assert "deaf" in {alarm.name for alarm in rehearsed(net).alarms}


def test_two_clips_with_the_same_labels_are_left_out(rehearsed, tones):
    only = tones.select([row for row, labels in enumerate(tones.table["labels"]) if labels == ("low",)])
    assert rehearsed(fresh(), only).checks["two_clips"].startswith("left out")


def test_what_is_heard_is_what_the_first_step_hears(tones, cache, monkeypatch):
    arguments = {"framing": FRAMING, "cache": cache, "augment": AugmentConfig(mixup_probability=0.5), "seed": 0}
    optim = OptimConfig(epochs=1, batch_size=4)
    module, batches = assemble(fresh(), tones, None, **arguments, optim=optim, fresh=True)
    heard = hear(copy.deepcopy(module), batches, 4)
    given = []
    monkeypatch.setattr(module.net, "answers", lambda *both: given.append(both) or [(torch.zeros(4, 3), 1.0)])
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.on_train_batch_start(None, 0)
    module.training_step(batches[0, 0], 0)
    (spectrogram, waveform), = given
    assert torch.equal(heard.spectrogram, spectrogram)
    assert torch.equal(heard.heard, waveform)
    assert not torch.equal(heard.heard, heard.waveform)
    assert heard.clips == batches.clips_of(0, 0).tolist()
