"""Which of two models is better, measured on the same clips and the same resamples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from earmark.evaluation.bootstrap import Interval, Resamples, draw, resampled_values, summarise
from earmark.evaluation.metrics import TITLES

# A true difference this many standard errors wide shows (5 % two-sided) in four of five studies: 1.96 + 0.84.
DETECTABLE_ERRORS = 2.8
FLIPS_AT_ONCE = 1000


@dataclass(frozen=True)
class Comparison:
    """Model `a` minus model `b` in one metric."""

    a: str
    b: str
    metric: str
    interval: Interval

    @property
    def smallest_detectable(self) -> float:
        """The true difference that data like these would show four times in five."""
        return DETECTABLE_ERRORS * self.interval.standard_error

    @property
    def p_value(self) -> float:
        """How often chance alone would show as large a difference, two-sided, the resampled values taken as normal.

        >>> round(Comparison("a", "b", "accuracy", Interval(0.0196, 0.0, 0.04, 40, False, 0, 0.01)).p_value, 3)
        0.05
        """
        value, error = abs(self.interval.value), self.interval.standard_error
        if np.isnan(value) or np.isnan(error) or value == 0:
            return 1.0
        return math.erfc(value / error / math.sqrt(2)) if error else 0.0

    @property
    def sentence(self) -> str:
        """In plain words.

        >>> found = Interval(0.05, 0.02, 0.08, 40, False, 0, 0.02)
        >>> Comparison("se_cnn", "forest", "accuracy", found).sentence
        'se_cnn is better than forest by 0.05 (0.02 to 0.08) in accuracy.'
        """
        title, found = TITLES.get(self.metric, self.metric), self.interval
        few = f" Only {found.n_groups} groups: the interval is too narrow." if found.too_few_groups else ""
        if np.isnan(found.low) or np.isnan(found.value):
            return f"{self.a} and {self.b} cannot be compared in {title}: there is no value."
        digits = 2 if found.high - found.low >= 0.02 else 3
        low, high, difference = found.low, found.high, found.value
        if low <= 0 <= high:
            return (
                f"{self.a} and {self.b}: the difference is inside the noise "
                f"({difference:+.{digits}f}, {low:+.{digits}f} to {high:+.{digits}f}) in {title}.{few}"
            )
        better, worse = (self.a, self.b) if low > 0 else (self.b, self.a)
        near, far = sorted((abs(low), abs(high)))
        return (
            f"{better} is better than {worse} by {abs(difference):.{digits}f} "
            f"({near:.{digits}f} to {far:.{digits}f}) in {title}.{few}"
        )

    def to_dict(self) -> dict[str, Any]:
        found = self.interval.to_dict()
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "difference": found.pop("value"),
            **found,
            "smallest_detectable": self.smallest_detectable,
            "sentence": self.sentence,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Comparison:
        """From what `to_dict` gave."""
        names = {"a", "b", "metric", "difference", "smallest_detectable", "sentence"}
        found = {key: item for key, item in document.items() if key not in names}
        found["value"] = document["difference"]
        return cls(document["a"], document["b"], document["metric"], Interval.from_dict(found))


def paired_difference(
    targets: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    *,
    metric: str,
    groups: np.ndarray,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Metric of a minus metric of b, both computed on the same resamples of groups.

    Args:
        targets: (clips, classes), 0 or 1.
        scores_a: (clips, classes).
        scores_b: (clips, classes).
        metric: a name in METRICS.
        groups: (clips,) recording of each clip.
        folds: (clips,) fold of each clip, or None.
        weights: (clips, classes), 0 = unknown.
        n_resamples: how many resamples.
        seed: of the draws.
    """
    resamples = draw(groups, n_resamples, seed)
    return difference(targets, scores_a, scores_b, resamples, metric=metric, folds=folds, weights=weights)


def difference(
    targets: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    resamples: Resamples,
    *,
    metric: str,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Interval:
    """`paired_difference` on resamples already drawn."""
    (value_a, values_a, missing), (value_b, values_b, _) = (
        resampled_values(metric, targets, scores, resamples, folds=folds, weights=weights)
        for scores in (scores_a, scores_b)
    )
    # What is missing depends on the targets alone, so both models lack the same.
    return summarise(value_a - value_b, values_a - values_b, missing, resamples.n_groups, least=-1.0)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values made larger for how many there are: those still at most 0.05 are all true 19 times in 20. nan stays.

    >>> holm([0.01, 0.04, 0.03, float("nan")]).tolist()
    [0.03, 0.06, 0.06, nan]

    Source: Holm 1979.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]
    raised = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted


def detectable_errors(n_comparisons: int = 1) -> float:
    """How many standard errors wide a true difference must be to show in four of five studies that make so many.

    >>> round(detectable_errors(), 1), round(detectable_errors(10), 1)
    (2.8, 3.6)
    """
    return float(ndtri(1 - 0.025 / n_comparisons) + ndtri(0.8))


def sign_flip_p(differences: np.ndarray, groups: np.ndarray, n_flips: int = 10_000, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of sums of paired differences: how often chance alone would make one as large.

    If both models were alike, each recording could as well have fallen out the other way round. Exact for any
    distribution; where few clips differ, it does not say more than they can.

    Args:
        differences: (clips, sums) what each clip adds to each sum.
        groups: (clips,) recording of each clip, which is turned round as a whole.
        n_flips: how often all are turned at random; no p is below 1 / (n_flips + 1).

    >>> sign_flip_p(np.array([[1.0], [1.0], [1.0], [0.0]]), np.arange(4)).round(2).tolist()  # 2 of 8 ways
    [0.25]

    Source: Fisher 1935; Phipson and Smyth 2010 (the added one).
    """
    index = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    sums = np.stack([np.bincount(index, weights=column) for column in np.asarray(differences, dtype=np.float64).T])
    sums = sums[:, (sums != 0).any(axis=0)]
    least = np.abs(sums.sum(axis=1)) - 1e-9
    generator, reached = np.random.default_rng(seed), np.zeros(len(sums))
    for start in range(0, n_flips, FLIPS_AT_ONCE):
        signs = generator.integers(0, 2, size=(sums.shape[1], min(FLIPS_AT_ONCE, n_flips - start))) * 2.0 - 1.0
        reached += (np.abs(sums @ signs) >= least[:, None]).sum(axis=1)
    return (reached + 1) / (n_flips + 1)
