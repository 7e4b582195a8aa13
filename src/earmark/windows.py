"""From a waveform to the windows a network sees, and back from window scores to clip scores.

This is the only place that pads. docs/tagger-file.md specifies the same rules for other languages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

PADDINGS = ("zeros", "repeat")
POOLS = ("mean", "max", "geometric")
SCORE_MARGIN = 1e-7  # scores are kept this far from 0 and 1 before a logarithm is taken


@dataclass(frozen=True)
class Window:
    """One stretch of sound.

    samples: float32 (window_samples,).
    start, stop: which samples of the recording it covers; padding lies beyond.
    """

    samples: np.ndarray
    start: int
    stop: int


def samples(seconds: float, sample_rate: int) -> int:
    """Seconds in samples, halves up: languages differ in how they round a half, this does not.

    >>> samples(1.3, 11025)
    14333
    """
    return math.floor(seconds * sample_rate + 0.5)


def window_starts(n_samples: int, window_samples: int, hop_samples: int) -> np.ndarray:
    """First sample of each window: every hop while a whole window fits, then one more that ends at the end.

    >>> window_starts(10, 4, 3).tolist(), window_starts(11, 4, 3).tolist(), window_starts(3, 4, 3).tolist()
    ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    if n_samples <= window_samples:
        return np.zeros(1, dtype=np.int64)
    starts = np.arange(0, n_samples - window_samples + 1, hop_samples, dtype=np.int64)
    end = n_samples - window_samples
    return starts if starts[-1] == end else np.append(starts, end)


def pad(waveform: np.ndarray, n_samples: int, padding: str, before: int = 0) -> np.ndarray:
    """Lengthen a waveform (samples,) at its end to n_samples with "zeros", or by saying it again ("repeat").

    Args:
        before: how many of the zeros stand before it; repeated, the sample that comes first.

    >>> pad(np.array([1.0, 2.0]), 5, "repeat").tolist(), pad(np.array([1.0, 2.0]), 4, "zeros").tolist()
    ([1.0, 2.0, 1.0, 2.0, 1.0], [1.0, 2.0, 0.0, 0.0])
    """
    if len(waveform) >= n_samples:
        return waveform
    if padding == "repeat":
        return np.resize(np.roll(waveform, -before), n_samples)
    return np.pad(waveform, (before, n_samples - len(waveform) - before))


def frame(waveform: np.ndarray, window_samples: int, hop_samples: int, padding: str) -> np.ndarray:
    """All windows of a waveform in memory: float32 (windows, window_samples); of no samples, none."""
    if len(waveform) == 0:
        return np.zeros((0, window_samples), dtype=np.float32)
    waveform = np.asarray(waveform, dtype=np.float32)
    if len(waveform) < window_samples:
        return pad(waveform, window_samples, padding)[None]
    starts = window_starts(len(waveform), window_samples, hop_samples)
    return np.stack([waveform[start : start + window_samples] for start in starts])


@dataclass(frozen=True)
class Framing:
    """How recordings become windows: `sample_rate` in Hz, lengths in samples, `padding` one of PADDINGS."""

    sample_rate: int
    window_samples: int
    hop_samples: int
    padding: str

    def cut(self, waveform: np.ndarray) -> np.ndarray:
        """All windows of a waveform in memory, (windows, window_samples)."""
        return frame(waveform, self.window_samples, self.hop_samples, self.padding)

    def pieces(self, blocks: Iterable[np.ndarray], n_windows: int) -> Iterator[np.ndarray]:
        """The same windows of a sound in blocks (samples,), at most n_windows at a time: those of an hour would not fit
        into memory."""
        windows = frame_stream(blocks, self.window_samples, self.hop_samples, self.padding)
        while some := [window.samples for window in islice(windows, n_windows)]:
            yield np.stack(some)


def frame_stream(
    blocks: Iterable[np.ndarray], window_samples: int, hop_samples: int, padding: str
) -> Iterator[Window]:
    """The same windows as `frame`, from blocks of any length, holding no more than a window and a block.

    Args:
        blocks: float32 arrays (samples,) in order; empty ones are allowed.

    Yields:
        Window, in order. A recording without a single sample yields none.
    """
    held = np.zeros(0, dtype=np.float32)
    held_start = 0  # index in the recording of held[0]
    next_start = 0
    for block in blocks:
        held = np.concatenate([held, block])
        while next_start + window_samples <= held_start + len(held):
            offset = next_start - held_start
            yield Window(held[offset : offset + window_samples], next_start, next_start + window_samples)
            next_start += hop_samples
        # The last window may have to reach back a whole window from the end, so that much is kept.
        drop = min(next_start - held_start, len(held) - window_samples)
        if drop > 0:
            held, held_start = held[drop:], held_start + drop
    total = held_start + len(held)
    last_stop = next_start - hop_samples + window_samples if next_start else 0
    if 0 < total < window_samples:
        yield Window(pad(held, window_samples, padding), 0, total)
    elif total > last_stop:
        yield Window(held[-window_samples:], total - window_samples, total)


def pool(scores: np.ndarray, how: str) -> np.ndarray:
    """Window scores (windows, classes) to one clip's scores (classes,): their "mean", "max" or "geometric" mean.

    >>> pool(np.array([[0.1, 0.0], [0.9, 0.0]]), "geometric").round(7).tolist()
    [0.3, 1e-07]
    """
    if how == "geometric":
        return np.exp(np.log(np.clip(scores, SCORE_MARGIN, 1.0)).mean(axis=0))
    return scores.max(axis=0) if how == "max" else scores.mean(axis=0)
