"""`train` from folders of sounds to a tagger: what it leaves, and that what it says is so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from earmark.config import read_yaml
from earmark.data.leakage import hash_contents
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, EarmarkError, RunError
from earmark.flows import workers
from earmark.flows.experiment import claim, environment_text
from earmark.flows.run_config import RunConfig
from earmark.flows.train import models_of
from earmark.predictions import Predictions
from earmark.run import Run, to_json, write_text
from earmark.tagger import load_tagger, score_files

MODELS = ("forest", "tiny_cnn")


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def times_of_training(run: Run):
    """When each thing was written that only training, exporting and scoring folds write."""
    parts = [*run.folder.glob("fold_*"), run.folder / "refit"]
    return {path: path.stat().st_mtime_ns for part in parts for path in part.rglob("*") if path.is_file()}


def test_the_run_folder_holds_everything(trained):
    found = files_below(trained.run.folder)
    top = {"config.yaml", "manifest.csv", "environment.txt", "scorecard.json", "card.md", "report.html"}
    top |= {"calibration.json"}
    expected = {*top, "tones.tagger.onnx", *(f"predictions.{model}.csv" for model in MODELS)}
    folds = {f"fold_{fold}/{model}" for fold in (0, 1) for model in MODELS}
    expected |= {f"{fold}/{name}" for fold in folds for name in ("result.json", "tagger.onnx", "predictions.npz")}
    for fold in ("fold_0", "fold_1", "refit"):
        expected |= {f"{fold}/tiny_cnn/history.jsonl", f"{fold}/tiny_cnn/checkpoints/last.ckpt"}
        assert list((trained.run.folder / fold / "tiny_cnn" / "tensorboard").glob("events.*"))
    assert expected <= found
    assert "failures.csv" not in found  # every file could be read
    assert trained.n_failures == 0


def test_the_scorecard_has_the_keys_that_other_programs_read(trained):
    scorecard = json.loads(trained.run.scorecard.read_text(encoding="utf-8"))
    assert {"n_clips", "n_classes", "multi_label", "models", "best"} <= set(scorecard)
    assert (scorecard["n_clips"], scorecard["n_classes"], scorecard["multi_label"]) == (15, 3, False)
    assert set(scorecard["models"]) == set(MODELS)
    assert scorecard["best"] in MODELS
    for model in scorecard["models"].values():
        assert {"accuracy", "lwlrap"} <= set(model["metrics"])
        for metric in model["metrics"].values():
            assert metric["low"] <= metric["value"] <= metric["high"]
        assert set(model["per_class"]) == {"low", "high", "noise"}
        assert sorted(fold["n_clips"] for fold in model["folds"]) == [7, 8]


@pytest.mark.parametrize("model", MODELS)
def test_every_clip_has_out_of_fold_scores_of_each_model(trained, model):
    manifest = read_manifest(trained.run.manifest)
    predictions = Predictions.load(trained.run.predictions(model))
    assert predictions.clip_ids.tolist() == manifest.clip_ids.tolist()
    assert predictions.labels == manifest.vocabulary.labels
    np.testing.assert_allclose(predictions.scores.sum(axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_the_scores_are_those_that_a_folds_file_gives_to_clips_it_never_saw(trained, model):
    manifest = read_manifest(trained.run.manifest)
    predictions = Predictions.load(trained.run.predictions(model))
    for fold in (0, 1):
        tagger = load_tagger(trained.run.fold(fold, model).tagger)
        seen, held_out = manifest.select(manifest.folds != fold), manifest.select(manifest.folds == fold)
        assert tagger.metadata.trained_on["content_hash"] == seen.content_hash(hash_contents(seen))
        again, failures = score_files(tagger, held_out.clips())
        assert failures == []
        np.testing.assert_allclose(again.scores, predictions.align(again.clip_ids).scores, atol=1e-6)


def test_the_manifest_names_the_rows_and_folds_of_the_data(trained, folders):
    manifest = read_manifest(trained.run.manifest)
    data = read_manifest(folders)
    assert manifest.clip_ids.tolist() == data.clip_ids.tolist()
    assert list(map(str, manifest.files)) == list(map(str, data.files))
    assert sorted(set(manifest.folds.tolist())) == [0, 1]


def test_the_settings_in_the_folder_are_the_resolved_ones(trained, folders):
    config = read_yaml(trained.run.config)
    assert config["data"]["path"] == str(folders)
    assert config["optim"]["epochs"] == "2"
    views = {"views": "sliding", "view_seconds": []}
    assert config["window"] == {"seconds": "0.5", "hop_seconds": "0.25", "padding": "repeat", "pool": "mean", **views}
    assert config["frontend"]["sample_rate"] == "8000"  # of the data


def test_the_environment_names_versions_command_and_seed(trained):
    text = trained.run.environment.read_text(encoding="utf-8")
    for start in ("python 3.", "platform ", "torch ", "onnxruntime ", "git ", "command ", "seed 0"):
        assert f"\n{start}" in f"\n{text}"
    assert "seed 7" in environment_text(7)


def test_the_tagger_for_use_carries_its_facts(trained):
    tagger = load_tagger(trained.run.tagger)
    metadata = tagger.metadata
    assert metadata.name == "tones"
    assert tagger.labels == ("high", "low", "noise")
    assert metadata.clip_seconds_max == pytest.approx(0.8, abs=0.01)
    manifest = read_manifest(trained.run.manifest)
    assert metadata.trained_on["content_hash"] == manifest.content_hash(hash_contents(manifest))
    metric = trained.scorecard.models["tiny_cnn"].metrics["accuracy"]
    assert (metadata.scores["metric"], metadata.scores["value"]) == ("accuracy", metric.value)
    assert "not of these weights" in metadata.scores["of"]


def test_the_tagger_for_use_names_one_class_a_file(trained, folders):
    tagger = load_tagger(trained.run.tagger)
    assert [len(tagger.tag(folders / label / "0.wav")) for label in ("low", "high", "noise")] == [1, 1, 1]


def test_the_networks_of_the_folds_and_of_the_refit_start_from_other_seeds(trained):
    rows = [trained.run.fold(fold, "tiny_cnn").read_history() for fold in (0, 1, "refit")]
    assert [len(each) for each in rows] == [2, 2, 2]
    assert len({each[0]["train_loss"] for each in rows}) == 3


def test_the_same_command_again_trains_nothing_and_says_the_same(train, trained, folders):
    before = times_of_training(trained.run)
    again = train(folders, trained.run.folder)
    assert times_of_training(trained.run) == before
    assert to_json(again.scorecard.to_dict()) == to_json(trained.scorecard.to_dict())


@pytest.fixture
def broken_off(trained, tmp_path) -> Run:
    """A copy of the finished run as a kill in its second fold would have left it."""
    run = Run(tmp_path / "tones")
    shutil.copytree(trained.run.folder, run.folder)
    shutil.rmtree(run.folder / "refit")
    for path in (run.scorecard, run.card, run.report, run.tagger, *run.folder.glob("predictions.*")):
        path.unlink()
    fold = run.fold(1, "tiny_cnn")
    for path in (fold.result, fold.tagger, fold.predictions):
        path.unlink()
    return run


def test_a_run_broken_off_between_training_and_scoring_is_finished(train, trained, folders, broken_off):
    kept = {path: time for path, time in times_of_training(broken_off).items() if "fold_0" in path.parts}
    train(folders, broken_off.folder)
    assert kept.items() <= times_of_training(broken_off).items()
    for model in MODELS:
        assert broken_off.predictions(model).read_bytes() == trained.run.predictions(model).read_bytes()
    assert broken_off.scorecard.read_bytes() == trained.run.scorecard.read_bytes()
    assert broken_off.tagger.read_bytes() == trained.run.tagger.read_bytes()
    assert {"card.md", "report.html", "calibration.json"} < files_below(broken_off.folder)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "other", "cut"])
def test_a_damaged_checkpoint_is_named(train, folders, broken_off, content):
    checkpoint = broken_off.fold(1, "tiny_cnn").checkpoints / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000] if content is None else content)
    with pytest.raises(EarmarkError, match=r"last\.ckpt: the checkpoint cannot be read .* Delete its folder"):
        train(folders, broken_off.folder)


def test_a_folder_with_other_settings_is_refused_with_the_first_that_differs(train, trained, folders):
    with pytest.raises(RunError, match=r"holds a run with other settings \(epochs: 2; now epochs: 3\)"):
        train(folders, trained.run.folder, "optim.epochs=3", "seed=5")


def test_a_run_from_before_a_setting_was_there_goes_on_with_its_default(trained, tmp_path):
    run = Run(tmp_path / "run")
    write_text(run.config, trained.run.config.read_text(encoding="utf-8").replace("devices: 1\n", ""))
    config, manifest = workers.load_experiment(trained.run).config, read_manifest(trained.run.manifest)
    claim(run, config, manifest)
    assert "devices" not in run.config.read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"other settings \(devices: 1; now devices: 2\)"):
        claim(run, replace(config, devices=2), manifest)


def test_a_folder_with_other_rows_is_refused(trained):
    config = workers.load_experiment(trained.run).config
    manifest = read_manifest(trained.run.manifest)
    claim(trained.run, config, manifest)  # its own rows are welcome
    with pytest.raises(RunError, match=r"holds a run on other rows \(the data has changed since\)"):
        claim(trained.run, config, manifest.select(np.arange(14)))


def test_an_option_of_a_wrong_value_is_said_before_any_work(train, folders, tmp_path):
    with pytest.raises(ConfigError, match="variant: found 'sa', expected conv or se"):
        train(folders, tmp_path / "run", "model=fsd_cnn", "model_options.variant=sa")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_refused_and_left_alone(train, folders, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="thesis.txt: is a file, and a run is a folder"):
        train(folders, tmp_path / "thesis.txt")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        train(folders, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(tmp_path, trained):
    claim(Run(tmp_path), RunConfig(), read_manifest(trained.run.manifest))
    assert read_manifest(tmp_path / "manifest.csv") == read_manifest(trained.run.manifest)


def test_a_network_of_other_views_has_a_classifier_of_sliding_windows_beside_it(train, folders, tmp_path):
    trained = train(folders, tmp_path / "views", "optim.epochs=1", "window.views=full")
    assert trained.run.tagger.is_file() and load_tagger(trained.run.tagger).metadata.views == "full"
    assert load_tagger(trained.run.fold(0, MODELS[0]).tagger).metadata.views == "sliding"


def test_the_baseline_can_be_left_away_but_not_where_it_is_the_model(trained):
    experiment = workers.load_experiment(trained.run)
    without = replace(experiment.config, baseline=False)
    assert list(models_of(experiment)) == list(MODELS)
    assert list(models_of(replace(experiment, config=without))) == [MODELS[1]]
    alone = replace(without, model=MODELS[0], model_options={})
    assert list(models_of(replace(experiment, config=alone))) == [MODELS[0]]
