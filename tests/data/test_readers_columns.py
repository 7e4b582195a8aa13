"""Columns beyond file and label, rows that repeat a clip, and faults that are handed over instead of raised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earmark.data import choose_folds, read_manifest
from earmark.data.readers.problems import RowProblem
from earmark.errors import ManifestError


def table(root: Path, *rows: str) -> Path:
    """A table beside files 1.wav to 6.wav."""
    for number in range(1, 7):
        (root / f"{number}.wav").touch()
    (root / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "t.csv"


# What columns mean


def test_strengths_stand_beside_their_labels(tmp_path):
    rows = ("file,labels,strengths", "1.wav,dog;rain,0.25;1", "2.wav,rain,", "3.wav,rain;dog,1 1.0", "4.wav,dog,0.5")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.table["strengths"].tolist() == [(0.25, 1.0), (), (), (0.5,)]
    assert manifest.targets().tolist() == [[0.25, 1], [0, 1], [1, 1], [0.5, 0]]


def test_fractions_in_class_columns_reach_the_targets_and_gaps_the_label_weights(tmp_path):
    manifest = read_manifest(table(tmp_path, "file,dog,rain", "1.wav,1,0.3", "2.wav,0,1", "3.wav,?,1", "4.wav,1,"))
    np.testing.assert_allclose(manifest.targets(), [[1, 0.3], [0, 1], [0, 1], [1, 0]], rtol=1e-6)
    assert manifest.label_weights().tolist() == [[1, 1], [1, 1], [0, 1], [1, 0]]


def test_negative_and_unsure_labels_share_the_separator(tmp_path):
    rows = ("file,labels,negative,unsure", "1.wav,dog,cat|rain,", "2.wav,cat,,dog", "3.wav,,dog,", "4.wav,rain,,")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.table["labels"].tolist() == [("dog",), ("cat",), (), ("rain",)]
    assert manifest.column("negative").tolist() == [("cat", "rain"), (), ("dog",), ()]
    assert manifest.column("unsure").tolist() == [(), ("dog",), (), ()]


def test_classes_may_be_called_like_other_columns_where_there_is_no_column_of_labels(tmp_path):
    manifest = read_manifest(table(tmp_path, "file,negative,strength", "1.wav,1,0", "2.wav,0,1"))
    assert manifest.vocabulary.labels == ("negative", "strength")


@pytest.mark.parametrize(
    ("words", "split"),
    [
        (("train", "Training"), "train"),
        (("validation", "valid", "VAL", "dev"), "validation"),
        (("test", "eval", "evaluation"), "test"),
    ],
)
def test_words_for_splits(tmp_path, words, split):
    rows = [f"{number}.wav,dog,{word}" for number, word in enumerate(words, start=1)]
    assert set(read_manifest(table(tmp_path, "file,label,split", *rows)).splits) == {split}


@pytest.mark.parametrize(
    ("column", "curated", "noisy"),
    [("subset", "curated", "Noisy"), ("manually_verified", "1", "0"), ("noisy", "False", "True")],
)
def test_words_for_subsets(tmp_path, column, curated, noisy):
    rows = (f"file,label,{column}", f"1.wav,dog,{curated}", f"2.wav,cat,{noisy}", "3.wav,cat,")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.column("subset").tolist() == ["curated", "noisy", ""]
    assert manifest.extras == []


def test_weights_default_to_one(tmp_path):
    assert read_manifest(table(tmp_path, "file,label,weight", "1.wav,dog,0", "2.wav,dog,")).weights.tolist() == [0, 1]


def test_a_clip_without_a_fold_is_never_held_out(tmp_path):
    rows = ("file,label,fold", "1.wav,dog,2", "2.wav,cat,", "3.wav,cat,-1", "4.wav,cat,1", "5.wav,dog,1", "6.wav,dog,2")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.folds.tolist() == [2, -1, -1, 1, 1, 2]
    assert " 2 clips are never held out." in choose_folds(manifest)[2]


def test_every_other_column_is_an_extra_as_text(tmp_path):
    rows = ("file,label,site,date,target,take", "1.wav,dog,forest,2024-01-05,07,NA", "2.wav,cat,street,,08,on")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.extras == ["site", "date", "target", "take"]
    assert manifest.column("date").tolist() == ["2024-01-05", ""]
    assert manifest.column("target").tolist() == ["07", "08"]
    assert manifest.groups.tolist() == manifest.column("site").tolist() == ["forest", "street"]


def test_class_columns_and_columns_without_a_name_are_no_extras(tmp_path):
    manifest = read_manifest(table(tmp_path, ",file,dog,cat,seconds", "0,1.wav,1,0,2.5", "1,2.wav,0,1,3.5"))
    assert manifest.extras == ["seconds"]


def test_a_table_that_a_manifest_wrote_is_read_by_our_own_names_alone(tmp_path):
    rows = ("clip_id,path,labels,onset,site,noisy", "a,1.wav,dog,7,forest,x", "b,2.wav,cat,7,street,y")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.extras == ["onset", "site", "noisy"]
    assert not manifest.has_groups
    assert manifest.table["start"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ("file,labels,strengths", "1.wav,dog,0"),
            r"row 2: strengths '0' are no number in \(0, 1\] for each of 1",
        ),
        (("file,labels,strengths", "1.wav,dog,1.5"), "row 2: strengths '1.5' are no number"),
        (("file,labels,strengths", "1.wav,dog,x"), "row 2: strengths 'x' are no number"),
        (("file,labels,strengths", "1.wav,dog;cat,1"), "row 2: strengths '1' are no number in .* each of 2 labels"),
        (("file,label,split", "1.wav,dog,1"), r"row 2: split '1' is none of train, validation and test \(a number"),
        (("file,label,subset", "1.wav,dog,clean"), "row 2: subset 'clean' is neither curated nor noisy"),
        (("file,label,noisy", "1.wav,dog,x"), "row 2: noisy 'x' is neither 1 nor 0"),
        (("file,label,weight", "1.wav,dog,-1"), "row 2: weight '-1' is no number of 0 or more"),
        (("file,label,weight", "1.wav,dog,heavy"), "row 2: weight 'heavy' is no number"),
        (("file,label,negative", "1.wav,dog,dog"), "row 2: 'dog' is both present and negative"),
        (("file,label,unsure", "1.wav,dog,dog"), "row 2: 'dog' is both present and unsure"),
        (("file,label,negative,unsure", "1.wav,cat,dog,dog"), "row 2: 'dog' is both negative and unsure"),
        (("file,label", "1.wav,dog", ".,dog"), r"row 3: file '\.' is missing"),
        (("file,start,end", "1.wav,0,1"), "no column holds labels"),
    ],
)
def test_each_fault_of_a_column_has_its_error(tmp_path, rows, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(table(tmp_path, *rows))


# Rows that repeat a clip


def test_rows_that_repeat_a_clip_with_other_labels_become_one(tmp_path, caplog):
    rows = ("file,label,fold,site", "1.wav,dog,1,a", "2.wav,dog,2,b", "./1.wav,rain,1,a", "1.wav,cat,1,a")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.table["path"].tolist() == ["1.wav", "2.wav"]
    assert manifest.table["labels"].tolist() == [("dog", "rain", "cat"), ("dog",)]
    assert manifest.column("site").tolist() == ["a", "b"]
    assert "1 clips stand in several rows with different labels; each becomes one row with all of them" in caplog.text


def test_regions_of_one_file_are_clips_of_their_own(tmp_path):
    rows = ("file,onset,offset,label", "1.wav,0,1,dog", "1.wav,1,2,dog", "1.wav,0.0,1.0,cat", "1.wav,0,,cat")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.table["labels"].tolist() == [("dog", "cat"), ("dog",), ("cat",)]


def test_states_of_repeated_rows_are_joined(tmp_path):
    rows = ("file,labels,strengths,negative", "1.wav,dog,0.5,cat", "1.wav,rain,,wind", "1.wav,dog;sea,0.9;1,")
    manifest = read_manifest(table(tmp_path, *rows))
    assert manifest.table["labels"].tolist() == [("dog", "rain", "sea")]
    assert manifest.column("strengths").tolist() == [(0.9, 1.0, 1.0)]
    assert manifest.column("negative").tolist() == [("cat", "wind")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("file,label", "1.wav,dog", "1.wav,cat", "1.wav,dog"), "row 4: the same clip as row 2$"),
        (("file,labels", "1.wav,dog;cat", "1.wav,cat;dog"), "row 3: the same clip as row 2$"),
        (("file,label,fold", "1.wav,dog,1", "1.wav,cat,2"), "the same clip as row 2, but in fold '2' instead of '1'"),
        (("file,label,split", "1.wav,dog,dev", "1.wav,cat,test"), "but in split 'test' instead of 'validation'"),
        (("file,label,site", "1.wav,dog,a", "1.wav,cat,b"), "but in group 'b' instead of 'a'"),
        (
            ("file,label,negative", "1.wav,dog,", "1.wav,cat,dog"),
            "row 3: the same clip as row 2, but 'dog' is both present and negative",
        ),
        (("clip_id,file,label", "x,1.wav,dog", "y,1.wav,cat", "x,2.wav,cat"), "row 4: the same clip_id as row 2"),
    ],
)
def test_rows_that_repeat_or_contradict_others_are_faults(tmp_path, rows, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(table(tmp_path, *rows))


def test_joining_can_be_refused(tmp_path):
    path = table(tmp_path, "file,label", "1.wav,dog", "1.wav,cat")
    with pytest.raises(ManifestError, match="row 3: the same clip as row 2, but with other labels, which --no-merge"):
        read_manifest(path, merge=False)


# Faults that are handed over


def test_faulty_rows_are_left_out_and_handed_over(tmp_path):
    rows = (
        "file,label,fold",
        "1.wav,dog,1",
        "9.wav,dog,1",
        "2.wav,,1",
        "3.wav,cat,x",
        "1.wav,dog,1",
        "4.wav,cat",
        "5.wav,cat,2",
        "8.wav,,y",
    )
    problems: list[RowProblem] = []
    path = table(tmp_path, *rows)
    manifest = read_manifest(path, problems=problems)
    assert manifest.table["path"].tolist() == ["1.wav", "5.wav"]
    assert manifest.folds.tolist() == [1, 2]
    assert [(found.where.removeprefix(f"{path} "), found.path, found.problem) for found in problems] == [
        ("row 7", "", "bad_row"),
        ("row 3", "9.wav", "missing_file"),
        ("row 4", "2.wav", "no_label"),
        ("row 5", "3.wav", "bad_row"),
        ("row 6", "1.wav", "repeated_clip"),
        ("row 9", "8.wav", "no_label"),
        ("row 9", "8.wav", "missing_file"),
        ("row 9", "8.wav", "bad_row"),
    ]
    assert problems[1].detail == "file '9.wav' is missing"


def test_a_list_for_problems_changes_nothing_where_there_are_none(tmp_path):
    path = table(tmp_path, "file,label", "1.wav,dog", "2.wav,cat")
    problems: list[RowProblem] = []
    assert read_manifest(path, problems=problems) == read_manifest(path)
    assert problems == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("file,label", "8.wav,dog", "9.wav,cat"), "No file was found below"),
        (("file,label", "1.wav"), "too few or too many cells"),
        (("sound,label", "1.wav,dog"), "no column holds file names"),
    ],
)
def test_a_table_without_one_good_row_is_an_error_all_the_same(tmp_path, rows, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(table(tmp_path, *rows), problems=[])


# Names only


def test_paths_can_be_taken_as_written(tmp_path):
    rows = ("file,label", "a\\b.wav,dog", "./c/../d.wav,cat", f"{tmp_path}/e.wav,cat", "/far/f.wav,dog", "g,dog")
    manifest = read_manifest(table(tmp_path, *rows), look_for_files=False)
    assert manifest.table["path"].tolist() == ["a/b.wav", "d.wav", "e.wav", "/far/f.wav", "g"]


def test_a_fold_that_no_table_can_hold_is_a_fault_of_its_row(tmp_path):
    path = table(tmp_path, "file,label,fold", f"1.wav,dog,{10**30}", "2.wav,cat,1")
    with pytest.raises(ManifestError, match=r"row 2: fold '10+' is not a whole number"):
        read_manifest(path)
