"""`evaluate`: any tagger file on labelled sounds it never saw."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from earmark import audio
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, EarmarkError, ManifestError, TaggerFileError
from earmark.flows.evaluate import evaluate
from earmark.tagger import load_tagger, score_files


@pytest.fixture
def unseen(tmp_path, sound_of):
    """12 sounds that no run here was trained on, in a folder per class."""
    for label in ("low", "high", "noise"):
        for number in range(100, 104):
            audio.write(tmp_path / "unseen" / label / f"{number}.wav", sound_of(label, number), 8000)
    return tmp_path / "unseen"


@pytest.fixture
def forest(trained):
    """The tagger of a fold's forest."""
    return trained.run.fold(0, "forest").tagger


def test_a_tagger_is_scored_on_what_it_never_saw(forest, unseen):
    found = evaluate(forest, unseen)
    assert found.failures == []
    assert (found.scorecard.n_clips, found.scorecard.n_classes) == (12, 3)
    score = found.scorecard.models["forest fold 0"]
    assert score.metrics["accuracy"].value >= 0.75  # tones and noise: the forest knows them
    again, _ = score_files(load_tagger(forest), read_manifest(unseen).clips())
    np.testing.assert_array_equal(found.predictions.scores, again.scores)


def test_what_a_narrow_band_takes_from_the_scores_is_said_once(forest, unseen, sound_of, caplog):
    for number in (100, 101):
        audio.write(unseen / "low" / f"{number}.wav", sound_of("low", number), 4000)
    evaluate(forest, unseen)
    [said] = [record.message for record in caplog.records if "Hz recording" in record.message]
    assert said.startswith(f"2 recordings, such as {unseen}/low/100.wav: 4000 Hz recording, tagger hears up to 4000 Hz")


def test_other_views_are_measured_on_the_same_tagger(forest, unseen):
    plain, ends = evaluate(forest, unseen), evaluate(forest, unseen, views="ends", pool="geometric")
    assert plain.predictions.clip_ids.tolist() == ends.predictions.clip_ids.tolist()
    assert np.abs(plain.predictions.scores - ends.predictions.scores).max() > 1e-3
    usual = evaluate(forest, unseen, views="sliding", pool="mean")
    np.testing.assert_array_equal(plain.predictions.scores, usual.predictions.scores)
    with pytest.raises(TaggerFileError, match="the views lengths need a graph that hears windows of any length"):
        evaluate(forest, unseen, view_seconds=(0.4, 0.8))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"views": "endings"}, "--views: 'endings' is none of sliding, ends, full, lengths"),
        ({"pool": "sum"}, "--pool: 'sum' is none of mean, max, geometric"),
        ({"views": "lengths"}, "--views: lengths of what"),
    ],
)
def test_views_that_there_are_not_are_refused(forest, unseen, asked, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(forest, unseen, **asked)


def test_labels_are_matched_by_name_not_by_place(forest, unseen):
    shutil.rmtree(unseen / "high")
    found = evaluate(forest, unseen)
    assert set(found.scorecard.models["forest fold 0"].per_class) == {"high", "low", "noise"}
    per_class = found.scorecard.models["forest fold 0"].per_class
    assert [per_class[label]["n_clips"] for label in ("high", "low", "noise")] == [0, 4, 4]
    assert per_class["low"]["recall"] >= 0.75


def test_the_very_clips_it_was_trained_on_are_refused(trained, folders):
    with pytest.raises(EarmarkError, match="was trained on 15 of these 15 clips, so a score on them would say nothing"):
        evaluate(trained.run.tagger, folders)


def test_they_are_refused_too_under_other_names(trained, folders, tmp_path):
    for label in ("low", "high", "noise"):
        (tmp_path / "renamed" / label).mkdir(parents=True)
        for path in (folders / label).iterdir():
            shutil.copy(path, tmp_path / "renamed" / label / f"other {path.name}")
    with pytest.raises(EarmarkError, match="tagger tones was trained on 15 of these"):
        evaluate(trained.run.tagger, tmp_path / "renamed")


def test_they_are_refused_too_beside_a_file_that_cannot_be_read(trained, folders, tmp_path):
    shutil.copytree(folders, tmp_path / "sounds")
    (tmp_path / "sounds" / "low" / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(EarmarkError, match="tagger tones was trained on 15 of these"):
        evaluate(trained.run.tagger, tmp_path / "sounds")


def test_labels_it_does_not_know_are_refused(forest, unseen):
    (unseen / "noise").rename(unseen / "hiss")
    with pytest.raises(ManifestError, match=r"1 labels are not among the 3 expected(?s:.*)'hiss' \(4 clips\)"):
        evaluate(forest, unseen)


def test_files_that_cannot_be_read_are_told_and_the_rest_is_scored(forest, unseen):
    (unseen / "low" / "100.wav").write_bytes(b"")
    found = evaluate(forest, unseen)
    assert found.scorecard.n_clips == 11
    [(path, reason)] = found.failures
    assert path == str(unseen / "low" / "100.wav")
    assert "is empty" in reason


def test_nothing_readable_is_an_error(forest, unseen):
    for path in unseen.rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(EarmarkError, match=r"no clip can be read(?s:.*)is empty"):
        evaluate(forest, unseen)
