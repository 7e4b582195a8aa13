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
    assert split_labels([" dog ; rain;dog; ", "rain"], "t")[0] == [("dog", "rain"), ("rain",)]


def test_one_hot_columns_become_labels_and_other_columns_are_left_alone():
    labels, problems = read_one_hot({"dog": ["1", "0"], "rain": ["1.0", "0"], "seconds": ["3.2", "4"]})
    assert labels == [("dog", "rain"), ()]
    assert problems == [[], []]


def test_typing_error_in_a_one_hot_column_is_named():
    _, problems = read_one_hot({"dog": ["1", "0", "2"], "rain": ["1", "0", "0"]})
    assert problems == [[], [], ["'2' in class column 'dog' is neither 0 nor 1"]]
