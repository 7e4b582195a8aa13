"""The mean of a few models' scores, the members for a fold picked without the fold's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earmark.evaluation.metrics import METRICS
from earmark.lookup import lookup

MOST_MEMBERS = 4


def pick_members(
    targets: np.ndarray, scores: Mapping[str, np.ndarray], metric: str, weights: np.ndarray | None = None
) -> tuple[str, ...]:
    """The few models whose mean scores are best: the best one, then whichever helps most, while one helps.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: model → (clips, classes).
        metric: a name in METRICS.
        weights: (clips, classes), 0 = unknown.
    """
    measure = lookup(METRICS, metric, "metric")
    members: tuple[str, ...] = ()
    reached = -np.inf
    while len(members) < min(MOST_MEMBERS, len(scores)):
        values = {
            name: measure(targets, mean_scores(scores, (*members, name)), weights)
            for name in scores
            if name not in members
        }
        best = max(values, key=lambda name: np.nan_to_num(values[name], nan=-1.0))
        if members and not values[best] > reached:
            break
        members, reached = (*members, best), values[best]
    return members


def mean_scores(scores: Mapping[str, np.ndarray], members: Sequence[str]) -> np.ndarray:
    """The mean (clips, classes) of some models' scores."""
    return np.mean([scores[name] for name in members], axis=0, dtype=np.float32)


def blend(
    targets: np.ndarray,
    scores: Mapping[str, np.ndarray],
    folds: np.ndarray,
    metric: str,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[int, tuple[str, ...]]]:
    """Mean scores of the few best models; those for a fold's clips are picked without that fold.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: model → out-of-fold scores (clips, classes).
        folds: (clips,) fold of each clip, two or more.
        metric: a name in METRICS, by which members are picked.
        weights: (clips, classes), 0 = unknown.

    Returns:
        Scores (clips, classes) float32, and each fold's members.
    """
    blended = np.empty(np.shape(targets), dtype=np.float32)
    members = {}
    for fold in np.unique(folds).tolist():
        inside = folds == fold
        others = {name: each[~inside] for name, each in scores.items()}
        known = None if weights is None else weights[~inside]
        members[fold] = pick_members(targets[~inside], others, metric, known)
        blended[inside] = mean_scores({name: each[inside] for name, each in scores.items()}, members[fold])
    return blended, members
