"""The clips a model got most wrong, with their sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from earmark.data import Manifest
from earmark.report.clip_sound import clip_sound

PLAYED_SECONDS = 30.0
N_TAGS = 4


@dataclass(frozen=True)
class Mistake:
    """One clip that was got wrong.

    where: its file and region.
    given: the labels it was given; heard: the tags that it should not have got.
    tags: (label, score, given?) of the highest scores and of the given labels, highest first; never a label that
        nobody knows the clip to have or not.
    sound: HTML of spectrogram and player, empty where the sound cannot be read; `trouble` then says why.
    cut_seconds: length of the clip where only its beginning is played, else None.
    """

    where: str
    given: tuple[str, ...]
    heard: tuple[str, ...]
    tags: tuple[tuple[str, float, bool], ...]
    sound: str = ""
    trouble: str = ""
    cut_seconds: float | None = None


def worst(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool, n: int) -> np.ndarray:
    """Positions of the n worst clips, worst first.

    Single-label: wrong clips, by how far the best wrong score lies above the given label's. Multi-label: any
    clip, by its cross-entropy summed over the labels that are known.

    Args:
        targets: (clips, classes), 0 or 1.
        scores: (clips, classes) in [0, 1].
        weights: (clips, classes), 0 = unknown.
    """
    given, absent = (targets > 0) & (weights > 0), (targets == 0) & (weights > 0)
    if multi_label:
        likely = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
        badness = -np.where(given, np.log(likely), np.where(absent, np.log1p(-likely), 0.0)).sum(axis=1)
        return np.argsort(-badness, kind="stable")[:n]
    margin = np.where(absent, scores, -np.inf).max(axis=1) - np.where(given, scores, -np.inf).max(axis=1)
    order = np.argsort(-margin, kind="stable")
    return order[margin[order] > 0][:n]


def worst_mistakes(
    manifest: Manifest, scores: np.ndarray, n: int, progress: Callable[[int, int], None] | None = None
) -> list[Mistake]:
    """The n worst clips with spectrogram and player; `progress(done, total)` is called after each."""
    targets, weights = manifest.present(), manifest.label_weights()
    positions = worst(targets, scores, weights, manifest.multi_label, n)
    mistakes = []
    for done, position in enumerate(positions, start=1):
        known = weights[position] > 0
        given = known & (targets[position] > 0)
        mistakes.append(_mistake(manifest, int(position), given, known, scores[position]))
        if progress is not None:
            progress(done, len(positions))
    return mistakes


def _mistake(manifest: Manifest, position: int, given: np.ndarray, known: np.ndarray, scores: np.ndarray) -> Mistake:
    """One clip as a Mistake, its sound read."""
    labels = list(manifest.vocabulary)
    order = [column for column in np.argsort(-scores, kind="stable") if known[column]]
    # Heard are as many of the highest scores as labels were given, and whatever is more likely than not.
    n_heard = min(max(int(given.sum()), int((scores[known] > 0.5).sum()), 1), N_TAGS)
    where = manifest.table["clip_id"].iloc[position]
    shown = [column for rank, column in enumerate(order) if rank < N_TAGS or given[column]]
    clip = manifest.select(np.array([position])).clips()[0]
    heard_sound = clip_sound(clip.path, clip.start, clip.end, where, PLAYED_SECONDS)
    return Mistake(
        where=where,
        given=tuple(labels[column] for column in np.flatnonzero(given)),
        heard=tuple(labels[column] for column in order[:n_heard] if not given[column]),
        tags=tuple((labels[column], float(scores[column]), bool(given[column])) for column in shown),
        sound=heard_sound.html,
        trouble=heard_sound.trouble,
        cut_seconds=heard_sound.cut_seconds,
    )
