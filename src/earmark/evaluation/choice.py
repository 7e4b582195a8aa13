"""What choosing the best of many is worth: each fold is scored by what is best on the other folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earmark.evaluation.metrics import METRICS
from earmark.lookup import lookup


def choose_nested(
    targets: np.ndarray,
    scores: Mapping[str, Sequence[np.ndarray]],
    folds: np.ndarray,
    metric: str,
    weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Scores of the best model, which for a fold's clips is the one that is best without that fold.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: model → out-of-fold scores (clips, classes) of each of its runs; the mean over runs decides.
        folds: (clips,) fold of each clip, two or more.
        metric: a name in METRICS.
        weights: (clips, classes), 0 = unknown.

    Returns:
        Scores (clips, classes) float32, as many times as the model with most runs has them, those with fewer said
        again; and each fold's model.
    """
    measure = lookup(METRICS, metric, "metric")
    found = [np.empty(np.shape(targets), np.float32) for _ in range(max(map(len, scores.values())))]
    chosen = {}
    for fold in np.unique(folds).tolist():
        inside = folds == fold
        known = None if weights is None else weights[~inside]
        values = {
            name: np.mean([measure(targets[~inside], each[~inside], known) for each in runs])
            for name, runs in scores.items()
        }
        chosen[fold] = max(values, key=lambda name: np.nan_to_num(values[name], nan=-1.0))
        runs = scores[chosen[fold]]
        for number, each in enumerate(found):
            each[inside] = runs[number % len(runs)][inside]
    return found, chosen
