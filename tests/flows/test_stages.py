"""Noisy clips first, then curated ones: who hears what, who judges whom, and what the stages leave."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from earmark import audio
from earmark.cli import console
from earmark.cli.app import app
from earmark.data import Manifest, read_manifest
from earmark.ensemble.members import read_member
from earmark.errors import ConfigError, ManifestError, RunError
from earmark.flows.agreement import agreeing, agreement, judge_clips, read_judge
from earmark.flows.contenders import read_source
from earmark.flows.experiment import read_agreeing
from earmark.flows.run_config import DataConfig, RunConfig
from earmark.flows.sides import hold_out, take_subset
from earmark.flows.stages import stage_recipes, train_stages
from earmark.flows.teaching import shipped_scores
from earmark.flows.workers import load_experiment
from earmark.report.reading import read_run
from earmark.run import Run
from earmark.tagger import load_tagger

LABELS = ("low", "high", "noise")
RECIPE = """
model: tiny_cnn
model_options: {width: 8}
precision: float32
data: {n_folds: 2}
window: {seconds: 0.5}
frontend: {n_mels: 16}
optim: {epochs: 2, batch_size: 4, learning_rate: 0.01}
augment: {roll: false, mask_mel: 0, mask_time: 0}
stages:
  noisy:
    data: {subset: noisy}
    optim: {epochs: 12}
    ship: ensemble
  curated:
    from: noisy
    data: {subset: curated}
    optim: {epochs: 8}
  agreeing:
    from: noisy
    data: {subset: agreeing, agree_with: [curated], agree_share: 0.75}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory, sound_of, write_table) -> Path:
    """8 curated and 12 noisy clips a class; every fourth noisy one carries the next class's label."""
    folder = tmp_path_factory.mktemp("stages") / "sounds"
    folder.mkdir()
    rows = []
    for place, label in enumerate(LABELS):
        for number in range(20):
            path = folder / f"{label}{number}.wav"
            audio.write(path, sound_of(label, number), 8000)
            noisy = number >= 8
            named = LABELS[(place + 1) % 3] if noisy and number % 4 == 0 else label
            rows.append((path.name, named, "noisy" if noisy else "curated"))
    return write_table(folder / "labels.csv", ["file", "label", "subset"], rows)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "stages.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def staged(small, table, recipe, tmp_path_factory):
    with small():
        return train_stages(table, tmp_path_factory.mktemp("runs") / "all", recipe=recipe, progress=False)


def test_each_stage_is_a_run_with_scores_of_the_same_curated_clips(staged):
    assert list(staged.trained) == ["noisy", "curated", "agreeing"]
    scored = {name: set(_scored(each.run)) for name, each in staged.trained.items()}
    assert len(scored["noisy"]) == 24
    assert scored["noisy"] == scored["curated"] == scored["agreeing"]
    assert all((each.run.folder / "report.html").is_file() for each in staged.trained.values())
    heard = {"noisy": "all that is trained on", "curated": "left out", "agreeing": "trained on where networks agree"}
    for name, each in staged.trained.items():
        [said] = [note for note in each.scorecard.notes() if "never scored" in note]
        assert f"36 noisy clips are {heard[name]}" in said and "the 24 others are" in said
    document = json.loads((staged.run.folder / "stages.json").read_text(encoding="utf-8"))
    assert list(document["stages"]) == ["noisy", "curated", "agreeing"]
    pairs = [(each["a"], each["b"]) for each in document["comparisons"]]
    assert pairs == [("curated", "noisy"), ("agreeing", "curated")]


def test_the_tagger_of_all_is_that_of_the_last_stage(staged):
    assert staged.run.tagger.read_bytes() == staged.trained["agreeing"].run.tagger.read_bytes()
    assert load_tagger(staged.run.folder).labels == tuple(sorted(LABELS))


def test_what_wants_a_run_and_is_given_the_folder_of_all_stages_names_them(staged):
    folder = staged.run.folder
    says = "agreeing, or another of them"
    for reads in (read_member, read_run, lambda each: read_source(each, None, {}, None, False)):
        with pytest.raises(RunError, match=says):
            reads(folder)
    with pytest.raises(ConfigError, match=says):
        shipped_scores(folder)


def test_the_noisy_stage_has_heard_no_curated_clip_and_the_curated_one_no_noisy_clip(staged):
    noisy, curated = (read_manifest(staged.trained[name].run.manifest) for name in ("noisy", "curated"))
    assert set(noisy.folds[noisy.column("subset") == "noisy"]) == {-1}
    assert set(noisy.folds[noisy.column("subset") == "curated"]) == {0}
    assert set(curated.column("subset")) == {"curated"}
    known = load_tagger(staged.trained["noisy"].run.tagger).metadata.trained_on
    assert known["n_clips"] == 36


def test_a_clip_is_judged_only_by_networks_that_held_out_what_is_scored(staged):
    run = staged.trained["agreeing"].run
    chosen = read_agreeing(run)
    assert set(chosen) == {"0", "1", "refit"}
    manifest = read_manifest(run.manifest)
    noisy = set(manifest.clip_ids[manifest.column("subset") == "noisy"])
    for names in chosen.values():
        assert names < noisy
    for fold in ("0", "1"):
        hashed = load_tagger(run.fold(int(fold), "finetuned").tagger).metadata.trained_on["n_clips"]
        held_out = int((manifest.folds == int(fold)).sum())
        assert hashed == 24 - held_out + len(chosen[fold])


def test_agreement_finds_the_wrong_labels(staged):
    """In a quarter of the noisy clips the label is wrong; of those that are left out most are of these."""
    run = staged.trained["agreeing"].run
    with open(run.agreement, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "refit"]
    wrong = {f"{label}{number}.wav" for label in LABELS for number in (8, 12, 16)}
    agreed: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        agreed[row["clip_id"] not in wrong].append(float(row["agreement"]))
    assert np.mean(agreed[True]) > np.mean(agreed[False]) + 0.2
    kept = {row["clip_id"] for row in rows if row["kept"] == "1"}
    assert len(kept & wrong) / len(kept) < 0.25 / 2


def test_the_same_command_again_trains_nothing_and_a_lost_stage_is_made_the_same(small, staged, table, recipe):
    folder = staged.run.folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    tagger = staged.run.tagger.read_bytes()
    shutil.rmtree(folder / "agreeing")
    with small():
        train_stages(table, folder, recipe=recipe, progress=False)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    assert {path: time for path, time in after.items() if "agreeing" not in path.parts} == {
        path: time for path, time in before.items() if "agreeing" not in path.parts
    }
    assert load_tagger(staged.run.folder).metadata.scores == _scores(tagger, folder)


def test_stages_do_not_move_into_the_folder_of_one_training(trained, folders, tmp_path, recipe):
    run = Run(tmp_path / trained.run.name)
    shutil.copytree(trained.run.folder, run.folder)
    before = run.tagger.read_bytes()
    with pytest.raises(RunError, match="holds a run of its own, and stages want a folder for all"):
        train_stages(folders, run.folder, recipe=recipe, progress=False)
    assert run.tagger.read_bytes() == before and not (run.folder / "noisy.yaml").exists()


def _scores(tagger: bytes, folder: Path):
    path = folder / "before.tagger.onnx"
    path.write_bytes(tagger)
    try:
        return load_tagger(path).metadata.scores
    finally:
        path.unlink()


def _scored(run: Run) -> list[str]:
    manifest = read_manifest(run.manifest)
    return manifest.clip_ids[manifest.scored].tolist()


def test_settings_of_the_command_go_over_every_stage_or_one(recipe, tmp_path):
    found = stage_recipes(recipe, ["optim.epochs=3", "stages.curated.optim.batch_size=8"], tmp_path)
    assert [each["optim"]["epochs"] for each in found.values()] == ["3", "3", "3"]
    assert [each["optim"]["batch_size"] for each in found.values()] == ["4", "8", "4"]
    assert found["curated"]["model"] == "finetuned" and "frontend" not in found["curated"]
    assert found["curated"]["backbone"]["on"] == str(tmp_path.resolve() / "noisy")
    assert found["agreeing"]["data"]["agree_with"] == [str(tmp_path.resolve() / "curated")]


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ("a: {from: b}\n  b: {seed: 1}", "stage a: 'b' is no stage before it"),
        ("a: {seed: 1}\n  b: {data: {subset: agreeing, agree_with: c}}", "stage b: 'c' is no stage before it"),
        ("a: 3", "stages holds no settings"),
        ("../a: {seed: 1}", "a stage cannot be called '../a'"),
    ],
)
def test_stages_that_cannot_be_are_refused(tmp_path, stages, complaint):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"stages:\n  {stages}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        stage_recipes(recipe, [], tmp_path)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("stages.curatd.optim.epochs=2", "'curatd' is no stage of .*did you mean 'curated'.*It has noisy, curated"),
        ("stages.agreeing.optim.epoch=2", "stage agreeing: optim: 'epoch' is not a setting \\(did you mean 'epochs'"),
        ("stages.agreeing.optims.epochs=2", "stage agreeing: 'optims' is not a setting \\(did you mean 'optim'"),
        ("stages.agreeing.augment.mixup_probability=2", "augment.mixup_probability: found 2"),
    ],
)
def test_a_slip_in_a_later_stage_is_said_before_the_first_trains(table, recipe, tmp_path, setting, complaint):
    with pytest.raises(ConfigError, match=complaint):
        train_stages(table, tmp_path / "run", recipe=recipe, settings=[setting])
    assert not (tmp_path / "run").exists()


def test_a_recipe_of_stages_is_no_single_training(train, folders, tmp_path, recipe):
    with pytest.raises(ConfigError, match="has several stages, and this is one training"):
        train(folders, tmp_path / "run", recipe=recipe)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"subset": "clean"}, "data.subset: found 'clean', expected curated, noisy, agreeing, or nothing"),
        ({"subset": "agreeing"}, "Name the runs that judge"),
        ({"agree_with": ("runs/a",)}, "Name the runs that judge"),
        ({"subset": "noisy"}, "a refit would hear the curated clips"),
        ({"agree_share": 0.0}, "data.agree_share: found 0.0"),
    ],
)
def test_settings_on_subsets_that_contradict_each_other_are_refused(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        RunConfig(data=DataConfig(**changes))


def test_noisy_clips_of_a_recording_that_is_scored_are_left_out_of_the_noisy_stage():
    files = [f"{number}.wav" for number in range(8)]
    groups = ["a", "b", "c", "d", "a", "e", "f", "g"]
    subsets = ["curated"] * 4 + ["noisy"] * 4
    manifest = Manifest.build(Path(), files, [("x",), ("y",)] * 4, groups=groups, subsets=subsets)
    manifest, _ = hold_out(manifest, DataConfig(n_folds=2))
    noisy, rows = take_subset(manifest, "noisy")
    assert noisy.table["path"].tolist() == ["0.wav", "1.wav", "2.wav", "3.wav", "5.wav", "6.wav", "7.wav"]
    assert noisy.folds.tolist() == [0, 0, 0, 0, -1, -1, -1]
    assert rows.tolist() == [0, 1, 2, 3, 5, 6, 7]
    curated, _ = take_subset(manifest, "curated")
    assert curated.folds.tolist() == manifest.folds[:4].tolist()
    both, _ = take_subset(manifest, "agreeing")
    assert both.clip_ids.tolist() == noisy.clip_ids.tolist()
    everything, _ = take_subset(manifest, "")
    assert everything == manifest


@pytest.mark.parametrize("subsets", [["noisy"] * 4, ["curated"] * 4])
def test_a_subset_of_clips_that_are_all_alike_is_refused(subsets):
    manifest = Manifest.build(Path(), list("abcd"), [("x",)] * 4, folds=[0, 1, 0, 1], subsets=subsets)
    with pytest.raises(ManifestError, match="wants curated and noisy clips, and there are none that are"):
        take_subset(manifest, "noisy")


def test_agreement_is_the_mean_precision_at_the_ranks_of_a_clips_labels():
    manifest = Manifest.build(Path(), ["a", "b", "c"], [("x", "y"), ("z",), ("x",)])
    scores = np.array([[0.9, 0.2, 0.5], [0.1, 0.9, 0.3], [0.4, 0.4, 0.1]])
    np.testing.assert_allclose(agreement(manifest, scores), [(1 + 2 / 3) / 2, 1 / 2, 1 / 2])


def test_a_clip_stays_only_if_each_of_its_labels_is_agreed_with():
    manifest = Manifest.build(Path(), list("abcde"), [("x", "y"), ("x",), ("y",), ("y",), ()], multi_label=True)
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.7], [0.5, 0.5]])
    assert agreeing(manifest, scores, 0.5).tolist() == [False, False, True, True, False]
    assert agreeing(manifest, scores, 1.0).tolist() == [True, True, True, True, False]


class TestJudges:
    """Runs that may not judge."""

    @pytest.fixture
    def again(self, small, table, staged, tmp_path):
        """Train the last stage with another judge."""

        def run(judge: Path, *settings: str):
            from earmark.flows.train import train

            path = staged.run.folder / "agreeing.yaml"
            with small():
                return train(
                    table,
                    tmp_path / "again",
                    recipe=path,
                    settings=[f"data.agree_with=[{judge}]", *settings],
                    progress=False,
                )

        return run

    def test_none_that_is_not_finished(self, again, tmp_path):
        with pytest.raises(RunError, match="holds no finished run, and cannot judge noisy clips"):
            again(tmp_path)

    def test_none_that_has_learnt_from_the_clips(self, again, staged):
        with pytest.raises(RunError, match="has learnt from 36 of the noisy clips that it should judge"):
            again(staged.trained["noisy"].run.folder)

    def test_none_of_other_folds(self, again, staged):
        with pytest.raises(RunError, match="clips in other folds than they are scored in here"):
            again(staged.trained["curated"].run.folder, "data.fold_seed=5")

    def test_none_whose_network_of_a_fold_is_gone(self, again, staged, tmp_path):
        broken = tmp_path / "curated"
        shutil.copytree(staged.trained["curated"].run.folder, broken)
        shutil.copy(broken / "curated.tagger.onnx", tmp_path / "kept")
        (broken / "fold_1" / "finetuned" / "tagger.onnx").unlink()
        with pytest.raises(RunError, match="has no network of fold 1"):
            again(broken)

    def test_noisy_clips_that_cannot_be_heard_any_more_are_said(self, small, staged, tmp_path):
        run = staged.trained["agreeing"].run
        with small():
            experiment = load_experiment(run)
            judge = read_judge(staged.trained["curated"].run.folder, experiment.manifest)
            gone = Manifest.build(tmp_path, ["gone.wav"], [("low",)])
            with pytest.raises(RunError, match="1 noisy clips cannot be heard any more"):
                judge_clips(experiment, judge, 0, gone)


def test_the_command_shows_what_each_stage_scores_and_gains(small, staged, table, recipe, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(console.output, "file", said)
    with small():
        shown = CliRunner().invoke(app, ["train", str(table), "--recipe", str(recipe), "--out", str(staged.run.folder)])
    assert shown.exit_code == 0, shown.output
    rows = [line.split()[0] for line in said.getvalue().splitlines() if " to " in line]
    assert rows[:3] == ["noisy", "curated", "agreeing"]
    assert "curated and noisy: the difference is inside the noise" in said.getvalue()
    assert "(agreeing)" in said.getvalue()
    refused = CliRunner().invoke(app, ["train", str(table), "--recipe", str(recipe), "--find-lr"])
    assert isinstance(refused.exception, ConfigError)
    assert "are for one training. The recipe has several" in str(refused.exception)
