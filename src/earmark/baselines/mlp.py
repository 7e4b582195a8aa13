"""A small neural network: one hidden layer between the features and the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import choose, log_loss
from earmark.baselines.linear_solver import Labels, base_logits, labels_of, sigmoid_loss, softmax_loss
from earmark.baselines.scores import append_squash, squash
from earmark.baselines.standardise import Standardisation, standardisation
from earmark.export.backbone import Nodes

EPOCHS = (5, 10, 15, 20, 30, 40, 60, 80)
DEFAULT_EPOCHS = 30
HIDDEN = 128
DROPOUT = 0.3
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class HiddenLayerClassifier:
    """Two affine maps with a ReLU between them, on standardised features.

    layers: (weight (inputs, outputs), bias (outputs,)) of each, float32.
    """

    standard: Standardisation
    layers: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    multi_label: bool
    facts: Mapping[str, Any]
    held_out: np.ndarray = field(repr=False)
    source: str = "embedding"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) of features (rows, features)."""
        (inward, threshold), (outward, bias) = self.layers
        hidden = np.maximum(self.standard(features) @ inward + threshold, 0)
        return squash(hidden @ outward + bias, self.multi_label)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as nodes."""
        nodes = Nodes("head_")
        inward, outward = (map(nodes.constant, layer) for layer in self.layers)
        hidden = nodes("Relu", nodes("Gemm", self.standard.append_to(nodes, self.source), *inward))
        append_squash(nodes, nodes("Gemm", hidden, *outward), self.multi_label)
        return nodes.nodes, nodes.constants


def fit_mlp(examples: Examples, *, seed: int) -> HiddenLayerClassifier:
    """A network of one hidden layer, trained for as many epochs as the inner folds' log loss asks for."""
    standard = standardisation(examples)
    ready = replace(examples, features=standard(examples.features))

    def fit(training: Examples, epochs: int, start: _Training | None) -> _Training:
        state = start or _Training(training, seed)
        state.train_to(epochs)
        return state

    choice = choose(ready, EPOCHS, DEFAULT_EPOCHS, fit, log_loss)
    state = fit(ready, choice.setting, None)
    facts = {"hidden": HIDDEN, "epochs": choice.setting, **choice.facts}
    held_out = squash(choice.outputs, examples.multi_label)
    return HiddenLayerClassifier(standard, state.layers(), examples.multi_label, facts, held_out)


class _Training:
    """A network in training: epochs can be added.

    Its gradient is written out: of a network this small torch's own takes most of the time.
    """

    def __init__(self, examples: Examples, seed: int):
        known = examples.weights.any(axis=1)
        kept = examples.select(known | ~known.any())
        self._loss = sigmoid_loss if examples.multi_label else softmax_loss
        self._features = torch.from_numpy(kept.features)
        self._labels = labels_of(kept)
        self._draws = torch.Generator().manual_seed(seed)
        self._epochs = 0
        self._inward, self._threshold, self._outward, self._bias = layers = self._fresh(examples)
        self._optimizer = torch.optim.AdamW(layers, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)

    def _fresh(self, examples: Examples) -> list[Tensor]:
        """Weights drawn from the seed; the last bias says what is likely before anything is heard."""
        n_features = examples.features.shape[1]
        inward = torch.empty(n_features, HIDDEN).normal_(std=(2 / n_features) ** 0.5, generator=self._draws)
        outward = torch.empty(HIDDEN, examples.n_classes)
        outward.normal_(std=0.25 * (2 / HIDDEN) ** 0.5, generator=self._draws)
        return [inward, torch.zeros(HIDDEN), outward, torch.from_numpy(base_logits(examples))]

    @torch.no_grad()
    def train_to(self, epochs: int) -> None:
        """Add epochs until there are so many; hidden units drop out by draws of our own, the same everywhere."""
        n_rows = len(self._features)
        while self._epochs < epochs:
            self._epochs += 1
            order = torch.randperm(n_rows, generator=self._draws)
            features, labels = self._features[order], self._labels.select(order.numpy())
            kept = (torch.rand(n_rows, HIDDEN, generator=self._draws) >= DROPOUT).float() / (1 - DROPOUT)
            for first in range(0, n_rows, BATCH_SIZE):
                rows = slice(first, min(first + BATCH_SIZE, n_rows))
                self._set_gradient(features[rows], labels.select(rows), kept[rows])
                self._optimizer.step()

    def _set_gradient(self, features: Tensor, labels: Labels, kept: Tensor) -> None:
        """Of the mean loss over a batch; `kept` is (rows, HIDDEN), 0 where a unit is dropped."""
        hidden = torch.addmm(self._threshold, features, self._inward).relu_()
        dropped = hidden * kept
        _, slope = self._loss(torch.addmm(self._bias, dropped, self._outward).numpy(), labels)
        slope = torch.from_numpy(slope) * (len(self._features) / len(features))  # labels are over the sum of all rows
        back = (slope @ self._outward.T) * kept * (hidden > 0)
        self._outward.grad, self._bias.grad = dropped.T @ slope, slope.sum(dim=0)
        self._inward.grad, self._threshold.grad = features.T @ back, back.sum(dim=0)

    @torch.no_grad()
    def logits(self, features: np.ndarray) -> np.ndarray:
        """(rows, classes) of standardised features (rows, features)."""
        hidden = torch.addmm(self._threshold, torch.from_numpy(features), self._inward).relu_()
        return torch.addmm(self._bias, hidden, self._outward).numpy()

    def layers(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """(weight (inputs, outputs), bias) of both layers."""
        inward, threshold, outward, bias = (
            layer.numpy().copy() for layer in (self._inward, self._threshold, self._outward, self._bias)
        )
        return (inward, threshold), (outward, bias)
