"""Intervals by resampling groups (recordings), since clips of one recording are not independent.

A resample is a whole number per clip, how often its group was drawn. A metric of all resamples comes from one
sort and a few sparse matrix products, not from calling the metric a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from earmark.errors import EarmarkError
from earmark.evaluation.metrics import (
    METRICS,
    PER_FOLD,
    accuracy_parts,
    check,
    d_prime,
    lwlrap_class_parts,
    lwlrap_parts,
    map_at_3_parts,
    nanmean,
    recall_parts,
)
from earmark.lookup import lookup

FEW_GROUPS = 20  # below this a "95 %" interval covers much less (82 % with 5 groups)
CONFIDENCE = 0.95

# counts (clips, resamples) -> values (resamples,) and how many class values were missing
Resampled = Callable[[np.ndarray], tuple[np.ndarray, int]]


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval over resampled groups.

    n_nan: class values that were missing, summed over the resamples: the class had no clip in them.
    standard_error: standard deviation of the resampled values.
    """

    value: float
    low: float
    high: float
    n_groups: int
    too_few_groups: bool
    n_nan: int
    standard_error: float

    @property
    def text(self) -> str:
        """For tables.

        >>> Interval(0.912, 0.884, 0.943, 40, False, 0, 0.015).text
        '0.912 (0.88 to 0.94)'
        """
        if np.isnan(self.value):
            return "no value"
        return f"{self.value:.3f} ({self.bounds}{', too few groups' if self.too_few_groups else ''})"

    @property
    def bounds(self) -> str:
        """ "low to high", with a third digit when two would not tell them apart."""
        if np.isnan(self.low):
            return "no interval"
        digits = 2 if self.high - self.low >= 0.02 else 3
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Interval:
        """From what `to_dict` gave, null standing for nan."""
        return cls(**{key: np.nan if item is None else item for key, item in document.items()})


@dataclass(frozen=True)
class Resamples:
    """Draws of groups with replacement, the same for every metric and model that is to be compared.

    group_index: (clips,) number of each clip's group.
    group_counts: (resamples, groups) how often each group was drawn.
    """

    group_index: np.ndarray
    group_counts: np.ndarray

    @property
    def n_groups(self) -> int:
        return self.group_counts.shape[1]

    def counts(self, most_cells: int = 4_000_000, rows: int = 0) -> Iterator[np.ndarray]:
        """Pieces (clips, some resamples) of how often each clip counts, small where `rows` is large."""
        size = max(1, most_cells // max(rows, len(self.group_index), 1))
        for start in range(0, len(self.group_counts), size):
            piece = self.group_counts[start : start + size, self.group_index]
            yield np.ascontiguousarray(piece.T, dtype=np.float64)


def draw(groups: np.ndarray, n_resamples: int = 1000, seed: int = 0) -> Resamples:
    """Draw as many groups as there are, with replacement, `n_resamples` times.

    Args:
        groups: (clips,) the group of each clip, of any type.
        n_resamples: how many draws.
        seed: the same seed and groups give the same draws.
    """
    names, index = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = np.zeros((n_resamples, len(names)), dtype=np.int32)
    for row in counts if len(names) else ():
        row += np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
    return Resamples(index, counts)


def resampled_values(
    metric: str,
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    *,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> tuple[float, np.ndarray, int]:
    """The metric on all clips and on every resample.

    Average precision and ROC-AUC are computed per fold, then averaged over folds and over classes, since the
    scores of different folds come from different networks; lwlrap and accuracy pool the clips of all folds.

    Args:
        metric: a name in METRICS.
        targets: (clips, classes), 0 or 1.
        scores: (clips, classes).
        resamples: what `draw` gave for these clips.
        folds: (clips,) fold of each clip, or None for one set of scores.
        weights: (clips, classes), 0 = unknown.

    Returns:
        The value, the resampled values (resamples,), and how many class values were missing in the resamples.
    """
    targets, scores, weights = check(targets, scores, weights)
    if len(resamples.group_index) != len(targets) or (folds is not None and len(folds) != len(targets)):
        raise EarmarkError(
            f"metrics: groups and folds must have one entry for each of the {len(targets)} clips."
        )
    members = [np.arange(len(targets))]
    if folds is not None and metric in PER_FOLD:
        members = [np.flatnonzero(np.asarray(folds) == fold) for fold in np.unique(folds)]
    prepare = _FAST.get(metric, partial(_prepare_any, lookup(METRICS, metric, "metric")))
    compute = prepare(targets, scores, weights, members)
    value = float(compute(np.ones((len(targets), 1)))[0][0])
    parts = [compute(counts) for counts in resamples.counts(rows=int(targets.sum()))]
    values = np.concatenate([part for part, _ in parts] or [np.empty(0)])
    return value, values, sum(missing for _, missing in parts)


def interval(
    metric: str,
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    *,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Interval:
    """The metric with its interval; arguments as in `resampled_values`."""
    value, values, n_nan = resampled_values(metric, targets, scores, resamples, folds=folds, weights=weights)
    return summarise(value, values, n_nan, resamples.n_groups, least=0.0)


def d_prime_interval(
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    weights: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> Interval:
    """d' of the mean ROC-AUC, its interval's ends those of the AUC's; infinite where all clips are ranked right."""
    auc = interval("roc_auc", targets, scores, resamples, folds=folds, weights=weights)
    value, low, high = (float(d_prime(each)) for each in (auc.value, auc.low, auc.high))
    return Interval(value, low, high, auc.n_groups, auc.too_few_groups, auc.n_nan, np.nan)


def class_intervals(
    metric: str, targets: np.ndarray, scores: np.ndarray, resamples: Resamples, weights: np.ndarray | None = None
) -> list[Interval]:
    """Of each class what a metric of CLASS_PARTS is the mean of, with its interval; nan without clips.

    Args:
        metric: "accuracy" (of which a class has its recall) or "lwlrap".
        targets, scores, resamples, weights: as in `resampled_values`.
    """
    numerator, denominator = (each.T for each in CLASS_PARTS[metric](targets, scores, weights))
    with np.errstate(invalid="ignore"):
        whole = numerator.sum(axis=1) / denominator.sum(axis=1)
        drawn = [(numerator @ counts) / (denominator @ counts) for counts in resamples.counts()]
    values = np.concatenate(drawn, axis=1) if drawn else np.empty((len(whole), 0))
    found = []
    for number, value in enumerate(whole.tolist()):
        n_groups = len(np.unique(resamples.group_index[denominator[number] > 0]))
        found.append(summarise(value, values[number], int(np.isnan(values[number]).sum()), n_groups, least=0.0))
    return found


def summarise(value: float, values: np.ndarray, n_nan: int, n_groups: int, least: float) -> Interval:
    """Percentile interval of resampled values, moved so that their mean stands on the value.

    A clip drawn twice raises the average precision of a class with few clips, so plain percentiles can
    lie above the value itself (40 classes in five folds of 80 clips: in 9 sets of 10). Moved, they cover as
    they should; where resampling has no bias, as in accuracy and lwlrap, nothing changes.

    Args:
        value: the metric, or the difference of two, on all clips.
        values: (resamples,); those that are nan are left out.
        n_nan: to be passed on.
        n_groups: to be passed on.
        least: the lowest possible value; the highest is 1.
    """
    values = values[~np.isnan(values)]
    low = high = standard_error = np.nan
    if len(values):
        percentiles = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        low, high = np.clip(percentiles + value - values.mean(), least, 1.0)
        standard_error = values.std()
    return Interval(
        value, float(low), float(high), n_groups, n_groups < FEW_GROUPS, n_nan, float(standard_error)
    )


class _Ranking:
    """One ranking of scored items: average precision and ROC-AUC for any number of resamples at once.

    Only the sums of weights at and above each positive's score matter. So the items fall into bins, highest
    scores first: odd bins hold those that score exactly as much as some positive, even bins those between.
    """

    def __init__(self, targets, scores, weights, clips, n_clips: int):
        """Items as (items,) arrays; `clips` says which clip each belongs to."""
        positive = (targets > 0) & (weights > 0)
        thresholds = np.unique(scores[positive])
        up_to = np.searchsorted(thresholds, scores, "right")
        equal = up_to - np.searchsorted(thresholds, scores, "left")
        bins = 2 * (len(thresholds) - up_to) + equal
        self.items = sparse.csr_array((weights, (bins, clips)), shape=(2 * len(thresholds) + 1, n_clips))
        self.positives = sparse.csr_array(
            (weights[positive], (bins[positive] // 2, clips[positive])), shape=(len(thresholds), n_clips)
        )

    def average_precision(self, counts: np.ndarray) -> np.ndarray:
        """(resamples,), nan where no positive or no negative was drawn."""
        here, found, above = self._sums(counts)
        n_positive = here.sum(axis=0)
        with np.errstate(invalid="ignore"):
            precision = np.nan_to_num(found / above[1::2])
            area = (here * precision).sum(axis=0) / n_positive
        return np.where(above[-1] > n_positive, area, np.nan)

    def roc_auc(self, counts: np.ndarray) -> np.ndarray:
        """(resamples,), nan where no positive or no negative was drawn."""
        here, found, above = self._sums(counts)
        n_positive = here.sum(axis=0)
        n_negative = above[-1] - n_positive
        at_least, higher = above[1::2] - found, above[:-1:2] - (found - here)
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = 1 - (here * (at_least + higher)).sum(axis=0) / (2 * n_positive * n_negative)
        return np.where(n_positive * n_negative > 0, auc, np.nan)

    def _sums(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight of the positives at each threshold, at and above it, and of all items down to each bin."""
        here = self.positives @ counts
        return here, np.cumsum(here, axis=0), np.cumsum(self.items @ counts, axis=0)


def _prepare_ratio(parts, targets, scores, weights, members) -> Resampled:
    """A metric that is one sum over clips divided by another."""
    del members  # pooled over folds
    numerator, denominator = parts(targets, scores, weights)

    def compute(counts: np.ndarray) -> tuple[np.ndarray, int]:
        with np.errstate(invalid="ignore"):
            values = (numerator @ counts) / (denominator @ counts)
        return values, int(np.isnan(values).sum())

    return compute


def _prepare_class_ratio(parts, targets, scores, weights, members) -> Resampled:
    """A mean over classes of one sum over clips divided by another."""
    del members  # pooled over folds
    numerator, denominator = (each.T for each in parts(targets, scores, weights))

    def compute(counts: np.ndarray) -> tuple[np.ndarray, int]:
        with np.errstate(invalid="ignore"):
            values = (numerator @ counts) / (denominator @ counts)
        return nanmean(values), int(np.isnan(values).sum())

    return compute


def _prepare_macro(area, targets, scores, weights, members) -> Resampled:
    """A mean over classes of areas under each class's own ranking of the clips of a fold."""
    n_clips, n_classes = targets.shape
    rankings = [
        [_Ranking(targets[m, c], scores[m, c], weights[m, c], m, n_clips) for m in members]
        for c in range(n_classes)
    ]

    def compute(counts: np.ndarray) -> tuple[np.ndarray, int]:
        per_class = np.full((n_classes, counts.shape[1]), np.nan)
        for number, folds in enumerate(rankings):
            per_class[number] = nanmean(np.stack([area(ranking, counts) for ranking in folds]))
        return nanmean(per_class), int(np.isnan(per_class).sum())

    return compute


def _prepare_micro(area, targets, scores, weights, members) -> Resampled:
    """An area under one ranking of all (clip, label) pairs of a fold."""
    n_clips, n_classes = targets.shape
    rankings = [
        _Ranking(targets[m].ravel(), scores[m].ravel(), weights[m].ravel(), np.repeat(m, n_classes), n_clips)
        for m in members
    ]

    def compute(counts: np.ndarray) -> tuple[np.ndarray, int]:
        values = nanmean(np.stack([area(ranking, counts) for ranking in rankings]))
        return values, int(np.isnan(values).sum())

    return compute


def _prepare_any(metric, targets, scores, weights, members) -> Resampled:
    """A metric without a fast form here: called once per resample with the counts as weights."""

    def compute(counts: np.ndarray) -> tuple[np.ndarray, int]:
        values = np.array(
            [
                [metric(targets[m], scores[m], weights[m] * column[m, None]) for m in members]
                for column in counts.T
            ]
        )
        means = nanmean(values, axis=1)
        return means, int(np.isnan(means).sum())

    return compute


CLASS_PARTS = {"accuracy": recall_parts, "lwlrap": lwlrap_class_parts}
_FAST = {
    "accuracy": partial(_prepare_ratio, accuracy_parts),
    "balanced_accuracy": partial(_prepare_class_ratio, recall_parts),
    "lwlrap": partial(_prepare_ratio, lwlrap_parts),
    "map_at_3": partial(_prepare_ratio, map_at_3_parts),
    "map_macro": partial(_prepare_macro, _Ranking.average_precision),
    "map_micro": partial(_prepare_micro, _Ranking.average_precision),
    "roc_auc": partial(_prepare_macro, _Ranking.roc_auc),
}
