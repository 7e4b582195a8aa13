"""The waist: rows of scores that are saved, pooled, aligned and joined without a number or a name being lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from earmark.errors import EarmarkError
from earmark.predictions import Predictions, clip_id, concatenate

# Text that UTF-8 can hold, with commas, quotes and newlines, but without NUL, which no path holds.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
SECONDS = st.integers(0, 10**12).map(lambda microseconds: microseconds / 1e6)


def table(ids, scores, labels=("a", "b"), level="window", starts=None, ends=None) -> Predictions:
    """Rows one second apart unless said otherwise."""
    count = len(ids)
    starts = np.arange(count, dtype=float) if starts is None else np.asarray(starts, dtype=float)
    ends = starts + 1 if ends is None else np.asarray(ends, dtype=float)
    scores = np.asarray(scores, dtype=np.float32).reshape(count, len(labels))
    return Predictions(np.array(ids, dtype=object), starts, ends, scores, tuple(labels), level)


def assert_equal(one: Predictions, other: Predictions) -> None:
    assert one.clip_ids.tolist() == other.clip_ids.tolist()
    assert (one.labels, one.level) == (other.labels, other.level)
    assert one.scores.dtype == other.scores.dtype == np.float32
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_allclose(one.starts, other.starts, atol=1e-6, rtol=0)
    np.testing.assert_allclose(one.ends, other.ends, atol=1e-6, rtol=0)


@st.composite
def tables(draw) -> Predictions:
    """Clip rows with distinct ids, or window rows in which some id comes twice; any float32 score in [0, 1]."""
    ids = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    level = draw(st.sampled_from(["clip", "window"]))
    ids = ids if level == "clip" else [name for name in ids for _ in range(2)]
    labels = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    unit = st.floats(0, 1, width=32)
    scores = draw(arrays.arrays(np.float32, (len(ids), len(labels)), elements=unit))
    starts = draw(st.lists(SECONDS, min_size=len(ids), max_size=len(ids)))
    return table(ids, scores, labels, level, starts)


@given(tables(), st.sampled_from([".csv", ".npz"]))
def test_what_is_saved_is_loaded_whatever_the_names(tmp_path_factory, predictions, suffix):
    path = tmp_path_factory.mktemp("saved") / f"predictions{suffix}"
    predictions.save(path)
    assert_equal(Predictions.load(path), predictions)


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_table_without_rows_keeps_its_labels(tmp_path, suffix):
    path = tmp_path / f"none{suffix}"
    none = table([], np.zeros((0, 2)), level="clip")
    none.save(path)
    assert_equal(Predictions.load(path), none)


def test_the_csv_is_readable_by_others(tmp_path):
    path = tmp_path / "p.csv"
    table(["a,b.wav", "c.wav"], [[0.1, 1], [0, 0.25]], level="clip", starts=[0, 1.5]).save(path)
    assert path.read_text(encoding="utf-8").splitlines() == [
        "clip_id,start,end,a,b",
        '"a,b.wav",0,1,0.100000001,1',
        "c.wav,1.5,2.5,0,0.25",
    ]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    table(["a"], [[0, 1]]).save(path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("earmark.predictions.np.savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        table(["b"], [[1, 0]]).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.npz"]


@pytest.mark.parametrize(("how", "expected"), [("mean", [[0.5, 0.2], [0.3, 0.9]]), ("max", [[0.8, 0.3], [0.3, 0.9]])])
def test_windows_are_pooled_to_clips_in_order_of_first_appearance(how, expected):
    windows = table(["z", "z", "a"], [[0.2, 0.3], [0.8, 0.1], [0.3, 0.9]], starts=[2.0, 2.5, 0.0])
    clips = windows.to_clips(how)
    assert clips.level == "clip"
    assert clips.clip_ids.tolist() == ["z", "a"]
    np.testing.assert_allclose(clips.scores, expected, rtol=1e-6)
    assert clips.scores.dtype == np.float32
    assert clips.starts.tolist() == [2.0, 0.0]
    assert clips.ends.tolist() == [3.5, 1.0]


@given(tables(), st.randoms())
def test_pooling_does_not_depend_on_the_order_of_windows(predictions, random):
    order = list(range(len(predictions)))
    random.shuffle(order)
    shuffled = predictions.rows(np.array(order)).to_clips("max")
    assert_equal(shuffled.align(predictions.to_clips("max").clip_ids), predictions.to_clips("max"))


def test_align_puts_clips_in_the_order_asked_for():
    aligned = table(["a", "b", "c"], [[0, 0], [0, 1], [1, 1]], level="clip").align(["c", "a"])
    assert aligned.clip_ids.tolist() == ["c", "a"]
    assert aligned.scores.tolist() == [[1, 1], [0, 0]]
    assert aligned.starts.tolist() == [2, 0]


def test_align_names_the_clips_without_scores():
    with pytest.raises(EarmarkError, match=r"predictions: 7 clips are missing\.(?s:.*)'x0'(?s:.*)… and 2 more"):
        table(["a"], [[0, 1]], level="clip").align(["a", *(f"x{number}" for number in range(7))])


def test_align_refuses_windows():
    with pytest.raises(EarmarkError, match=r"a clip has several rows\. Pool them to clips first"):
        table(["a", "a"], [[0, 1], [1, 0]]).align(["a"])


def test_rows_are_selected_by_mask_or_by_position():
    predictions = table(["a", "b", "c"], [[0, 0], [0, 1], [1, 1]])
    by_mask = predictions.rows(np.array([True, False, True]))
    assert_equal(by_mask, predictions.rows(np.array([0, 2])))
    assert by_mask.clip_ids.tolist() == ["a", "c"]
    assert len(predictions.rows(np.zeros(3, dtype=bool))) == 0
    assert predictions.rows(np.array([2, 0])).scores.tolist() == [[1, 1], [0, 0]]


def test_concatenate_keeps_every_row_in_order():
    one, other = table(["a", "a"], [[0, 1], [1, 0]]), table(["b"], [[0.5, 0.5]], starts=[9])
    joined = concatenate([one, other])
    assert_equal(joined.rows(np.array([0, 1])), one)
    assert_equal(joined.rows(np.array([2])), other)


@pytest.mark.parametrize("other", [{"labels": ("b", "a")}, {"level": "clip"}], ids=["labels", "level"])
def test_concatenate_refuses_what_does_not_belong_together(other):
    one = table(["a"], [[0, 1]])
    with pytest.raises(EarmarkError, match="tables with different labels or levels cannot be joined"):
        concatenate([one, table(["b"], [[0, 1]], **other)])


def test_arrays_that_do_not_fit_are_refused():
    zeros = np.zeros(2)
    with pytest.raises(EarmarkError, match=r"scores are \(2, 3\), but there are 2 rows and 1 labels"):
        Predictions(np.array(["a", "b"], dtype=object), zeros, zeros, np.zeros((2, 3)), ("x",))
    with pytest.raises(EarmarkError, match="but there are 2 rows"):
        Predictions(np.array(["a", "b"], dtype=object), zeros[:1], zeros, np.zeros((2, 1)), ("x",))


def test_an_unknown_level_is_refused():
    with pytest.raises(EarmarkError, match="level 'frame' is none of window, clip"):
        table(["a"], [[0, 1]], level="frame")


@given(NAMES, SECONDS, SECONDS)
def test_a_region_has_a_name_of_its_own(path, start, length):
    whole, region = clip_id(path), clip_id(path, start, start + length)
    assert whole == path
    assert region != whole
    assert region.startswith(f"{path}#")
