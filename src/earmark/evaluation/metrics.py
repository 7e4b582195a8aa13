"""How good scores are: one function per metric, `(targets, scores, weights=None) -> float`.

targets: (clips, classes), 0 or 1; a soft label is present from 0.5 on (`Manifest.present`), else absent.
scores: (clips, classes), higher = more likely; only their order counts.
weights: (clips, classes), 0 = unknown: that label of that clip does not count, neither as found nor as false, and
takes no place in a ranking (`Manifest.label_weights`); a row of n = the clip n times. How much a clip weighs in
training is no matter here: every clip that is scored counts once.
Every metric of METRICS is in [0, 1], 1 is perfect, nan = there is nothing to score. Ties never help.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from earmark.errors import EarmarkError

METRICS = {
    "accuracy": "earmark.evaluation.metrics:accuracy",
    "balanced_accuracy": "earmark.evaluation.metrics:balanced_accuracy",
    "lwlrap": "earmark.evaluation.metrics:lwlrap",
    "map_macro": "earmark.evaluation.metrics:map_macro",
    "map_micro": "earmark.evaluation.metrics:map_micro",
    "map_at_3": "earmark.evaluation.metrics:map_at_3",
    "roc_auc": "earmark.evaluation.metrics:roc_auc",
}
TITLES = {  # also of what is no METRIC: it has no end, or its numbers count and not only their order
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "lwlrap": "lwlrap",
    "map_macro": "mAP",
    "map_micro": "mAP (micro)",
    "map_at_3": "MAP@3",
    "roc_auc": "ROC-AUC",
    "d_prime": "d'",
    "ece": "calibration error",
    "f1_macro": "F1 (macro)",
    "f1_micro": "F1 (micro)",
    "precision_macro": "precision (macro)",
    "precision_micro": "precision (micro)",
    "recall_macro": "recall (macro)",
    "recall_micro": "recall (micro)",
}
# These compare scores of different clips, so the folds, scored by different networks, must not be pooled.
PER_FOLD = ("map_macro", "map_micro", "roc_auc")


def lwlrap(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Label-weighted label-ranking average precision: how high in its clip's ranking each label stands.

    Labels with equal scores share the worst of their ranks; clips without labels do not count.

    >>> lwlrap(np.array([[1, 0, 0]]), np.array([[0.5, 0.9, 0.1]]))
    0.5

    Source: FSDKaggle2019 task; equals scikit-learn's label_ranking_average_precision_score with each clip's
    number of labels as its sample weight (tests/evaluation/test_metrics.py).
    """
    return ratio(*lwlrap_parts(targets, scores, weights))


def lwlrap_parts(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Per clip, the sum of its labels' precisions and the sum of their weights, each (clips,)."""
    precision, weight = label_precision(targets, scores, weights)
    return (precision * weight).sum(axis=1), weight.sum(axis=1)


def lwlrap_per_class(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(classes,) mean precision at the label's rank in the clips that have it; nan where none has."""
    precision, weight = label_precision(targets, scores, weights)
    return _divide((precision * weight).sum(axis=0), weight.sum(axis=0))


def lwlrap_class_parts(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The precision at each label's rank times its weight, and its weight, each (clips, classes)."""
    precision, weight = label_precision(targets, scores, weights)
    return precision * weight, weight


def average_precision_per_class(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """(classes,) average precision over the ranking of all clips.

    nan for a class that all clips or none have: a ranking of the one kind cannot be wrong. Source: scikit-learn's
    average_precision_score, ties included.
    """
    targets, scores, weights = check(targets, scores, weights)
    weight = targets * weights
    found, scored = _at_least(weight, scores), _at_least(weights, scores)
    area = _divide((_divide(found, scored, 0.0) * weight).sum(axis=0), weight.sum(axis=0))
    return np.where(((1 - targets) * weights).sum(axis=0) > 0, area, np.nan)


def roc_auc_per_class(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(classes,) chance that a clip with the label scores above one without it, a tie counting half.

    nan for a class that all clips or none have. Source: scikit-learn's roc_auc_score.
    """
    targets, scores, weights = check(targets, scores, weights)
    positive, negative = targets * weights, (1 - targets) * weights
    n_positive, n_negative = positive.sum(axis=0), negative.sum(axis=0)
    above_or_half_equal = (_at_least(positive, scores) + n_positive - _at_least(positive, -scores)) / 2
    return _divide((above_or_half_equal * negative).sum(axis=0), n_positive * n_negative)


def map_macro(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of the classes' average precisions, over the classes that have one."""
    return float(nanmean(average_precision_per_class(targets, scores, weights)))


def map_micro(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Average precision over all (clip, label) pairs in one ranking."""
    targets, scores, weights = check(targets, scores, weights)
    return float(average_precision_per_class(targets.reshape(-1, 1), scores.reshape(-1, 1), weights.reshape(-1, 1))[0])


def roc_auc(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of the classes' areas under the ROC curve, over the classes that have one."""
    return float(nanmean(roc_auc_per_class(targets, scores, weights)))


def accuracy(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Share of clips whose label has the one highest score; a tie for the first place is a miss.

    A clip with several labels is right when one of them stands first. Clips without labels do not count.

    >>> accuracy(np.eye(2), np.array([[0.9, 0.1], [0.5, 0.5]]))
    0.5
    """
    return ratio(*accuracy_parts(targets, scores, weights))


def accuracy_parts(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Per clip, its weight if it is right (else 0) and its weight, each (clips,)."""
    targets, scores, weights = check(targets, scores, weights)
    weight = (targets * weights).max(axis=1, initial=0.0)
    return weight * _is_right(targets, scores, weights), weight


def balanced_accuracy(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of the classes' shares of right clips, over the classes that have clips: rare ones count as much.

    >>> balanced_accuracy(np.array([[1, 0], [1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]))
    0.5
    """
    return float(nanmean(recall_per_class(targets, scores, weights)))


def map_at_3(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean over clips of the average precision of their first three labels; clips without labels do not count.

    >>> map_at_3(np.array([[0, 1, 0, 0]]), np.array([[0.9, 0.8, 0.1, 0.2]]))
    0.5

    Source: FSDKaggle2018 task, where each clip has one label: 1, 1/2 or 1/3 for its rank; of several labels the usual
    average precision at 3, over at most three of them.
    """
    return ratio(*map_at_3_parts(targets, scores, weights))


def map_at_3_parts(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Per clip, its average precision times its weight, and its weight, each (clips,)."""
    targets, scores, weights = check(targets, scores, weights)
    known = (weights > 0).astype(np.float64)
    given = targets * known
    found, rank = _at_least(given.T, scores.T).T, _at_least(known.T, scores.T).T
    precision = _divide(found, rank, 0.0) * given * (rank <= 3)
    weight = (targets * weights).max(axis=1, initial=0.0)
    return weight * _divide(precision.sum(axis=1), np.minimum(given.sum(axis=1), 3), 0.0), weight


def d_prime(auc: float | np.ndarray) -> float | np.ndarray:
    """How many standard deviations apart two normal score distributions of this ROC-AUC stand; infinite at 1.

    >>> round(float(d_prime(0.965)), 2)
    2.56

    Source: Gemmeke et al. 2017 (AudioSet); Hershey et al. 2017.
    """
    return np.sqrt(2.0) * ndtri(auc)


def recall_per_class(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(classes,) share of the class's clips that are right, as `accuracy` counts it."""
    right, given = recall_parts(targets, scores, weights)
    return _divide(right.sum(axis=0), given.sum(axis=0))


def recall_parts(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The weight of each label of each clip if that is right (else 0), and its weight, each (clips, classes)."""
    targets, scores, weights = check(targets, scores, weights)
    given = targets * weights
    return given * _is_right(targets, scores, weights)[:, None], given


def precision_per_class(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(classes,) share of right clips among those where the class stands first, alone or tied."""
    targets, scores, weights = check(targets, scores, weights)
    known = np.where(weights > 0, scores, -np.inf)
    first = (known == known.max(axis=1, keepdims=True, initial=-np.inf)) * weights
    right = _is_right(targets, scores, weights)[:, None]
    return _divide((first * targets * right).sum(axis=0), first.sum(axis=0))


def _is_right(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(clips,) bool: some known label of the clip scores above every other known class."""
    known = weights > 0
    label = np.where(known & (targets > 0), scores, -np.inf).max(axis=1, initial=-np.inf)
    other = np.where(known & (targets == 0), scores, -np.inf).max(axis=1, initial=-np.inf)
    return label > other


def label_precision(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(clips, classes) precision at each label's rank in its clip, and the label's weight (0 = no label)."""
    targets, scores, weights = check(targets, scores, weights)
    weight = targets * weights
    found, scored = _at_least(weight.T, scores.T).T, _at_least(weights.T, scores.T).T
    return _divide(found, scored, 0.0), weight


def _at_least(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each entry, the sum of its column's `values` over the entries that score at least as high."""
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    sums = np.cumsum(np.take_along_axis(values, order, axis=0), axis=0)
    # Equal scores all take the sum at the last of them: the next place where the score falls.
    falls = np.ones(scores.shape, dtype=bool)
    falls[:-1] = ranked[:-1] != ranked[1:]
    place = np.where(falls, np.arange(len(scores))[:, None], len(scores))
    last = np.minimum.accumulate(place[::-1], axis=0)[::-1]
    result = np.empty_like(sums)
    np.put_along_axis(result, order, np.take_along_axis(sums, last, axis=0), axis=0)
    return result


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> float:
    """Sum over sum; nan when there is nothing to divide by."""
    return float(_divide(numerator.sum(), denominator.sum()))


def _divide(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Quotient, or `otherwise` where the denominator is 0."""
    result = np.full(np.shape(denominator), otherwise)
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)


def nanmean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the values that are there; nan (and no warning) where there is none."""
    return _divide(np.nansum(values, axis=axis), (~np.isnan(values)).sum(axis=axis))


def check(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays as float64 of one shape (clips, classes); weights are 1 where none are given.

    Raises:
        EarmarkError: shapes differ, a target is neither 0 nor 1, a score is not finite, a weight is negative.
    """
    targets = np.asarray(targets, dtype=np.float64)
    scores = np.asarray(scores, dtype=np.float64)
    weights = np.ones_like(targets) if weights is None else np.asarray(weights, dtype=np.float64)
    if targets.ndim != 2 or scores.shape != targets.shape or weights.shape != targets.shape:
        raise EarmarkError(
            f"metrics: targets {targets.shape}, scores {scores.shape} and weights {weights.shape} must have "
            "one shape (clips, classes). Align the predictions with the manifest first."
        )
    if not np.isin(targets, (0.0, 1.0)).all():
        raise EarmarkError(
            "metrics: a target is neither 0 nor 1. Take Manifest.present() for soft labels, and weights of 0 for "
            "unknown ones."
        )
    if not np.isfinite(scores).all():
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise EarmarkError(
            f"metrics: {len(rows)} clips have scores that are not finite (first: row {rows[0]}). "
            "Look for the cause where the scores were made."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise EarmarkError("metrics: a weight is negative or not finite. Use 0 for unknown, 1 for known.")
    return targets, scores, weights
