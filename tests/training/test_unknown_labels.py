"""Unknown labels, soft targets and clip weights on their way from the manifest into the network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from earmark.augment.pipeline import AugmentConfig
from earmark.data.manifest import Manifest
from earmark.evaluation.metrics import lwlrap
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.run import FoldFolder
from earmark.training.dataset import loss_weights
from earmark.training.fit import fit
from earmark.training.module import TaggingModule
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
OPTIM = OptimConfig(epochs=3, batch_size=4, learning_rate=5e-3)
LABELS = ("high", "low", "noise")


def rebuilt(tones, labels=None, **columns) -> Manifest:
    """The tones with other columns."""
    table = tones.table
    labels = table["labels"].tolist() if labels is None else labels
    return Manifest.build(tones.root, table["path"].tolist(), labels, groups=table["group"].tolist(), **columns)


def run_fit(manifest, cache, folder, *, validation=None, optim=OPTIM, augment=None):
    torch.manual_seed(0)
    net = build("tiny_cnn", FRONTEND, 3, {"width": 8})
    settings = {"framing": Framing(8000, 4000, 2000, "repeat"), "cache": cache, "optim": optim}
    return fit(net, manifest, validation, FoldFolder(folder), augment=augment or AugmentConfig(), **settings)


def weights(result) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.net.parameters()])


@pytest.fixture
def unsure(tones) -> Manifest:
    """Clips that are unsure of one of their three labels, every third of its own."""
    given = tones.table["labels"].tolist()
    doubts = [tuple({"low", "high", "noise"} - set(labels))[:1] if n % 2 else labels for n, labels in enumerate(given)]
    sure = [tuple(label for label in labels if label not in doubts[n]) for n, labels in enumerate(given)]
    return rebuilt(tones, sure, unsure=doubts)


def test_loss_weights_are_the_clips_weight_where_the_label_is_known():
    manifest = Manifest.build(
        ".", ["a.wav", "b.wav"], [("dog",), ("rain",)], unsure=[("rain",), ()], weights=[0.5, 2.0]
    )
    assert loss_weights(manifest).tolist() == [[0.5, 0.0], [2.0, 2.0]]
    assert loss_weights(manifest).dtype == np.float32


@pytest.mark.parametrize("augment", [AugmentConfig(), AugmentConfig(mixup_probability=0.5)], ids=["alone", "mixed"])
@pytest.mark.parametrize("loss", ["bce", "cross_entropy"])
def test_what_an_unsure_label_would_have_been_does_not_change_the_network(
    unsure, cache, tmp_path, monkeypatch, augment, loss
):
    optim = dataclasses.replace(OPTIM, loss=loss)
    first = run_fit(unsure, cache, tmp_path / "a", optim=optim, augment=augment)
    targets, known = Manifest.targets, Manifest.label_weights
    assert (known(unsure) == 0).sum() == len(unsure)
    monkeypatch.setattr(Manifest, "targets", lambda self: np.where(known(self) > 0, targets(self), 0.7).astype("f4"))
    assert torch.equal(weights(first), weights(run_fit(unsure, cache, tmp_path / "b", optim=optim, augment=augment)))


def test_the_network_starts_at_the_frequencies_among_the_clips_that_know(unsure, cache, tmp_path, monkeypatch):
    seen = []
    start = "earmark.models.tagging_net.TaggingNet.start_at_prior"
    monkeypatch.setattr(start, lambda self, prior, multi_label: seen.append((prior, multi_label)))
    doubled = dataclasses.replace(unsure, table=unsure.table.assign(weight=np.arange(24) % 3 + 1.0))
    run_fit(doubled, cache, tmp_path, optim=dataclasses.replace(OPTIM, epochs=1))
    [(prior, multi_label)] = seen
    assert multi_label
    known = unsure.label_weights() * (np.arange(24) % 3 + 1.0)[:, None]
    for column in range(3):
        expected = np.average(unsure.targets()[:, column], weights=known[:, column])
        assert prior[column].item() == pytest.approx(expected, rel=1e-5)


def test_a_class_that_no_clip_knows_starts_at_almost_never(tones, cache, tmp_path, monkeypatch):
    seen = []
    start = "earmark.models.tagging_net.TaggingNet.start_at_prior"
    monkeypatch.setattr(start, lambda self, prior, multi_label: seen.append(prior))
    manifest = rebuilt(tones, unsure=[("noise",)] * 24)
    run_fit(manifest, cache, tmp_path, optim=dataclasses.replace(OPTIM, epochs=1))
    assert seen[0][list(manifest.vocabulary).index("noise")] == 0
    assert seen[0].isfinite().all()


def test_soft_targets_go_into_the_loss_as_they_are(tones, cache, tmp_path):
    halves = rebuilt(tones, strengths=[(0.5,)] * 24)
    whole = run_fit(rebuilt(tones, multi_label=True), cache, tmp_path / "whole")
    assert not torch.equal(weights(run_fit(halves, cache, tmp_path / "half")), weights(whole))
    batch = halves.targets()
    assert set(batch.ravel().tolist()) == {0.0, 0.5}


def test_equal_weights_are_no_weights_and_others_matter(tones, cache, tmp_path):
    plain = weights(run_fit(tones, cache, tmp_path / "plain"))
    same = rebuilt(tones, weights=[4.0] * 24)
    torch.testing.assert_close(weights(run_fit(same, cache, tmp_path / "same")), plain, rtol=1e-3, atol=1e-4)
    uneven = rebuilt(tones, weights=[1.0, 0.01] * 12)
    assert not torch.allclose(weights(run_fit(uneven, cache, tmp_path / "uneven")), plain, rtol=1e-3, atol=1e-4)


def validated(manifest, logits) -> dict[str, float]:
    """What the module logs of one window per validation clip."""
    net = build("tiny_cnn", FRONTEND, 3, {"width": 8})
    augmentation = None
    module = TaggingModule(net, OPTIM, augmentation, multi_label=True, seed=0, steps_per_epoch=1, validation=manifest)
    logged = {}
    module.log = lambda name, value: logged.update({name: float(value)})
    module._validation.append((torch.from_numpy(logits), torch.arange(len(logits))))
    module.on_validation_epoch_end()
    return logged


def test_the_epoch_is_chosen_by_known_labels_of_curated_clips(unsure):
    logits = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    noisy = np.arange(24) < 10
    mixed = dataclasses.replace(unsure, table=unsure.table.assign(subset=np.where(noisy, "noisy", "curated")))
    known = unsure.label_weights()
    assert validated(unsure, logits)["validation_score"] == pytest.approx(lwlrap(unsure.present(), logits, known))
    expected = lwlrap(unsure.present()[10:], logits[10:], known[10:])
    assert validated(mixed, logits)["validation_score"] == pytest.approx(expected)
    all_noisy = dataclasses.replace(unsure, table=unsure.table.assign(subset="noisy"))
    assert validated(all_noisy, logits) == validated(unsure, logits)
    spoilt = np.where(known > 0, logits, 30).astype(np.float32)
    for name, value in validated(unsure, spoilt).items():
        assert value == pytest.approx(validated(unsure, logits)[name], rel=1e-5)
