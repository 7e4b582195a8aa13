"""Heads on a backbone, from labelled sounds to one light tagger file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from earmark.audio.cache import Cache
from earmark.baselines import BASELINES, SEQUENCE_HEADS
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, NotHereError, TaggerFileError
from earmark.evaluation import Scorecard
from earmark.flows.classifier_folds import ClassifierFolds, ClipFeatures, inner_parts
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import DataConfig, defaults_for, resolve
from earmark.predictions import Predictions
from earmark.run import Run
from earmark.tagger import load_tagger, score_files

LIGHT = """
import json
from pathlib import Path
import earmark
from earmark.tagger import Clip
sounds = [Clip(Path(name)) for name in {sounds!r}]
for name in {taggers!r}:
    scores, failures = earmark.score_files(earmark.load_tagger(name), sounds, level="window", threads=1)
    assert not failures
    print(json.dumps(scores.scores.tolist()))
"""
HEAVY = ("torch", "lightning", "sklearn", "scipy", "pandas", "onnx", "lightgbm", "transformers")


@pytest.fixture(scope="module")
def on_another(train, trained, make_folders, tmp_path_factory):
    """A run on other sounds, its head on the tagger of `trained`."""
    root = tmp_path_factory.mktemp("on")
    sounds = make_folders(root / "sounds", n_per_class=6)
    for path in sorted(sounds.rglob("*.wav")):  # other sounds: the last halves of those that were trained on, and more
        shift(path)
    found = train(sounds, root / "heads", "model=choice", f"backbone.on={trained.run.folder}")
    return found, sounds


def shift(path) -> None:
    """Make another recording of a sound."""
    from earmark import audio

    waveform = audio.load(path, 8000)
    draw = np.random.default_rng(len(path.name) + int(path.stem.strip("abcdefghijklmnopqrstuvwxyz_ ") or 0) + 77)
    audio.write(path, (0.5 * waveform[::-1] + 0.05 * draw.normal(size=len(waveform))).astype(np.float32), 8000)


def test_a_head_stands_beside_a_plain_one_and_ships_as_one_file(on_another):
    found, _ = on_another
    run, name = found.run, found.model
    assert name.endswith("+choice")
    card = Scorecard.load(run.scorecard)
    assert list(card.models) == [name, "logistic"]
    assert {frozenset((each.a, each.b)) for each in card.comparisons} == {frozenset((name, "logistic"))}
    facts = load_tagger(run.tagger).metadata.trained_on
    assert facts["backbone"] == name.removesuffix("+choice")
    assert set(facts["head"]["inner_scores"]) == {"logistic", "svm", "knn", "mlp"}
    text = run.card.read_text(encoding="utf-8")
    assert "best by inner folds on what" in text
    assert run.report.is_file()


def test_the_file_gives_the_scores_that_were_reported(on_another):
    found, _ = on_another
    fold = found.run.fold(0, found.model)
    reported = Predictions.load(fold.predictions)
    manifest = read_manifest(found.run.manifest)
    held_out = manifest.select(np.flatnonzero(manifest.folds == 0))
    again, _ = score_files(load_tagger(fold.tagger), held_out.clips(), level="window")
    np.testing.assert_allclose(again.scores, reported.scores, atol=1e-6)


def test_a_backbone_does_not_hold_out_what_it_was_trained_on(train, trained, folders, tmp_path):
    with pytest.raises(Exception, match="was trained on sounds that are held out here"):
        train(folders, tmp_path / "run", "model=knn", f"backbone.on={trained.run.folder}")


def test_a_backbone_keeps_its_rate(train, trained, folders, tmp_path):
    changes = ("model=knn", f"backbone.on={trained.run.folder}", "frontend.sample_rate=11025")
    with pytest.raises(ConfigError, match="hears through its own, at 8000 Hz"):
        train(folders, tmp_path / "run", *changes)


def test_a_model_of_the_hub_is_adopted_before_anything_stands_on_it(train, folders, tmp_path):
    with pytest.raises(ConfigError, match="has to be adopted once: `earmark models get hf:a/b --name"):
        train(folders, tmp_path / "run", "model=knn", "backbone.on=hf:a/b")


def test_only_when_told_to_is_the_default_network_trained_instead(train, folders, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    on = ("model=logistic", "backbone.on=mn04_as")
    with pytest.raises(NotHereError, match="mn04_as: is not on this machine yet"):
        train(folders, tmp_path / "run", *on)
    with pytest.raises(TaggerFileError, match="mn04: is neither a file nor a pretrained tagger"):
        train(folders, tmp_path / "run", "model=logistic", "backbone.on=mn04", or_from_scratch=True)
    found = train(folders, tmp_path / "run", *on, or_from_scratch=True)
    assert (found.model, found.run.tagger.is_file()) == ("se_cnn", True)
    said = "FROM SCRATCH, as --or-from-scratch says, for the network to stand on cannot be had: mn04_as: is not on"
    assert said in caplog.text
    for page in (found.run.card, found.run.report):
        assert said.partition(", for")[0] in page.read_text(encoding="utf-8")


def test_what_fine_tuning_needs_beside_the_weights_is_said(train, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    with pytest.raises(NotHereError, match="Fine-tuning needs it for the head that it is held against"):
        train(folders, tmp_path / "run", "model=finetuned", "backbone.on=mn04_as")


@pytest.fixture(scope="module")
def experiment(folders, tmp_path_factory):
    """A run on summary features of the folders' sounds."""
    root = tmp_path_factory.mktemp("summary")
    manifest = read_manifest(folders)
    manifest = manifest.with_folds(np.arange(len(manifest)) % 3)
    settings = ["window.seconds=0.5", "frontend.n_mels=16", "precision=float32"]
    config = resolve(defaults_for([8000], [0.8]), DataConfig(), None, settings)
    return Experiment(Run(root / "run"), config, manifest, Cache(root / "cache"), progress=False)


def test_every_classifiers_file_scores_alike_without_torch_or_scikit_learn(experiment, python, small, monkeypatch):
    features = ClipFeatures(experiment)
    heads = sorted(set(BASELINES) - set(SEQUENCE_HEADS))
    expected, taggers = {}, []
    with small():
        for head in heads:
            folder = experiment.run.fold("refit", head)
            folds = ClassifierFolds(features, head)
            folds(0, np.arange(len(experiment.manifest)), folder)
            expected[head], _ = score_files(load_tagger(folder.tagger), experiment.manifest.clips(), level="window")
            taggers.append(str(folder.tagger))
    sounds = [str(path) for path in experiment.manifest.files]
    done = python(LIGHT.format(sounds=sounds, taggers=taggers), blocked=HEAVY)
    assert done.returncode == 0, done.stderr
    for head, line in zip(heads, done.stdout.splitlines(), strict=True):
        np.testing.assert_allclose(np.array(json.loads(line)), expected[head].scores, atol=1e-4, err_msg=head)


def test_inner_folds_are_the_other_folds_or_are_drawn_in_whole_groups(experiment):
    manifest = experiment.manifest
    rest = manifest.select(np.flatnonzero(manifest.folds != 0))
    np.testing.assert_array_equal(inner_parts(rest, 0), rest.folds)
    lone = manifest.select(np.flatnonzero(manifest.folds == 1))
    lone = lone.with_groups([f"g{number // 2}" for number in range(len(lone))])
    parts = inner_parts(lone, 0)
    assert all(len(set(parts[lone.groups == group])) == 1 for group in set(lone.groups))


def test_a_class_of_one_recording_does_not_undo_the_inner_folds_of_the_others(experiment):
    lone = experiment.manifest.select(np.flatnonzero(experiment.manifest.folds == 1))
    rare = lone.present()[:, 0] > 0
    lone = lone.with_groups(np.where(rare, "one recording", "").tolist())
    parts = inner_parts(lone, 0)
    assert set(parts[rare]) == {-1}
    assert len(set(parts[~rare])) > 1


def test_copies_of_one_file_are_held_out_together(experiment, tmp_path):
    names = [f"{number}.wav" for number in range(12)]
    for number, name in enumerate(names):  # each file of the first six has a copy among the last
        shutil.copy(experiment.manifest.files[number % 6], tmp_path / name)
    labels = [("a",) if number % 2 else ("b",) for number in range(12)]
    parts = inner_parts(Manifest.build(tmp_path, names, labels), 0)
    np.testing.assert_array_equal(parts[:6], parts[6:])
    assert len(set(parts)) > 1
