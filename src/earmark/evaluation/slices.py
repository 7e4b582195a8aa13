"""Where scores are good and where not: the same metrics on parts of the clips, such as each site, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from earmark.evaluation.bootstrap import Interval, Resamples, draw, interval, summarise
from earmark.evaluation.compare import holm
from earmark.evaluation.metrics import accuracy_parts, lwlrap_parts

PARTS = {"accuracy": accuracy_parts, "lwlrap": lwlrap_parts}  # the metrics that rank models are sums over clips
MOST_WHOLE = 30  # parts of which every metric is computed; of more only the first
N_BINS = 4  # of numbers
N_SHUFFLES = 4000
SHUFFLES_AT_ONCE = 200
MOST_VALUES = 8  # different numbers that are no bins yet
UNKNOWN = "unknown"
SURE = 0.05


@dataclass(frozen=True)
class Slice:
    """One part of the clips.

    by: what the clips are parted by. name: of this part.
    metrics: name → Interval; without bounds where the part is one recording.
    against_rest: the first metric on it minus that on all other clips. p: of that, corrected for the number of parts.
    without: the first metric on all other clips.
    """

    by: str
    name: str
    n_clips: int
    n_groups: int
    metrics: Mapping[str, Interval]
    against_rest: Interval
    p: float
    without: float

    @property
    def verdict(self) -> str:
        """Whether it differs from the rest for sure; empty where nobody can tell."""
        if not self.p <= SURE:
            return ""
        return "worse" if self.against_rest.value < 0 else "better"

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "name": self.name,
            "n_clips": self.n_clips,
            "n_groups": self.n_groups,
            "metrics": {name: found.to_dict() for name, found in self.metrics.items()},
            "against_rest": self.against_rest.to_dict(),
            "p_holm": self.p,
            "without": self.without,
            "verdict": self.verdict,
        }


def score_slices(
    by: str,
    values: Sequence[str],
    targets: np.ndarray,
    scores: np.ndarray,
    *,
    groups: np.ndarray,
    metrics: Sequence[str],
    weights: np.ndarray | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[Slice, ...]:
    """Score each part of the clips, and hold it against the rest.

    Args:
        by: what the clips are parted by.
        values: (clips,) the part of each.
        targets, scores, weights: (clips, classes), as for the metrics.
        groups: (clips,) recording of each clip; a part with one has no interval.
        metrics: names in METRICS, of PARTS the first.

    Returns:
        The parts, the worst first.
    """
    names, part_of = np.unique(np.asarray(values).astype(str), return_inverse=True)
    resamples = draw(groups, n_resamples, seed)
    parts = PARTS[metrics[0]](targets, scores, weights)
    first, against, without = _held_against_rest(parts, part_of, len(names), resamples)
    p_values = holm(_shuffled_p(parts, part_of, len(names), resamples.group_index, seed))
    known = np.ones_like(targets) if weights is None else weights
    found = []
    for number, name in enumerate(names.tolist()):
        rows = np.flatnonzero(part_of == number)
        numbers = {metrics[0]: first[number]}
        if len(names) <= MOST_WHOLE and len(metrics) > 1:
            own = draw(np.asarray(groups)[rows], n_resamples, seed)
            for metric in metrics[1:]:
                whole = interval(metric, targets[rows], scores[rows], own, weights=known[rows])
                numbers[metric] = whole if own.n_groups > 1 else _alone(whole)
        n_groups = first[number].n_groups
        found.append(
            Slice(by, name, len(rows), n_groups, numbers, against[number], float(p_values[number]), without[number])
        )
    return tuple(
        sorted(found, key=lambda each: (np.nan_to_num(each.metrics[metrics[0]].value, nan=2.0), -each.n_clips))
    )


def resampled_units(values: Sequence[str], groups: np.ndarray, files: np.ndarray) -> np.ndarray:
    """What is drawn anew for the intervals of parts: recordings; where each part is one, such as a site, its files.

    The interval then is of that very site: what another would be like, one site cannot say.

    Args:
        values, groups, files: (clips,) the part, recording and file of each.

    >>> resampled_units(["a", "a", "b"], np.array([1, 1, 2]), np.array(["x", "y", "z"])).tolist()
    ['x', 'y', 'z']
    """
    pairs = set(zip(values, groups.tolist(), strict=True))
    return files if len(pairs) == len(set(values)) else groups


def _held_against_rest(
    parts: tuple[np.ndarray, np.ndarray], part_of: np.ndarray, n_parts: int, resamples: Resamples
) -> tuple[list[Interval], list[Interval], list[float]]:
    """Per part the metric, it minus that on the rest, and that on the rest; all from the same resamples."""
    member_of = _members(part_of, n_parts)

    def of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _inside_and_outside(*(member_of @ (each[:, None] * counts) for each in parts))

    value, rest = (each[:, 0] for each in of(np.ones((len(part_of), 1))))
    drawn = [of(counts) for counts in resamples.counts()]
    values, rests = (np.concatenate(each, axis=1) for each in zip(*drawn, strict=True))
    found, against = [], []
    for number in range(n_parts):
        n_groups = len(np.unique(resamples.group_index[part_of == number]))
        own = summarise(value[number], values[number], int(np.isnan(values[number]).sum()), n_groups, least=0.0)
        apart = values[number] - rests[number]
        differs = summarise(value[number] - rest[number], apart, int(np.isnan(apart).sum()), n_groups, least=-1.0)
        found.append(own if n_groups > 1 else _alone(own))
        against.append(differs if n_groups > 1 else _alone(differs))
    return found, against, rest.tolist()


def _shuffled_p(
    parts: tuple[np.ndarray, np.ndarray], part_of: np.ndarray, n_parts: int, group_index: np.ndarray, seed: int
) -> np.ndarray:
    """Two-sided p-value of each part against the rest: how often recordings dealt out anew make one as large.

    Exact however few there are in a part, where a standard error would promise too much.
    """
    units, first, unit_of = np.unique(group_index * n_parts + part_of, return_index=True, return_inverse=True)
    sums = [np.bincount(unit_of, weights=each, minlength=len(units)) for each in parts]
    member_of, generator = _members(part_of[first], n_parts), np.random.default_rng(seed)

    def apart(orders: np.ndarray) -> np.ndarray:
        inside, outside = _inside_and_outside(*(member_of @ each[orders] for each in sums))
        return np.abs(inside - outside)

    found = apart(np.arange(len(units))[:, None])
    reached = np.zeros(n_parts)
    for _ in range(N_SHUFFLES // SHUFFLES_AT_ONCE):
        orders = np.tile(np.arange(len(units))[:, None], SHUFFLES_AT_ONCE)
        reached += (apart(generator.permuted(orders, axis=0)) >= found - 1e-9).sum(axis=1)
    return np.where(np.isnan(found[:, 0]), np.nan, (reached + 1) / (N_SHUFFLES + 1))


def _members(part_of: np.ndarray, n_parts: int) -> sparse.csr_array:
    """(parts, items), 1 where an item is in the part."""
    items = np.arange(len(part_of))
    return sparse.csr_array((np.ones(len(items)), (part_of, items)), shape=(n_parts, len(items)))


def _inside_and_outside(numerator: np.ndarray, denominator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each part's ratio of sums (parts, …), and that of all the others together."""
    others = [each.sum(axis=0) - each for each in (numerator, denominator)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple(np.where(low > 0, high / low, np.nan) for high, low in ((numerator, denominator), tuple(others)))


def _alone(found: Interval) -> Interval:
    """The value of one recording: nothing says how another would be."""
    return Interval(found.value, np.nan, np.nan, 1, True, found.n_nan, np.nan)


def bins_of(numbers: Sequence[float], unit: str = "", n_bins: int = N_BINS) -> list[str]:
    """What part each number is in: itself where there are few, else one of bins that hold about as many each.

    Args:
        numbers: nan = unknown. unit: stands behind the numbers.

    >>> bins_of([1.0, 5.0, 5.0, float("nan")], " s")
    ['1 s', '5 s', '5 s', 'unknown']
    >>> sorted(set(bins_of(list(range(101)))))
    ['0 to 25', '25 to 50', '50 to 75', '75 to 100']
    """
    column = pd.Series(np.asarray(numbers, dtype=np.float64))
    distinct = np.unique(column.dropna().round(3))
    if len(distinct) <= MOST_VALUES:
        return [UNKNOWN if np.isnan(each) else f"{each:.3g}{unit}" for each in column]
    edges = np.unique(np.quantile(column.dropna(), np.linspace(0, 1, n_bins + 1)))
    texts = [f"{low:.3g} to {high:.3g}{unit}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    places = np.clip(np.searchsorted(edges, column, "right") - 1, 0, len(texts) - 1)
    return [UNKNOWN if np.isnan(each) else texts[place] for each, place in zip(column, places, strict=True)]
