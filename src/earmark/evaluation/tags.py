"""How good tags are: of what is named, how much is right (precision); of what is there, how much is named (recall)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.evaluation.bootstrap import Interval, Resamples, summarise
from earmark.evaluation.metrics import check, nanmean

Counts = tuple[np.ndarray, np.ndarray, np.ndarray]  # weight of the tags that are right, of all, of the labels given


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
    whole = tag_intervals(targets, tags, resamples, weights)
    counts, drawn = _counts(targets, tags, weights), _drawn(_weighted(targets, tags, weights), resamples)
    known = np.ones(np.shape(tags)) if weights is None else np.asarray(weights) > 0
    n_tags, n_positive = ((known * each).sum(axis=0).astype(int).tolist() for each in (tags, targets))

    by_group = [_by_group(each, resamples) for each in _weighted(targets, tags, weights)]

    def share(of: int, column: int) -> Interval:
        """What is right of a class's tags (1) or of its labels (2); the groups are those that have some."""
        with np.errstate(invalid="ignore"):
            value, values = (each[0][column] / each[of][column] for each in (counts, drawn))
        n_groups = int(np.count_nonzero(by_group[of][:, column]))
        return summarise(float(value), values, int(np.isnan(values).sum()), n_groups, least=0.0)

    per_class = {
        label: {
            "n_tags": n_tags[column],
            "n_positive": n_positive[column],
            "precision": share(1, column),
            "recall": share(2, column),
        }
        for column, label in enumerate(labels)
    }
    unknown = float(1 - np.any(tags, axis=1).mean()) if len(tags) else np.nan
    return TagScore(whole["precision_micro"], whole["recall_micro"], unknown, per_class)


def tag_intervals(
    targets: np.ndarray, tags: np.ndarray, resamples: Resamples, weights: np.ndarray | None = None
) -> dict[str, Interval]:
    """Precision, recall and F1 of tags, macro and micro, with intervals.

    Macro is the mean over the classes that are there; one that is never tagged has a precision of 0.

    Args:
        targets: (rows, classes), 0 or 1. tags: (rows, classes) bool, see `thresholds.tags_of`.
        resamples: what `draw` gave for these rows. weights: (rows, classes), 0 = unknown.
    """
    return count_intervals(_weighted(targets, tags, weights), resamples)


def count_intervals(counts: Counts, resamples: Resamples) -> dict[str, Interval]:
    """Precision, recall and F1, macro and micro, with intervals, of what was counted in each row.

    Args:
        counts: of what is named and right, of all that is named, of all that is there, each (rows, classes).
        resamples: what `draw` gave for these rows.
    """
    drawn, n_nan = _tag_values(*_drawn(counts, resamples))
    whole, _ = _tag_values(*(each.sum(axis=0)[:, None] for each in counts))
    found = {}
    for name, value in whole.items():
        missing = n_nan if name.endswith("macro") else int(np.isnan(drawn[name]).sum())
        found[name] = summarise(float(value[0]), drawn[name], missing, resamples.n_groups, least=0.0)
    return found


def class_f1_intervals(counts: Counts, resamples: Resamples) -> list[Interval]:
    """F1 of each class with its interval; nan for a class that is not there. Arguments as for `count_intervals`."""
    *_, whole = _class_values(*(each.sum(axis=0) for each in counts))
    *_, drawn = _class_values(*_drawn(counts, resamples))
    n_groups = np.count_nonzero(_by_group(counts[2], resamples), axis=0).tolist()
    return [
        summarise(value, values, int(np.isnan(values).sum()), n, least=0.0)
        for value, values, n in zip(whole.tolist(), drawn, n_groups, strict=True)
    ]


def tags_per_class(targets: np.ndarray, tags: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Name → (classes,): "n_tagged", "tag_precision", "tag_recall", "tag_f1"; nan for a class without clips."""
    right, tagged, given = _counts(targets, tags, weights)
    precision, recall, f1 = _class_values(right, tagged, given)
    return {"n_tagged": tagged.round().astype(int), "tag_precision": precision, "tag_recall": recall, "tag_f1": f1}


def _counts(targets, tags, weights) -> Counts:
    """Per class the weight of tags that are right, of all tags, and of the labels given, each (classes,)."""
    return tuple(each.sum(axis=0) for each in _weighted(targets, tags, weights))


def _drawn(counts: Counts, resamples: Resamples) -> Counts:
    """The counts of every resample, each (classes, resamples)."""
    return tuple((resamples.group_counts @ _by_group(each, resamples)).T for each in counts)


def _by_group(values: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Sums of rows (rows, classes) over each group, (groups, classes)."""
    sums = np.zeros((resamples.n_groups, values.shape[1]))
    np.add.at(sums, resamples.group_index, values)
    return sums


def _weighted(targets, tags, weights) -> Counts:
    targets, tags, weights = check(targets, tags, weights)
    given = targets * weights
    return given * tags, weights * tags, given


def _class_values(right, tagged, given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class; nan without clips, precision 0 without tags."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(given > 0, np.where(tagged > 0, right / tagged, 0.0), np.nan)
        return (
            precision,
            right / np.where(given > 0, given, np.nan),
            np.where(given > 0, 2 * right / (tagged + given), np.nan),
        )


def _tag_values(right, tagged, given) -> tuple[dict[str, np.ndarray], int]:
    """Every measure of tags for each resample, and how many class values are missing."""
    precision, recall, f1 = _class_values(right, tagged, given)
    n_right, n_tagged, n_given = (each.sum(axis=0) for each in (right, tagged, given))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = {
            "f1_macro": nanmean(f1),
            "f1_micro": np.where(n_given > 0, 2 * n_right / (n_tagged + n_given), np.nan),
            "precision_macro": nanmean(precision),
            "precision_micro": n_right / n_tagged,
            "recall_macro": nanmean(recall),
            "recall_micro": n_right / n_given,
        }
    return values, int(np.isnan(recall).sum())
