"""A classifier chosen out of fold: several are fitted, and the one whose held-out clips score best is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from earmark.baselines import BASELINES
from earmark.baselines.classifier import Classifier, Examples
from earmark.baselines.inner import clip_score, inner_folds
from earmark.errors import ConfigError
from earmark.lookup import lookup

CANDIDATES = ("logistic", "svm", "knn", "mlp")
MIN_GAIN = 0.002  # of the inner score, for which another one is carried along


@dataclass(frozen=True)
class ChosenClassifier:
    """The one that was taken, or the mean of several; what was compared stands first among its facts."""

    taken: tuple[Classifier, ...]
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)

    @property
    def source(self) -> str:
        """As those taken."""
        return self.taken[0].source

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, …)."""
        return _mean([each.predict(features) for each in self.taken])

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """As the one taken; of several, one behind the other and their mean."""
        if len(self.taken) == 1:
            return self.taken[0].nodes()
        nodes, constants, names = [], [], []
        for number, each in enumerate(self.taken):
            its_nodes, its_constants = each.nodes()
            _rename(its_nodes, its_constants, f"head_{number}_", self.source)
            nodes += its_nodes
            constants += its_constants
            names.append(f"head_{number}_scores")
        return [*nodes, onnx.helper.make_node("Mean", names, ["scores"])], constants


def fit_choice(examples: Examples, *, seed: int, candidates: Sequence[str] = CANDIDATES) -> ChosenClassifier:
    """Fit every candidate and take the one with the best clips (accuracy, or lwlrap) on the inner folds.

    Others join it one by one, the most useful first, while the mean of their scores gains there. A candidate's
    inner scores are those by which it set its own penalty, number of neighbours or epochs, so each is a little
    flattered, and all alike; the run's own held-out clips have no part in it. The first of equals is taken, and the
    first of all where there is but one inner fold.

    Args:
        candidates: names in BASELINES, the preferred first.

    Raises:
        ConfigError: no candidate, or one that is not a classifier to choose.

    Source: Caruana et al. 2004, Ensemble selection from libraries of models.
    """
    if not candidates or "choice" in candidates:
        raise ConfigError("choice: candidates must be classifiers other than choice itself. Name at least one.")
    fits = {name: lookup(BASELINES, name, "classifier") for name in candidates}
    if not inner_folds(examples):
        name = candidates[0]
        taken = fits[name](examples, seed=seed)
        return ChosenClassifier((taken,), {"taken": name, **taken.facts}, np.full_like(examples.targets, np.nan))
    fitted = {name: fit(examples, seed=seed) for name, fit in fits.items()}
    held_out = {name: _held_out(examples, seed, fits[name], fitted[name]) for name in candidates}
    compared = np.logical_and.reduce([np.isfinite(found).all(axis=1) for found in held_out.values()])
    known = examples.select(compared)

    def score(names: Sequence[str]) -> float:
        return float(np.nan_to_num(clip_score(known, _mean([held_out[name][compared] for name in names]))))

    inner_scores = {name: round(score([name]), 4) for name in candidates}
    names = [max(candidates, key=lambda name: score([name]))]
    while others := [name for name in candidates if name not in names]:
        best = max(others, key=lambda name: score([*names, name]))
        if score([*names, best]) < score(names) + MIN_GAIN:
            break
        names.append(best)
    facts = {"taken": names[0], "inner_scores": inner_scores, **fitted[names[0]].facts}
    if len(names) > 1:
        facts = {"taken": names, "inner_scores": inner_scores, "inner_score_of_mean": round(score(names), 4)}
        facts |= {name: dict(fitted[name].facts) for name in names}
    return ChosenClassifier(tuple(fitted[name] for name in names), facts, _mean([held_out[name] for name in names]))


def _mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Of scores (rows, classes) float32."""
    return scores[0] if len(scores) == 1 else np.mean(scores, axis=0, dtype=np.float64).astype(np.float32)


def _rename(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], prefix: str, source: str
) -> None:
    """Put a prefix before every name but that of the tensor the nodes start from."""
    for constant in constants:
        constant.name = prefix + constant.name
    for node in nodes:
        node.input[:] = [name if name in ("", source) else prefix + name for name in node.input]
        node.output[:] = [prefix + name if name else "" for name in node.output]


def _held_out(examples: Examples, seed: int, fit: Callable[..., Classifier], fitted: Classifier) -> np.ndarray:
    """(rows, classes) scores of the inner folds: those that fitting left behind, or else made now."""
    found = getattr(fitted, "held_out", None)
    if found is not None and np.isfinite(found).any():
        return found
    scores = np.full_like(examples.targets, np.nan)
    for training, held in inner_folds(examples):
        scores[held] = fit(examples.select(training), seed=seed).predict(examples.features[held])
    return scores
