"""Which clips of a run are worth hearing: the worst and the best."""

from __future__ import annotations

import numpy as np


def worst(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool, n: int) -> np.ndarray:
    """Positions of the n worst clips, worst first.

    Single-label: wrong clips, by how far the best wrong score lies above the given label's. Multi-label: any
    clip, by its cross-entropy summed over the labels that are known.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: (clips, classes) in [0, 1].
        weights: (clips, classes), 0 = unknown.
    """
    found = badness(targets, scores, weights, multi_label)
    order = np.argsort(-found, kind="stable")
    return order[:n] if multi_label else order[found[order] > 0][:n]


def best(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool, n: int) -> np.ndarray:
    """Positions of the n best clips, best first, each of another class: the one with the highest score of its labels.

    Args: as of `worst`.
    """
    given = (targets > 0) & (weights > 0)
    found = badness(targets, scores, weights, multi_label)
    classes = np.where(given, scores, -1.0).argmax(axis=1)
    right = given.any(axis=1) & (np.where(weights > 0, scores, -1.0).argmax(axis=1) == classes)
    order = [position for position in np.argsort(found, kind="stable") if right[position]]
    firsts: dict[int, int] = {}
    for position in order:
        firsts.setdefault(int(classes[position]), int(position))
    return np.array(list(firsts.values())[:n], dtype=np.int64)


def badness(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool) -> np.ndarray:
    """How wrong each clip is, (clips,): see `worst`."""
    given, absent = (targets > 0) & (weights > 0), (targets == 0) & (weights > 0)
    if multi_label:
        likely = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
        return -np.where(given, np.log(likely), np.where(absent, np.log1p(-likely), 0.0)).sum(axis=1)
    return np.where(absent, scores, -np.inf).max(axis=1) - np.where(given, scores, -np.inf).max(axis=1)
