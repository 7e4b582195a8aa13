"""What is in a data set, as numbers behind figures: classes, labels that go together, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.check.labels import class_counts, cooccurrence
from earmark.data.manifest import Manifest
from earmark.report.figures import MAX_MATRIX_CLASSES, axis

MAX_CLASSES = 60
N_BINS = 31  # odd: the middle value of an even axis lies within a bin, not between two
SPAN = 0.1  # of the values: the least part of them that an axis shows
LOG_FROM = 8.0  # times: lengths that differ by more are shown on a logarithmic axis


@dataclass(frozen=True)
class Histogram:
    """bars: (height in percent, count, words). ticks: (text, position in percent)."""

    title: str
    bars: tuple[tuple[float, int, str], ...]
    ticks: tuple[tuple[str, float], ...]

    @property
    def words(self) -> str:
        """Where most of the clips are."""
        return "most, " + max(self.bars, key=lambda bar: bar[1])[2] if self.bars else "nothing"


@dataclass(frozen=True)
class LabelPairs:
    """How often labels go together. rows: (label, cells), a cell being (clips, share of the row's clips)."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    n_left_out: int


def class_bars(manifest: Manifest) -> list[tuple[str, int, float]]:
    """(label, clips, share of the largest), the largest first."""
    counts = sorted(class_counts(manifest).items(), key=lambda item: -item[1])[:MAX_CLASSES]
    return [(label, n_clips, n_clips / max(1, counts[0][1])) for label, n_clips in counts]


def label_pairs(manifest: Manifest) -> LabelPairs | None:
    """How often the labels that go together most do so; None where each clip has but one."""
    together = cooccurrence(manifest)
    if not together:
        return None
    counts = class_counts(manifest)
    sociable: Counter[str] = Counter()
    for pair, n_clips in together.items():
        for label in pair:
            sociable[label] += n_clips
    shown = sorted(label for label, _ in sociable.most_common(MAX_MATRIX_CLASSES))
    rows = []
    for row in shown:
        clips = [counts[row] if row == column else together.get(tuple(sorted((row, column))), 0) for column in shown]
        rows.append((row, tuple((n, n / max(1, counts[row])) for n in clips)))
    return LabelPairs(tuple(shown), tuple(rows), len(counts) - len(shown))


def length_histogram(seconds: Sequence[float]) -> Histogram:
    """How long clips are."""
    return histogram("Length of the clips, seconds", seconds, max(seconds) > LOG_FROM * min(seconds))


def histogram(title: str, values: Sequence[float], logarithmic: bool) -> Histogram:
    """Counts in bins of equal width, on a logarithmic axis if asked for.

    >>> histogram("seconds", [1.0, 1.0, 10.0], True).ticks[0][0]
    '1'
    """
    values = np.asarray(values, dtype=float)
    if logarithmic:
        low, high = values.min(), values.max()
        edges = np.geomspace(low, high, N_BINS + 1)
        rounds = [base * 10.0**power for power in range(-6, 7) for base in (1, 2, 5)]
        inside = [value for value in rounds if low * 0.999 <= value <= high * 1.001]
        while len(inside) > 8:
            inside = inside[::3] if len(inside) > 16 else inside[::2]
        ticks = [(f"{value:g}", 100 * np.log(value / low) / np.log(high / low)) for value in inside]
    else:
        middle = float(np.median(values))
        alike = np.ptp(values) < SPAN * abs(middle)
        line = axis([(1 - SPAN) * middle, (1 + SPAN) * middle] if alike else values.tolist(), n_ticks=6)
        edges, ticks = np.linspace(line.low, line.high, N_BINS + 1), line.ticks
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    counts = np.histogram(values, edges)[0]
    bars = [
        (100 * n / counts.max(), int(n), f"{low:.3g} to {high:.3g}: {n} clips")
        for n, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    ]
    return Histogram(title, tuple(bars), tuple(ticks))
