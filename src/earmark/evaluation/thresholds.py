"""From which score on a label becomes a tag: for the best F1, or so that a wanted precision or recall is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from earmark.config import require
from earmark.errors import ConfigError
from earmark.evaluation.metrics import check

DEFAULT_THRESHOLD = 0.5
F1, PRECISION, RECALL = "f1", "precision", "recall"
GOALS = (F1, PRECISION, RECALL)
SHRINKING_POSITIVES = 20  # a class with so many goes half the way from the threshold of all to its own
POOLED_ROWS = 10  # recordings that what all classes show together is worth beside a class's own
CONFIDENCE = 0.97  # one-sided, at each threshold; chosen among many, nine classes in ten keep their promise
SINGLE = np.dtype(np.float32)
NEVER = None  # in the place of a threshold: the label is never named

Thresholds = tuple[float | None, ...]


@dataclass(frozen=True)
class ThresholdConfig:
    """What thresholds are fitted for.

    goal: "f1", the best F1 (where one label holds: the best is always named); "precision" or "recall", so many tags
    that each label keeps `least` of it.
    least: the precision or recall to keep, above 0 and below 1.
    """

    goal: str = F1
    least: float = 0.9

    def __post_init__(self):
        if self.goal not in GOALS:
            raise ConfigError(f"thresholds.goal: '{self.goal}' is none of {', '.join(GOALS)}. Choose one of them.")
        require(0 < self.least < 1, "thresholds.least", self.least, "more than 0 and less than 1")

    @classmethod
    def keeping(cls, precision: float | None, recall: float | None) -> ThresholdConfig:
        """For a precision or a recall; for the best F1 where none is given.

        Raises:
            ConfigError: both are.

        >>> ThresholdConfig.keeping(0.95, None)
        ThresholdConfig(goal='precision', least=0.95)
        """
        if precision is not None and recall is not None:
            raise ConfigError("--precision and --recall: a threshold keeps one of them. Give one, and see the other.")
        if precision is None and recall is None:
            return cls()
        return cls(RECALL, recall) if precision is None else cls(PRECISION, precision)


def fit_thresholds(
    config: ThresholdConfig,
    targets: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    groups: np.ndarray,
    multi_label: bool,
) -> Thresholds:
    """A threshold per class for what is wanted; None = the label is never named, for nothing shows that it could.

    Args:
        targets: (rows, classes), 0 or 1. scores: (rows, classes) in [0, 1], out of fold. weights: 0 = unknown.
        groups: (rows,) recording of each row, for how much the rows tell.
        multi_label: several labels can hold; if not, only the highest score of a row can become a tag.
    """
    if config.goal == F1:
        if not multi_label:
            return (0.0,) * np.shape(targets)[1]
        return f1_thresholds(targets, scores, weights)
    return keeping_thresholds(config, targets, scores, weights, groups, multi_label)


def f1_thresholds(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Thresholds:
    """Each class's best threshold for F1, drawn to the best one for all classes the more the fewer positives it has.

    Drawn as log odds: from 0.02 to 0.5 is as far as from 0.5 to 0.98.
    """
    targets, scores, weights = check(targets, scores, weights)
    common = best_f1_threshold(targets, scores, weights)
    found = []
    for column in range(targets.shape[1]):
        own = (slice(None), slice(column, column + 1))
        n_positive = float((targets[own] * (weights[own] > 0)).sum())
        share = n_positive / (n_positive + SHRINKING_POSITIVES)
        best = best_f1_threshold(targets[own], scores[own], weights[own]) if n_positive else common
        inside = np.clip([common, best], 1e-6, 1 - 1e-6)
        odds = np.log(inside / (1 - inside)) @ np.array([1 - share, share])
        found.append(float(1 / (1 + np.exp(-odds))) if share > 0 else common)
    return tuple(found)


def keeping_thresholds(
    config: ThresholdConfig,
    targets: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    groups: np.ndarray,
    multi_label: bool,
) -> Thresholds:
    """The lowest threshold per class that keeps a precision, or the highest that keeps a recall, with CONFIDENCE.

    What a class showed at a threshold is weighed with what all classes together showed there (a beta distribution,
    POOLED_ROWS of theirs beside its own); rows of one recording count as one. A label that cannot keep the precision is
    never named; one that cannot keep the recall is named at any score.
    """
    targets, scores, weights = check(targets, nameable(scores, multi_label), weights)
    targets, positives = targets * weights, (targets * weights).sum(axis=0)
    index = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    pooled = _Pooled(targets, scores, weights)
    found: list[float | None] = []
    for column in range(targets.shape[1]):
        ladder = _ladder(targets[:, column], scores[:, column], weights[:, column], index)
        if config.goal == PRECISION:
            kept = _keeps(ladder.right, ladder.tagged, ladder.independent, pooled.precision(ladder.at), config.least)
            found.append(ladder.threshold(int(np.flatnonzero(kept)[-1])) if kept.any() else NEVER)
        else:
            whole, recordings = positives[column], len(np.unique(index[targets[:, column] > 0]))
            n_whole, n_recordings = np.full(len(ladder.at), whole), np.full(len(ladder.at), recordings)
            kept = _keeps(ladder.right, n_whole, n_recordings, pooled.recall(ladder.at), config.least)
            found.append(ladder.threshold(int(np.argmax(kept))) if kept.any() else 0.0)
    return tuple(found)


@dataclass(frozen=True)
class _Ladder:
    """A class's possible thresholds from high to low, each the score of a positive: what is tagged from it on.

    at: the scores. below: the next lower score of any row. right, tagged: weight of the positives, and of all rows, at
    or above. independent: recordings among them.
    """

    at: np.ndarray
    below: np.ndarray
    right: np.ndarray
    tagged: np.ndarray
    independent: np.ndarray

    def threshold(self, step: int) -> float:
        """Midway between the lowest score that is a tag and the highest that is not, as single precision has it."""
        return _between(self.at[step], self.below[step])


def _ladder(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, index: np.ndarray) -> _Ladder:
    """The ladder of one column, (rows,) each; rows of score -1 or weight 0 are never tagged."""
    rows = np.flatnonzero((scores >= 0) & (weights > 0))
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    ranked = scores[rows]
    first = np.zeros(len(rows), dtype=bool)
    first[np.unique(index[rows], return_index=True)[1]] = True
    last_of_equals = np.append(ranked[:-1] != ranked[1:], True) if len(ranked) else np.zeros(0, dtype=bool)
    ends = np.flatnonzero(last_of_equals)
    right, tagged, recordings = (np.cumsum(each)[ends] for each in (targets[rows], weights[rows], first))
    steps = np.flatnonzero(np.diff(right, prepend=0) > 0)  # lower ones without a positive gain nothing
    below = np.append(ranked[ends][1:], 0.0) if len(ends) else np.zeros(0)
    return _Ladder(ranked[ends][steps], below[steps], right[steps], tagged[steps], recordings[steps])


class _Pooled:
    """What all classes together show at a threshold."""

    def __init__(self, targets: np.ndarray, scores: np.ndarray, weights: np.ndarray):
        order = np.argsort(scores, axis=None)
        self.scores = scores.ravel()[order]
        # Of what scores at least so much, from the lowest on.
        self.right, self.tagged = (
            np.append(np.cumsum(each.ravel()[order][::-1])[::-1], 0.0) for each in (targets, weights)
        )
        self.whole = max(float(self.right[0]), np.finfo(float).tiny)

    def precision(self, thresholds: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self.scores, thresholds)
        return self.right[at] / np.maximum(self.tagged[at], np.finfo(float).tiny)

    def recall(self, thresholds: np.ndarray) -> np.ndarray:
        return self.right[np.searchsorted(self.scores, thresholds)] / self.whole


def _keeps(
    right: np.ndarray, whole: np.ndarray, independent: np.ndarray, pooled: np.ndarray, least: float
) -> np.ndarray:
    """(steps,) whether a share `right` of `whole`, seen in so many recordings, is surely no less than `least`."""
    share = right / np.maximum(whole, np.finfo(float).tiny)
    good = POOLED_ROWS * pooled + independent * share
    bad = POOLED_ROWS * (1 - pooled) + independent * (1 - share)
    tiny = np.finfo(float).tiny
    return betainc(np.maximum(good, tiny), np.maximum(bad, tiny), least) <= 1 - CONFIDENCE


def nameable(scores: np.ndarray, multi_label: bool) -> np.ndarray:
    """Scores (rows, classes) with -1 where a score cannot become a tag: of single labels all but the first highest.

    >>> nameable(np.array([[0.2, 0.7, 0.7]]), multi_label=False).tolist()
    [[-1.0, 0.7, -1.0]]
    """
    if multi_label or not len(scores):
        return scores
    columns = np.arange(scores.shape[1])
    return np.where(columns == scores.argmax(axis=1)[:, None], scores, -1.0)


def tags_of(scores: np.ndarray, thresholds: Sequence[float | None], multi_label: bool) -> np.ndarray:
    """(rows, classes) bool: what is named, compared in single precision as `Tagger.tags` does.

    >>> tags_of(np.array([[0.9, 0.4], [0.3, 0.2]]), (0.5, None), multi_label=False).tolist()
    [[True, False], [False, False]]
    """
    limits = np.array([np.inf if limit is NEVER else limit for limit in thresholds], dtype=np.float32)
    return nameable(np.asarray(scores, dtype=np.float32), multi_label) >= limits


def best_f1_threshold(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The one threshold for all classes that gives the highest micro-F1; tags are scores at or above it.

    Every place where the set of tags changes is tried. The threshold lies midway between the lowest score
    that is a tag and the highest that is not; of equally good ones the highest wins.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: (clips, classes) in [0, 1], out of fold: from models that never saw the clip.
        weights: (clips, classes), 0 = unknown.

    Returns:
        The threshold; 0.5 where nothing can be learned (no label, or all scores equal).

    >>> round(best_f1_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.8, 0.2], [0.4, 0.6]])), 6)
    0.5
    """
    known = np.asarray(scores)
    kind = known.dtype if known.dtype.kind == "f" else np.dtype(np.float64)
    arrays = check(targets, scores, weights)
    targets, scores, weights = (array[arrays[2] > 0] for array in arrays)
    found = targets * weights
    distinct, inverse = np.unique(scores, return_inverse=True)
    if len(distinct) < 2 or not found.any():
        return DEFAULT_THRESHOLD
    right = np.bincount(inverse, weights=found)[::-1].cumsum()
    tagged = np.bincount(inverse, weights=weights)[::-1].cumsum()
    f1 = 2 * right / (tagged + found.sum())
    best = int(np.argmax(f1))
    lowest = distinct[::-1][best]
    below = distinct[::-1][best + 1] if best + 1 < len(distinct) else 0.0
    return _between(lowest, below, kind)


def _between(lowest: float, below: float, kind: np.dtype = SINGLE) -> float:
    """Midway between two scores in the precision of the scores: that of neighbours would round onto one of them."""
    middle = float(kind.type((lowest + below) / 2))
    return middle if below < middle < lowest else float(lowest)
