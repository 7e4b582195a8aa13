"""How good tags are: of what is named, how much is right (precision); of what is there, how much is named (recall)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.evaluation.bootstrap import Interval, Resamples, summarise
from earmark.evaluation.metrics import check


@dataclass(frozen=True)
class TagScore:
    """Precision and recall of tags, of all labels together and by label, each with its interval; nan = no value.

    per_class: label → {"n_tags", "n_positive", "precision", "recall"}, the latter two as `Interval`.
    unknown: share of the rows with no tag at all.
    """

    precision: Interval
    recall: Interval
    unknown: float
    per_class: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        rows = {
            label: {key: item.to_dict() if isinstance(item, Interval) else item for key, item in row.items()}
            for label, row in self.per_class.items()
        }
        return {
            "precision": self.precision.to_dict(),
            "recall": self.recall.to_dict(),
            "unknown": self.unknown,
            "per_class": rows,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> TagScore:
        """From what `to_dict` gave, null standing for nan."""
        rows = {
            label: {key: Interval.from_dict(item) if isinstance(item, dict) else item for key, item in row.items()}
            for label, row in document["per_class"].items()
        }
        precision, recall = (Interval.from_dict(document[name]) for name in ("precision", "recall"))
        return cls(precision, recall, document["unknown"], rows)


def judge_tags(
    targets: np.ndarray,
    tags: np.ndarray,
    resamples: Resamples,
    labels: Sequence[str],
    weights: np.ndarray | None = None,
) -> TagScore:
    """Precision and recall of tags.

    Args:
        targets: (rows, classes), 0 or 1. tags: (rows, classes) bool, see `thresholds.tags_of`.
        resamples: what `draw` gave for these rows. labels: names of the columns. weights: (rows, classes), 0 = unknown.

    >>> from earmark.evaluation.bootstrap import draw
    >>> found = judge_tags(np.eye(2), np.array([[True, True], [False, False]]), draw(np.arange(2)), ("a", "b"))
    >>> found.precision.value, found.recall.value, found.unknown
    (0.5, 0.5, 0.5)
    """
    tags = np.asarray(tags)
    targets, named, weights = check(targets, tags, weights)
    counts = resamples.group_counts.astype(np.float64)
    sums = {
        name: _by_group(values * weights, resamples)
        for name, values in (("right", targets * named), ("tagged", named), ("there", targets))
    }
    drawn = {name: counts @ values for name, values in sums.items()}

    def interval(part: str, whole: str, column: slice | int) -> Interval:
        """One sum over another, of a column or of all; the groups are those that the other has rows of."""
        own, resampled = (
            [each[name][:, column].reshape(len(each[name]), -1).sum(axis=1) for name in (part, whole)]
            for each in (sums, drawn)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            value, values = own[0].sum() / own[1].sum(), resampled[0] / resampled[1]
        n_groups = int(np.count_nonzero(own[1]))
        return summarise(float(value), values, int(np.isnan(values).sum()), n_groups, least=0.0)

    every = slice(None)
    per_class = {
        label: {
            "n_tags": int((named[:, column] * (weights[:, column] > 0)).sum()),
            "n_positive": int((targets[:, column] * (weights[:, column] > 0)).sum()),
            "precision": interval("right", "tagged", column),
            "recall": interval("right", "there", column),
        }
        for column, label in enumerate(labels)
    }
    unknown = float(1 - tags.any(axis=1).mean()) if len(tags) else np.nan
    return TagScore(
        interval("right", "tagged", every), interval("right", "there", every), unknown, per_class
    )


def _by_group(values: np.ndarray, resamples: Resamples) -> np.ndarray:
    """(rows, classes) summed to (groups, classes)."""
    sums = np.zeros((resamples.n_groups, values.shape[1]))
    np.add.at(sums, resamples.group_index, values)
    return sums
