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
POOL_BLOCK = 512  # windows that are pooled at once
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


class WindowStream:
    """The same windows as `frame`, of a sound that comes in pieces; holds no more than a window and a piece."""

    def __init__(self, window_samples: int, hop_samples: int, padding: str):
        self._window_samples, self._hop_samples, self._padding = window_samples, hop_samples, padding
        self._held = np.zeros(0, dtype=np.float32)
        self._held_start = 0  # index in the recording of _held[0]
        self._next_start = 0

    def push(self, samples: np.ndarray) -> Iterator[Window]:
        """Take float32 (samples,), any number; the windows that are whole by them, which must all be taken."""
        length = self._window_samples
        self._held = np.concatenate([self._held, samples])
        while self._next_start + length <= self._held_start + len(self._held):
            offset = self._next_start - self._held_start
            yield Window(self._held[offset : offset + length], self._next_start, self._next_start + length)
            self._next_start += self._hop_samples
        # The last window may have to reach back a whole window from the end, so that much is kept.
        drop = min(self._next_start - self._held_start, len(self._held) - length)
        if drop > 0:
            self._held, self._held_start = self._held[drop:], self._held_start + drop

    def close(self) -> Iterator[Window]:
        """The window that is left at the end, if there is one; of no samples, there is none."""
        total = self._held_start + len(self._held)
        last_stop = self._next_start - self._hop_samples + self._window_samples if self._next_start else 0
        if 0 < total < self._window_samples:
            yield Window(pad(self._held, self._window_samples, self._padding), 0, total)
        elif total > last_stop:
            yield Window(self._held[-self._window_samples :], total - self._window_samples, total)


def frame_stream(
    blocks: Iterable[np.ndarray], window_samples: int, hop_samples: int, padding: str
) -> Iterator[Window]:
    """The same windows as `frame`, from blocks of any length, holding no more than a window and a block.

    Args:
        blocks: float32 arrays (samples,) in order; empty ones are allowed.

    Yields:
        Window, in order. A recording without a single sample yields none.
    """
    stream = WindowStream(window_samples, hop_samples, padding)
    for block in blocks:
        yield from stream.push(block)
    yield from stream.close()


def pool(scores: np.ndarray, how: str) -> np.ndarray:
    """Window scores (windows, classes) to one clip's scores (classes,): their "mean", "max" or "geometric" mean.

    >>> pool(np.array([[0.1, 0.0], [0.9, 0.0]]), "geometric").round(7).tolist()
    [0.3, 1e-07]
    """
    running = RunningPool(how)
    running.add(scores)
    return running.result()


class RunningPool:
    """`pool` of windows that come a few at a time: the same bits however they come, in memory for a block of them.

    Args:
        how: one of POOLS.
    """

    def __init__(self, how: str):
        self._how = how
        self._held: list[np.ndarray] = []  # windows that are no full block yet
        self._n_held = 0
        self._blocks: list[np.ndarray] = []  # each pooled to one row

    def add(self, scores: np.ndarray) -> None:
        """Take the next windows, (windows, classes)."""
        self._held.append(scores)
        self._n_held += len(scores)
        if self._n_held > POOL_BLOCK:
            held = np.concatenate(self._held)
            n_blocks = (len(held) - 1) // POOL_BLOCK  # the last one stays, full or not
            self._blocks += [self._row(held[n * POOL_BLOCK : (n + 1) * POOL_BLOCK]) for n in range(n_blocks)]
            self._held = [held[n_blocks * POOL_BLOCK :].copy()]
            self._n_held = len(self._held[0])

    def result(self) -> np.ndarray:
        """Scores (classes,) of all windows that came, at least one."""
        rows = [*self._blocks, self._row(np.concatenate(self._held))]
        pooled = rows[0]
        if self._how == "max":
            pooled = np.max(rows, axis=0)
        elif len(rows) > 1:  # float32 would lose the scores of an hour in the sum of a day
            weights = [POOL_BLOCK] * len(self._blocks) + [self._n_held]
            pooled = np.average(np.asarray(rows, dtype=np.float64), axis=0, weights=weights)
        return np.exp(pooled) if self._how == "geometric" else pooled

    def _row(self, scores: np.ndarray) -> np.ndarray:
        """Some windows to one row, of which the geometric mean is a mean of logarithms."""
        if self._how == "geometric":
            return np.log(np.clip(scores, SCORE_MARGIN, 1.0)).mean(axis=0)
        return scores.max(axis=0) if self._how == "max" else scores.mean(axis=0)
