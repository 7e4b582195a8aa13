"""Auxiliary heads and branches: they learn with the network; what only training needs stays out of the file."""

from __future__ import annotations

from dataclasses import fields

import onnx
import onnxruntime
import pytest
import torch

from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.errors import ConfigError
from earmark.export.graph import export_tagger
from earmark.models.aux_cnn import AuxCNN
from earmark.models.crnn import CRNN
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.tagger import TaggerMetadata, load_tagger
from earmark.training.module import TaggingModule
from earmark.training.optim_config import OptimConfig
from earmark.training.unfreezing import depth_groups

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
OPTIM = OptimConfig(epochs=2, batch_size=4)


def network(model: str, **parts):
    torch.manual_seed(0)
    return build(model, FRONTEND, 3, {"width": "0.125"} if model == "aux_cnn" else {"width": "8"}, **parts)


def loss_of(net, waveform: torch.Tensor, augment: AugmentConfig) -> torch.Tensor:
    module = TaggingModule(net, OPTIM, Augmentation(augment), multi_label=True, seed=0, steps_per_epoch=1)
    module.log = lambda *_, **__: None  # no Trainer here
    module.train()
    module.on_train_batch_start(None, 0)
    return module.training_step((waveform, torch.eye(4, 3), torch.ones(4, 3)), 0)


def test_the_loss_is_that_of_the_head_and_the_shares_of_the_others():
    net, waveform = network("aux_cnn").train(), 0.1 * torch.randn(4, 4000)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    strengths = [each.name for each in fields(AugmentConfig) if isinstance(each.default, float)]
    found = loss_of(net, waveform, AugmentConfig(roll=False, **dict.fromkeys(strengths, 0.0)))
    measure = TaggingModule(net, OPTIM, Augmentation(AugmentConfig()), multi_label=True, seed=0, steps_per_epoch=1).loss
    targets, weights = torch.eye(4, 3), torch.ones(4, 3)
    features, skips = net.backbone.with_skips(net.frontend(waveform))
    logits = [net.head(features), *(head(skip) for head, skip in zip(net.auxiliary, skips, strict=True))]
    shares = (1.0, 0.1, 0.2, 0.4)
    expected = sum(share * measure(each, targets, weights) for share, each in zip(shares, logits, strict=True))
    torch.testing.assert_close(found, expected)


def test_auxiliary_heads_learn_and_are_among_what_the_optimiser_moves():
    net = network("aux_cnn")
    loss_of(net, 0.1 * torch.randn(4, 4000), AugmentConfig()).backward()
    heads = list(net.auxiliary.parameters())
    assert len(heads) == 6 and all(p.grad.abs().sum() > 0 for p in heads)
    moved = {id(p) for group in depth_groups(net) for p in group}
    assert moved == {id(p) for p in net.parameters()}


def test_auxiliary_heads_are_not_in_the_file(tmp_path):
    net = network("aux_cnn").eval()
    for head in net.auxiliary:
        head.last = torch.nn.Linear(head.last.in_features, 1001)  # could not be taken for anything else
    metadata = TaggerMetadata("m", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=True)
    export_tagger([net], metadata, tmp_path / "m.tagger.onnx", 0.1 * torch.randn(2, 4000).numpy())
    kept = [tuple(each.dims) for each in onnx.load(tmp_path / "m.tagger.onnx").graph.initializer]
    assert any(3 in shape for shape in kept)
    assert not any(1001 in shape for shape in kept)


def test_branches_learn_from_the_waveform_as_it_was_augmented():
    net = network("tiny_cnn", branches=("steps",))
    heard = []
    net.branches[0].register_forward_hook(lambda _, arguments, __: heard.append(arguments[0]))
    waveform = 0.1 * torch.randn(4, 4000)
    loss_of(net, waveform, AugmentConfig(roll=False, gain_db=20.0)).backward()
    gains = heard[0] / waveform
    assert (gains.std(dim=1) < 1e-4).all() and gains[:, 0].std() > 0.1  # each clip by its own gain
    assert all(p.grad.abs().sum() > 0 for p in net.branches.parameters())
    assert {id(p) for group in depth_groups(net)[:1] for p in group} >= {id(p) for p in net.branches.parameters()}


def test_several_networks_with_steps_are_averaged_step_by_step(tmp_path):
    torch.manual_seed(0)
    nets = [build("crnn", FRONTEND, 3, {"channels": "8,8", "n_hidden": "8"}).eval() for _ in range(2)]
    windows = 0.1 * torch.randn(2, 4000)
    metadata = TaggerMetadata("m", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=False)
    export_tagger(nets, metadata, tmp_path / "m.tagger.onnx", windows.numpy())
    assert load_tagger(tmp_path / "m.tagger.onnx").backend.run(windows.numpy())[0].shape == (2, 3)
    session = onnxruntime.InferenceSession(tmp_path / "m.tagger.onnx")
    (steps,) = session.run(["patch_scores"], {"waveform": windows.numpy()})
    with torch.no_grad():
        features = [net.backbone(net.frontend(windows)) for net in nets]
        each = [
            torch.softmax(net.head.classify_steps(heard, net.pool(heard, windows)), dim=2)
            for net, heard in zip(nets, features, strict=True)
        ]
    assert steps.shape == (2, 8, 3)
    torch.testing.assert_close(torch.from_numpy(steps), torch.stack(each).mean(dim=0), atol=1e-4, rtol=0)


def test_widths_and_layers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="width: found 0.01, expected 0.1 to 4"):
        AuxCNN(16, width=0.01)
    with pytest.raises(ConfigError, match="n_layers: found 0, expected 1 or more"):
        CRNN(16, n_layers=0)
