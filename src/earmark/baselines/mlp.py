"""A small neural network: one hidden layer between the features and the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import choose, log_loss
from earmark.baselines.linear_solver import base_logits, labels_of, sigmoid_loss, softmax_loss
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

    choice = choose(ready, EPOCHS, DEFAULT_EPOCHS, fit, log_loss, patience=2)
    state = fit(ready, choice.setting, None)
    facts = {"hidden": HIDDEN, "epochs": choice.setting, **choice.facts}
    held_out = squash(choice.outputs, examples.multi_label)
    return HiddenLayerClassifier(standard, state.layers(), examples.multi_label, facts, held_out)


class _Training:
    """A network in training: epochs can be added."""

    def __init__(self, examples: Examples, seed: int):
        known = examples.weights.any(axis=1)
        kept = examples.select(known | ~known.any())
        self._loss = sigmoid_loss if examples.multi_label else softmax_loss
        self._features = torch.from_numpy(kept.features)
        self._labels = labels_of(kept)
        self._draws = torch.Generator().manual_seed(seed)
        self._epochs = 0
        self._net = self._fresh(examples)
        self._optimizer = torch.optim.AdamW(self._net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def _fresh(self, examples: Examples) -> nn.Sequential:
        """Weights drawn from the seed; the last bias says what is likely before anything is heard."""
        n_features = examples.features.shape[1]
        inward = nn.utils.skip_init(nn.Linear, n_features, HIDDEN)  # else the global generator would be drawn from
        outward = nn.utils.skip_init(nn.Linear, HIDDEN, examples.n_classes)
        with torch.no_grad():
            inward.weight.normal_(std=(2 / n_features) ** 0.5, generator=self._draws)
            inward.bias.zero_()
            outward.weight.normal_(std=0.25 * (2 / HIDDEN) ** 0.5, generator=self._draws)
            outward.bias.copy_(torch.from_numpy(base_logits(examples)))
        return nn.Sequential(inward, nn.ReLU(), outward)

    def train_to(self, epochs: int) -> None:
        """Add epochs until there are so many."""
        self._net.train()
        while self._epochs < epochs:
            self._epochs += 1
            order = torch.randperm(len(self._features), generator=self._draws)
            for batch in order.split(BATCH_SIZE):
                logits = self._drop_out(self._features[batch])
                _, slope = self._loss(logits.detach().numpy(), self._labels.select(batch.numpy()))
                self._optimizer.zero_grad()
                logits.backward(torch.from_numpy(slope) * (len(order) / len(batch)))  # a mean over the batch
                self._optimizer.step()

    def _drop_out(self, features: Tensor) -> Tensor:
        """Logits with hidden units dropped by draws of our own, so that a seed means the same everywhere."""
        hidden = self._net[1](self._net[0](features))
        kept = torch.rand(hidden.shape, generator=self._draws) >= DROPOUT
        return self._net[2](hidden * kept / (1 - DROPOUT))

    @torch.no_grad()
    def logits(self, features: np.ndarray) -> np.ndarray:
        """(rows, classes) of standardised features (rows, features)."""
        return self._net(torch.from_numpy(features)).numpy()

    def layers(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """(weight (inputs, outputs), bias) of both layers."""
        inward, outward = (
            (layer.weight.detach().T.numpy().copy(), layer.bias.detach().numpy().copy())
            for layer in (self._net[0], self._net[2])
        )
        return inward, outward
