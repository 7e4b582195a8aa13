"""`evaluate`: any tagger file, or a table of scores, on labelled sounds it never saw."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from earmark import audio
from earmark.data.lock import looks_path, make_lock, read_looks, write_lock
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, EarmarkError, ManifestError, TaggerFileError
from earmark.flows.evaluate import UNKNOWN_ORIGIN, evaluate, evaluate_predictions
from earmark.predictions import Predictions
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


def test_every_measure_is_there_and_the_document_has_it_all(forest, unseen, tmp_path):
    found = evaluate(forest, unseen, by=["labels", "clip_seconds", "loudness", "group"])
    measures = found.score.metrics
    assert {"accuracy", "balanced_accuracy", "map_at_3", "lwlrap", "map_macro", "map_micro", "roc_auc"} < set(measures)
    assert {"d_prime", "ece", "f1_macro", "f1_micro", "precision_macro", "recall_micro"} < set(measures)
    row = found.score.per_class["low"]
    assert row["low"] <= row["recall"] <= row["high"] and {"tag_f1", "n_tagged"} < set(row)
    assert {each.name for each in found.slices["labels"]} == {"low", "high", "noise"}
    assert [each.name for each in found.slices["clip_seconds"]] == ["0.8 s"]
    assert len(found.slices["group"]) == 12 and sum(each.n_clips for each in found.slices["loudness"]) == 12
    found.save(tmp_path / "judged")
    found.save(tmp_path / "judged.json")
    document = json.loads((tmp_path / "judged.json").read_text(encoding="utf-8"))
    assert document == json.loads((tmp_path / "judged" / "evaluation.json").read_text(encoding="utf-8"))
    assert {"slices", "reliability", "failures", "models"} < set(document)
    np.testing.assert_array_equal(Predictions.load(tmp_path / "judged" / "scores.csv").scores, found.predictions.scores)
    assert len(found.class_table()[1]) == 3 and len(found.slice_table("group", 5)[1]) == 5
    assert "7 better ones are in --json" in found.slice_table("group", 5)[2]


def test_what_there_is_not_to_part_by_is_refused_before_anything_is_heard(forest, unseen):
    with pytest.raises(ManifestError, match="there is no column 'grup'"):
        evaluate(forest, unseen, by=["grup"])


def test_labels_of_one_side_are_left_out_or_mapped(forest, unseen, tmp_path):
    (unseen / "noise").rename(unseen / "hiss")
    found = evaluate(forest, unseen, common=True)
    assert (found.scorecard.n_clips, found.scorecard.n_classes) == (8, 2)
    assert found.scorecard.remarks[0] == (
        "Only the 2 labels that both know: 1 labels of the scores are left out, 1 of the data (hiss), "
        "4 clips that have no other."
    )
    (tmp_path / "map.csv").write_text("from,to\nnoise,hiss\n", encoding="utf-8")
    mapped = evaluate(forest, unseen, mapping=tmp_path / "map.csv")
    assert (mapped.scorecard.n_clips, mapped.predictions.labels) == (12, ("high", "low", "hiss"))
    for label in ("low", "high"):
        shutil.rmtree(unseen / label)
    with pytest.raises(ManifestError, match="shares no label with the scores"):
        evaluate(forest, unseen, common=True)


def test_what_it_was_trained_on_can_be_marked_instead_of_refused(trained, folders):
    found = evaluate(trained.run.tagger, folders, allow_leak=True)
    assert found.scorecard.has_leaks
    assert "was trained on 15 of these 15 clips, and the score is too good" in found.scorecard.remarks[0]


def test_copies_at_another_level_are_found_by_hearing_what_a_run_learnt_from(trained, folders, tmp_path):
    for label in ("low", "high", "noise"):
        for path in sorted((folders / label).iterdir())[:2]:
            audio.write(tmp_path / "copies" / label / path.name, 0.5 * audio.load(path, 8000), 8000)
    evaluate(trained.run.folder, tmp_path / "copies")  # their content is new
    with pytest.raises(EarmarkError, match=r"its training shares \d+ sounds or recordings with this data"):
        evaluate(trained.run.folder, tmp_path / "copies", audit=True)
    found = evaluate(trained.run.folder, tmp_path / "copies", audit=True, allow_leak=True)
    assert found.scorecard.has_leaks


def labelled(folder, write_table, **columns):
    """A table of six clips whose sounds are not there."""
    rows = [[f"{n}.wav", ("dog", "rain")[n % 2], *(values[n] for values in columns.values())] for n in range(6)]
    return write_table(folder / "labels.csv", ["file", "label", *columns], rows)


def test_a_table_of_scores_is_judged_without_the_sounds(tmp_path, write_table):
    data = labelled(tmp_path, write_table, site=["a", "a", "b", "b", "b", "b"])
    rows = [[f"{n}.wav", 0.9 - 0.8 * (n % 2), 0.1 + 0.8 * (n % 2)] for n in range(6)]
    rows[5][1:] = [0.8, 0.2]
    scores = write_table(tmp_path / "scores.csv", ["fname", "dog", "rain"], rows)
    found = evaluate_predictions(scores, data, by=["site"])
    assert found.score.metrics["accuracy"].value == pytest.approx(5 / 6)
    assert [(each.name, each.n_clips) for each in found.slices["site"]] == [("b", 4), ("a", 2)]
    assert UNKNOWN_ORIGIN in found.scorecard.remarks
    worst = found.slices["site"][0]  # which is a group: the interval is over its files
    assert worst.n_groups == 4 and worst.metrics["accuracy"].low < worst.metrics["accuracy"].value
    with pytest.raises(ConfigError, match="--pool: 'sum' is none of mean, max, geometric"):
        evaluate_predictions(scores, data, pool="sum")


def test_clips_without_scores_are_an_error_or_left_out(tmp_path, write_table):
    data = labelled(tmp_path, write_table)
    scores = write_table(tmp_path / "scores.csv", ["fname", "dog", "rain"], [[f"{n}.wav", 0.9, 0.1] for n in range(4)])
    with pytest.raises(ManifestError, match=r"2 of 6 clips have no scores(?s:.*)4.wav"):
        evaluate_predictions(scores, data)
    found = evaluate_predictions(scores, data, common=True)
    assert found.scorecard.n_clips == 4 and "2 of 6 clips have no scores" in found.scorecard.remarks[1]


def test_ranks_are_judged_by_their_order_alone(tmp_path, write_table):
    data = labelled(tmp_path, write_table)
    scores = write_table(tmp_path / "s.csv", ["fname", "label"], [[f"{n}.wav", "dog rain"] for n in range(6)])
    found = evaluate_predictions(scores, data)
    assert found.score.metrics["map_at_3"].value == 0.75
    assert not {"ece", "f1_micro"} & set(found.score.metrics) and found.reliability is None
    assert "their order is judged" in found.scorecard.remarks[-1]


def test_folds_of_the_data_keep_the_scales_of_their_models_apart(tmp_path, write_table):
    data = labelled(tmp_path, write_table, fold=[0, 0, 0, 1, 1, 1])
    rows = [[f"{n}.wav", (0.9 if n % 2 == 0 else 0.5) - 0.45 * (n > 2), 0.3] for n in range(6)]
    found = evaluate_predictions(write_table(tmp_path / "s.csv", ["fname", "dog", "rain"], rows), data)
    assert found.score.per_class["dog"]["average_precision"] == 1.0
    assert any("means of the 2 folds" in remark for remark in found.scorecard.remarks)


def test_several_labels_have_tags_at_the_threshold_that_is_asked_for(tmp_path, write_table):
    data = write_table(
        tmp_path / "l.csv", ["file", "labels"], [["0.wav", "dog;rain"], ["1.wav", "dog;"], ["2.wav", ";"]]
    )
    rows = [["0.wav", 0.6, 0.3], ["1.wav", 0.6, 0.1], ["2.wav", 0.2, 0.1]]
    scores = write_table(tmp_path / "s.csv", ["fname", "dog", "rain"], rows)
    recall = [
        evaluate_predictions(scores, data, threshold=each).score.metrics["recall_micro"].value for each in (None, 0.25)
    ]
    assert recall == [pytest.approx(2 / 3), 1.0]


def test_looks_of_tables_at_a_locked_test_split_are_counted(tmp_path, write_table):
    data = labelled(tmp_path, write_table, split=["test"] * 4 + ["train"] * 2)
    for number in range(6):
        audio.write(tmp_path / f"{number}.wav", np.full(800, 0.1 * number, dtype=np.float32), 8000)
    write_lock(data, make_lock(data, read_manifest(data), "given", 0))
    rows = [[f"{n}.wav", 0.9, 0.1] for n in range(6)]
    scores = write_table(tmp_path / "scores.csv", ["fname", "dog", "rain"], rows)
    for look in (1, 2):
        found = evaluate_predictions(scores, data)
        assert found.scorecard.n_clips == 4 and f"Look {look} at this locked test split" in found.scorecard.remarks[-1]
    assert [look.tagger for look in read_looks(looks_path(data))] == [str(scores)] * 2
    (tmp_path / "0.wav").unlink()
    with pytest.raises(ManifestError, match="file '0.wav' is missing"):
        evaluate_predictions(scores, data)
