"""Which clips of a run are worth hearing: the worst, the best, and those whose labels look wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Suspect:
    """A clip with a label that looks wrong, or that seems to lack one.

    position: of the clip. given: (label, score) of what it was given and does not seem to have.
    missing: (label, score, the mean score of clips that have it) of what it seems to have and was not given.
    """

    position: int
    given: tuple[str, float] | None
    missing: tuple[str, float, float] | None


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


def suspects(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, labels: tuple[str, ...], multi_label: bool, n: int
) -> list[Suspect]:
    """The n labels that look most wrong by scores of models that never saw the clip, the most doubtful first.

    A label is missing if its score is at least the mean of the clips that have it; a given one is doubted if another is
    missing (single-label), or its score is at most the mean of the clips without it (multi-label).

    Args:
        targets, scores, weights: as of `worst`.
        labels: names of the classes.

    Source: confident learning, Northcutt et al. 2021, arXiv 1911.00068: class thresholds are mean self-confidences.
    """
    given, absent = (targets > 0) & (weights > 0), (targets == 0) & (weights > 0)
    usual, unusual = (_means(scores, where) for where in (given, absent))
    missing = absent & (scores >= usual)
    doubts: list[tuple[float, Suspect]] = []
    if not multi_label:
        for position in np.flatnonzero((badness(targets, scores, weights, False) > 0) & given.any(axis=1)):
            own = int(given[position].argmax())
            other = int(np.where(absent[position], scores[position], -1.0).argmax())
            if missing[position, other]:
                doubt = scores[position, other] - scores[position, own]
                doubts.append((doubt, _suspect(position, scores, usual, labels, own, other)))
    else:
        apart = np.maximum(usual - unusual, 1e-6)
        for position, column in np.argwhere(missing):
            doubt = (scores[position, column] - unusual[column]) / apart[column]
            doubts.append((doubt, _suspect(position, scores, usual, labels, None, column)))
        for position, column in np.argwhere(given & (scores <= unusual)):
            doubt = (usual[column] - scores[position, column]) / apart[column]
            doubts.append((doubt, _suspect(position, scores, usual, labels, column, None)))
    return [suspect for _, suspect in sorted(doubts, key=lambda each: -each[0])[:n]]


def _means(scores: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(classes,) mean score of the clips that count for each class; nan where none does."""
    n_clips = where.sum(axis=0)
    return np.where(n_clips > 0, (scores * where).sum(axis=0) / np.maximum(n_clips, 1), np.nan)


def _suspect(position, scores, usual, labels, own: int | None, other: int | None) -> Suspect:
    """A clip with the label that it was given and the one it was not, as columns."""
    row = scores[position]
    return Suspect(
        int(position),
        None if own is None else (labels[own], float(row[own])),
        None if other is None else (labels[other], float(row[other]), float(usual[other])),
    )
