"""The numbers behind the report's figures. The templates draw them as HTML, legible in any script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_MATRIX_CLASSES = 30


@dataclass(frozen=True)
class Axis:
    """A number line: `ticks` are (text, position in percent)."""

    low: float
    high: float
    ticks: tuple[tuple[str, float], ...]

    def at(self, value: float) -> float:
        """Position of `value` in percent, kept on the line."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis(values: Sequence[float], n_ticks: int = 4, whole: bool = False) -> Axis:
    """The shortest line with round ends that holds all finite values.

    Args:
        values: what is to be shown.
        n_ticks: about how many ticks.
        whole: ticks at whole numbers only.

    >>> axis([0.83, 0.97]).ticks
    (('0.80', 0.0), ('0.85', 25.0), ('0.90', 50.0), ('0.95', 75.0), ('1.00', 100.0))
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    span = max(max(finite) - min(finite), 1.0 if whole else 1e-3)
    exponent = math.floor(math.log10(span / n_ticks))
    steps = [base * 10.0**power for power in (exponent, exponent + 1) for base in (1, 2, 5)]
    step = next(step for step in steps if span / step <= n_ticks and (step >= 1 or not whole))
    first, last = math.floor(min(finite) / step + 1e-9), math.ceil(max(finite) / step - 1e-9)
    last = max(last, first + 1)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(
        (f"{step * number:.{decimals}f}", 100.0 * (number - first) / (last - first))
        for number in range(first, last + 1)
    )
    return Axis(step * first, step * last, ticks)


def top_tags(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each clip's n highest-scored labels, n being how many it was given: boolean (clips, classes)."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return ranks < targets.sum(axis=1, keepdims=True)


def confusion(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How often a clip given label i got tag j, (classes, classes).

    Tags are `top_tags`. Single-label data give the confusion matrix; for multi-label data the diagonal counts
    labels that were found, and the rest tags that the clip was not given.
    """
    given = targets > 0
    tags = top_tags(targets, scores)
    false_tags = tags & ~given
    matrix = given.T.astype(int) @ false_tags.astype(int)
    matrix[np.diag_indices_from(matrix)] = (given & tags).sum(axis=0)
    return matrix


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to draw.

    labels: of the columns. rows: (label, cells), a cell being (count, share of the row's clips).
    pairs: (given label, taken for, count, clips given), the most frequent errors first.
    n_left_out: classes that are not shown.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    pairs: tuple[tuple[str, str, int, int], ...]
    n_left_out: int


def matrix_figure(targets: np.ndarray, scores: np.ndarray, labels: Sequence[str], n_pairs: int = 8) -> Matrix:
    """The matrix of the classes with the most errors, and the most frequent errors of all."""
    counts = confusion(targets, scores)
    n_given = targets.sum(axis=0).astype(int)
    errors = counts - np.diag(np.diag(counts))
    troubled = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MAX_MATRIX_CLASSES]
    shown = np.sort(troubled)
    shares = counts / np.maximum(n_given, 1)[:, None]
    rows = tuple(
        (labels[row], tuple(zip(counts[row, shown].tolist(), shares[row, shown].tolist(), strict=True)))
        for row in shown
    )
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    places = [np.unravel_index(place, errors.shape) for place in order]
    pairs = tuple(
        (labels[row], labels[col], int(errors[row, col]), int(n_given[row]))
        for row, col in places
        if errors[row, col] > 0
    )
    return Matrix(tuple(labels[col] for col in shown), rows, pairs, len(labels) - len(shown))


@dataclass(frozen=True)
class Curves:
    """Learning curves: `lines` are (css class, fold, SVG points), `dots` the kept epochs; all in percent."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[tuple[str, str, str], ...]
    dots: tuple[tuple[float, float], ...]


def curves(
    folds: Mapping[str, Sequence[Mapping[str, Any]]], measures: Mapping[str, str], title: str, dot: str = ""
) -> Curves | None:
    """Learning curves of all folds in one figure; None if no fold has any of the measures.

    Args:
        folds: fold → epochs (rows of its history.jsonl).
        measures: column of the history → css class of its line.
        title: what the y axis shows.
        dot: the measure whose best epoch gets a dot.
    """
    series = {
        (fold, measure): [(row["epoch"] + 1, row[measure]) for row in rows if _is_number(row.get(measure))]
        for fold, rows in folds.items()
        for measure in measures
    }
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    x = axis([1.0, *(epoch for epoch, _ in points)], whole=True)
    y = axis([value for _, value in points])
    lines = tuple(
        (
            measures[measure],
            fold,
            " ".join(f"{x.at(epoch):.2f},{100 - y.at(value):.2f}" for epoch, value in line),
        )
        for (fold, measure), line in series.items()
        if line
    )
    best = [
        max(line, key=lambda point: point[1])
        for (_, measure), line in series.items()
        if measure == dot and line
    ]
    return Curves(title, x, y, lines, tuple((x.at(epoch), y.at(value)) for epoch, value in best))


def _is_number(value: Any) -> bool:
    """Whether `value` is a finite number (a diverged loss is null in JSON)."""
    return isinstance(value, int | float) and math.isfinite(value)
