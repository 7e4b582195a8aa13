"""What the scores are worth as probabilities, and what a threshold trades: reliability, precision and recall."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.report.figures import Axis, Curves, axis, line

N_BINS = 10
MAX_CURVES = 12
MAX_POINTS = 80  # of a curve: more cannot be seen


@dataclass(frozen=True)
class Reliability:
    """How often what was scored so was right.

    scores, rights, shares: of each bin that holds anything: mean score, share that was right, share of all answers.
    error: expected calibration error, the mean distance of score and share, weighted by how many.
    """

    scores: np.ndarray
    rights: np.ndarray
    shares: np.ndarray
    error: float


def reliability(scores: np.ndarray, right: np.ndarray, n_bins: int = N_BINS) -> Reliability:
    """Bins of equal width over the scores.

    Args:
        scores: (answers,) in [0, 1].
        right: (answers,) whether each was.

    Source: Guo et al. 2017, arXiv 1706.04599.

    >>> reliability(np.array([0.9, 0.9]), np.array([True, False])).error
    0.4
    """
    numbers = np.minimum((np.asarray(scores, dtype=np.float64) * n_bins).astype(int), n_bins - 1)
    counts = np.bincount(numbers, minlength=n_bins)
    some = counts > 0
    sums = (np.bincount(numbers, values, n_bins)[some] for values in (scores, right))
    means, rights = (values / counts[some] for values in sums)
    error = float(np.abs(means - rights) @ counts[some] / max(1, counts.sum()))
    return Reliability(means, rights, counts[some] / max(1, counts.sum()), round(error, 12))


def read_calibration(path: Path) -> dict[str, Reliability]:
    """Reliability of clip scores before calibration and, measured out of fold, after it; empty where it is not told."""
    if not path.exists():
        return {}
    level = json.loads(path.read_text(encoding="utf-8"))["levels"]["clip"]
    named = {"before": ("reliability_before", "ece_before"), "network": ("reliability", "ece")}
    return {
        role: Reliability(
            np.array(level[bins]["score"]),
            np.array(level[bins]["observed"]),
            np.array(level[bins]["weight"]),
            level[error]["value"],
        )
        for role, (bins, error) in named.items()
        if level.get(error)
    }


def answers(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool):
    """The scores that claim something, and whether they were right, each (answers,).

    Several labels: every label of every clip, as far as it is known. One label: the highest score of each clip.
    """
    known = weights > 0
    if multi_label:
        return scores[known], targets[known] > 0
    best = np.where(known, scores, -np.inf).argmax(axis=1)
    rows = np.arange(len(scores))
    return scores[rows, best], targets[rows, best] > 0


def reliability_figure(found: Mapping[str, Reliability], multi_label: bool) -> Curves:
    """Reliability by model, beside the line of scores that are what they say."""
    square = axis([0.0, 1.0])
    lines = [("ideal", "scores that are what they say", line(square, square, [(0, 0), (1, 1)]))]
    dots: list[tuple[float, float, str]] = []
    for role, each in found.items():
        points = list(zip(each.scores.tolist(), each.rights.tolist(), strict=True))
        lines.append((role, f"expected calibration error {each.error:.3f}", line(square, square, points)))
        dots += [
            (square.at(score), square.at(right), f"score {score:.2f}: right in {right:.2f}, {share:.0%} of all")
            for (score, right), share in zip(points, each.shares.tolist(), strict=True)
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
