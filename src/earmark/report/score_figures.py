"""What the scores are worth as probabilities, and what a threshold trades: reliability, precision and recall."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.reliability import Reliability
from earmark.report.figures import Axis, Curves, axis, line

MAX_CURVES = 12
MAX_POINTS = 80  # of a curve: more cannot be seen
DASH = 0.02  # half of the line that stands for one point
Measured = tuple[Reliability, Interval]  # the diagram, and the expected calibration error


def read_calibration(path: Path, model: str) -> dict[str, Measured]:
    """What clip scores of a model are worth before calibration and, out of fold, after it; empty where nobody says."""
    if not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    if document["model"] != model:
        return {}
    level = document["levels"]["clip"]
    named = {"before": ("reliability_before", "ece_before"), "network": ("reliability", "ece")}
    return {
        role: (Reliability.from_dict(level[bins]), Interval.from_dict(level[error]))
        for role, (bins, error) in named.items()
        if level[error]
    }


def reliability_figure(found: Mapping[str, Measured], multi_label: bool) -> Curves:
    """Reliability by model, beside the line of scores that are what they say."""
    square = axis([0.0, 1.0])
    lines = [("ideal", "scores that are what they say", line(square, square, [(0, 0), (1, 1)]))]
    dots: list[tuple[float, float, str]] = []
    for role, (bins, error) in found.items():
        points = list(zip(bins.score.tolist(), bins.observed.tolist(), strict=True))
        shown = points
        if len(points) == 1:  # which alone would be no line
            [(score, right)] = points
            shown = [(score - DASH, right), (score + DASH, right)]
        lines.append((role, f"expected calibration error {error.text}", line(square, square, shown)))
        dots += [
            (square.at(score), square.at(right), f"score {score:.2f}: right in {right:.2f}, {share:.0%} of all")
            for (score, right), share in zip(points, bins.weight.tolist(), strict=True)
            if role == "network"
        ]
    title = "Share of clips that have the label" if multi_label else "Share of clips that were right"
    return Curves(title, square, square, tuple(lines), tuple(dots), "score" if multi_label else "highest score")


def precision_recall(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, highest first, with precision and recall of what reaches them, each (distinct scores,).

    Args:
        targets, scores, weights: (clips,) of one label; what is unknown does not count.
    """
    known = weights > 0
    targets, scores = targets[known] > 0, scores[known]
    distinct, inverse = np.unique(scores, return_inverse=True)
    right = np.bincount(inverse, targets, len(distinct))[::-1].cumsum()
    tagged = np.bincount(inverse, minlength=len(distinct))[::-1].cumsum()
    return distinct[::-1], right / np.maximum(tagged, 1), right / max(1, targets.sum())


def precision_recall_figures(
    targets: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    labels: Sequence[str],
    asserted: np.ndarray,
    order: Sequence[int],
) -> list[Curves]:
    """A curve for each of the first few labels in `order` that have clips, its dot where tags are asserted.

    Args:
        targets, scores, weights: (clips, classes).
        labels: names of the classes.
        asserted: (clips, classes), whether the label is a tag of the clip.
        order: columns, the most telling first.
    """
    square = axis([0.0, 1.0], n_ticks=2)
    known = weights > 0
    found = []
    for column in [column for column in order if targets[known[:, column], column].any()][:MAX_CURVES]:
        _, precision, recall = precision_recall(targets[:, column], scores[:, column], weights[:, column])
        tags = asserted[:, column] & known[:, column]
        hits = int((tags & (targets[:, column] > 0)).sum())
        n_present = int((targets[known[:, column], column] > 0).sum())
        counts = hits, int(tags.sum()), n_present
        found.append(_precision_recall_figure(labels[column], square, recall, precision, counts))
    return found


def _precision_recall_figure(
    label: str, square: Axis, recall: np.ndarray, precision: np.ndarray, tags: tuple[int, int, int]
) -> Curves:
    """One label's curve; tags: (right ones, all, clips that have it)."""
    kept = np.unique(np.linspace(0, len(recall) - 1, MAX_POINTS).astype(int))
    points = list(zip(recall[kept].tolist(), precision[kept].tolist(), strict=True))
    hits, n_tags, n_present = tags
    dots: tuple[tuple[float, float, str], ...] = ()
    if n_tags:
        words = f"{hits} of {n_tags} tags right, {hits} of {n_present} clips found"
        dots = ((square.at(hits / n_present), square.at(hits / n_tags), words),)
    curve = line(square, square, [(0.0, points[0][1]), *points])
    return Curves(label, square, square, (("network", "precision", curve),), dots, "recall")
