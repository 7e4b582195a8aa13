"""Runs of the same clips stand side by side; others do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import RunError
from earmark.predictions import Predictions
from earmark.report.reading import read_run
from earmark.report.several import read_runs
from earmark.run import Run


@pytest.fixture
def two_runs(make_run, tmp_path) -> tuple[Path, Path]:
    """The same clips and forest; the second run's network has scores of its own."""
    first = make_run()
    second = tmp_path / "second"
    shutil.copytree(first, second)
    path = Run(second).predictions("se_cnn")
    table = Predictions.load(path)
    mixed = table.scores + 0.3 * np.random.default_rng(0).random(table.scores.shape)
    Predictions(table.clip_ids, table.starts, table.ends, mixed.astype(np.float32), table.labels).save(path)
    return first, second


def test_models_of_both_are_scored_on_the_same_clips_and_a_baseline_they_share_once(two_runs):
    found = read_runs(two_runs)
    assert found.models == ("se_cnn", "se_cnn (second)", "forest")
    assert (found.main, found.baseline) == ("se_cnn", "forest")
    assert set(found.scorecard.models) == set(found.models)
    assert len(found.scorecard.comparisons) == 2
    alone = read_run(two_runs[0]).scorecard.models["se_cnn"].metrics["accuracy"].value
    assert found.scorecard.models["se_cnn"].metrics["accuracy"].value == alone
    assert found.places["se_cnn (second)"] == (Run(two_runs[1]), "se_cnn")


def test_only_clips_that_all_scored_count(two_runs):
    for model in ("se_cnn", "forest"):
        path = Run(two_runs[1]).predictions(model)
        table = Predictions.load(path)
        table.rows(np.arange(5, len(table))).save(path)
    found = read_runs(two_runs)
    assert len(found.manifest) == found.scorecard.n_clips == len(found.scores["forest"]) == 43
    assert len(found.lengths) == 43


def test_other_folds_are_said(two_runs):
    manifest = read_run(two_runs[1]).manifest
    manifest.with_folds((manifest.folds + 1) % 4).write(Run(two_runs[1]).manifest)
    assert any("second has other folds than demo" in remark for remark in read_runs(two_runs).scorecard.remarks)


def test_runs_of_other_labels_are_refused(make_run, tmp_path):
    first = make_run()
    other = make_run(labels=("a", "b"), folder=tmp_path / "elsewhere" / "other")
    with pytest.raises(RunError, match=r"other: its clips or their labels are others than those of demo .0 clips in"):
        read_runs([first, other])
