"""The last layer fitted before fine-tuning: what scikit-learn finds, what is unknown left out, nothing else moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.models.frontend import FrontendConfig
from earmark.models.heads import HiddenHead
from earmark.models.tagging_net import TaggingNet, build
from earmark.training import linear_probe
from earmark.training.linear_probe import RIDGE, fit_last_layer
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
WHOLE = Framing(8000, 8000, 8000, "zeros")  # a window a clip


@pytest.fixture
def net() -> TaggingNet:
    torch.manual_seed(0)
    net = build("tiny_cnn", FRONTEND, 3, {"width": 8})
    net.train()(0.1 * torch.randn(8, 8000))  # moves the batch norm statistics off their start
    return net.eval()


def windows(manifest, cache) -> torch.Tensor:
    audio = ClipAudio(manifest, cache, WHOLE.sample_rate)
    return torch.from_numpy(np.concatenate([WHOLE.cut(audio[clip]) for clip in range(len(audio))]))


@torch.no_grad()
def scores(net, waveform) -> np.ndarray:
    return torch.softmax(net(waveform), dim=1).numpy()


def test_it_is_the_logistic_regression_of_scikit_learn(net, tones, cache):
    fit_last_layer(net, tones, WHOLE, cache)
    waveform = windows(tones, cache)
    with torch.no_grad():
        embedding = net.embed(waveform).numpy()
    standard = (embedding - embedding.mean(axis=0)) / (embedding.std(axis=0) + 1e-4)
    theirs = LogisticRegression(C=1 / (RIDGE * len(tones)), max_iter=5000, tol=1e-8)
    theirs.fit(standard, tones.targets().argmax(axis=1))
    np.testing.assert_allclose(scores(net, waveform), theirs.predict_proba(standard), atol=5e-3)


def test_only_the_last_layer_changes(net, tones, cache):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit_last_layer(net, tones, WHOLE, cache)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.last.weight", "head.last.bias"}


def test_a_hidden_layer_before_the_last_is_heard_through(net, tones, cache):
    hidden = TaggingNet(net.frontend, net.backbone, HiddenHead(24, 12, 3)).eval()
    fit_last_layer(hidden, tones, WHOLE, cache)
    answers = scores(hidden, windows(tones, cache)).argmax(axis=1)
    assert (answers == tones.targets().argmax(axis=1)).mean() > 0.8


def test_what_is_unknown_does_not_matter(net, tones, cache, monkeypatch):
    table = tones.table
    doubts = [() if "low" in labels else ("low",) for labels in table["labels"]]
    unsure = Manifest.build(tones.root, table["path"].tolist(), table["labels"].tolist(), unsure=doubts)
    fit_last_layer(net, unsure, WHOLE, cache)
    found = net.head.last.weight.detach().clone()
    targets, known = Manifest.targets, Manifest.label_weights
    assert (known(unsure) == 0).sum() > 0
    monkeypatch.setattr(Manifest, "targets", lambda self: np.where(known(self) > 0, targets(self), 0.7).astype("f4"))
    fit_last_layer(net, unsure, WHOLE, cache)
    torch.testing.assert_close(net.head.last.weight.detach(), found)


def test_a_clip_counts_the_same_however_many_windows_it_has(net, tones, cache, monkeypatch):
    features, clips = linear_probe._heard(net, ClipAudio(tones, cache, WHOLE.sample_rate), WHOLE)
    fit_last_layer(net, tones, WHOLE, cache)
    once = net.head.last.weight.detach().clone()
    often = torch.tensor([1, 5, 2] * 8)  # each class's windows
    repeated = features.repeat_interleave(often, dim=0), clips.repeat_interleave(often)
    monkeypatch.setattr(linear_probe, "_heard", lambda *_: repeated)
    fit_last_layer(net, tones, WHOLE, cache)
    torch.testing.assert_close(net.head.last.weight.detach(), once, rtol=1e-2, atol=1e-2)


def test_a_feature_that_never_moves_harms_nothing(net, tones, cache):
    with torch.no_grad():
        net.backbone.layers[3][0].weight[0] = 0.0
    fit_last_layer(net, tones, WHOLE, cache)
    assert net.head.last.weight.isfinite().all()
    assert net.head.last.bias.isfinite().all()


def test_new_classes_are_fitted_beside_those_that_are_kept(net, tones, cache):
    """Of a softmax the kept logits may stand anywhere: the new ones have to be on their level."""
    with torch.no_grad():
        net.head.last.bias += 20.0
    given = net.head.last.weight[1].clone(), net.head.last.bias[1].clone()
    fit_last_layer(net, tones, WHOLE, cache, kept=[1])
    assert torch.equal(net.head.last.weight[1], given[0]) and torch.equal(net.head.last.bias[1], given[1])
    found = scores(net, windows(tones, cache))
    np.testing.assert_allclose(found.mean(axis=0)[[0, 2]], tones.targets().mean(axis=0)[[0, 2]], atol=0.02)
