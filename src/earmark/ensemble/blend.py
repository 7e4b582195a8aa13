"""Ensembles without training: means of scores and of ranks, of all members or of those that help, weighted by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize

from earmark.ensemble.panel import Panel
from earmark.evaluation.blend import pick_members
from earmark.evaluation.scorecard import primary_metric

EQUAL_CLIPS = 10.0  # equal weights count as much as so many clips that have the label and the full score for it
N_RANKS = 96  # entries of a table of ranks
STEEPEST = 1000.0  # how much faster than scores ranks rise where many scores are equal
FINEST_RANK = 1 / 1024  # the highest scores decide: the ranks lie closer the higher they are


def mean(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """The arithmetic mean."""
    del seed
    return {"kind": "mean", "weights": equal_weights(panel).tolist()}


def geometric(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """The geometric mean: a member that is sure a label is absent has a veto."""
    del panel, seed
    return {"kind": "geometric"}


def rank(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """The mean of ranks: each member's scores by their place among all that it gave, whatever its scale.

    One table a member for all labels keeps its own order of clips and of labels within a clip. Tables rise strictly, so
    no two scores become equal.
    """
    del seed
    ranks = 1 - np.concatenate([np.geomspace(1, FINEST_RANK, N_RANKS - 1), [0.0]])
    tables = [rank_table(panel.scores[:, member], ranks) for member in range(len(panel.names))]
    return {"kind": "rank", "scores": [table.tolist() for table in tables], "ranks": ranks.tolist()}


def rank_table(scores: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """From which score on each rank is reached, (entries,), rising strictly from 0 to 1.

    Args:
        scores: in [0, 1], of any shape. ranks: (entries,), rising from 0 to 1.
    """
    table = np.quantile(scores.astype(np.float64), ranks)
    table[0], table[-1] = 0.0, 1.0
    # Equal scores would be a step, which no two runtimes take alike: a steep slope instead.
    gaps = ranks / STEEPEST
    table = np.maximum.accumulate(table - gaps) + gaps
    room = (1 - ranks) / STEEPEST
    return np.minimum(table, 1 - room)


def greedy(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """The mean of the few members whose mean names the labels of clips best."""
    del seed
    clips = panel.clips
    scores = {name: panel.pooled(panel.of_member(name)).scores for name in panel.names}
    metric = primary_metric(panel.multi_label)
    chosen = pick_members(panel.targets[clips], scores, metric, panel.weights[clips])
    taken = np.array([name in chosen for name in panel.names]) / len(chosen)
    return {"kind": "mean", "weights": np.tile(taken[:, None], len(panel.labels)).tolist()}


def class_weights(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """A weighted mean, the weights of each class its own: none below 0, together 1.

    They give the smallest squared error on the windows, held towards equal weights: a class with few clips stays there.
    """
    del seed
    return {"kind": "mean", "weights": fit_weights(panel).tolist()}


def fit_weights(panel: Panel) -> np.ndarray:
    """The weights of `class_weights`, (members, classes)."""
    targets, known = panel.row_targets, panel.row_weights
    weights = equal_weights(panel)
    for number in range(len(panel.labels)):
        scores, given = panel.scores[:, :, number].astype(np.float64), known[:, number]
        gram = scores.T @ (scores * given[:, None]) + EQUAL_CLIPS * np.eye(len(panel.names))
        aim = scores.T @ (targets[:, number] * given) + EQUAL_CLIPS * weights[:, number]
        weights[:, number] = _on_simplex(gram, aim)
    return weights


def equal_weights(panel: Panel) -> np.ndarray:
    """(members, classes)"""
    return np.full((len(panel.names), len(panel.labels)), 1 / len(panel.names))


def _on_simplex(gram: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """The w ≥ 0 that adds up to 1 with the smallest w'·gram·w − 2·aim·w: least squares with one heavy row more."""
    factor = np.linalg.cholesky(gram)
    heavy = 1e3 * np.sqrt(np.trace(gram))
    rows = np.vstack([factor.T, np.full(len(gram), heavy)])
    found, _ = optimize.nnls(rows, np.append(np.linalg.solve(factor, aim), heavy))
    return found / found.sum()
