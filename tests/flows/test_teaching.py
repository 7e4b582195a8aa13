"""A run that learns from another's scores: which teachers it takes, what it says of them, and that it goes on."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from earmark.config import read_yaml
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, RunError
from earmark.flows.run_config import RunConfig
from earmark.flows.teaching import find_teacher
from earmark.predictions import Predictions
from earmark.run import Run


def asked(teacher, **optim) -> RunConfig:
    return RunConfig(optim=dataclasses.replace(RunConfig().optim, teacher=str(teacher), **optim))


@pytest.fixture
def manifest(trained):
    return read_manifest(trained.run.manifest)


def test_a_runs_scores_teach_another_whose_labels_stay_and_a_teacher_that_changes_is_another_run(
    train, trained, folders, tmp_path
):
    teacher = Run(tmp_path / "teacher")
    table = teacher.predictions("tiny_cnn")
    teacher.folder.mkdir()
    shutil.copy(trained.run.manifest, teacher.manifest)
    shutil.copy(trained.run.predictions("tiny_cnn"), table)
    given = (f"optim.teacher={table}", "optim.teacher_share=0.7")
    student = train(folders, tmp_path / "student", *given)
    assert len(read_yaml(student.run.config)["optim"]["teacher_hash"]) == 40
    assert read_manifest(student.run.manifest) == read_manifest(trained.run.manifest)
    assert set(student.scorecard.models["tiny_cnn"].metrics) == set(trained.scorecard.models["tiny_cnn"].metrics)
    of_both = {model: [Predictions.load(each.run.predictions(model)).scores for each in (student, trained)]
               for model in ("forest", "tiny_cnn")}  # fmt: skip
    np.testing.assert_array_equal(*of_both["forest"])
    assert not np.allclose(*of_both["tiny_cnn"])
    card = student.run.card.read_text(encoding="utf-8")
    assert "70% of what the networks learn of 15 of 15 clips is what teacher says of them, out of fold." in card
    scores = Predictions.load(table)
    dataclasses.replace(scores, scores=scores.scores[:, ::-1]).save(table)
    with pytest.raises(RunError, match="holds a run with other settings .teacher_hash"):
        train(folders, tmp_path / "student", *given)


def test_of_a_table_alone_it_is_said_that_nothing_is_known(trained, manifest, tmp_path):
    table = tmp_path / "scores.csv"
    shutil.copy(trained.run.predictions("forest"), table)
    config, remarks = find_teacher(asked(table), manifest, manifest)
    assert config.optim.teacher == str(table)
    assert "what scores.csv says of them. Nothing tells which clips it has heard" in remarks[0]
    assert find_teacher(asked(""), manifest, manifest) == (asked(""), [])


def test_a_teacher_of_other_folds_is_refused(trained, manifest):
    moved = manifest.with_folds(np.where(np.arange(15) < 2, 1 - manifest.folds, manifest.folds))
    with pytest.raises(ConfigError, match="tones has 2 clips in other folds than this run, so its scores are not out"):
        find_teacher(asked(trained.run.folder), moved, moved)
    always = manifest.with_folds(np.where(np.arange(15) < 1, -1, manifest.folds))
    with pytest.raises(ConfigError, match="has 1 clips in other folds"):
        find_teacher(asked(trained.run.folder), always, always)


def test_a_teacher_that_has_heard_the_test_split_is_refused(trained, manifest):
    with pytest.raises(ConfigError, match="tones learnt from 3 clips that are set aside here. Train it with the same"):
        find_teacher(asked(trained.run.folder), manifest.select(np.arange(12)), manifest)


def test_a_teacher_of_other_labels_or_clips_is_refused(trained, manifest, tmp_path):
    scores = Predictions.load(trained.run.predictions("forest"))
    dataclasses.replace(scores, labels=("high", "low", "hiss")).save(tmp_path / "labels.csv")
    with pytest.raises(ConfigError, match="knows other labels than the data .hiss, noise."):
        find_teacher(asked(tmp_path / "labels.csv"), manifest, manifest)
    names = np.array([f"other {name}" for name in scores.clip_ids], dtype=object)
    dataclasses.replace(scores, clip_ids=names).save(tmp_path / "clips.csv")
    with pytest.raises(ConfigError, match="has scores of none of the 15 clips"):
        find_teacher(asked(tmp_path / "clips.csv"), manifest, manifest)


def test_a_folder_that_is_no_finished_run_is_refused(trained, manifest, tmp_path):
    with pytest.raises(ConfigError, match="ships nothing that could teach. .* is a folder without a tagger"):
        find_teacher(asked(tmp_path), manifest, manifest)
    run = Run(tmp_path / "tagger")
    run.folder.mkdir()
    shutil.copy(trained.run.tagger, run.tagger)
    with pytest.raises(ConfigError, match="holds no finished run and no ensemble"):
        find_teacher(asked(run.folder), manifest, manifest)


def test_only_networks_have_a_teacher():
    with pytest.raises(ConfigError, match="optim.teacher: forest learns from labels alone"):
        dataclasses.replace(asked("runs/both"), model="forest")
