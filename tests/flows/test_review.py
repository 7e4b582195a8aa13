"""`earmark review` of a run, and `train` with what was decided: rows change, files do not, the run says so."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from earmark import audio
from earmark.config import read_yaml
from earmark.data.corrections import Correction, append_correction
from earmark.data.readers import read_manifest
from earmark.errors import ManifestError, RunError
from earmark.flows.review import review, run_copies, train_command
from earmark.predictions import Predictions
from earmark.report.reading import read_run
from earmark.report.review_page import question_sound, review_page
from earmark.run import Run


@pytest.fixture
def run(trained, tmp_path, monkeypatch, cache_folder) -> Run:
    """A copy of the finished run, in which the model is sure that one low tone is noise."""
    monkeypatch.setenv("EARMARK_CACHE", str(cache_folder))
    run = Run(tmp_path / trained.run.name)
    shutil.copytree(trained.run.folder, run.folder)
    for model in read_run(run.folder).models:
        found = Predictions.load(run.predictions(model))
        given = {name: name.split("/")[0] for name in found.clip_ids}
        sure = np.array([[0.9 if label == given[name] else 0.05 for label in found.labels] for name in found.clip_ids])
        wrong = list(found.clip_ids).index("low/1.wav")
        sure[wrong] = [0.98 if label == "noise" else 0.01 for label in found.labels]
        scores = sure.astype(np.float32)
        Predictions(found.clip_ids, found.starts, found.ends, scores, found.labels).save(run.predictions(model))
    return run


def correct(path, *rows: tuple[str, str, str, tuple[str, ...]]) -> None:
    for clip, label, decision, new in rows:
        append_correction(path, Correction("2026-01-01", "ann", clip, (label,), label, decision, new))


def test_the_label_that_the_model_denies_is_asked_about_and_nothing_else(run):
    found = review(run.folder, who="ann", progress=False)
    (question,) = found.session.questions
    assert (question.clip.clip_id, question.label, question.suggested) == ("low/1.wav", "low", ("noise",))
    assert question.scores[0] == ("noise", 0.98)
    with open(run.suspects, newline="", encoding="utf-8") as file:
        assert [row["clip_id"] for row in csv.DictReader(file)] == ["low/1.wav"]


def test_the_command_trains_as_the_run_did_with_the_decisions(run, folders):
    command = review(run.folder, progress=False).command
    assert f"train {folders} --model tiny_cnn --corrections {run.corrections} --out {run.folder}-corrected" in command


def test_the_command_reads_the_data_as_the_run_did():
    data = {"path": "sounds", "segment": "activity", "fraction": "0.5", "encoding": "null", "merge": "false"}
    command = train_command({"data": data, "model": "forest"}, [], "runs/next")
    assert command == "earmark train sounds --segment activity --fraction 0.5 --no-merge --model forest --out runs/next"


def test_what_was_found_before_is_read_again_unless_it_is_asked_for_anew(run):
    review(run.folder, progress=False)
    run.suspects.write_text(run.suspects.read_text(encoding="utf-8").replace("low/1.wav", "low/2.wav"), "utf-8")
    assert review(run.folder, progress=False).session.questions[0].clip.clip_id == "low/2.wav"
    assert review(run.folder, anew=True, progress=False).session.questions[0].clip.clip_id == "low/1.wav"
    assert len(review(run.folder, most=4, progress=False).session.questions) == 4


def test_suspects_of_another_run_and_unknown_models_are_refused(run):
    review(run.folder, progress=False)
    run.suspects.write_text(run.suspects.read_text(encoding="utf-8").replace("low/1.wav", "low/99.wav"), "utf-8")
    with pytest.raises(RunError, match="suspects.csv is about other clips than the run"):
        review(run.folder, progress=False)
    with pytest.raises(RunError, match="has no model 'se_cnn'. Take one of"):
        review(run.folder, model="se_cnn", progress=False)


def test_a_copy_under_another_label_is_found_by_its_sound(tmp_path, sound_of, write_table, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    sounds = [np.cumsum(generator.standard_normal(32_000)).astype(np.float32) for _ in range(4)]
    for number, sound in enumerate(sounds):
        audio.write(tmp_path / f"{number}.wav", 0.9 * sound / np.abs(sound).max(), 8000)
    audio.write(tmp_path / "copy.wav", 0.4 * sounds[0] / np.abs(sounds[0]).max(), 8000)
    rows = [("0.wav", "a"), ("1.wav", "a"), ("2.wav", "b"), ("3.wav", "b"), ("copy.wav", "b")]
    manifest = read_manifest(write_table(tmp_path / "labels.csv", ["path", "label"], rows))
    for rate in (0, 8000):
        assert [(match.first, match.second) for match in run_copies(manifest, rate, progress=False)] == [(0, 4)]


def test_the_page_and_its_sounds_are_made_of_what_the_run_holds(run):
    found = review(run.folder, progress=False)
    text = review_page(found.session, title=found.title, command=found.command, nonce="n")
    assert "tones: labels that look wrong" in text
    assert "earmark train" in text
    assert "<audio" in question_sound(found.session.questions[0])


def test_training_with_corrections_changes_rows_and_no_file_and_says_so(train, folders, tmp_path):
    path = tmp_path / "corrections.csv"
    correct(path, ("low/1.wav", "low", "relabel", ("noise",)), ("high/0.wav", "high", "drop", ()))
    before = sorted((file, file.stat().st_mtime_ns) for file in folders.rglob("*"))
    made = train(folders, tmp_path / "run", "model=prior", corrections=[path])
    manifest = read_manifest(made.run.manifest)
    labels = dict(zip(manifest.clip_ids, manifest.table["labels"], strict=True))
    assert labels["low/1.wav"] == ("noise",)
    assert "high/0.wav" not in labels
    assert sorted((file, file.stat().st_mtime_ns) for file in folders.rglob("*")) == before
    data = read_yaml(made.run.config)["data"]
    assert data["corrections"] == [str(path)]
    assert len(data["corrections_hash"]) == 64
    assert "Labels are corrected by corrections.csv" in made.run.card.read_text(encoding="utf-8")
    correct(path, ("low/2.wav", "low", "drop", ()))
    with pytest.raises(RunError, match="holds a run with other settings"):
        train(folders, tmp_path / "run", "model=prior", corrections=[path])


def test_two_files_are_applied_in_their_order_and_a_part_of_the_data_waits_for_the_rest(train, folders, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    correct(first, ("low/1.wav", "low", "relabel", ("noise",)))
    append_correction(second, Correction("", "ann", "low/1.wav", ("noise",), "noise", "relabel", ("high",)))
    made = train(folders, tmp_path / "run", "model=prior", corrections=[first, second], fraction=0.7)
    manifest = read_manifest(made.run.manifest)
    labels = dict(zip(manifest.clip_ids, manifest.table["labels"], strict=True))
    assert labels.get("low/1.wav", ("high",)) == ("high",)


def test_corrections_of_other_data_are_refused_before_anything_is_trained(train, folders, tmp_path):
    correct(tmp_path / "c.csv", ("nowhere.wav", "low", "drop", ()))
    with pytest.raises(ManifestError, match=r"1 corrections are about clips that are not in(.|\n)*'nowhere.wav'"):
        train(folders, tmp_path / "run", "model=prior", corrections=[tmp_path / "c.csv"])
    assert not (tmp_path / "run" / "config.yaml").exists()
