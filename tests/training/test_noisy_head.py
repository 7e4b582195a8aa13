"""A last layer of their own for noisy clips: it keeps their labels off the head, and is not in the file."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from earmark.augment.pipeline import AugmentConfig
from earmark.export.graph import export_tagger
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.run import FoldFolder
from earmark.tagger import TaggerMetadata, load_tagger
from earmark.training.fit import fit
from earmark.training.objective import Objective, chosen_loss, with_noisy
from earmark.training.optim_config import OptimConfig
from earmark.training.unfreezing import depth_groups
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
OPTIM = OptimConfig(epochs=3, batch_size=4, learning_rate=5e-3, noisy_head=True)


def network(model: str = "tiny_cnn"):
    torch.manual_seed(0)
    net = build(model, FRONTEND, 3, {"width": "8"} if model == "tiny_cnn" else {"width": "0.125"})
    net.add_noisy_head()
    return net


def run_fit(manifest, cache, folder, **changes):
    arguments = {"framing": Framing(8000, 4000, 2000, "repeat"), "cache": cache, "optim": OPTIM}
    return fit(network(), manifest, None, FoldFolder(folder), augment=AugmentConfig(), **(arguments | changes))


@pytest.fixture
def half_noisy(tones):
    subset = np.where(np.arange(len(tones)) % 2, "noisy", "curated")
    return dataclasses.replace(tones, table=tones.table.assign(subset=subset))


@pytest.mark.parametrize("model", ["tiny_cnn", "aux_cnn"])
def test_each_head_hears_from_its_own_clips_alone(model):
    net, loss = network(model).eval(), Objective(chosen_loss("bce", {}, multi_label=True))
    noisy = np.array([True, False, False, True])
    labels = with_noisy(np.eye(4, 3, dtype=np.float32), np.ones((4, 3), np.float32), noisy)
    targets, weights = map(torch.from_numpy, labels)
    waveform = 0.1 * torch.randn(4, 4000)
    for which in (~noisy, noisy):
        net.zero_grad()
        spectrogram = net.frontend(waveform[which])
        logits, _ = net.answers(spectrogram, waveform[which])[0]
        loss(logits, targets[which], weights[which]).backward()
        own, other = (net.noisy, net.head.last) if which is noisy else (net.head.last, net.noisy)
        assert own.weight.grad.abs().sum() > 0
        assert other.weight.grad.abs().sum() == 0
        assert next(net.backbone.parameters()).grad.abs().sum() > 0


def test_it_learns_with_the_rest_and_goes_on_alike_after_a_stop(half_noisy, cache, tmp_path):
    whole = run_fit(half_noisy, cache, tmp_path / "whole")
    assert not torch.equal(whole.net.noisy.weight, network().noisy.weight)
    run_fit(half_noisy, cache, tmp_path / "parts", stop_after=2)
    parts = run_fit(half_noisy, cache, tmp_path / "parts")
    for one, other in zip(whole.net.parameters(), parts.net.parameters(), strict=True):
        assert torch.equal(one, other)
    assert {id(p) for group in depth_groups(whole.net) for p in group} == {id(p) for p in whole.net.parameters()}


def test_both_start_at_the_class_frequencies():
    net = network()
    net.start_at_prior(torch.tensor([0.5, 0.25, 0.25]), multi_label=True)
    assert torch.equal(net.noisy.bias, net.head.last.bias)


def test_it_is_not_in_the_file(tmp_path):
    net = network().eval()
    net.noisy = torch.nn.Linear(net.head.last.in_features, 1001)  # could not be taken for anything else
    metadata = TaggerMetadata("m", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=True)
    export_tagger([net], metadata, tmp_path / "m.tagger.onnx", 0.1 * torch.randn(2, 4000).numpy())
    assert load_tagger(tmp_path / "m.tagger.onnx").labels == ("a", "b", "c")
    shapes = [list(each.dims) for each in onnx.load(tmp_path / "m.tagger.onnx").graph.initializer]
    assert not any(1001 in shape for shape in shapes)
