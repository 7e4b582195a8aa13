"""Label errors: how well each label of each clip agrees with scores of a model that has not learnt from that clip.

Source: confident learning, Northcutt et al., JAIR 2021; the numbers are cleanlab's (tests/review/test_label_errors.py
holds them against it), which is not needed to have them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NEVER = 2.0  # the threshold of a class that nobody is given: no score reaches it


def label_quality(
    present: np.ndarray, known: np.ndarray, scores: np.ndarray, multi_label: bool, *, normalised: bool = False
) -> np.ndarray:
    """How far scores agree with each label of each clip, (clips, classes) float64 in [0, 1]; nan where it is unknown.

    The lower, the more suspicious that the label is given, or that it is not. Of several labels each is a question of
    its own; where a clip has one, only that is asked about.

    Args:
        present: (clips, classes) of 0 and 1. known: (clips, classes), 0 = unknown.
        scores: (clips, classes) out-of-fold scores in [0, 1].
        normalised: each class held against what its own clips usually score; else the score of what is given. The
            plain one finds more errors (benchmarks/label_errors.py).
    """
    found = np.full(scores.shape, np.nan)
    for rows, columns, given, answers in _asked(present, known, scores, multi_label):
        quality = confidence(given, answers)[0] if normalised else answers[np.arange(len(given)), given]
        found[rows, columns] = quality
    return found


def estimated_errors(present: np.ndarray, known: np.ndarray, scores: np.ndarray, multi_label: bool) -> int:
    """How many labels are probably wrong: what is off the diagonal of the confident joint. Arguments as above."""
    asked = _asked(present, known, scores, multi_label)
    return sum(int((confidence(given, answers)[1] != given).sum()) for _, _, given, answers in asked)


def _asked(
    present: np.ndarray, known: np.ndarray, scores: np.ndarray, multi_label: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """The questions that labels answer: rows and columns of the labels (n,), the answers given (n,) int, and scores of
    all answers (n, answers) that sum to 1."""
    scores = scores.astype(np.float64)
    if multi_label:
        for column in range(scores.shape[1]):
            rows = np.flatnonzero(known[:, column] > 0)
            if len(rows):
                yes = scores[rows, column]
                given = (present[rows, column] > 0).astype(np.int64)
                yield rows, np.full(len(rows), column), given, np.stack([1 - yes, yes], axis=1)
        return
    rows = np.flatnonzero((known * present).any(axis=1))
    given = present[rows].argmax(axis=1)
    yield rows, given, given, scores[rows] / np.maximum(scores[rows].sum(axis=1, keepdims=True), 1e-12)


def confidence(given: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of clips that are given one of several answers: the quality of each, and the answer that is more likely right.

    A class's threshold is the mean score of those that are given it. Scores less their thresholds, brought back to a
    sum of 1, give the quality of what is given; the more likely answer is among those above their threshold.

    Args:
        given: (clips,) int. scores: (clips, classes), rows sum to 1.

    Returns:
        (clips,) float64 in [0, 1], and (clips,) int: the given answer where nothing speaks for another.

    >>> quality, likely = confidence(np.array([0, 0, 1, 1]), np.array([[.9, .1], [.8, .2], [.1, .9], [.7, .3]]))
    >>> quality.round(2).tolist(), likely.tolist()
    ([0.72, 0.64, 0.92, 0.44], [0, 0, 1, 1])
    """
    counts = np.bincount(given, minlength=scores.shape[1])
    sums = np.bincount(given, scores[np.arange(len(given)), given], minlength=scores.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), NEVER)
    shifted = scores - thresholds + thresholds.max()
    quality = shifted[np.arange(len(given)), given] / shifted.sum(axis=1)
    above = scores >= thresholds - 1e-6
    best = scores.argmax(axis=1)
    only = np.where(above.any(axis=1), above.argmax(axis=1), given)
    likely = np.where(above.sum(axis=1) > 1, best, only)
    return quality, np.where(best == given, given, likely)
