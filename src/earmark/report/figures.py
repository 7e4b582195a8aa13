"""The numbers behind the report's figures. The templates draw them as HTML, legible in any script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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


def confusion(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often a clip given label i got its highest score for j, and of how many clips, each (classes, classes).

    Args:
        targets: (clips, classes), 0 or 1, one in each row.
        scores: (clips, classes).
    """
    n_classes = targets.shape[1]
    counts = np.zeros((n_classes, n_classes), dtype=int)
    np.add.at(counts, (targets.argmax(axis=1), scores.argmax(axis=1)), targets.max(axis=1).astype(int))
    return counts, np.repeat(counts.sum(axis=1, keepdims=True), n_classes, axis=1)


def co_errors(targets: np.ndarray, tagged: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often label j, absent, was a tag beside label i, and in how many clips i stood without j.

    The diagonal holds how often label i itself, present, was a tag, and how many clips have it.

    Args:
        targets: (clips, classes), 0 or 1.
        tagged: (clips, classes) bool, see `thresholds.tags_of`.
        weights: (clips, classes), 0 = unknown.

    Returns:
        Counts and clips, each (classes, classes).
    """
    present, absent = (targets > 0) & (weights > 0), (targets == 0) & (weights > 0)
    counts, n_asked = (present.T.astype(int) @ where.astype(int) for where in (absent & tagged, absent))
    diagonal = np.diag_indices_from(counts)
    counts[diagonal], n_asked[diagonal] = (present & tagged).sum(axis=0), present.sum(axis=0)
    return counts, n_asked


@dataclass(frozen=True)
class Matrix:
    """A confusion or co-error matrix to draw.

    labels: of the columns. rows: (label, cells), a cell being (count, share of the clips that were asked).
    pairs: (given label, falsely said, count, clips asked), the most frequent errors first.
    n_left_out: classes that are not shown.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    pairs: tuple[tuple[str, str, int, int], ...]
    n_left_out: int


def matrix_figure(counts: np.ndarray, n_asked: np.ndarray, labels: Sequence[str], n_pairs: int = 8) -> Matrix:
    """The matrix of the classes with the most errors, and the most frequent errors of all.

    Args:
        counts: (classes, classes), how often column was said where row was given.
        n_asked: (classes, classes), of how many clips.
        labels: names of the classes.
        n_pairs: how many errors are listed.
    """
    errors = counts - np.diag(np.diag(counts))
    troubled = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MAX_MATRIX_CLASSES]
    shown = np.sort(troubled)
    shares = counts / np.maximum(n_asked, 1)
    rows = tuple(
        (labels[row], tuple(zip(counts[row, shown].tolist(), shares[row, shown].tolist(), strict=True)))
        for row in shown
    )
    order = np.argsort(-errors, axis=None, kind="stable")[:n_pairs]
    places = [np.unravel_index(place, errors.shape) for place in order]
    pairs = tuple(
        (labels[row], labels[col], int(errors[row, col]), int(n_asked[row, col]))
        for row, col in places
        if errors[row, col] > 0
    )
    return Matrix(tuple(labels[col] for col in shown), rows, pairs, len(labels) - len(shown))


@dataclass(frozen=True)
class Curves:
    """Lines in a plane, in percent of it.

    lines: (css class, what it is, SVG points). dots: (x, y, what it is).
    x_title: what the x axis shows.
    """

    title: str
    x: Axis
    y: Axis
    lines: tuple[tuple[str, str, str], ...]
    dots: tuple[tuple[float, float, str], ...]
    x_title: str = "epoch"


def line(x: Axis, y: Axis, points: Iterable[tuple[float, float]]) -> str:
    """Points as an SVG line has them, y downwards."""
    return " ".join(f"{x.at(across):.2f},{100 - y.at(up):.2f}" for across, up in points)


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
        (measures[measure], f"{measures[measure]}, fold {fold}", line(x, y, found))
        for (fold, measure), found in series.items()
        if found
    )
    best = [
        (fold, *max(found, key=lambda point: point[1]))
        for (fold, measure), found in series.items()
        if measure == dot and found
    ]
    dots = tuple((x.at(epoch), y.at(value), f"fold {fold}: epoch {epoch}, {value:.3f}") for fold, epoch, value in best)
    return Curves(title, x, y, lines, dots)


def _is_number(value: Any) -> bool:
    """Whether `value` is a finite number (a diverged loss is null in JSON)."""
    return isinstance(value, int | float) and math.isfinite(value)
