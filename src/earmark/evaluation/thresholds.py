"""From which score on a label becomes a tag."""

from __future__ import annotations

import numpy as np

from earmark.evaluation.metrics import check

DEFAULT_THRESHOLD = 0.5


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
    # In the precision of the scores: the middle of two neighbouring numbers would round onto one of them.
    middle = float(kind.type((lowest + below) / 2))
    return middle if below < middle < lowest else float(lowest)
