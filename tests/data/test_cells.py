"""Which sign separates the labels of a cell, and when that cannot be told."""

from __future__ import annotations

import pytest

from earmark.data.readers.cells import find_separator, read_one_hot, split_labels
from earmark.errors import ManifestError


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["dog", "rain"], None),
        (["dog;rain", "dog"], ";"),
        (["dog|rain", ""], "|"),
        (["dog,rain", "wind"], ","),
        (["Bark, dog;Rain", "Rain"], ";"),  # commas then belong to names
        (["Bark, dog;", "Rain;"], ";"),
        (["a;b|", "c|"], "|"),
        (["dog, rain", "dog", "rain, wind", "wind"], ","),  # every two neighbours also occur apart
    ],
)
def test_separator_is_found(cells, separator):
    assert find_separator(cells, "t.csv") == separator


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["dog;rain", "dog|wind"], r"both ';' and '\|' occur"),
        (["Child speech, kid speaking", "Rain"], "comma in 'Child speech, kid speaking'"),
        (["Rain,Child speech, kid speaking", "Rain"], "comma in 'Rain,Child speech, kid speaking'"),
    ],
)
def test_doubtful_separator_is_refused_with_advice(cells, message):
    with pytest.raises(ManifestError, match=message + ".*Write several labels in one cell with ';' or"):
        find_separator(cells, "t.csv")


def test_labels_are_stripped_and_stand_once():
    assert split_labels([" dog ; rain;dog; ", "rain"], "t")[0] == [[("dog", "rain"), ("rain",)]]


def test_one_sign_separates_the_labels_of_all_columns():
    (labels, negative), empty_is_meant = split_labels(["dog", ""], "t", ["cat|rain", "wind|"])
    assert labels == [("dog",), ()]
    assert negative == [("cat", "rain"), ("wind",)]
    assert not empty_is_meant


def test_one_hot_columns_become_labels_and_other_columns_are_left_alone():
    found = read_one_hot({"dog": ["1", "0"], "rain": ["1.0", "0"], "seconds": ["3.2", "4"], "note": ["", ""]})
    assert found.classes == ("dog", "rain")
    assert found.labels == [("dog", "rain"), ()]
    assert found.strengths == [(), ()]
    assert found.wrong == {}


def test_fractions_are_strengths_and_gaps_are_unsure():
    found = read_one_hot(
        {"dog": ["1", "0.25", "0", "?"], "rain": ["0", "1", "", "0.5"], "level": [".1", ".2", ".3", ".4"]}
    )
    assert found.classes == ("dog", "rain")
    assert found.labels == [("dog",), ("dog", "rain"), (), ("rain",)]
    assert found.strengths == [(), (0.25, 1.0), (), (0.5,)]
    assert found.unsure == [(), (), ("rain",), ("dog",)]


def test_columns_of_nothing_but_fractions_are_classes_if_no_others_are():
    found = read_one_hot({"dog": ["0.2", "0.9"], "rain": ["0.8", "0.1"], "seconds": ["0.5", "7"]})
    assert found.classes == ("dog", "rain")
    assert found.strengths == [(0.2, 0.8), (0.9, 0.1)]


def test_one_class_column_is_not_enough():
    assert read_one_hot({"dog": ["1", "0"], "note": ["a", "b"]}).classes == ()


@pytest.mark.parametrize("cell", ["2", "-1", "x", "nan", "yes"])
def test_typing_error_in_a_one_hot_column_is_named(cell):
    found = read_one_hot({"dog": ["1", "0", cell], "rain": ["1", "0", "0"]})
    assert found.wrong == {2: [f"'{cell}' in class column 'dog' is neither 0 nor 1 nor between them"]}
    assert found.labels == [("dog", "rain"), (), ()]


def test_a_sign_that_closes_the_cells_of_one_column_separates_in_all():
    assert split_labels(["00|0"], "t", ["a;|", ""])[0] == [[("00", "0")], [("a;",), ()]]
