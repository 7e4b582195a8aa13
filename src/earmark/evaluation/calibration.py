"""Calibration: few numbers, fitted on out-of-fold scores, after which scores mean what they say.

A calibration is what `tagger.metadata.calibrate` applies, as the metadata of a tagger holds it: None, a temperature, or
Platt's scale and bias for each class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from earmark.evaluation.metrics import check
from earmark.tagger.metadata import calibrate
from earmark.windows import SCORE_MARGIN

Calibration = dict[str, Any] | None
NONE, TEMPERATURE, PLATT, AUTO = "none", "temperature", "platt", "auto"
CALIBRATIONS = (AUTO, NONE)  # what can be set; the kind follows from the scores
WIDEST_TEMPERATURE = 20.0  # a temperature lies between its inverse and this
LEAST_SCALE = 0.05  # of a class: its order never turns round
# How strongly a class is drawn to what fits all classes: worth so much of its own evidence (second derivative of its
# loss), that of about 10 clips near the border.
SCALE_PULL, BIAS_PULL = 10.0, 2.0
BIN_WIDTH = 0.05  # of logits, in what many rows are summed up by …
BINNED_FROM = 2000  # … from so many on
FEWEST_PARTS = 3  # of data, to choose on some, fit on some and judge on another
DRAWN_PARTS = 5  # where there are too few folds


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold scores of rows of one level, and what is known of them.

    targets: (rows, classes), 0 or 1. scores: (rows, classes) in [0, 1].
    weights: (rows, classes), 0 = unknown; the rows of a clip share its weight.
    parts: (rows,) what is left out together; no group stands in two.
    """

    targets: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    parts: np.ndarray
    multi_label: bool

    def select(self, rows: np.ndarray) -> Evidence:
        """Some rows, by mask or position."""
        return Evidence(
            self.targets[rows], self.scores[rows], self.weights[rows], self.parts[rows], self.multi_label
        )


def kinds_for(setting: str, multi_label: bool) -> tuple[str, ...]:
    """The kinds to choose among, the plainest first.

    Platt's asks each label by itself: where one label holds, scores would not add up to 1 any more.
    """
    if setting == NONE:
        return (NONE,)
    return (NONE, TEMPERATURE, PLATT) if multi_label else (NONE, TEMPERATURE)


def parts_of(folds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(clips,) what is left out together: the folds, or where there are fewer than three, groups dealt into five.

    >>> parts_of(np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "c"])).tolist()
    [0, 0, 1, 2]
    """
    if len(np.unique(folds)) >= FEWEST_PARTS:
        return np.asarray(folds)
    return np.unique(np.asarray(groups).astype(str), return_inverse=True)[1] % DRAWN_PARTS


def fit(kind: str, evidence: Evidence) -> Calibration:
    """The calibration of a kind that makes the labels likeliest.

    Source: Guo et al., On calibration of modern neural networks (2017), for temperature; Platt (1999), with every class
    drawn to the scale and bias that fit all classes together.
    """
    targets, scores, weights = check(evidence.targets, evidence.scores, evidence.weights)
    if kind == NONE or not (targets * weights).any():
        return None
    inside = np.clip(scores, SCORE_MARGIN, 1 - SCORE_MARGIN)
    logits = np.log(inside)
    if evidence.multi_label:
        logits -= np.log1p(-inside)
        if len(logits) > BINNED_FROM:
            targets, logits, weights = _binned(targets, logits, weights)
    if kind == PLATT:
        return _fit_platt(targets, logits, weights)

    def loss(log_temperature: float) -> float:
        squeezed = logits / np.exp(log_temperature)
        if evidence.multi_label:
            return float((weights * (np.logaddexp(0, squeezed) - targets * squeezed)).sum())
        return float(-(weights * targets * log_softmax(squeezed, axis=1)).sum())

    widest = np.log(WIDEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-widest, widest), method="bounded", options={"xatol": 1e-4})
    return {"kind": TEMPERATURE, "temperature": float(np.exp(found.x))}


def _binned(targets: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same evidence by how high the logits are: share of targets, mean logit, weight of each bin, (bins, classes).

    A loss that is smooth in the logits changes by the square of a bin's width; what it costs no longer grows with rows.
    """
    n_classes = logits.shape[1]
    places = ((logits - logits.min()) / BIN_WIDTH).astype(np.int64)
    n_bins = int(places.max()) + 1
    flat = (places + n_bins * np.arange(n_classes)).ravel()

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values.ravel(), n_bins * n_classes).reshape(n_classes, n_bins).T

    weight = total(weights)
    held = np.where(weight > 0, weight, 1.0)
    return total(targets * weights) / held, total(logits * weights) / held, weight


def _fit_platt(targets: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> Calibration:
    """Scale and bias per class, each drawn to those of all classes together."""
    n_classes = targets.shape[1]

    def gradients(scale: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, and its slopes by class."""
        calibrated = scale * logits + bias
        loss = (weights * (np.logaddexp(0, calibrated) - targets * calibrated)).sum()
        error = weights * (expit(calibrated) - targets)
        return float(loss), (error * logits).sum(axis=0), error.sum(axis=0)

    def of_all(found: np.ndarray) -> tuple[float, np.ndarray]:
        loss, by_scale, by_bias = gradients(found[0], found[1])
        return loss + 0.5 * float(found[1] ** 2), np.array([by_scale.sum(), by_bias.sum() + found[1]])

    scale, bias = minimize(
        of_all, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(LEAST_SCALE, None), (None, None)]
    ).x

    def of_each(found: np.ndarray) -> tuple[float, np.ndarray]:
        scales, biases = found[:n_classes], found[n_classes:]
        loss, by_scale, by_bias = gradients(scales, biases)
        pulls = SCALE_PULL * (scales - scale), BIAS_PULL * (biases - bias)
        loss += 0.5 * float((pulls[0] * (scales - scale)).sum() + (pulls[1] * (biases - bias)).sum())
        return loss, np.concatenate([by_scale + pulls[0], by_bias + pulls[1]])

    start = np.repeat([scale, bias], n_classes)
    bounds = [(LEAST_SCALE, None)] * n_classes + [(None, None)] * n_classes
    found = minimize(of_each, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return {"kind": PLATT, "scale": found[:n_classes].tolist(), "bias": found[n_classes:].tolist()}


def log_loss(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray, multi_label: bool) -> float:
    """Mean over known labels of minus the logarithm of what the scores gave the truth; lower is better."""
    targets, scores, weights = check(targets, scores, weights)
    inside = np.clip(scores, SCORE_MARGIN, 1 - SCORE_MARGIN)
    lost, count = -targets * np.log(inside), targets * weights
    if multi_label:
        lost, count = lost - (1 - targets) * np.log(1 - inside), weights
    return float((weights * lost).sum() / max(count.sum(), np.finfo(float).tiny))


def cross_fit(kind: str, evidence: Evidence) -> np.ndarray:
    """Scores of every row after a calibration that its own part did not fit."""
    calibrated = np.array(evidence.scores, dtype=np.float64)
    for part in np.unique(evidence.parts):
        inside = evidence.parts == part
        found = fit(kind, evidence.select(~inside))
        calibrated[inside] = calibrate(evidence.scores[inside], found, evidence.multi_label)
    return calibrated


def choose(kinds: Iterable[str], evidence: Evidence) -> str:
    """The kind that loses least on parts that did not fit it; the first of equals, and of all with one part."""
    kinds = list(kinds)
    if len(kinds) == 1 or len(np.unique(evidence.parts)) < 2:
        return kinds[0]
    known = evidence.targets, evidence.weights
    losses = [log_loss(known[0], cross_fit(kind, evidence), known[1], evidence.multi_label) for kind in kinds]
    return kinds[int(np.argmin(losses))]
