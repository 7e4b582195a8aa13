"""`earmark review --unlabelled`: from a folder without labels to a data set that trains, a few clips at a time."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from earmark import audio
from earmark.data.readers import read_manifest
from earmark.errors import AudioError, ConfigError
from earmark.flows import label_next as flow
from earmark.flows.label_next import label_next, name_of


@pytest.fixture
def field(tmp_path, sound_of, monkeypatch):
    """Twelve sounds of three kinds, and a cache of their own."""
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    for number in range(4):
        for label in ("low", "high", "noise"):
            audio.write(tmp_path / "field" / f"{number}{label}.wav", sound_of(label, number), 8000)
    return tmp_path / "field"


@pytest.fixture
def ears(tmp_path, write_ears, monkeypatch):
    """A network by name, whose labels are not those that are wanted."""
    write_ears(tmp_path / "home" / "taggers" / "ears.tagger.onnx")
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return "ears"


def truth(question) -> str:
    return question.name.removesuffix(".wav").lstrip("0123456789")


def answer(found, n: int | None = None) -> None:
    """Label the first questions that are open."""
    state = found.session.state()["questions"]
    waiting = [number for number, each in enumerate(state) if not each["decision"]][:n]
    for number in waiting:
        found.session.decide(number, 0, "label", [truth(found.session.questions[number])])


def test_a_data_set_grows_from_nothing(field, ears, tmp_path, train):
    out = tmp_path / "labels"
    first = label_next(field, ears, out, most=5, labels=["noise"], progress=False)
    assert len(first.session.questions) == 5
    assert all(question.scores == () for question in first.session.questions)
    assert first.session.labels == ["noise"]
    answer(first)
    second = label_next(field, ears, out, most=50, progress=False)
    waiting = [each["decision"] for each in second.session.state()["questions"]]
    assert waiting == [""] * 7 + ["label"] * 5
    assert {label for label, _ in second.session.questions[0].scores} <= {"low", "high", "noise"}
    answer(second)
    with pytest.raises(ConfigError, match="all 12 clips are decided. Train on"):
        label_next(field, ears, out, progress=False)
    table = read_manifest(out / "labels.csv")
    assert len(table) == 12
    assert table.table["labels"].tolist() == [(path.stem.lstrip("0123456789"),) for path in table.files]
    assert f"train {out / 'labels.csv'} --on ears" in first.command
    trained = train(out / "labels.csv", tmp_path / "run", "model=prior")
    assert trained.scorecard.n_clips == 12


def test_the_table_follows_what_is_taken_back(field, ears, tmp_path):
    found = label_next(field, ears, tmp_path / "labels", most=2, progress=False)
    answer(found, 1)
    assert (tmp_path / "labels" / "labels.csv").exists()
    found.session.undo(1)
    assert not (tmp_path / "labels" / "labels.csv").exists()


def test_the_queue_is_a_table_too(field, ears, tmp_path):
    label_next(field, ears, tmp_path / "labels", most=3, progress=False)
    with open(tmp_path / "labels" / "queue.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert all(row["clip_id"].endswith(".wav") for row in rows)


def test_an_own_run_brings_its_labels_and_scores_and_its_data_gets_more_rows(field, trained, train, folders, tmp_path):
    out = tmp_path / "labels"
    found = label_next(field, str(trained.run.folder), out, most=4, progress=False)
    assert found.session.labels == ["high", "low", "noise"]
    assert all(len(question.scores) == 3 for question in found.session.questions)
    answer(found)
    assert f"train {folders} --model tiny_cnn --corrections {out / 'corrections.csv'}" in found.command
    made = train(folders, tmp_path / "more", "model=prior", corrections=[out / "corrections.csv"])
    manifest = read_manifest(made.run.manifest)
    assert len(manifest) == 15 + 4
    assert sum("field" in str(file) for file in manifest.files) == 4


def test_several_labels_make_a_table_of_several(field, ears, tmp_path):
    found = label_next(field, ears, tmp_path / "labels", most=2, several=True, progress=False)
    found.session.decide(0, 0, "label", ["low", "noise"])
    found.session.decide(1, 0, "label", [])
    table = read_manifest(tmp_path / "labels" / "labels.csv")
    assert table.multi_label
    assert sorted(table.table["labels"]) == [(), ("low", "noise")]


def test_what_cannot_be_heard_is_a_row_of_failures_and_a_folder_of_nothing_else_is_refused(field, ears, tmp_path):
    (field / "broken.wav").write_bytes(b"RIFF")
    label_next(field, ears, tmp_path / "labels", progress=False)
    assert "broken.wav" in (tmp_path / "labels" / "failures.csv").read_text(encoding="utf-8")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="no clip can be heard"):
        label_next(tmp_path / "bad", ears, tmp_path / "none", progress=False)


def test_a_sound_that_goes_while_it_is_tagged_is_said(field, trained, monkeypatch, tmp_path):
    tagger = flow.load_tagger(trained.run.folder)
    gone = [flow.Clip(field / "gone.wav")]
    with pytest.raises(AudioError, match="could be heard before, but not now"):
        flow.own_scores(tagger, gone, progress=False)


def test_a_label_that_is_rare_so_far_comes_first():
    vectors = np.eye(6, dtype=np.float32)
    scores = np.array([[0.6, 0.4]] * 3 + [[0.4, 0.6]] * 3, dtype=np.float32)
    decided = {str(number): flow.Verdict(labels=("cat",)) for number in range(9)}
    guess = flow.Guess(("cat", "dog"), scores)
    assert set(flow.choose(vectors, np.arange(6), guess, decided, False, 3).tolist()) == {3, 4, 5}


def test_a_file_is_named_from_its_table_where_it_is_below(tmp_path):
    assert name_of(tmp_path / "a" / "b.wav", tmp_path) == "a/b.wav"
    assert name_of(tmp_path / "b.wav", tmp_path / "a") == (tmp_path / "b.wav").as_posix()
