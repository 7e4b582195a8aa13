"""The nearest neighbours: a clip is what the training windows that sound most like it are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import Choice, brier, inner_folds
from earmark.baselines.linear_solver import labels_of
from earmark.baselines.standardise import Standardisation, standardisation
from earmark.errors import ConfigError
from earmark.export.backbone import Nodes
from earmark.export.graph import IR_VERSION, OPSET, open_graph

NUMBERS = (1, 3, 5, 9, 15, 25)  # of neighbours
DEFAULT_NUMBER = 5
TIE_BREAK = 0.01  # of the vote is the nearest one's alone, since an equal number of votes is no answer
MAX_BYTES = 10**9  # of embeddings; a file of 2 GB cannot be written
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class NearestNeighbours:
    """Votes of the nearest training windows by cosine of the standardised features.

    embeddings: (rows, features) float32, standardised, of length 1. votes: (rows, classes) float32.
    shares: (k,) float32, how much of the vote the nearest, the second nearest … has.
    """

    standard: Standardisation
    embeddings: np.ndarray
    votes: np.ndarray
    shares: np.ndarray
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)
    source: str = "embedding"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, features).

        Computed by the very nodes that ship: where two neighbours are equally near but for rounding, another
        arithmetic might take the other one.
        """
        return self._session.run(["scores"], {self.source: np.asarray(features, np.float32)})[0]

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Similarities to all training windows, the nearest of them, their votes."""
        nodes = Nodes("head_")
        direction = nodes("LpNormalization", self.standard.append_to(nodes, self.source), axis=1, p=2)
        nearness = nodes("MatMul", direction, nodes.constant(self.embeddings.T))
        nearest = nodes("TopK", nearness, nodes.constant([len(self.shares)]), unread=1, axis=1)
        votes = nodes("Mul", nodes("Gather", nodes.constant(self.votes), nearest), nodes.constant(self.shares[:, None]))
        total = nodes("ReduceSum", votes, nodes.constant([1]), keepdims=0)
        # Shares add up to 1 but for rounding.
        nodes("Clip", total, nodes.constant(0.0), nodes.constant(1.0), output="scores")
        return nodes.nodes, nodes.constants

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        nodes, constants = self.nodes()
        value = onnx.helper.make_tensor_value_info
        float32, (n_features, n_classes) = onnx.TensorProto.FLOAT, (self.embeddings.shape[1], self.votes.shape[1])
        inputs = [value(self.source, float32, ["batch", n_features])]
        outputs = [value("scores", float32, ["batch", n_classes])]
        graph = onnx.helper.make_graph(nodes, "neighbours", inputs, outputs, constants)
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        return open_graph(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION))


def fit_knn(examples: Examples, *, seed: int) -> NearestNeighbours:
    """Keep the training windows; how many neighbours vote is chosen on the inner folds.

    All neighbours vote alike (but for TIE_BREAK), whatever their clip weighs and how near they are. A label that is
    unknown of a window votes as the class's share of all clips.

    Args:
        seed: nothing is drawn.

    Raises:
        ConfigError: the embeddings are too large for a file.
    """
    if examples.features.nbytes > MAX_BYTES:
        raise ConfigError(
            f"knn: a tagger would have to carry {len(examples)} windows of {examples.features.shape[1]} features, "
            f"{examples.features.nbytes / 1e9:.1f} GB. Take another head, such as logistic."
        )
    standard = standardisation(examples)
    embeddings = _directions(standard(examples.features))
    choice = _choose_number(examples, embeddings)
    kept = _voting(examples)
    facts = {
        "neighbours": choice.setting,
        "carries": f"the embeddings of its {len(kept)} training windows: whoever has the file has these",
        **choice.facts,
    }
    shares = _shares(min(choice.setting, len(kept)))
    return NearestNeighbours(
        standard, embeddings[kept], _votes(examples.select(kept)), shares, facts, held_out=choice.outputs
    )


def _directions(values: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def _voting(examples: Examples) -> np.ndarray:
    """Positions of the rows of which a label is known; all where none is."""
    known = examples.weights.any(axis=1)
    return np.flatnonzero(known | ~known.any())


def _votes(examples: Examples) -> np.ndarray:
    """(rows, classes) float32, the targets, unknown ones being the class's share."""
    votes = np.where(examples.weights > 0, examples.targets, labels_of(examples).shares())
    if not examples.multi_label:
        votes /= np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
    return votes.astype(np.float32)


def _shares(number: int) -> np.ndarray:
    """(number,) float32, each neighbour's share of the vote."""
    shares = np.full(number, (1 - TIE_BREAK) / number)
    shares[0] += TIE_BREAK
    return shares.astype(np.float32)


def _choose_number(examples: Examples, embeddings: np.ndarray) -> Choice:
    """The number of neighbours with the smallest Brier loss on the inner folds, all numbers from one sorting."""
    folds = inner_folds(examples)
    outputs = np.full((len(NUMBERS), *examples.targets.shape), np.nan, np.float32)
    if not folds:
        return Choice(DEFAULT_NUMBER, outputs[0], np.inf, 0)
    for training, held in folds:
        training = training[_voting(examples.select(training))]
        votes = _votes(examples.select(training))
        for rows in np.split(held, range(ROWS_AT_ONCE, len(held), ROWS_AT_ONCE)):
            nearness = embeddings[rows] @ embeddings[training].T
            nearest = _nearest(nearness)
            for place, number in enumerate(NUMBERS):
                shares = _shares(min(number, len(training)))
                outputs[place, rows] = np.einsum("rkc,k->rc", votes[nearest[:, : len(shares)]], shares)
    losses = [brier(examples, found) for found in outputs]
    best = int(np.argmin(losses))
    return Choice(NUMBERS[best], outputs[best], losses[best], len(folds))


def _nearest(nearness: np.ndarray) -> np.ndarray:
    """Positions (rows, up to the largest of NUMBERS) of each row's largest values, largest first."""
    wanted = min(NUMBERS[-1], nearness.shape[1])
    found = np.argpartition(-nearness, wanted - 1, axis=1)[:, :wanted]
    order = np.argsort(-np.take_along_axis(nearness, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)
