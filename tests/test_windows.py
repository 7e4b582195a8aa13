"""Framing, padding and pooling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.windows import frame, frame_stream, pad, pool, window_starts


@pytest.mark.parametrize(
    ("n_samples", "window", "hop", "starts"),
    [
        (10, 4, 3, [0, 3, 6]),  # the last window ends exactly at the end
        (11, 4, 3, [0, 3, 6, 7]),  # one more that ends at the end
        (4, 4, 3, [0]),
        (3, 4, 3, [0]),  # padded
        (5, 4, 4, [0, 1]),
        (12, 4, 6, [0, 6, 8]),  # hop beyond the window: some sound is not heard
        (10, 4, 10, [0, 6]),
    ],
)
def test_windows_start_every_hop_and_the_last_ends_at_the_end(n_samples, window, hop, starts):
    assert window_starts(n_samples, window, hop).tolist() == starts


def test_short_sound_is_repeated_or_followed_by_zeros():
    sound = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    assert pad(sound, 7, "repeat").tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert pad(sound, 5, "zeros").tolist() == [1, 2, 3, 0, 0]
    assert pad(sound, 3, "zeros") is sound


@given(
    n_samples=st.integers(0, 60),
    window=st.integers(1, 20),
    hop=st.integers(1, 25),
    padding=st.sampled_from(["zeros", "repeat"]),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_stream_yields_the_windows_of_frame_whatever_the_blocks(n_samples, window, hop, padding, cuts):
    sound = np.arange(1, n_samples + 1, dtype=np.float32)
    blocks = np.split(sound, sorted(min(cut, n_samples) for cut in cuts))
    windows = list(frame_stream(blocks, window, hop, padding))
    whole = frame(sound, window, hop, padding)
    assert whole.shape == (len(windows), window)
    if n_samples == 0:
        assert windows == []
        return
    assert np.array_equal(np.stack([one.samples for one in windows]), whole)
    assert [one.start for one in windows] == window_starts(n_samples, window, hop).tolist()
    assert [one.stop for one in windows] == [min(one.start + window, n_samples) for one in windows]


@given(n_samples=st.integers(1, 200), window=st.integers(1, 40), data=st.data())
def test_no_sample_is_unheard_while_hops_do_not_exceed_the_window(n_samples, window, data):
    hop = data.draw(st.integers(1, window))
    heard = np.zeros(max(n_samples, window), dtype=bool)
    for start in window_starts(n_samples, window, hop):
        heard[start : start + window] = True
    assert heard[:n_samples].all()


def test_stream_holds_no_more_than_a_window_and_a_block():
    def endless():
        for number in range(2000):
            yield np.full(100, number, dtype=np.float32)

    held = [window.samples.base.size for window in frame_stream(endless(), 250, 100, "zeros")]
    assert len(held) > 1900
    assert max(held) <= 250 + 100


def test_pool_is_the_mean_or_the_maximum_over_windows():
    scores = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert pool(scores, "mean").tolist() == [0.25, 0.75]
    assert pool(scores, "max").tolist() == [0.5, 1.0]
