"""What settings score that were trained from several seeds: their mean, with the noise of clips and that of training.

Two kinds of chance stand behind a score. Other recordings would have given another one: resamples of groups tell how
much. Another seed would have, too: the runs' own spread tells that, and a mean over n seeds has a share of 1/√n of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.evaluation.bootstrap import Interval, Resamples, resampled_values, summarise


@dataclass(frozen=True)
class Repeats:
    """One metric of one choice of settings.

    values: seed → the metric on all clips. resampled: (seeds, resamples), on the same resamples for all that are
    compared. n_missing: class values that were missing in them. n_groups: recordings.
    """

    values: Mapping[int, float]
    resampled: np.ndarray
    n_missing: int
    n_groups: int

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(list(self.values.values())))

    def of(self, seeds: Sequence[int]) -> Repeats:
        """Those of some of the seeds."""
        rows = [list(self.values).index(seed) for seed in seeds]
        return Repeats({seed: self.values[seed] for seed in seeds}, self.resampled[rows], self.n_missing, self.n_groups)

    def interval_of(self, seed: int) -> Interval:
        """Of one run: the noise of the clips alone."""
        column = self.resampled[list(self.values).index(seed)]
        return summarise(self.values[seed], column, self.n_missing, self.n_groups, least=0.0)


def measure_repeats(
    metric: str,
    targets: np.ndarray,
    scores: Mapping[int, np.ndarray],
    resamples: Resamples,
    *,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Repeats:
    """A metric of several runs of the same settings; arguments as in `resampled_values`, scores by seed."""
    found = {
        seed: resampled_values(metric, targets, each, resamples, folds=folds, weights=weights)
        for seed, each in scores.items()
    }
    columns = np.stack([values for _, values, _ in found.values()])
    missing = next(iter(found.values()))[2]  # which depends on the targets alone
    return Repeats({seed: value for seed, (value, _, _) in found.items()}, columns, missing, resamples.n_groups)


def seed_spread(many: Iterable[Repeats]) -> float:
    """Standard deviation from seed to seed, pooled over settings that scatter alike; nan where all have one seed.

    Three runs tell a spread badly: one time in three it is off by more than half. Thirty of ten settings tell it well.
    """
    squares, degrees = 0.0, 0
    for each in many:
        values = np.array(list(each.values.values()))
        squares += float(((values - values.mean()) ** 2).sum())
        degrees += len(values) - 1
    return math.sqrt(squares / degrees) if degrees else math.nan


def mean_interval(found: Repeats, spread: float) -> Interval:
    """The mean over seeds, with the noise of both kinds.

    Args:
        spread: from seed to seed; nan = unknown, and left out.
    """
    columns = found.resampled.mean(axis=0) + _seed_noise(spread, len(found.values), found.resampled.shape[1])
    return summarise(found.mean, columns, found.n_missing, found.n_groups, least=0.0)


def mean_difference(a: Repeats, b: Repeats, spread_a: float, spread_b: float) -> Interval:
    """Mean of a minus mean of b over the seeds that both have, on the same resamples.

    The two are taken to scatter each for itself from seed to seed, which is too cautious where the same seed does the
    same to both. Their spread is taken as known: where ten degrees of freedom tell it (five settings of three seeds),
    the interval holds the truth 92 times in 100, not 95. Args as in `mean_interval`.
    """
    seeds = [seed for seed in a.values if seed in b.values]
    return difference_of_means(a.of(seeds), b.of(seeds), spread_a, spread_b)


def difference_of_means(a: Repeats, b: Repeats, spread_a: float, spread_b: float) -> Interval:
    """As `mean_difference`, of all seeds that each has."""
    noise = [
        0.0 if math.isnan(spread) else spread / math.sqrt(len(each.values))
        for each, spread in ((a, spread_a), (b, spread_b))
    ]
    columns = a.resampled.mean(axis=0) - b.resampled.mean(axis=0)
    columns = columns + _seed_noise(math.hypot(*noise), 1, len(columns))
    return summarise(a.mean - b.mean, columns, a.n_missing, a.n_groups, least=-1.0)


def _seed_noise(spread: float, n_seeds: int, size: int) -> np.ndarray:
    """(size,) draws of how far the mean over seeds is from that over all seeds there could be."""
    if math.isnan(spread):
        return np.zeros(size)
    return spread / math.sqrt(n_seeds) * np.random.default_rng(0).standard_normal(size)
