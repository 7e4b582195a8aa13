"""What a table says about its clips beyond labels and folds is kept to: test and validation splits, subsets, states."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from earmark.data import Manifest, read_manifest
from earmark.errors import ConfigError, ManifestError
from earmark.flows.evaluate import evaluate
from earmark.flows.run_config import DataConfig
from earmark.flows.sides import hold_out
from earmark.flows.split import Shares, split
from earmark.predictions import Predictions
from earmark.report.report import write_report

FOREST = "model=forest"


@pytest.fixture(scope="module")
def rows(tmp_path_factory, make_folders):
    """[file, label] of 10 clips of each of three classes."""
    folder = make_folders(tmp_path_factory.mktemp("roles") / "sounds", n_per_class=10)
    return [[folder / label / f"{n}.wav", label] for label in ("low", "high", "noise") for n in range(10)]


def test_the_test_split_is_set_aside_and_every_look_at_it_is_counted(train, rows, write_table, tmp_path, caplog):
    roles = ["test" if n % 10 > 4 else "train" for n in range(30)]
    table = write_table(
        tmp_path / "t.csv", ["file", "label", "split"], [[*row, role] for row, role in zip(rows, roles, strict=True)]
    )
    with caplog.at_level(logging.INFO, "earmark"):
        trained = train(table, tmp_path / "run", FOREST)
    assert "15 clips of the test split were set aside and not looked at" in caplog.text
    assert len(read_manifest(trained.run.manifest)) == 15
    assert trained.scorecard.n_clips == 15
    assert evaluate(trained.run.tagger, table).scorecard.n_clips == 15
    assert evaluate(trained.run.tagger, table, split="test", fraction=0.5).scorecard.n_clips < 10
    with pytest.raises(ManifestError, match="there is no clip of split 'validation' .found: test, train"):
        evaluate(trained.run.tagger, table, split="validation")


def test_looks_at_a_locked_test_split_stand_beside_it_and_in_the_run(train, rows, write_table, tmp_path):
    table = write_table(tmp_path / "t.csv", ["file", "label"], rows)
    split(read_manifest(table), Shares(test=0.3), out=tmp_path / "split.csv")
    trained = train(tmp_path / "split.csv", tmp_path / "run", FOREST)
    before = trained.run.card.read_text(encoding="utf-8")
    assert "locked" not in before
    for number in (1, 2):
        found = evaluate(trained.run.tagger, tmp_path / "split.csv").scorecard
        assert any(note.startswith(f"Look {number} at this locked test split") for note in found.notes())
    assert "Look 2 at a locked test split (split.csv" in trained.run.card.read_text(encoding="utf-8")
    write_report(trained.run.folder)
    assert "Look 2 at a locked test split" in trained.run.report.read_text(encoding="utf-8")
    text = (tmp_path / "split.csv").read_text(encoding="utf-8")
    text, n_changed = re.subn(r",test(?=[,\r\n])", ",train", text, count=1)
    assert n_changed == 1
    (tmp_path / "split.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match="its test split was changed after it was locked"):
        evaluate(trained.run.tagger, tmp_path / "split.csv")


def test_a_validation_split_is_the_one_fold_that_is_held_out(train, rows, write_table, tmp_path):
    roles = ["validation" if n % 10 > 6 else "train" for n in range(30)]
    table = write_table(
        tmp_path / "t.csv", ["file", "label", "split"], [[*row, role] for row, role in zip(rows, roles, strict=True)]
    )
    trained = train(table, tmp_path / "run")
    assert sorted(path.name for path in trained.run.folder.glob("fold_*")) == ["fold_0"]
    assert trained.scorecard.n_clips == 9
    assert len(Predictions.load(trained.run.predictions("tiny_cnn"))) == 9


def test_a_split_that_leaves_nothing_to_train_on_is_refused(train, rows, write_table, tmp_path):
    table = write_table(tmp_path / "t.csv", ["file", "label", "split"], [[*row, "validation"] for row in rows])
    with pytest.raises(ManifestError, match="no clip is left to train on. Give some the split train, or none"):
        train(table, tmp_path / "run", FOREST)


def test_labels_that_only_one_side_has_are_said(rows):
    manifest = Manifest.build(
        rows[0][0].parent,
        ["a.wav", "b.wav", "c.wav"],
        [("x",), ("y",), ("x",)],
        splits=["train", "validation", "train"],
    )
    assert hold_out(manifest, DataConfig())[1].endswith("Not in training: y. Not in validation: x.")


def test_noisy_copies_stay_in_the_fold_that_was_given(rows):
    manifest = Manifest.build(
        rows[0][0].parent,
        [f"{n}.wav" for n in range(4)],
        [("x",), ("y",)] * 2,
        folds=[0, 0, 1, 1],
        subsets=["", "noisy"] * 2,
    )
    assert hold_out(manifest, DataConfig())[0].folds.tolist() == [0, 0, 1, 1]


def test_test_rows_that_were_changed_after_locking_stop_the_training(train, rows, write_table, tmp_path):
    table = write_table(tmp_path / "t.csv", ["file", "label"], rows)
    out = tmp_path / "split.csv"
    split(read_manifest(table), Shares(test=0.3), out=out)
    out.write_text(re.sub(r",test(?=[,\r\n])", ",train", out.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ManifestError, match="its test split was changed after it was locked"):
        train(out, tmp_path / "run", FOREST)


def test_noisy_clips_are_trained_on_and_never_scored(train, rows, write_table, tmp_path):
    subsets = ["noisy" if n % 10 > 5 else "curated" for n in range(30)]
    table = write_table(
        tmp_path / "t.csv", ["file", "label", "subset"], [[*row, name] for row, name in zip(rows, subsets, strict=True)]
    )
    trained = train(table, tmp_path / "run", FOREST)
    assert trained.scorecard.n_clips == 18
    manifest = read_manifest(trained.run.manifest)
    assert set(manifest.folds[manifest.column("subset") == "noisy"]) == {-1}
    assert any("12 noisy clips are always trained on and never scored" in note for note in trained.scorecard.notes())


@pytest.mark.parametrize(
    ("subset", "setting"),
    [("curated", "optim.noisy_loss=l_q"), ("curated", "optim.noisy_share=0.1"), ("noisy", "optim.noisy_share=0.5")],
)
def test_settings_for_a_subset_that_is_not_there_are_refused(train, rows, write_table, tmp_path, subset, setting):
    table = write_table(tmp_path / "t.csv", ["file", "label", "subset"], [[*row, subset] for row in rows])
    other = {"curated": "noisy", "noisy": "curated"}[subset]
    with pytest.raises(ConfigError, match=f"no clip is of the {other} subset, which the settings optim.noisy_"):
        train(table, tmp_path / "run", setting)


def test_noisy_clips_are_trained_on_by_a_loss_and_a_share_of_their_own(train, rows, write_table, tmp_path):
    subsets = ["noisy" if n % 10 > 5 else "curated" for n in range(30)]
    table = write_table(
        tmp_path / "t.csv", ["file", "label", "subset"], [[*row, name] for row, name in zip(rows, subsets, strict=True)]
    )
    settings = ("optim.noisy_loss=l_soft", "optim.noisy_share=0.25", "optim.batch_norm=group", "optim.swa_epochs=2")
    assert train(table, tmp_path / "run", *settings).scorecard.n_clips == 18


def test_unknown_labels_do_not_count_and_soft_ones_count_from_one_half_on(train, rows, write_table, tmp_path):
    names = ("low", "high", "noise")
    cells = [[float(label == name) for name in names] for _, label in rows]
    for row in range(0, 30, 5):
        cells[row] = ["" if cell == 0 else 0.7 for cell in cells[row]]
    table = write_table(
        tmp_path / "t.csv", ["file", *names], [[file, *cell] for (file, _), cell in zip(rows, cells, strict=True)]
    )
    trained = train(table, tmp_path / "run")
    assert any("12 of 90 labels (13 %) are unknown" in note for note in trained.scorecard.notes())
    assert sum(row["n_clips"] for row in trained.scorecard.models["tiny_cnn"].per_class.values()) == 30


def test_a_fraction_says_so_and_how_long_all_would_take(train, rows, write_table, tmp_path, caplog):
    table = write_table(tmp_path / "t.csv", ["file", "label"], rows)
    with caplog.at_level(logging.INFO, "earmark"):
        trained = train(table, tmp_path / "run", FOREST, fraction=0.4)
    assert trained.scorecard.n_clips == 12
    assert any("12 of 30 clips (--fraction 0.4)" in note for note in trained.scorecard.notes())
    assert "for 0.4 of the data: all of it takes at most about" in caplog.text
    with pytest.raises(ConfigError, match="fraction is 0, expected a share"):
        train(table, tmp_path / "none", FOREST, fraction=0.0)


def test_recordings_are_cut_into_their_sounding_stretches(train, sound_of, write_table, tmp_path):
    from earmark import audio

    silence = np.zeros(4000, np.float32)
    rows = []
    for label in ("low", "high", "noise"):
        for number in range(4):
            path = tmp_path / f"{label}{number}.wav"
            piece = sound_of(label, number)
            audio.write(path, np.concatenate([silence, piece, silence, piece[:4000], silence]), 8000)
            rows.append([path, label])
    table = write_table(tmp_path / "t.csv", ["file", "label"], rows)
    trained = train(table, tmp_path / "run", FOREST, segment="activity")
    manifest = read_manifest(trained.run.manifest)
    assert len(manifest) == 24
    assert manifest.table.groupby("path")["fold"].nunique().max() == 1
    with pytest.raises(ConfigError, match="'activty' is not a segmentation"):
        train(table, tmp_path / "none", FOREST, segment="activty")
