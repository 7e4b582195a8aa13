"""Every choice made while fitting: settings compared on the inner folds, by what they say of clips they did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.evaluation.metrics import accuracy, lwlrap

NEVER_HELD_OUT = -1
ENOUGH_CLIPS = 500  # held out, to tell settings apart


class Fitted(Protocol):
    """What fitting with one setting gives."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(rows, classes), or whatever the loss that compares settings takes."""


# (examples, setting, what the setting before gave on the same examples) → fitted
Fit = Callable[[Examples, Any, Any], Fitted]
# (examples, outputs (rows, classes)) → mean loss
Loss = Callable[[Examples, np.ndarray], float]


@dataclass(frozen=True)
class Choice:
    """setting: the best of those tried. outputs: (rows, classes) of it for every row, made without the row's inner
    fold; nan for rows that no inner fold holds out, and for all where there was nothing to choose by. loss: of it."""

    setting: Any
    outputs: np.ndarray
    loss: float
    n_folds: int

    @property
    def facts(self) -> dict[str, Any]:
        """How the setting came about, for the card."""
        if not self.n_folds:
            return {"chosen_by": "default: the training clips make one inner fold only"}
        folds = "one inner fold" if self.n_folds == 1 else f"{self.n_folds} inner folds"
        return {"chosen_by": folds, "inner_loss": round(self.loss, 4)}


def inner_folds(examples: Examples) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training rows, held-out rows) of each inner fold; empty where one fold would leave nothing to train on.

    Only as many as hold out ENOUGH_CLIPS: what they tell of settings is paired, and each more costs a fit of each.
    """
    numbers = np.unique(examples.parts[examples.parts != NEVER_HELD_OUT])
    known = examples.weights.any(axis=1)
    folds: list[tuple[np.ndarray, np.ndarray]] = []
    n_held = 0
    for part in numbers:
        training, held = np.flatnonzero(examples.parts != part), np.flatnonzero(examples.parts == part)
        if n_held < ENOUGH_CLIPS and known[training].any() and known[held].any():
            folds.append((training, held))
            n_held += len(np.unique(examples.clips[held]))
    return folds


def draw_parts(groups: np.ndarray, present: np.ndarray, n_parts: int, seed: int = 0) -> np.ndarray:
    """Inner folds (clips,) int64 for clips that have none: whole groups, dealt out class by class, the rarest first.

    A group goes where its class has the fewest clips so far, so that what two groups show stands in two folds. What one
    group alone shows is never held out, for then nothing would be left to learn it from.

    Args:
        groups: (clips,) names of what must not straddle folds.
        present: (clips, classes), which clips show which class; those that show none count as one class more.
        n_parts: how many folds, at most.
        seed: of the order in which groups of one size are dealt.

    >>> draw_parts(np.array(list("abcddef")), np.array([[1, 0, 0]] * 4 + [[0, 1, 0]] * 2 + [[0, 0, 1]]), 2).tolist()
    [0, 1, 1, 0, 0, 1, -1]
    """
    names, owner = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    holds = np.column_stack([present > 0, ~(present > 0).any(axis=1)])
    n_clips = np.zeros((len(names), holds.shape[1]), dtype=np.int64)  # of each class in each group
    np.add.at(n_clips, owner, holds)
    shows = n_clips > 0
    rarity = shows.sum(axis=0)
    lone = shows[:, rarity == 1].any(axis=1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-np.bincount(owner, minlength=len(names))[order], kind="stable")]
    part_of = np.full(len(names), NEVER_HELD_OUT)
    filled = np.zeros((n_parts, holds.shape[1]), dtype=np.int64)
    for column in np.argsort(rarity, kind="stable"):
        for group in order[shows[order, column] & ~lone[order] & (part_of[order] == NEVER_HELD_OUT)]:
            part = np.lexsort((filled.sum(axis=1), filled[:, column]))[0]
            part_of[group] = part
            filled[part] += n_clips[group]
    return part_of[owner]


def choose(
    examples: Examples,
    settings: Sequence[Any],
    default: Any,
    fit: Fit,
    loss: Loss,
    *,
    patience: int = 1,
    most_folds: int | None = None,
) -> Choice:
    """The setting with the smallest loss on the inner folds.

    Args:
        settings: from the simplest to the most complex: each fit may start where the one before ended, and after
            `patience` settings that were no better the rest are not tried.
        default: the setting where there is but one inner fold.
        most_folds: hold out only so many of the inner folds, where fitting takes long; None = all.
    """
    folds = [(examples.select(training), held) for training, held in inner_folds(examples)[:most_folds]]
    best = Choice(default, np.full(examples.targets.shape, np.nan, np.float32), np.inf, 0)
    if not folds:
        return best
    fitted: list[Fitted | None] = [None] * len(folds)
    tried_since = 0
    for setting in settings:
        outputs = np.full(examples.targets.shape, np.nan, np.float32)
        for number, (training, held) in enumerate(folds):
            fitted[number] = fit(training, setting, fitted[number])
            outputs[held] = fitted[number].logits(examples.features[held])
        found = loss(examples, outputs)
        tried_since += 1
        if found < best.loss:
            best, tried_since = Choice(setting, outputs, found, len(folds)), 0
        if tried_since >= patience:
            break
    return best


def log_loss(examples: Examples, logits: np.ndarray) -> float:
    """Mean over clips of the cross-entropy, of a softmax over the known classes or summed over sigmoids; nan rows are
    left out.

    Source: the losses that networks train on, `cross_entropy` and `binary_cross_entropy` of training/losses.py.
    """
    rows = np.isfinite(logits).all(axis=1)
    logits, targets, weights = logits[rows].astype(np.float64), examples.targets[rows], examples.weights[rows]
    if examples.multi_label:
        losses = softplus(logits) - targets * logits
    else:
        competing = np.where(compete(weights), logits, -np.inf)
        highest = competing.max(axis=1, keepdims=True)
        total = highest + np.log(np.exp(competing - highest).sum(axis=1, keepdims=True))
        losses = targets * (total - logits)
    return float((losses * weights).sum() / max(weights.max(axis=1, initial=0.0).sum(), 1e-12))


def softplus(logits: np.ndarray) -> np.ndarray:
    """log(1 + exp(logits)), at any size."""
    return np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))


def brier(examples: Examples, scores: np.ndarray) -> float:
    """Mean over clips of the squared distance between scores and targets: proper as the log loss, and finite at 0."""
    rows = np.isfinite(scores).all(axis=1)
    weights = examples.weights[rows]
    losses = np.square(scores[rows] - examples.targets[rows]) * weights
    return float(losses.sum() / max(weights.max(axis=1, initial=0.0).sum(), 1e-12))


def compete(weights: np.ndarray) -> np.ndarray:
    """(rows, classes): the classes that a softmax is over, which are the known ones, or all where none is."""
    known = weights > 0
    return known | ~known.any(axis=1, keepdims=True)


def clip_score(examples: Examples, scores: np.ndarray) -> float:
    """How good scores (rows, classes) are: accuracy, or lwlrap where several labels may be right, of clips, a clip's
    score being the mean of its rows'; nan rows are left out."""
    rows = np.isfinite(scores).all(axis=1)
    _, first, owner = np.unique(examples.clips[rows], return_index=True, return_inverse=True)
    total = np.zeros((len(first), examples.n_classes))
    np.add.at(total, owner, scores[rows])
    present = (examples.targets[rows][first] >= 0.5).astype(np.float64)
    known = (examples.weights[rows][first] > 0).astype(np.float64)
    metric = lwlrap if examples.multi_label else accuracy
    return metric(present, total / np.bincount(owner)[:, None], known)
