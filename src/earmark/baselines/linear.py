"""Linear classifiers on standardised features: prior, logistic regression (L2, L1) and support vector machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from scipy.optimize import minimize

from earmark.baselines import linear_solver as solver
from earmark.baselines.classifier import Examples
from earmark.baselines.inner import choose, clip_score, log_loss
from earmark.baselines.linear_solver import Affine, base_logits, labels_of
from earmark.baselines.scores import append_squash, squash
from earmark.baselines.standardise import Standardisation, standardisation
from earmark.export.backbone import Nodes

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # strongest first
DEFAULT_PENALTY = 0.01
HINGE_PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # a sum over all classes, so stronger
DEFAULT_HINGE_PENALTY = 0.3
SHARES = (0.7, 0.3, 0.1, 0.03, 0.01, 0.003)  # of the L1 penalty that leaves no feature in
DEFAULT_SHARE = 0.03
UNEVEN = 1.5  # the most frequent class's share over the rarest's, from which balancing is tried
DEFAULT_SLOPE = 6.0  # of a support vector machine's margins, where no inner fold tells it


@dataclass(frozen=True)
class LinearClassifier:
    """weight: (features, classes) and bias: (classes,) float32, on standardised features.

    held_out: (rows, classes) scores of the rows it was fitted on, each made without the row's inner fold; nan where
    no inner fold held it out.
    """

    standard: Standardisation
    weight: np.ndarray
    bias: np.ndarray
    multi_label: bool
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)
    source: str = "embedding"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, features)."""
        return squash(self.standard(features) @ self.weight + self.bias, self.multi_label)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as nodes."""
        nodes = Nodes("head_")
        standard = self.standard.append_to(nodes, self.source)
        logits = nodes("Gemm", standard, nodes.constant(self.weight), nodes.constant(self.bias))
        append_squash(nodes, logits, self.multi_label)
        return nodes.nodes, nodes.constants


def fit_prior(examples: Examples, *, seed: int) -> LinearClassifier:
    """Each class's share of the clips, whatever is heard: what any classifier must beat.

    Args:
        seed: nothing is drawn.
    """
    base = base_logits(examples)
    theta = np.zeros((examples.features.shape[1] + 1, examples.n_classes), np.float32)
    unheld = np.full(examples.targets.shape, np.nan, np.float32)
    return _classifier(Affine(theta, base), standardisation(examples), examples.multi_label, {}, unheld)


def fit_logistic(examples: Examples, *, seed: int, balanced: bool | None = None) -> LinearClassifier:
    """Logistic regression: softmax where one label is right, else a sigmoid per class; L2 penalty by inner log loss.

    Args:
        seed: nothing is drawn.
        balanced: all classes weigh the same however many clips they have; None = where classes are uneven, if clips
            of inner folds score better so.
    """
    ready, standard = _ready(examples)
    choice = choose(ready, PENALTIES, DEFAULT_PENALTY, lambda *given: _fit_logistic(*given, bool(balanced)), log_loss)
    if balanced is None and choice.n_folds and labels_of(ready).unevenness() > UNEVEN:
        other = choose(ready, [choice.setting], choice.setting, lambda *given: _fit_logistic(*given, True), log_loss)
        scores = [clip_score(ready, squash(found.outputs, examples.multi_label)) for found in (choice, other)]
        balanced = scores[1] > scores[0]
        choice = other if balanced else choice
    affine = _fit_logistic(ready, choice.setting, None, bool(balanced))
    facts = {"penalty": choice.setting, "balanced": bool(balanced), **choice.facts}
    return _classifier(affine, standard, examples.multi_label, facts, choice.outputs)


def fit_logistic_l1(examples: Examples, *, seed: int) -> LinearClassifier:
    """Logistic regression with an L1 penalty: each class rests on few features. The penalty by two folds' log loss.

    Args:
        seed: nothing is drawn.
    """
    ready, standard = _ready(examples)
    choice = choose(ready, SHARES, DEFAULT_SHARE, _fit_logistic_l1, log_loss, most_folds=2)
    affine = None
    for share in SHARES[: SHARES.index(choice.setting) + 1]:
        affine = _fit_logistic_l1(ready, share, affine)
    used = affine.theta[:-1] != 0
    facts = {
        "penalty_share": choice.setting,
        "features_used": int(used.any(axis=1).sum()),
        "features_per_class": round(float(used.sum(axis=0).mean()), 1),
        **choice.facts,
    }
    return _classifier(affine, standard, examples.multi_label, facts, choice.outputs)


def fit_svm(examples: Examples, *, seed: int) -> LinearClassifier:
    """Linear support vector machine, each class against the rest (squared hinge, L2), the penalty by inner log loss.

    Its margins become scores by a slope (and, of sigmoids, an offset) that all classes share, fitted to the margins
    of inner folds: single classes have too few examples for a curve of their own.

    Args:
        seed: nothing is drawn.

    Source: Platt, Probabilistic outputs for support vector machines (1999).
    """
    ready, standard = _ready(examples)
    choice = choose(ready, HINGE_PENALTIES, DEFAULT_HINGE_PENALTY, _fit_hinge, _loss_of_margins)
    slope, offset = _score_curve(ready, choice.outputs)
    affine = _fit_hinge(ready, choice.setting, None)
    scaled = Affine(affine.theta * np.float32(slope), affine.base * np.float32(slope) + np.float32(offset))
    facts = {"penalty": choice.setting, "slope": round(slope, 3), "offset": round(offset, 3), **choice.facts}
    return _classifier(scaled, standard, examples.multi_label, facts, slope * choice.outputs + offset)


def _ready(examples: Examples) -> tuple[Examples, Standardisation]:
    """The examples with features standardised, over all rows (labels play no part), and a last column of ones."""
    standard = standardisation(examples)
    ones = np.ones((len(examples), 1), np.float32)
    return replace(examples, features=np.hstack([standard(examples.features), ones])), standard


def _fit_logistic(examples: Examples, penalty: float, start: Affine | None, balanced: bool) -> Affine:
    loss = solver.sigmoid_loss if examples.multi_label else solver.softmax_loss
    labels = labels_of(examples, balanced)
    return solver.fit_l2(examples.features, labels, loss, base_logits(examples, balanced), penalty, start)


def _fit_logistic_l1(examples: Examples, share: float, start: Affine | None) -> Affine:
    loss = solver.sigmoid_loss if examples.multi_label else solver.softmax_loss
    labels, base = labels_of(examples), base_logits(examples)
    penalty = share * solver.largest_l1_penalty(examples.features, labels, loss, base)
    return solver.fit_l1(examples.features, labels, loss, base, penalty, start)


def _fit_hinge(examples: Examples, penalty: float, start: Affine | None) -> Affine:
    labels = labels_of(examples)
    base = (2 * labels.shares() - 1).astype(np.float32)
    return solver.fit_l2(examples.features, labels, solver.hinge_loss, base, penalty, start)


def _loss_of_margins(examples: Examples, margins: np.ndarray) -> float:
    """Log loss of the scores that margins (rows, classes) of inner folds become."""
    slope, offset = _score_curve(examples, margins)
    return log_loss(examples, slope * margins + offset)


def _score_curve(examples: Examples, margins: np.ndarray) -> tuple[float, float]:
    """Slope and offset (0 of a softmax, which it does not change) that turn margins of held-out rows into logits."""
    if not np.isfinite(margins).any():
        return DEFAULT_SLOPE, 0.0

    def loss(curve: np.ndarray) -> float:
        return log_loss(examples, np.exp(curve[0]) * margins + (curve[1] if examples.multi_label else 0.0))

    start = [np.log(DEFAULT_SLOPE), 0.0] if examples.multi_label else [np.log(DEFAULT_SLOPE)]
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 1e-5, "maxiter": 60}).x
    return float(np.exp(found[0])), float(found[1]) if examples.multi_label else 0.0


def _classifier(
    affine: Affine, standard: Standardisation, multi_label: bool, facts: Mapping[str, Any], held_out: np.ndarray
) -> LinearClassifier:
    weight, bias = affine.theta[:-1], affine.theta[-1] + affine.base
    return LinearClassifier(standard, weight, bias, multi_label, facts, squash(held_out, multi_label))
