"""A classifier chosen out of fold: several are fitted, and the one whose held-out clips score best is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from earmark.baselines import BASELINES
from earmark.baselines.classifier import Classifier, Examples
from earmark.baselines.inner import brier, clip_score, inner_folds
from earmark.baselines.nearest import MAX_BYTES
from earmark.errors import ConfigError
from earmark.lookup import lookup

CANDIDATES = ("logistic", "svm", "knn", "mlp")
CARRIES = "knn"  # all its embeddings, of which a file holds MAX_BYTES


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
    """Fit every candidate and take the one whose scores on the inner folds lie nearest to the targets (Brier score).

    Others join it one by one, the most useful first, while that of their mean falls: it tells more of a few hundred
    clips than how many of them are right. A candidate's inner scores are those by which it set its own penalty, number
    of neighbours or epochs, so each is a little flattered, and all alike; the run's own held-out clips have no part in
    it. The first of equals is taken, and the first of all where there is but one inner fold.

    Embeddings of more than half of what a file holds leave the nearest neighbours out: those of all clips, on which the
    last fit of a run is made, may be twice those of a fold.

    Args:
        candidates: names in BASELINES, the preferred first.

    Raises:
        ConfigError: no candidate, or one that is not a classifier to choose.

    Source: Caruana et al. 2004, Ensemble selection from libraries of models.
    """
    if not candidates or "choice" in candidates:
        raise ConfigError("choice: candidates must be classifiers other than choice itself. Name at least one.")
    fits = {name: lookup(BASELINES, name, "classifier") for name in candidates}
    facts: dict[str, Any] = {}
    if CARRIES in candidates and len(candidates) > 1 and 2 * examples.features.nbytes > MAX_BYTES:
        candidates = [name for name in candidates if name != CARRIES]
        facts["left_out"] = f"{CARRIES}: {examples.features.nbytes / 1e9:.1f} GB of embeddings are near a file's limit"
    if not inner_folds(examples):
        name = candidates[0]
        taken = fits[name](examples, seed=seed)
        facts = {"taken": name, **facts, **taken.facts}
        return ChosenClassifier((taken,), facts, np.full_like(examples.targets, np.nan))
    fitted = {name: fits[name](examples, seed=seed) for name in candidates}
    held_out = {name: _held_out(examples, seed, fits[name], fitted[name]) for name in candidates}
    compared = np.logical_and.reduce([np.isfinite(found).all(axis=1) for found in held_out.values()])
    known = examples.select(compared)

    def scores(names: Sequence[str]) -> np.ndarray:
        return _mean([held_out[name][compared] for name in names])

    def loss(names: Sequence[str]) -> float:
        return brier(known, scores(names))

    inner_scores = {name: round(clip_score(known, scores([name])), 4) for name in candidates}
    names = [min(candidates, key=lambda name: loss([name]))]
    while others := [name for name in candidates if name not in names]:
        best = min(others, key=lambda name: loss([*names, name]))
        if loss([*names, best]) >= loss(names):
            break
        names.append(best)
    if len(names) == 1:
        facts = {"taken": names[0], "inner_scores": inner_scores, **facts, **fitted[names[0]].facts}
    else:
        of_mean = round(clip_score(known, scores(names)), 4)
        facts = {"taken": names, "inner_scores": inner_scores, "inner_score_of_mean": of_mean, **facts}
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
