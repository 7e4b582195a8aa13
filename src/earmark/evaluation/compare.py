"""Which of two models is better, measured on the same clips and the same resamples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.evaluation.bootstrap import Interval, Resamples, draw, resampled_values, summarise
from earmark.evaluation.metrics import TITLES

# A true difference this many standard errors wide shows (5 % two-sided) in four of five studies: 1.96 + 0.84.
DETECTABLE_ERRORS = 2.8


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


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values of many comparisons, each raised so that all that stay below 0.05 are chance in at most 5 % of studies.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    raised, least = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        raised[name] = least
    return {name: raised[name] for name in p_values}


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
