"""Scores of other tools, in the tables that they write; and what is wrong in such tables."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data.label_map import map_labels, merge_columns, read_label_map
from earmark.data.manifest import Manifest
from earmark.data.score_table import read_scores
from earmark.errors import ManifestError


@pytest.fixture
def clips(tmp_path):
    return Manifest.build(tmp_path, ["a/1.wav", "a/2.wav", "b/3.wav"], [("dog",), ("rain",), ("dog",)])


def write(path, *lines, encoding="utf-8"):
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("names", [("a/1.wav", "a/2.wav", "b/3.wav"), ("1.wav", "2.wav", "3.wav"), ("1", "2", "3")])
@pytest.mark.parametrize("column", ["clip_id", "fname", "id", "Filename"])
def test_a_column_per_label_in_any_order_of_rows_and_labels(clips, tmp_path, names, column):
    path = write(
        tmp_path / "s.csv", f"{column},rain,dog", f"{names[2]},0.3,0.7", f"{names[0]},0,1", f"{names[1]},1,0.5"
    )
    found = read_scores(path, clips)
    assert found.predictions.clip_ids.tolist() == ["a/1.wav", "a/2.wav", "b/3.wav"]
    assert found.predictions.labels == ("rain", "dog")
    np.testing.assert_allclose(found.predictions.scores, [[0, 1], [1, 0.5], [0.3, 0.7]])
    assert (found.no_chances, found.missing, found.remarks) == ("", (), ())


def test_absolute_paths_from_another_machine_are_known_by_their_file_names(clips, tmp_path):
    path = write(tmp_path / "s.csv", "path,dog,rain", "/home/u/1.wav,1,0", r"C:\u\2.wav,0,1", "./b/3.wav,1,0")
    assert len(read_scores(path, clips).predictions) == 3


def test_a_file_name_that_two_folders_have_is_no_name(tmp_path):
    clips = Manifest.build(tmp_path, ["a/1.wav", "b/1.wav"], [("dog",), ("rain",)])
    path = write(tmp_path / "s.csv", "fname,dog,rain", "1.wav,1,0", "b/1.wav,0,1")
    found = read_scores(path, clips)
    assert found.missing == ("a/1.wav",)


def test_a_name_is_the_same_however_its_letters_are_composed(tmp_path):
    name, other = (unicodedata.normalize(form, "grüne Höhle 鸟.wav") for form in ("NFC", "NFD"))
    clips = Manifest.build(tmp_path, [name, "x.wav"], [("dog",), ("rain",)])
    path = write(tmp_path / "s.csv", "fname,dog,rain", f"{other},1,0", "x.wav,0,1")
    assert read_scores(path, clips).missing == ()


def test_a_table_of_tags_with_times_takes_the_highest_score_and_what_it_leaves_out_is_zero(clips, tmp_path):
    path = write(
        tmp_path / "birdnet.csv",
        "Start (s),End (s),Scientific name,Common name,Confidence,File",
        "0,3,Canis,dog,0.4,/in/1.wav",
        "3,6,Canis,dog,0.9,/in/1.wav",
        "0,3,Pluvia,rain,0.2,/in/3.wav",
        "0,3,Felis,cat,0.1,/in/3.wav",
    )
    found = read_scores(path, clips)
    assert found.predictions.labels == ("cat", "dog", "rain") and found.missing == ()
    np.testing.assert_allclose(found.predictions.scores, [[0, 0.9, 0], [0, 0, 0], [0.1, 0, 0.2]])
    assert "1 of 3 clips have no tag at all" in found.remarks[1]


def test_rows_with_times_belong_to_the_clips_they_overlap(tmp_path):
    clips = Manifest.build(tmp_path, ["d.wav"] * 2, [("dog",), ("rain",)], starts=[0.0, 5.0], ends=[5.0, 10.0])
    lines = ["d.wav,0,2,1,0", "d.wav,4,6,0.5,0.5", "d.wav,8,10,0,0.9"]
    path = write(tmp_path / "s.csv", "file,start,end,dog,rain", *lines)
    np.testing.assert_allclose(read_scores(path, clips).predictions.scores, [[0.75, 0.25], [0.25, 0.7]])
    highest = read_scores(path, clips, pool="max")
    np.testing.assert_allclose(highest.predictions.scores, [[1, 0.5], [0.5, 0.9]])
    assert "4 rows are the windows of 2 clips (max)" in highest.remarks[0]
    with pytest.raises(ManifestError, match="rows name files that hold several clips"):
        read_scores(write(tmp_path / "t.csv", "file,dog,rain", "d.wav,1,0"), clips)


def test_the_best_labels_in_a_cell_are_ranks_and_no_chances(clips, tmp_path):
    path = write(tmp_path / "submission.csv", "fname,label", "1.wav,dog rain cat", "2.wav,rain", "3.wav,cat dog rain")
    found = read_scores(path, clips)
    np.testing.assert_allclose(found.predictions.scores, [[1 / 3, 1, 1 / 2], [0, 0, 1], [1, 1 / 2, 1 / 3]])
    assert found.no_chances == "the table ranks labels and gives no scores"


def test_scores_beyond_zero_and_one_are_no_chances(clips, tmp_path):
    path = write(tmp_path / "logits.csv", "fname,dog,rain", "1.wav,3.5,-2", "2.wav,0,1", "3.wav,1,0")
    assert read_scores(path, clips).no_chances == "they run from -2 to 3.5, not from 0 to 1"
    tags = write(tmp_path / "tags.csv", "fname,label,score", "1.wav,dog,-3", "2.wav,rain,7")
    found = read_scores(tags, clips)
    assert found.predictions.scores.tolist() == [[-3, -3], [-3, 7], [-3, -3]]
    assert found.no_chances == "they run from -3 to 7, not from 0 to 1"


def test_other_columns_are_told_and_known_ones_are_no_labels(clips, tmp_path):
    path = write(tmp_path / "s.csv", "fname,fold,note,target,dog,rain", "1.wav,1,x,5,1,0", "2.wav,2,y,6,0,1")
    found = read_scores(path, clips)
    assert found.predictions.labels == ("dog", "rain") and found.missing == ("b/3.wav",)
    assert found.remarks == ("s.csv: columns without numbers are left out: note.",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["dog,rain", "1,0"], "no column names the clips"),
        (["fname,note", "1.wav,hm", "2.wav,eh"], "holds no scores"),
        (["fname,dog,rain", "1.wav,nan,0", "2.wav,,1"], r"2 scores are not finite numbers(?s:.*)'dog' holds 'nan'"),
        (["fname,dog,rain", "1.wav,inf,0", "2.wav,1e300,1"], "2 scores are not finite numbers"),
        (["fname,label,score", "1.wav,dog,high"], "1 scores are not finite numbers"),
        (["fname,dog,rain", "1.wav,1,0", "1.wav,1,0"], "2 rows share their clips and have no times"),
        (["fname,dog,rain", "9.wav,1,0"], "none of its 1 rows names a clip of the data"),
        (["fname,dog,rain"], "has a header but no rows"),
        (["fname,dog,dog", "1.wav,1,0"], "columns stand more than once"),
        (["fname,dog,rain", "1.wav,1"], "rows have too few or too many cells"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(clips, tmp_path, lines, message):
    with pytest.raises(ManifestError, match=message):
        read_scores(write(tmp_path / "s.csv", *lines), clips)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a/1.wav", "2", "b/3.wav", "4", ""]),
            *[st.sampled_from(["0", "1", ".5", "1e-9", "nan", "x", "-2", "", " 1 ", "1,5"])] * 2,
        ),
        max_size=6,
    )
)
def test_wild_tables_are_read_or_refused_in_a_sentence(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("wild")
    clips = Manifest.build(folder, ["a/1.wav", "a/2.wav", "b/3.wav"], [("dog",), ("rain",), ("dog",)])
    path = write(folder / "s.csv", "fname;dog;rain", *(";".join(row) for row in rows))
    try:
        found = read_scores(path, clips)
    except ManifestError as error:
        assert str(path) in str(error)
        return
    assert np.isfinite(found.predictions.scores).all()
    assert len(found.predictions) + len(found.missing) == 3


def test_ten_thousand_rows_take_moments(tmp_path):
    names = [f"{number}.wav" for number in range(10_000)]
    clips = Manifest.build(tmp_path, names, [("dog",), ("rain",)] * 5_000)
    path = write(tmp_path / "s.csv", "fname,dog,rain", *(f"{name},0.25,0.75" for name in reversed(names)))
    assert read_scores(path, clips).predictions.scores.sum() == 10_000


def test_a_map_gives_labels_the_names_of_the_data_and_joins_them(tmp_path):
    path = write(tmp_path / "map.csv", "from,to", "Dog,dog", "Bark,dog", "Silence,")
    columns = map_labels(["Rain", "Dog", "Bark", "Silence"], read_label_map(path), path)
    assert columns == {"Rain": [0], "dog": [1, 2]}
    scores = np.array([[0.1, 0.2, 0.7, 0.9]])
    assert merge_columns(scores, columns).tolist() == [[0.1, 0.7]]
    assert merge_columns(scores > 0.5, columns).tolist() == [[False, True]]
    assert merge_columns(scores, {}).shape == (1, 0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "Dog,dog"], "a map of labels has the columns 'from'"),
        (["from,to", "Dog,dog", "Dog,cat"], "1 labels go to two"),
        (["from,to", "Dgo,dog"], r"1 names in 'from' are no labels of the scores(?s:.*)did you mean 'Dog'"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path, lines, message):
    path = write(tmp_path / "map.csv", *lines)
    with pytest.raises(ManifestError, match=message):
        map_labels(["Dog", "Rain"], read_label_map(path), path)


def test_labels_left_out_take_their_strengths_along_and_clips_that_have_no_other(tmp_path):
    one = Manifest.build(tmp_path, ["a", "b"], [("dog",), ("rain",)]).without_labels({"rain"})
    assert one.clip_ids.tolist() == ["a"] and list(one.vocabulary) == ["dog"]
    several = Manifest.build(
        tmp_path, ["a", "b"], [("dog", "rain"), ("rain",)], strengths=[(0.8, 0.4), (0.9,)]
    ).without_labels({"rain"})
    assert several.table["labels"].tolist() == [("dog",), ()]
    assert several.table["strengths"].tolist() == [(0.8,), ()] and len(several) == 2
