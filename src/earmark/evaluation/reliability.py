"""Do scores mean what they say? Of the tags with a score of 0.8, eight in ten should be right.

Where several labels can hold, every score of every row is asked; where one holds, the highest of each row (`asked`).
This is the one calibration error of the house: in calibration.json, `earmark evaluate`, card and report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import CONFIDENCE, FEW_GROUPS, Interval, Resamples, summarise
from earmark.evaluation.metrics import check

BINS = 15
ROUNDING = 1e-6  # by which a chance in single precision may leave 0 to 1
Asked = tuple[np.ndarray, np.ndarray, np.ndarray]  # targets, scores, weights


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: bins of about equal weight, rising; each array is (bins,). Equal scores share a bin.

    low, high: the least and the greatest score in the bin. score: its mean score.
    observed: the share of its scores whose label is there. weight: how much of the data it holds; they add up to 1.
    """

    low: np.ndarray
    high: np.ndarray
    score: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    def to_dict(self) -> dict[str, list[float]]:
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_dict(cls, document: dict[str, list[float]]) -> Reliability:
        """From what `to_dict` gave."""
        return cls(**{name: np.array(values) for name, values in document.items()})


def asked(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, multi_label: bool
) -> Asked:
    """What the scores are held to: targets, scores and weights, (rows, classes), or of single labels (rows, 1).

    Args:
        targets: (rows, classes), 0 or 1. scores: (rows, classes) in [0, 1]. weights: (rows, classes), 0 = unknown.

    Raises:
        EarmarkError: scores are not chances.

    >>> asked(np.eye(2), np.array([[0.9, 0.1], [0.6, 0.4]]), None, multi_label=False)[1].tolist()
    [[0.9], [0.6]]
    """
    arrays = check(targets, scores, weights)
    low, high = arrays[1].min(initial=0.0), arrays[1].max(initial=1.0)
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise EarmarkError(
            f"calibration: scores from {low:.3g} to {high:.3g} are no chances (expected 0 to 1). "
            "Leave calibration out, or bring probabilities."
        )
    if multi_label or not arrays[1].size:
        return arrays
    best = arrays[1].argmax(axis=1)[:, None]
    return tuple(np.take_along_axis(array, best, axis=1) for array in arrays)


def reliability(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> Reliability:
    """The reliability diagram of scores, all columns together; of single labels give what `asked` returns.

    Args:
        targets: (rows, columns), 0 or 1. scores: (rows, columns) in [0, 1]. weights: (rows, columns), 0 = unknown.
        bins: how many at most; fewer where many scores are equal.

    >>> found = reliability(np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.3], [0.6], [0.8]]), bins=2)
    >>> found.score.round(3).tolist(), found.observed.tolist(), found.weight.tolist()
    ([0.2, 0.7], [0.0, 1.0], [0.5, 0.5])
    """
    targets, scores, weights = check(targets, scores, weights)
    known = weights > 0
    targets, scores, weights = targets[known], scores[known], weights[known]
    number = _bins(scores, weights, bins)
    weight = np.bincount(number, weights)
    n_bins = len(weight)
    low, high = np.full(n_bins, np.inf), np.full(n_bins, -np.inf)
    np.minimum.at(low, number, scores)
    np.maximum.at(high, number, scores)
    score, observed = (np.bincount(number, weights * values) / weight for values in (scores, targets))
    return Reliability(low, high, score, observed, weight / weight.sum())


def calibration_error(
    targets: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    resamples: Resamples,
    bins: int = BINS,
) -> Interval:
    """ECE, the mean distance of score and observed share over the bins of `reliability`, with its interval.

    Bins hold equal weight: in bins of equal width nearly all scores of a good tagger share the first, and the error of
    all others hangs on a few clips. Observed shares of few rows are off by chance, so that even true scores would show
    a distance: 300 of them, spread evenly, one of 0.07. The mean distance is lowered by as much as chance, seen in
    resampled groups, adds to the mean square of the distances; that leaves 0.02.

    Args:
        targets, scores, weights, bins: as for `reliability`.
        resamples: what `draw` gave for these rows.

    Source: Guo et al., On calibration of modern neural networks (2017); Kumar et al., Verified uncertainty
    calibration (2019), for equal mass and the correction of squares.
    """
    distances = _Distances(targets, scores, weights, resamples, bins)
    value, values = distances.corrected()
    low = high = standard_error = np.nan
    if not np.isnan(value) and len(values):
        low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        low, high, standard_error = min(low, value), max(high, value), np.nanstd(values)
    n_groups = resamples.n_groups
    return Interval(
        value, float(low), float(high), n_groups, n_groups < FEW_GROUPS, 0, float(standard_error)
    )


def error_change(before: Asked, after: Asked, resamples: Resamples) -> Interval:
    """Mean distance after minus before, on the same resamples, each of what `asked` returns; chance is in both."""
    (was, were), (value, values) = (_Distances(*each, resamples, BINS).plain() for each in (before, after))
    return summarise(value - was, values - were, 0, resamples.n_groups, least=-1.0)


class _Distances:
    """Sums of label minus score in the bins of all rows, as they are and as they are resampled."""

    def __init__(self, targets, scores, weights, resamples: Resamples, bins: int):
        targets, scores, weights = check(targets, scores, weights)
        rows = np.repeat(resamples.group_index, targets.shape[1])
        known = weights.ravel() > 0
        groups, targets, scores, weights = (each.ravel()[known] for each in (rows, targets, scores, weights))
        number, n_groups = _bins(scores, weights, bins), resamples.n_groups
        shape = (int(number.max(initial=-1)) + 1, n_groups)
        gap = np.bincount(number * n_groups + groups, weights * (targets - scores), shape[0] * shape[1])
        gap, weight = gap.reshape(shape), np.bincount(groups, weights, n_groups)
        counts = resamples.group_counts.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.share = np.bincount(number, weights) / weight.sum()  # (bins,)
            self.gaps = gap.sum(axis=1) / weight.sum()  # (bins,), each times its share
            self.resampled = (counts @ gap.T) / (counts @ weight)[:, None]  # (resamples, bins)

    def plain(self) -> tuple[float, np.ndarray]:
        """The mean distance of all rows, and of each resample."""
        if not len(self.gaps):
            return np.nan, np.full(len(self.resampled), np.nan)
        return float(np.abs(self.gaps).sum()), np.abs(self.resampled).sum(axis=1)

    def corrected(self) -> tuple[float, np.ndarray]:
        """The same without what chance adds: once in all rows, once more in a resample of them."""
        value, values = self.plain()
        if np.isnan(value) or not len(values):
            return value, values
        by_chance = (np.nanvar(self.resampled, axis=0) / self.share).sum()

        def kept(gaps: np.ndarray, times: int) -> np.ndarray:
            squares = (gaps**2 / self.share).sum(axis=-1)
            return np.sqrt(np.maximum(0, 1 - times * by_chance / np.maximum(squares, np.finfo(float).tiny)))

        return float(value * kept(self.gaps, 1)), values * kept(self.resampled, 2)


def _bins(scores: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """(items,) the number of each score's bin, from 0 without gaps."""
    distinct, inverse = np.unique(scores, return_inverse=True)
    mass = np.bincount(inverse, weights, len(distinct))
    middle = (np.cumsum(mass) - mass / 2) / max(mass.sum(), np.finfo(float).tiny)
    number = np.minimum((bins * middle).astype(int), bins - 1)
    return np.unique(number, return_inverse=True)[1][inverse]
