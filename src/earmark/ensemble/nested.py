"""Nested scores: an ensemble fitted without the fold that it is scored on, beside its best member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.ensemble import ENSEMBLES
from earmark.ensemble.panel import Panel
from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import draw
from earmark.evaluation.compare import Comparison, difference
from earmark.evaluation.scorecard import Scorecard, make_scorecard
from earmark.lookup import lookup
from earmark.predictions import Predictions, concatenate


@dataclass(frozen=True)
class Fits:
    """An ensemble fitted without each fold, for its honest score, and on all folds, for use: combinations."""

    without: Mapping[int, dict[str, Any]]
    final: dict[str, Any]


def fit_nested(panel: Panel, how: str, seed: int = 0) -> Fits:
    """Fit a kind of ensemble.

    Args:
        how: a name in ENSEMBLES.

    Raises:
        EarmarkError: there is one fold only, so that nothing could be scored that nothing was fitted on.
    """
    fit = lookup(ENSEMBLES, how, "ensemble")
    folds = np.unique(panel.folds).tolist()
    if len(folds) < 2:
        raise EarmarkError(
            "ensemble: the runs hold one fold, and an ensemble is fitted on folds apart from the one it is scored on. "
            "Train with two or more."
        )
    return Fits({fold: fit(panel.select(panel.folds != fold), seed) for fold in folds}, fit(panel, seed))


def nested_rows(panel: Panel, fits: Fits) -> Predictions:
    """Scores of every window by the ensemble that was fitted without its fold, clips in the panel's order."""
    parts = []
    position = np.empty(len(panel.clip_of), dtype=np.int64)
    done = 0
    for fold, combination in fits.without.items():
        inside = panel.folds == fold
        rows = np.flatnonzero(inside[panel.clip_of])
        position[rows] = done + np.arange(len(rows))
        done += len(rows)
        parts.append(panel.select(inside).combined(combination))
    return concatenate(parts).rows(position)


def error_correlations(panel: Panel) -> np.ndarray:
    """(members, members): how much the members err alike on clips, from 1 (together) to -1 (against one another).

    Correlations, over clips and known labels, of a score's distance from the member's mean score for clips that have
    the label, or that have it not. Of score minus target they would be high for any two that are ever unsure.
    nan where a member's scores do not vary.
    """
    errors = []
    for name in panel.names:
        scores = panel.pooled(panel.of_member(name)).scores.astype(np.float64)
        for present in (0, 1):
            counts = panel.weights * (panel.targets == present)
            scores -= (counts > 0) * (scores * counts).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
        errors.append(scores[panel.weights > 0])
    lengths = np.array([np.linalg.norm(each) for each in errors])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(errors) @ np.array(errors).T / np.outer(lengths, lengths)


def judge(
    panel: Panel, members: Mapping[str, np.ndarray], ensembles: Mapping[str, np.ndarray], remarks: Sequence[str] = ()
) -> tuple[Scorecard, tuple[Comparison, ...], str]:
    """Members and ensembles on the same clips, and which ensemble to take.

    Args:
        members, ensembles: name → scores (clips, classes), out of fold and nested.
        remarks: sentences that belong to the scores.

    Returns:
        All scores; each ensemble minus the best member; the simplest kind within one standard error of the best.
    """
    card = make_scorecard(
        panel.targets,
        {**members, **ensembles},
        labels=panel.labels,
        groups=panel.groups,
        folds=panel.folds,
        multi_label=panel.multi_label,
        weights=panel.weights,
        remarks=remarks,
    )
    metric = card.primary_metric
    resamples = draw(panel.groups)

    def best(names: Mapping[str, np.ndarray]) -> str:
        return max(names, key=lambda name: np.nan_to_num(card.models[name].metrics[metric].value, nan=-np.inf))

    def compare(a: str, b: str) -> Comparison:
        scores = {**members, **ensembles}
        known = {"metric": metric, "folds": panel.folds, "weights": panel.weights}
        return Comparison(a, b, metric, difference(panel.targets, scores[a], scores[b], resamples, **known))

    top = best(ensembles)
    ahead = {name: compare(top, name).interval for name in ensembles if name != top}
    level = {top, *(name for name, found in ahead.items() if not found.value > found.standard_error)}
    against = tuple(compare(name, best(members)) for name in ensembles)
    return card, against, next(name for name in ENSEMBLES if name in level)
