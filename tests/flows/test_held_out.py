"""A fold's network and forest never know what is held out from them, and what is shipped follows from the folds."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from earmark import audio
from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import EarmarkError
from earmark.flows.classifier_folds import ClassifierFolds, ClipFeatures
from earmark.flows.cross_validate import NetworkFolds, cross_validate_fold, score_held_out
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import DataConfig, defaults_for, resolve
from earmark.flows.train import train_networks
from earmark.run import Run, write_json
from earmark.tagger import load_tagger
from earmark.training.fit import FitResult

CLASSES = ("low", "high", "noise")
FOLDS = np.arange(18) // 3 % 2
GROUPS = [f"{number // 6} {number % 3}" for number in range(18)]


@pytest.fixture
def make_experiment(tmp_path, sound_of, settings):
    """18 clips in two folds and nine groups; `spoilt` folds hold other sounds of the same length, other labels too."""

    def make(name: str, *changes: str, spoilt: int | None = None) -> Experiment:
        root = tmp_path / name
        labels = [CLASSES[number % 3] for number in range(18)]
        for number, label in enumerate(labels):
            other = FOLDS[number] == spoilt
            waveform = sound_of(CLASSES[number % 2], 100 + number) if other else sound_of(label, number)
            audio.write(root / "wav" / f"{number:02}.wav", waveform, 8000)
        given = [CLASSES[(number + (FOLDS[number] == spoilt)) % 3] for number in range(18)]
        names = [f"{number:02}.wav" for number in range(18)]
        manifest = Manifest.build(root / "wav", names, [(label,) for label in given], folds=FOLDS, groups=GROUPS)
        config = resolve(defaults_for([8000], [0.8]), DataConfig(), None, [*settings, *changes])
        return Experiment(Run(root / "run"), config, manifest, Cache(root / "cache"), progress=False)

    return make


def weights(folder) -> torch.Tensor:
    """All numbers of a fold's last checkpoint's network."""
    state = torch.load(folder.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    return torch.cat([value.flatten().double() for value in state.values()])


@pytest.mark.parametrize(("spoilt", "known"), [(0, False), (1, True)], ids=["held out", "training side"])
def test_a_network_knows_its_training_side_and_nothing_of_what_is_held_out(make_experiment, spoilt, known):
    folders, scores = [], []
    for name, spoil in (("sound", None), ("spoilt", spoilt)):
        experiment = make_experiment(name, "validation_fraction=0.34", spoilt=spoil)
        scores.append(cross_validate_fold(experiment, "tiny_cnn", 0, NetworkFolds(experiment)).scores)
        folders.append(experiment.run.fold(0, "tiny_cnn"))
    assert torch.equal(weights(folders[0]), weights(folders[1])) == (not known)
    assert (folders[0].tagger.read_bytes() == folders[1].tagger.read_bytes()) == (not known)
    facts = [json.loads(folder.result.read_text(encoding="utf-8")) for folder in folders]
    assert known or facts[0]["validation_score"] == facts[1]["validation_score"]
    assert not np.array_equal(scores[0], scores[1])  # the held-out sounds, or the network, were others


@pytest.mark.parametrize("head", ["forest", "logistic", "knn", "choice"])
@pytest.mark.parametrize(("spoilt", "known"), [(0, False), (1, True)], ids=["held out", "training side"])
def test_a_classifier_knows_its_training_side_and_nothing_of_what_is_held_out(
    make_experiment, monkeypatch, spoilt, known, head
):
    monkeypatch.setattr("earmark.baselines.trees.N_TREES", 10)
    files = []
    for name, spoil in (("sound", None), ("spoilt", spoilt)):
        experiment = make_experiment(name, spoilt=spoil)
        cross_validate_fold(experiment, head, 0, ClassifierFolds(ClipFeatures(experiment), head))
        files.append(experiment.run.fold(0, head).tagger.read_bytes())
    assert (files[0] == files[1]) == (not known)


def test_the_epoch_is_chosen_by_clips_of_the_training_side_in_whole_groups(make_experiment, monkeypatch, tmp_path):
    experiment = make_experiment("sound", "validation_fraction=0.34")
    seen = []

    def record(net, training, validation, folder, **_):
        seen.append((training, validation))
        return FitResult(net.eval(), 1, 0.5)

    monkeypatch.setattr("earmark.training.fit.fit", record)
    positions = np.flatnonzero(experiment.manifest.folds != 0)
    NetworkFolds(experiment)(0, positions, experiment.run.fold(0, "tiny_cnn"))
    [(training, validation)] = seen
    assert len(validation) > 0
    assert not set(training.groups) & set(validation.groups)
    side = experiment.manifest.select(positions).clip_ids
    assert sorted([*training.clip_ids, *validation.clip_ids]) == sorted(side)


def test_the_epoch_with_the_best_inner_score_is_taken(make_experiment):
    experiment = make_experiment("sound", "validation_fraction=0.34", "optim.epochs=4", "optim.learning_rate=0.02")
    cross_validate_fold(experiment, "tiny_cnn", 0, NetworkFolds(experiment))
    folder = experiment.run.fold(0, "tiny_cnn")
    scores = [row["validation_score"] for row in folder.read_history()]
    facts = json.loads(folder.result.read_text(encoding="utf-8"))
    assert facts["n_epochs"] == 1 + int(np.argmax(scores))
    assert facts["validation_score"] == max(scores)
    assert facts["n_clips"] == 9


@pytest.mark.parametrize(("fraction", "n_epochs"), [(0.34, 2), (0.0, 4)])
def test_the_refit_takes_the_median_epoch_or_all_where_none_was_chosen(make_experiment, fraction, n_epochs):
    experiment = make_experiment("sound", f"validation_fraction={fraction}", "optim.epochs=4")
    for fold, chosen in ((0, 1), (1, 3)):
        write_json(experiment.run.fold(fold, "tiny_cnn").result, {"fold": fold, "n_epochs": chosen})
    NetworkFolds(experiment).train_refit()
    folder = experiment.run.fold("refit", "tiny_cnn")
    assert len(folder.read_history()) == n_epochs
    assert json.loads(folder.trained.read_text(encoding="utf-8")) == {"n_epochs": n_epochs}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (["validation_fraction=0.34"], [[0, 1], ["refit"]]),
        (["validation_fraction=0.34", "ship=ensemble"], [[0, 1]]),
        ([], [[0, 1, "refit"]]),
        (["ship=ensemble"], [[0, 1]]),
    ],
    ids=["median", "chosen ensemble", "all epochs", "ensemble"],
)
def test_the_refit_waits_for_the_folds_only_where_they_choose_its_epochs(make_experiment, monkeypatch, changes, steps):
    trained = []
    monkeypatch.setattr("earmark.flows.train.train_folds", lambda _, folds: trained.append(list(folds)))
    train_networks(make_experiment("sound", *changes))
    assert [step for step in trained if step] == steps


def test_an_ensemble_is_the_mean_of_the_folds_networks(train, folders, tmp_path):
    trained = train(folders, tmp_path / "run", "ship=ensemble", "validation_fraction=0.34")
    generator = np.random.default_rng(0)
    windows = (0.1 * generator.standard_normal((5, 4000))).astype(np.float32)
    parts = [load_tagger(trained.run.fold(fold, "tiny_cnn").tagger).backend.run(windows)[0] for fold in (0, 1)]
    together, _ = load_tagger(trained.run.fold("refit", "tiny_cnn").tagger).backend.run(windows)  # not calibrated yet
    assert np.abs(parts[0] - parts[1]).max() > 1e-3
    np.testing.assert_allclose(together, (parts[0] + parts[1]) / 2, atol=1e-4)
    assert not trained.run.fold("refit", "tiny_cnn").history.exists()
    assert "the average of the networks of all folds" in trained.run.card.read_text(encoding="utf-8")
    assert onnx.load(trained.run.tagger).ir_version == 10


def test_a_clip_that_has_gone_since_it_was_decoded_is_an_error(trained):
    manifest = read_manifest(trained.run.manifest)
    gone = Manifest.build(manifest.root, ["low/gone.wav"], [("low",)])
    experiment = Experiment(trained.run, None, manifest, Cache(), progress=False)
    with pytest.raises(EarmarkError, match=r"1 clips could be read before, but not now(?s:.*)gone\.wav"):
        score_held_out(experiment, trained.run.fold(0, "forest"), gone)
