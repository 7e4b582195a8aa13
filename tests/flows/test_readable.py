"""`train` on data that is not as it should be: files that cannot be read, and sounds on both sides of a split."""

from __future__ import annotations

import csv
import json
import logging
import shutil

import pytest

from earmark import audio
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, ManifestError, RunError
from earmark.flows.evaluate import evaluate
from earmark.flows.run_config import DataConfig, defaults_for, resolve
from earmark.flows.sides import require_inner_splits
from earmark.tagger import load_tagger

FOREST = "model=forest"


def cut(path):
    """Leave the first half of a file: its header is whole, its sound is not."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def several(tmp_path, sound_of, write_table):
    """A CSV of 12 clips with none to two of three labels each, two takes a group."""
    rows = []
    for number in range(12):
        labels = (("low",), ("high", "noise"), ("noise",), ("low", "noise"), (), ("high",))[number % 6]
        waveform = sum(sound_of(label, number) for label in labels or ("noise",)) / 2
        audio.write(tmp_path / "wav" / f"{number}.flac", waveform, 8000)
        rows.append([f"{number}.flac", ";".join(labels), f"source {number // 2}"])
    return write_table(tmp_path / "labels.csv", ["filename", "labels", "group"], rows)


def test_broken_files_are_rows_in_failures_and_the_rest_is_trained(train, several, tmp_path):
    (tmp_path / "wav" / "3.flac").write_bytes(b"no sound")
    cut(tmp_path / "wav" / "7.flac")
    trained = train(several, tmp_path / "run", FOREST, audio_dir=tmp_path / "wav")
    assert trained.n_failures == 2
    assert trained.scorecard.n_clips == 10
    with open(trained.run.failures, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(tmp_path / "wav" / name) for name in ("3.flac", "7.flac")]
    assert all(row["reason"] for row in rows)
    left = set(read_manifest(trained.run.manifest).clip_ids)
    assert len(left) == 10
    assert not {"wav/3.flac", "wav/7.flac"} & left


def test_several_labels_a_clip_and_groups_that_stay_whole(train, several, tmp_path):
    trained = train(several, tmp_path / "run", FOREST, audio_dir=tmp_path / "wav")
    manifest = read_manifest(trained.run.manifest)
    assert trained.scorecard.multi_label
    assert manifest.multi_label
    folds_of = {(group, fold) for group, fold in zip(manifest.groups, manifest.folds, strict=True)}
    assert len(folds_of) == 6
    thresholds = load_tagger(trained.run.tagger).metadata.thresholds
    assert all(0 < threshold < 1 for level in ("window", "clip") for threshold in thresholds[level])
    assert "3 labels (several labels can hold at once)" in trained.run.card.read_text(encoding="utf-8")


def test_a_forest_alone_is_trained_scored_and_shipped(train, folders, tmp_path):
    trained = train(folders, tmp_path / "run", FOREST)
    assert set(json.loads(trained.run.scorecard.read_text(encoding="utf-8"))["models"]) == {"forest"}
    tagger = load_tagger(trained.run.tagger)
    [tag] = tagger.tag(folders / "low" / "0.wav")
    assert tag.label == "low"
    assert "a random forest on summary features" in trained.run.card.read_text(encoding="utf-8")
    assert trained.run.report.exists()


def test_more_than_half_broken_stops_with_the_table_of_failures_alone(train, make_folders, sound_of, tmp_path):
    folder = make_folders(tmp_path / "sounds", n_per_class=3)
    for label in ("low", "noise"):
        for number in range(3 if label == "low" else 2):
            (folder / label / f"{number}.wav").write_bytes(b"")
    with pytest.raises(ManifestError, match="5 files cannot be read, more than half of the clips") as caught:
        train(folder, tmp_path / "run")
    assert "low/0.wav: is empty" in str(caught.value)
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["failures.csv"]
    assert len((tmp_path / "run" / "failures.csv").read_text(encoding="utf-8").splitlines()) == 6
    for label in ("low", "noise"):  # mended, the same command goes on in the same folder
        shutil.copytree(folder / "high", folder / label, dirs_exist_ok=True)
        for number in range(3):
            audio.write(folder / label / f"{number}.wav", sound_of(label, number), 8000)
    assert train(folder, tmp_path / "run", FOREST).n_failures == 0


def test_files_that_are_not_there_are_failures_unless_they_are_most_or_all_of_a_label(
    train, folders, write_table, tmp_path
):
    rows = [[folders / label / f"{n}.wav", label] for label in ("low", "high") for n in range(5)]
    table = write_table(tmp_path / "t.csv", ["file", "label"], [*rows, [tmp_path / "none.wav", "low"]])
    trained = train(table, tmp_path / "run", FOREST)
    assert (trained.n_failures, trained.scorecard.n_clips) == (1, 10)
    assert "none.wav' is missing" in trained.run.failures.read_text(encoding="utf-8")
    found = evaluate(
        trained.run.tagger,
        write_table(
            tmp_path / "u.csv",
            ["file", "label"],
            [[folders / "noise" / "0.wav", "low"], [tmp_path / "none.wav", "high"]],
        ),
    )
    assert len(found.failures) == 1
    table = write_table(tmp_path / "t.csv", ["file", "label"], [*rows, [tmp_path / "none.wav", "rare"]])
    with pytest.raises(ManifestError, match="no file of these labels is there: rare. Fetch them"):
        train(table, tmp_path / "other", FOREST)
    table = write_table(
        tmp_path / "t.csv", ["file", "label"], [*rows, *[[tmp_path / f"{n}.wav", "low"] for n in range(11)]]
    )
    with pytest.raises(ManifestError, match="11 of 21 rows are wrong"):
        train(table, tmp_path / "other", FOREST)


def test_a_class_of_which_nothing_can_be_read_stops_even_given_folds(train, folders, write_table, tmp_path):
    rows = [[f"{label}/{n}.wav", label, n % 2] for label in ("low", "high") for n in range(5)]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    table = write_table(tmp_path / "t.csv", ["file", "label", "fold"], [*rows, [broken, "rare", 0]])
    with pytest.raises(ManifestError, match="no clip with these labels can be read: rare"):
        train(table, tmp_path / "run", FOREST, audio_dir=folders)


@pytest.fixture
def copies(tmp_path, make_folders):
    """A folder per class, in one of which three of five files are copies of one."""
    folder = make_folders(tmp_path / "sounds")
    for number in range(1, 3):
        shutil.copy(folder / "low" / "0.wav", folder / "low" / f"{number}.wav")
    return folder


@pytest.fixture
def leaking(tmp_path, copies, write_table):
    """A table whose folds put copies into both."""
    rows = [[f"{copies}/{label}/{n}.wav", label, n % 2] for label in ("low", "high", "noise") for n in range(5)]
    return write_table(tmp_path / "t.csv", ["file", "label", "fold"], rows)


def test_copies_stay_in_one_drawn_fold(train, copies, tmp_path):
    trained = train(copies, tmp_path / "run", FOREST)
    table = read_manifest(trained.run.manifest).table
    copied = table["path"].str.endswith(("low/0.wav", "low/1.wav", "low/2.wav"))
    assert copied.sum() == 3
    assert table["fold"][copied].nunique() == 1
    assert not trained.scorecard.has_leaks


def test_given_folds_that_leak_stop_the_run_and_nothing_is_made(train, leaking, tmp_path):
    with pytest.raises(ManifestError, match="1 leak: the same sound would be trained on and held out"):
        train(leaking, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_leak_that_is_allowed_is_said_wherever_the_score_stands(train, leaking, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "earmark"):
        trained = train(leaking, tmp_path / "run", FOREST, allow_leak=True)
    said = "Leak: copies of one file on several sides"
    assert said in trained.run.card.read_text(encoding="utf-8")
    assert any(note.startswith(said) for note in trained.scorecard.notes())
    assert said in trained.run.report.read_text(encoding="utf-8")
    assert "leak: copies of one file on several sides" in caplog.text
    assert read_manifest(trained.run.manifest).folds.tolist() == [0, 1, 0, 1, 0] * 3


def test_folds_of_a_public_data_set_are_kept_although_they_leak(train, copies, write_table, tmp_path, caplog):
    rows = []
    for label, n in ((label, n) for label in ("low", "high", "noise") for n in range(5)):
        name = copies / f"{n % 2}-{n + 10}-A-{len(label)}.wav"
        shutil.copy(copies / label / f"{n}.wav", copies / label / name.name)
        rows.append([copies / label / name.name, label, n % 2])
    table = write_table(tmp_path / "esc.csv", ["file", "label", "fold"], rows)
    with caplog.at_level(logging.WARNING, "earmark"):
        trained = train(table, tmp_path / "run", FOREST)
    assert trained.scorecard.has_leaks
    assert "leak: copies of one file on several sides" in caplog.text


def test_an_inner_split_that_cannot_be_made_stops_before_training(folders, settings, tmp_path):
    config = resolve(defaults_for([8000], [0.8]), DataConfig(), None, [*settings, "validation_fraction=0.3"])
    manifest = read_manifest(folders)
    one_each = manifest.select([0, 1, 5, 6, 10, 11]).with_folds([0, 1] * 3)
    with pytest.raises(ManifestError, match="no clips can be set aside to choose the epoch by"):
        require_inner_splits(config, one_each)
    require_inner_splits(config, manifest.with_folds([0, 1, 0, 1, 0] * 3))


@pytest.mark.parametrize(
    ("settings", "place", "error", "message"),
    [
        (["optim.teacher=runs/absent"], "run", ConfigError, "optim.teacher: .*/absent cannot be read .No such"),
        (["model=cnn14", "window.seconds=0.2"], "run", ConfigError, "cnn14 cannot hear a window of 0.2 s with .* mel"),
        (["optim.noisy_share=0.5"], "run", ConfigError, "sounds: no clip is of the noisy subset"),
        ([], "sounds/low/0.wav/run", RunError, "0.wav/run: cannot be written .Not a directory.. Choose another place"),
    ],
)
def test_what_is_in_the_way_is_said_before_anything_is_decoded(
    train, make_folders, tmp_path, monkeypatch, settings, place, error, message
):
    folder = make_folders(tmp_path / "sounds", n_per_class=3)
    monkeypatch.setattr("earmark.flows.prepare.decode", lambda *_: pytest.fail("was decoded"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        train(folder, tmp_path / place, *settings)
    assert sorted(tmp_path.rglob("*")) == before
