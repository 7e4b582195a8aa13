"""Depth groups, discriminative rates, gradual unfreezing, batch norm that is kept; and that a stop changes nothing."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.errors import ConfigError
from earmark.models.frontend import FrontendConfig
from earmark.models.pretrained.networks import EFFICIENTAT, YAMNET, build_pretrained
from earmark.models.tagging_net import MODELS, build
from earmark.run import FoldFolder
from earmark.training.fit import fit, suited
from earmark.training.module import TaggingModule
from earmark.training.optim_config import OptimConfig
from earmark.training.unfreezing import N_GROUPS, depth_groups, open_groups, set_batch_norm
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
WIDE = FrontendConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mels=32)
SMALL = {"cnn14": {"channels": "8,16,16,32,32,64"}}
OPTIM = OptimConfig(epochs=6, batch_size=4, learning_rate=5e-3)
GRADUAL = dataclasses.replace(OPTIM, layer_decay=0.6, unfreeze_epochs=1)


def fresh():
    torch.manual_seed(0)
    return build("tiny_cnn", FRONTEND, 3, {"width": 8})


def run_fit(manifest, cache, folder, optim, net=None, **changes):
    return fit(
        net or fresh(),
        manifest,
        None,
        FoldFolder(folder),
        framing=Framing(8000, 4000, 2000, "repeat"),
        cache=cache,
        optim=optim,
        augment=AugmentConfig(),
        **changes,
    )


def state(net: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().float().flatten() for value in net.state_dict().values()])


def module_of(net, **optim) -> TaggingModule:
    config = dataclasses.replace(OPTIM, **optim)
    return TaggingModule(net, config, Augmentation(AugmentConfig()), multi_label=False, seed=0, steps_per_epoch=3)


@pytest.fixture(params=[*sorted(MODELS), "mn04_as", "yamnet"])
def net(request):
    if request.param not in MODELS:
        return build_pretrained(request.param)
    return build(request.param, WIDE, 3, SMALL.get(request.param))


def test_every_weight_is_in_one_depth_and_the_heads_in_the_first(net):
    groups = depth_groups(net)
    every = [parameter for group in groups for parameter in group]
    assert len(every) == len(set(every)) == len(list(net.parameters()))
    assert set(groups[0]) == {*net.head.parameters(), *net.auxiliary.parameters()}
    assert 4 <= len(groups) - 1 <= N_GROUPS


def test_depths_follow_the_way_of_the_sound_from_the_top_down(net):
    order = {parameter: place for place, parameter in enumerate(net.parameters())}
    spans = [(min(map(order.get, group)), max(map(order.get, group))) for group in depth_groups(net)]
    for above, below in zip(spans, spans[1:], strict=False):
        assert below[1] < above[0]


def test_a_convolution_is_never_parted_from_its_norm(net):
    depth_of = {parameter: depth for depth, group in enumerate(depth_groups(net)) for parameter in group}
    for part in net.backbone.modules():
        children = list(part.children())
        for one, other in zip(children, children[1:], strict=False):
            if isinstance(one, nn.Conv2d) and isinstance(other, nn.BatchNorm2d):
                assert depth_of[one.weight] == depth_of[other.weight]


def test_weights_that_were_frozen_before_stay_out():
    net = fresh()
    frozen = list(net.backbone.layers[1].parameters())
    for parameter in frozen:
        parameter.requires_grad_(False)
    assert not set(frozen) & {parameter for group in depth_groups(net) for parameter in group}
    module = module_of(net)
    module.on_train_epoch_start()
    assert not any(parameter.requires_grad for parameter in frozen)


def test_parameters_that_belong_to_no_block_lie_deepest():
    net = fresh()
    net.backbone.position = nn.Parameter(torch.zeros(3))
    assert any(parameter is net.backbone.position for parameter in depth_groups(net)[-1])


def test_a_front_end_that_learns_lies_deepest():
    net = build("tiny_cnn", dataclasses.replace(FRONTEND, learns=("kernels", "mel")), 3, {"width": 8})
    groups = depth_groups(net)
    assert set(groups[-1]) == {net.frontend.kernel_changes, net.frontend.mel_changes}
    assert len(groups) == len(depth_groups(fresh())) + 1


def test_each_depth_learns_slower_than_the_one_above():
    groups = module_of(fresh(), layer_decay=0.5).configure_optimizers()["optimizer"].param_groups
    rates = sorted({group["initial_lr"] for group in groups}, reverse=True)
    assert rates == pytest.approx([5e-3 / 25 * 0.5**depth for depth in range(5)])
    peaks = sorted({group["max_lr"] for group in groups}, reverse=True)
    assert peaks == pytest.approx([5e-3 * 0.5**depth for depth in range(5)])
    assert groups[0]["max_lr"] == pytest.approx(5e-3)  # the head's, which the history tells


def test_one_more_depth_learns_every_so_many_epochs(monkeypatch):
    net = fresh()
    module = module_of(net, unfreeze_epochs=2)
    n_groups = len(module.groups)
    for epoch, expected in ((0, 1), (1, 1), (2, 2), (5, 3), (40, n_groups)):
        monkeypatch.setattr(TaggingModule, "current_epoch", epoch)
        module.on_train_epoch_start()
        moving = {parameter for parameter in net.parameters() if parameter.requires_grad}
        assert moving == {parameter for group in module.groups[:expected] for parameter in group}


@pytest.mark.parametrize(("epochs", "first", "last"), [(0, 2, 2), (1, 1, 2)])
def test_no_more_depths_learn_than_are_open_at_all(epochs, first, last, monkeypatch):
    net = fresh()
    module = module_of(net, open_depths=2, unfreeze_epochs=epochs)
    for epoch, expected in ((0, first), (40, last)):
        monkeypatch.setattr(TaggingModule, "current_epoch", epoch)
        module.on_train_epoch_start()
        moving = {parameter for parameter in net.parameters() if parameter.requires_grad}
        assert moving == {parameter for group in module.groups[:expected] for parameter in group}


def test_what_is_not_open_yet_does_not_move_at_all(tones, cache, tmp_path):
    optim = dataclasses.replace(OPTIM, unfreeze_epochs=OPTIM.epochs, ema_decay=0.0)
    before = state(fresh().backbone)
    result = run_fit(tones, cache, tmp_path, optim)
    assert torch.equal(state(result.net.backbone), before)
    assert not torch.equal(state(result.net.head), state(fresh().head))


def test_deep_layers_move_less_with_a_decaying_rate(tones, cache, tmp_path):
    def moved(optim, folder):
        net = run_fit(tones, cache, tmp_path / folder, optim).net
        start = fresh().state_dict()["backbone.layers.1.0.weight"]
        return (net.state_dict()["backbone.layers.1.0.weight"] - start).abs().mean().item()

    alike = dataclasses.replace(OPTIM, weight_decay=0.0)
    assert moved(dataclasses.replace(alike, layer_decay=0.2), "slow") < 0.3 * moved(alike, "alike")


def test_kept_batch_norm_keeps_its_statistics_and_learns_its_scale(tones, cache, tmp_path):
    result = run_fit(tones, cache, tmp_path, dataclasses.replace(OPTIM, batch_norm="kept"))
    norm, start = result.net.backbone.layers[1][1], fresh().backbone.layers[1][1]
    assert torch.equal(norm.running_mean, start.running_mean)
    assert torch.equal(norm.running_var, start.running_var)
    assert not torch.equal(norm.weight, start.weight)
    adapted = run_fit(tones, cache, tmp_path / "adapted", OPTIM).net.backbone.layers[1][1]
    assert not torch.equal(adapted.running_mean, start.running_mean)


def test_a_layer_held_still_keeps_its_statistics_too():
    net = fresh().eval()
    open_groups(depth_groups(net), 2)
    set_batch_norm(net, "adapted")
    assert net.training
    assert net.head.dropout.training
    assert [net.backbone.layers[place][1].training for place in (1, 2, 3)] == [False, False, True]


def test_a_network_in_evaluation_mode_trains_all_the_same(tones, cache, tmp_path):
    evaluating = run_fit(tones, cache, tmp_path / "a", OPTIM, net=fresh().eval())
    assert torch.equal(state(evaluating.net), state(run_fit(tones, cache, tmp_path / "b", OPTIM).net))


@pytest.mark.parametrize("batch_norm", ["adapted", "kept"])
def test_stopping_and_going_on_equals_never_stopping(tones, cache, tmp_path, batch_norm):
    optim = dataclasses.replace(GRADUAL, batch_norm=batch_norm)
    whole = run_fit(tones, cache, tmp_path / "whole", optim)
    for stop in (1, 3):  # while most is frozen, and between two openings
        run_fit(tones, cache, tmp_path / "parts", optim, stop_after=stop)
    parts = run_fit(tones, cache, tmp_path / "parts", optim)
    assert torch.equal(state(whole.net), state(parts.net))


def test_weights_that_know_something_are_not_put_back_to_the_class_frequencies(tones, cache, tmp_path):
    frozen = dataclasses.replace(OPTIM, epochs=1, learning_rate=1e-9, ema_decay=0.0)
    net = fresh()
    bias = net.head.last.bias.detach().clone()
    torch.testing.assert_close(run_fit(tones, cache, tmp_path, frozen, net=net, fresh=False).net.head.last.bias, bias)
    reset = run_fit(tones, cache, tmp_path / "reset", frozen).net.head.last.bias
    torch.testing.assert_close(reset, torch.full((3,), float(np.log(1 / 3))))


@pytest.mark.parametrize(("frontend", "waveform"), [(EFFICIENTAT, 32000), (YAMNET, 16000), (FRONTEND, 8000)])
def test_a_decibel_of_the_equaliser_is_a_decibel_on_every_front_end(frontend, waveform):
    """A sound that is one dB louder moves a spectrogram as far as the equaliser's one dB does."""
    spectrogram = build("tiny_cnn", frontend, 2).frontend
    sound = 0.1 * torch.randn(1, waveform, generator=torch.Generator().manual_seed(0))
    louder = (spectrogram(sound * 10 ** (1 / 20)) - spectrogram(sound)).median()
    assert suited(AugmentConfig(equalise_db=1.0), frontend).equalise_db == pytest.approx(float(louder), rel=0.02)


def test_a_network_that_hears_the_waveform_has_no_spectrogram_to_change():
    wave = SimpleNamespace(compression="none", power=1, scale=1.0)
    augmentation = Augmentation(suited(AugmentConfig(), wave))
    assert len(augmentation.on_spectrogram) == 0
    assert len(augmentation.on_waveform) == len(Augmentation(AugmentConfig()).on_waveform)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_decay": 0.0}, "optim.layer_decay: found 0.0, expected above 0 and at most 1"),
        ({"unfreeze_epochs": -1}, "optim.unfreeze_epochs: found -1, expected 0 or more"),
        ({"open_depths": -1}, "optim.open_depths: found -1, expected 0 or more"),
        ({"batch_norm": "frozen"}, "optim.batch_norm: found 'frozen', expected adapted or kept"),
    ],
)
def test_settings_without_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(OPTIM, **changes)


def test_an_equaliser_does_not_survive_pcen_so_there_is_none():
    config = dataclasses.replace(FRONTEND, compression="pcen")
    assert suited(AugmentConfig(), config) == dataclasses.replace(AugmentConfig(), equalise_db=0.0)
    spectrogram = build("tiny_cnn", config, 2).frontend
    noise = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectrogram(2 * noise), spectrogram(noise), atol=0.05, rtol=0)  # 6 dB more
