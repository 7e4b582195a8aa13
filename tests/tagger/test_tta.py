"""What a tagger hears of a recording, however it hears it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.errors import TaggerFileError
from earmark.tagger import load_tagger
from earmark.tagger.tta import VIEWS, view_windows
from earmark.windows import Framing, frame

SOUND = np.arange(1, 11, dtype=np.float32)


def heard(n_samples: int, views: str, padding: str = "zeros", lengths=(), window: int = 4, hop: int = 3):
    """(samples, start, stop) of every window of the sound 1, 2, …, n_samples."""
    sound = np.arange(1, n_samples + 1, dtype=np.float32)
    windows = view_windows(np.array_split(sound, 3), Framing(8000, window, hop, padding), views, lengths)
    return [(one.samples.tolist(), one.start, one.stop) for one in windows]


def test_ends_are_the_windows_at_start_middle_and_end():
    assert [start for _, start, _ in heard(11, "ends")] == [0, 3, 7]
    assert heard(5, "ends") == [([1, 2, 3, 4], 0, 4), ([2, 3, 4, 5], 1, 5)]
    assert heard(4, "ends") == [([1, 2, 3, 4], 0, 4)]


def test_a_short_recording_lies_at_start_middle_and_end_of_the_silence():
    assert heard(2, "ends") == [([1, 2, 0, 0], 0, 2), ([0, 1, 2, 0], 0, 2), ([0, 0, 1, 2], 0, 2)]
    assert heard(2, "ends", "repeat") == [([1, 2, 1, 2], 0, 2)]


def test_full_is_all_of_it_at_once():
    assert heard(9, "full") == [(list(range(1, 10)), 0, 9)]
    assert heard(3, "full") == [([1, 2, 3, 0], 0, 3)]


def test_lengths_are_the_sliding_windows_of_each_length():
    expected = [row.tolist() for length in (2, 6) for row in frame(SOUND, length, 3, "zeros")]
    assert [window for window, _, _ in heard(10, "lengths", lengths=(2, 6))] == expected


@given(
    n_samples=st.integers(0, 40),
    window=st.integers(1, 12),
    hop=st.integers(1, 12),
    padding=st.sampled_from(["zeros", "repeat"]),
    views=st.sampled_from(VIEWS),
)
def test_every_window_is_a_stretch_of_the_recording_and_what_is_beyond_is_padding(
    n_samples, window, hop, padding, views
):
    lengths = (window, 2 * window) if views == "lengths" else ()
    found = heard(n_samples, views, padding, lengths, window, hop)
    assert bool(found) == bool(n_samples)
    for samples, start, stop in found:
        assert 0 <= start < stop <= n_samples
        assert len(samples) == {"full": max(window, n_samples)}.get(views, len(samples) if lengths else window)
        inside = [value for value in samples if value]
        expected = np.arange(start + 1, stop + 1)
        assert inside[: len(expected)] == expected.tolist()
        if padding == "zeros":
            assert len(inside) == len(expected)


def test_views_are_measured_on_a_tagger_without_changing_it(make_tagger, make_tone):
    path = make_tone("low_then_high.wav", (500, 1.0), (3000, 1.0))
    tagger = make_tagger()
    ends = tagger.with_views("ends")
    assert ends.score(path).starts.tolist() == [0.0, 0.75, 1.5]
    assert tagger.with_views("full").score(path).ends.tolist() == [2.0]
    lengths = tagger.with_views("lengths", (0.5, 1.0))
    assert len(lengths.score(path)) == len(tagger.score(path)) + 5
    assert (tagger.metadata.views, ends.metadata.pool) == ("sliding", "mean")


def test_the_geometric_mean_of_windows_lets_each_of_them_object(make_tagger, make_tone):
    path = make_tone("low_then_high.wav", (500, 1.0), (3000, 1.0))
    tagger = make_tagger()
    mean, geometric = (tagger.with_views("ends", pool=pool) for pool in ("mean", "geometric"))
    scores = geometric.score(path).scores
    expected = np.exp(np.log(np.clip(scores, 1e-7, 1)).mean(axis=0))
    np.testing.assert_allclose(geometric.pool(geometric.score(path)).scores[0], expected, rtol=1e-5)
    assert (geometric.pool(geometric.score(path)).scores < mean.pool(mean.score(path)).scores).all()


def test_a_graph_of_one_length_refuses_views_of_others(edit_onnx):
    path = edit_onnx(views="full", format_version=2)
    with pytest.raises(TaggerFileError, match="the views full need a graph that hears windows of any length"):
        load_tagger(path)
    with pytest.raises(TaggerFileError, match="views is 'both' .expected sliding"):
        load_tagger(edit_onnx()).with_views("both")


def test_what_a_tagger_hears_is_said_in_words(make_tagger):
    assert "hears 8000 Hz in windows of 0.5 s, one every 0.25 s; clip scores are their mean" in repr(make_tagger())
    for fields, words in (
        ({"views": "ends"}, "in windows of 0.5 s at start, middle and end;"),
        ({"views": "full"}, "in one window over the whole recording, 0.5 s at least;"),
        ({"views": "lengths", "view_seconds": (1.0, 2.5)}, "in windows of 1, 2.5 s, one every 0.25 s;"),
    ):
        assert words in repr(make_tagger(**fields))


def test_a_file_that_says_nothing_new_stays_of_version_1(make_metadata):
    assert json.loads(make_metadata().to_json())["format_version"] == 1
    assert "view_seconds" not in json.loads(make_metadata().to_json())
    for newer in ({"views": "ends"}, {"pool": "geometric"}, {"views": "lengths", "view_seconds": (0.5,)}):
        assert json.loads(make_metadata(**newer).to_json())["format_version"] == 2
