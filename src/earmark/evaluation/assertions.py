"""What scores assert: tags at thresholds, with precision, recall and F1; and chances, held against what came true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from earmark.evaluation.bootstrap import Interval, Resamples, interval, summarise
from earmark.evaluation.metrics import N_BINS, bin_of, chances_of, check, d_prime, nanmean


@dataclass(frozen=True)
class ReliabilityBin:
    """Scores from `low` to `high`: how many, their mean, and the share of them that came true."""

    low: float
    high: float
    n: int
    mean_score: float
    share_true: float


def make_tags(scores: np.ndarray, thresholds: Sequence[float], multi_label: bool) -> np.ndarray:
    """Which labels clips get, boolean (clips, classes), as `Tagger.tags` decides it.

    Args:
        scores: (clips, classes) in [0, 1].
        thresholds: of each class; compared in float32, as the scores are.
        multi_label: whether all that reach their threshold are tags; if not, only the highest can be one.

    >>> make_tags(np.array([[0.6, 0.7]], dtype=np.float32), [0.5, 0.5], multi_label=False).tolist()
    [[False, True]]
    """
    reached = scores >= np.asarray(thresholds).astype(np.float32)
    if not multi_label and scores.shape[1]:
        reached &= np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    return reached


def tag_intervals(
    targets: np.ndarray, tags: np.ndarray, resamples: Resamples, weights: np.ndarray | None = None
) -> dict[str, Interval]:
    """Precision, recall and F1 of tags, macro and micro, with intervals.

    Macro is the mean over the classes that have clips; one that is never tagged has a precision of 0.

    Args:
        targets: (clips, classes), 0 or 1. tags: boolean (clips, classes). weights: (clips, classes), 0 = unknown.
        resamples: what `draw` gave for these clips.
    """
    parts = [_tag_values(*sums) for sums in _resampled_counts(targets, tags, resamples, weights)]
    whole, _ = _tag_values(*(each[:, None] for each in _counts(targets, tags, weights)))
    n_nan = sum(missing for _, missing in parts)
    found = {}
    for name, value in whole.items():
        values = np.concatenate([part[name] for part, _ in parts] or [np.empty(0)])
        missing = n_nan if name.endswith("macro") else int(np.isnan(values).sum())
        found[name] = summarise(float(value[0]), values, missing, resamples.n_groups, least=0.0)
    return found


def tags_per_class(targets: np.ndarray, tags: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Name → (classes,): "n_tagged", "tag_precision", "tag_recall", "tag_f1"; nan for a class without clips."""
    right, tagged, given = _counts(targets, tags, weights)
    precision, recall, f1 = _class_values(right, tagged, given)
    return {"n_tagged": tagged.round().astype(int), "tag_precision": precision, "tag_recall": recall, "tag_f1": f1}


def calibration_interval(
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    weights: np.ndarray | None = None,
    *,
    multi_label: bool,
) -> Interval:
    """`metrics.expected_calibration_error` with its interval; arguments as there and for `tag_intervals`."""
    outcomes, chances, weight, clips = chances_of(targets, scores, weights, multi_label)
    gaps = sparse.csr_array((weight * (chances - outcomes), (bin_of(chances), clips)), shape=(N_BINS, len(targets)))
    total = np.bincount(clips, weights=weight, minlength=len(targets))

    def error(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.abs(gaps @ counts).sum(axis=0) / (total @ counts)

    values = np.concatenate([error(counts) for counts in resamples.counts()] or [np.empty(0)])
    value = float(error(np.ones((len(targets), 1)))[0])
    return summarise(value, values, int(np.isnan(values).sum()), resamples.n_groups, least=0.0)


def reliability(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, *, multi_label: bool
) -> tuple[ReliabilityBin, ...]:
    """The bins of the calibration error that hold scores."""
    outcomes, chances, weight, _ = chances_of(targets, scores, weights, multi_label)
    numbers = bin_of(chances)
    n, total, said, true = (
        np.bincount(numbers, weights=each, minlength=N_BINS)
        for each in (np.ones_like(chances), weight, weight * chances, weight * outcomes)
    )
    return tuple(
        ReliabilityBin(
            each / N_BINS, (each + 1) / N_BINS, int(n[each]), said[each] / total[each], true[each] / total[each]
        )
        for each in np.flatnonzero(total).tolist()
    )


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


def _counts(targets, tags, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class the weight of tags that are right, of all tags, and of the labels given, each (classes,)."""
    return tuple(each.sum(axis=0) for each in _weighted(targets, tags, weights))


def _resampled_counts(targets, tags, resamples, weights):
    """`_counts` of every resample, each (classes, some resamples)."""
    rows = [each.T for each in _weighted(targets, tags, weights)]
    for counts in resamples.counts():
        yield tuple(row @ counts for row in rows)


def _weighted(targets, tags, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
