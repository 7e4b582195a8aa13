"""How linear classifiers are fitted: losses of all classes at once, and the two ways down, under an L2 or L1 penalty.

All in matrix products in float32, which is what makes it quick; every label of every example has its own weight, and
targets may be soft. scikit-learn's solvers go class by class or in float64, know one weight per example and no soft
targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import compete, softplus

TOLERANCE = 1e-4  # of the loss: below what a choice between penalties can see
L1_TOLERANCE = 3e-3  # of the solution's length
MAX_ITERATIONS = 200
GROWTH = 1.3  # of the step along the L1 way, until it is too long


@dataclass(frozen=True)
class Labels:
    """What the examples say of each class, (rows, classes) float32, all over the sum of the clips' weights.

    positive, negative: how much speaks for and against the class. competing: the classes in the row's softmax.
    n_clips: of all the examples.
    """

    positive: np.ndarray
    negative: np.ndarray
    competing: np.ndarray
    n_clips: int

    def select(self, rows: np.ndarray | slice) -> Labels:
        """Some rows, by position."""
        return Labels(self.positive[rows], self.negative[rows], self.competing[rows], self.n_clips)

    def shares(self) -> np.ndarray:
        """(classes,) float64, how likely each class is before anything is heard, in (0, 1).

        Taken together with one more clip that has the mean share, so that no class is certain or impossible.
        """
        positive, negative = (values.sum(axis=0, dtype=np.float64) for values in (self.positive, self.negative))
        one = 1 / max(self.n_clips, 1)
        total = (positive + negative).sum()
        mean = np.clip(positive.sum() / total, 1e-3, 1 - 1e-3) if total > 0 else 0.5
        return (positive + mean * one) / (positive + negative + one)

    def unevenness(self) -> float:
        """How many times more often the most frequent class stands than the rarest that stands at all."""
        counts = self.positive.sum(axis=0)
        return float(counts.max(initial=0.0) / counts[counts > 0].min(initial=np.inf))


def labels_of(examples: Examples, balanced: bool = False) -> Labels:
    """The labels of examples.

    Args:
        balanced: all classes (and of each class, its presence and its absence) weigh the same.
    """
    total = max(float(examples.weights.max(axis=1, initial=0.0).sum()), 1e-12)
    positive = examples.weights * examples.targets / total
    negative = examples.weights * (1 - examples.targets) / total
    if balanced and examples.multi_label:
        half = 0.5 * (positive + negative).sum(axis=0)
        positive, negative = (values * _quotient(half, values.sum(axis=0)) for values in (positive, negative))
    elif balanced:
        counts = positive.sum(axis=0)
        positive = positive * _quotient(counts.sum() / max((counts > 0).sum(), 1), counts)
    return Labels(
        positive.astype(np.float32),
        negative.astype(np.float32),
        compete(examples.weights),
        len(np.unique(examples.clips)),
    )


def base_logits(examples: Examples, balanced: bool = False) -> np.ndarray:
    """(classes,) float32, the logits of each class's share of the examples."""
    shares = labels_of(examples, balanced).shares()
    return (np.log(shares) - (np.log1p(-shares) if examples.multi_label else 0)).astype(np.float32)


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, 1 where nothing is below."""
    return np.divide(above, below, out=np.ones_like(below), where=below > 0)


# (logits (rows, classes), labels) → (loss, gradient (rows, classes))
LossOfLogits = Callable[[np.ndarray, Labels], tuple[float, np.ndarray]]


def softmax_loss(logits: np.ndarray, labels: Labels) -> tuple[float, np.ndarray]:
    """Cross-entropy of a softmax over the competing classes."""
    competing = np.where(labels.competing, logits, -np.float32(np.inf))
    highest = competing.max(axis=1, keepdims=True)
    odds = np.exp(competing - highest)
    total = odds.sum(axis=1, keepdims=True)
    said = labels.positive.sum(axis=1, keepdims=True)
    loss = (said * (highest + np.log(total))).sum(dtype=np.float64) - (logits * labels.positive).sum(dtype=np.float64)
    return float(loss), said * odds / total - labels.positive


def sigmoid_loss(logits: np.ndarray, labels: Labels) -> tuple[float, np.ndarray]:
    """Cross-entropy of a sigmoid per class."""
    likely = 0.5 * (1 + np.tanh(0.5 * logits))
    against = softplus(logits)  # -log(1 - likely)
    loss = ((labels.positive + labels.negative) * against - labels.positive * logits).sum(dtype=np.float64)
    return float(loss), (labels.positive + labels.negative) * likely - labels.positive


def hinge_loss(logits: np.ndarray, labels: Labels) -> tuple[float, np.ndarray]:
    """Squared hinge of each class against the rest."""
    short, beyond = np.maximum(1 - logits, 0), np.maximum(1 + logits, 0)
    loss = (labels.positive * short * short + labels.negative * beyond * beyond).sum(dtype=np.float64)
    return float(loss), 2 * (labels.negative * beyond - labels.positive * short)


@dataclass(frozen=True)
class Affine:
    """theta: (features + 1, classes), its last row added to base: (classes,), what is said before anything is heard."""

    theta: np.ndarray
    base: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(rows, classes) of features with a last column of ones."""
        return features @ self.theta + self.base


def fit_l2(
    features: np.ndarray, labels: Labels, loss: LossOfLogits, base: np.ndarray, penalty: float, start: Affine | None
) -> Affine:
    """The smallest of loss + penalty / 2 · |theta|², by L-BFGS.

    Args:
        features: (rows, features + 1) float32, the last column ones.
        base: (classes,) logits that theta is added to: the penalty pulls towards them.
        start: where to begin; None = at the base.
    """
    shape = (features.shape[1], len(base))

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(shape).astype(np.float32)
        found, slope = loss(features @ theta + base, labels)
        found += 0.5 * penalty * float(np.square(theta).sum(dtype=np.float64))
        return found, (features.T @ slope + np.float32(penalty) * theta).ravel().astype(np.float64)

    begin = np.zeros(shape) if start is None else start.theta.astype(np.float64)
    options = {"maxiter": MAX_ITERATIONS, "ftol": TOLERANCE, "gtol": 1e-8}
    found = minimize(value, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    return Affine(found.x.reshape(shape).astype(np.float32), base)


def largest_l1_penalty(features: np.ndarray, labels: Labels, loss: LossOfLogits, base: np.ndarray) -> float:
    """The L1 penalty from which on theta is nothing but zeros."""
    _, slope = loss(np.broadcast_to(base, labels.positive.shape), labels)
    return float(np.abs(features.T @ slope).max())


def fit_l1(
    features: np.ndarray, labels: Labels, loss: LossOfLogits, base: np.ndarray, penalty: float, start: Affine | None
) -> Affine:
    """The smallest of loss + penalty · |theta|₁, by accelerated proximal gradient steps with restarts.

    Args: as `fit_l2`.

    Source: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm (2009); O'Donoghue and Candès,
    Adaptive restart for accelerated gradient schemes (2015).
    """
    theta = np.zeros((features.shape[1], len(base)), np.float32) if start is None else start.theta
    ahead, momentum, step = theta, 1.0, 1.0
    for _ in range(MAX_ITERATIONS):
        value, slope = loss(features @ ahead + base, labels)
        gradient = features.T @ slope
        step *= GROWTH
        while True:
            moved = ahead - np.float32(step) * gradient
            moved = np.sign(moved) * np.maximum(np.abs(moved) - np.float32(step * penalty), 0)
            change = moved - ahead
            bound = value + float((gradient * change).sum()) + float(np.square(change).sum()) / (2 * step)
            if loss(features @ moved + base, labels)[0] <= bound + 1e-6 * abs(value):
                break
            step /= 2
        travelled = moved - theta
        if float(((ahead - moved) * travelled).sum()) > 0:
            momentum = 1.0
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum * momentum))
        ahead = moved + np.float32((momentum - 1) / following) * travelled
        theta, momentum = moved, following
        if np.linalg.norm(travelled) <= L1_TOLERANCE * np.linalg.norm(theta):
            break
    return Affine(theta, base)
