"""Heads over the sequence of a window's patches: their mean (the control), attention, a recurrent network.

All three give every patch a logit per class and take a weighted mean of them as the window's. They begin as the same
linear head on the mean; attention learns the weights, the recurrent network what the order says beyond.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.baselines.classifier import Examples
from earmark.baselines.inner import compete, inner_folds, log_loss
from earmark.baselines.linear_solver import base_logits
from earmark.baselines.scores import append_squash
from earmark.baselines.standardise import Standardisation, standardisation
from earmark.export.backbone import Nodes
from earmark.models.recurrence import onnx_weights

N_DIRECTIONS = 64  # in which patches differ most: what attention and the recurrent network see
LEAST_VARIANCE = 1e-3  # of the largest: a direction of less is not blown up to the size of the others
N_HIDDEN = 48  # of the recurrent network, each way
BATCH_ROWS = 64
ROUND_STEPS = 8  # between two looks at the inner folds
MOST_ROUNDS = 80
PATIENCE = 8  # rounds without a better inner loss, after which none is expected
USUAL_ROUNDS = 20  # where there is nothing to choose by
MOST_FOLDS = 3  # inner folds that are learnt; they are learnt side by side
STEP = 0.06  # learning rate · √features of the linear layer: its logits move alike however many features there are
LATER_RATE = 3e-3  # of attention and the recurrent network, which learn what the linear layer leaves
WEIGHT_DECAY = 0.05
ROWS_AT_ONCE = 256
PATCHES_LOOKED_AT = 8192  # enough to find directions from


@dataclass(frozen=True)
class View:
    """What a head sees of a sequence: standardised features, and the directions in which patches differ most.

    directions: (features, directions) float32, which give each the variance 1.
    """

    standardisation: Standardisation
    directions: np.ndarray

    def __call__(self, features: np.ndarray) -> tuple[Tensor, Tensor]:
        """(rows, patches, features) and (rows, patches, directions) float32."""
        standard = self.standardisation(features).astype(np.float32)
        return torch.from_numpy(standard), torch.from_numpy(standard @ self.directions)

    def append_to(self, nodes: Nodes) -> tuple[str, str]:
        """The same as nodes that start from `sequence`; returns the names of both."""
        standard = self.standardisation.append_to(nodes, "sequence")
        return standard, nodes("MatMul", standard, nodes.constant(self.directions))


class SequenceNet(nn.Module):
    """From what is seen of a sequence to logits, of the window and of each patch.

    Args:
        n_features, n_directions: of what is seen.
        prior: (classes,) logits before anything is learnt.
        kind: "mean_pool", "attention" or "gru".

    >>> net = SequenceNet(5, 2, torch.zeros(3), "gru")
    >>> seen = torch.zeros(4, 7, 5), torch.zeros(4, 7, 2)
    >>> net.windows(*seen).shape, net.patches(*seen).shape
    (torch.Size([4, 3]), torch.Size([4, 7, 3]))

    Source: attention of each class, Kong et al. 2019, Weakly labelled AudioSet tagging with attention neural networks.
    """

    def __init__(self, n_features: int, n_directions: int, prior: Tensor, kind: str):
        super().__init__()
        self.kind = kind
        self.linear = _silent(nn.Linear(n_features, len(prior)))
        with torch.no_grad():
            self.linear.bias.copy_(prior)
        if kind == "attention":
            self.attention = _silent(nn.Linear(n_directions, len(prior)))
        if kind == "gru":
            self.gru = nn.GRU(n_directions, N_HIDDEN, batch_first=True, bidirectional=True)
            self.order = _silent(nn.Linear(2 * N_HIDDEN, len(prior)))

    def windows(self, standard: Tensor, projected: Tensor) -> Tensor:
        """Logits (batch, classes): the weighted mean of those of the patches."""
        if self.kind == "attention":
            return (torch.softmax(self.attention(projected), dim=1) * self.linear(standard)).sum(dim=1)
        logits = self.linear(standard.mean(dim=1))  # of the mean: the same as the mean of them, and cheaper
        return logits + self.order(self.gru(projected)[0]).mean(dim=1) if self.kind == "gru" else logits

    def patches(self, standard: Tensor, projected: Tensor) -> Tensor:
        """Logits (batch, patches, classes)."""
        logits = self.linear(standard)
        return logits + self.order(self.gru(projected)[0]) if self.kind == "gru" else logits


def _silent(layer: nn.Linear) -> nn.Linear:
    """A layer that says nothing until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class SequenceHead:
    """A fitted head over the patches of a window.

    extra_outputs: what its nodes give beside `scores`: name → shape.
    """

    view: View
    net: SequenceNet
    multi_label: bool
    facts: Mapping[str, Any]
    extra_outputs: Mapping[str, tuple[int | str, ...]]
    source: ClassVar[str] = "sequence"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores (rows, classes) float32, in [0, 1], of sequences (rows, patches, features)."""
        return self._scores(features, self.net.windows)

    def predict_patches(self, features: np.ndarray) -> np.ndarray:
        """Scores of each patch, (rows, patches, classes) float32, in [0, 1]."""
        return self._scores(features, self.net.patches)

    @torch.no_grad()
    def _scores(self, features: np.ndarray, logits_of: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
        starts = range(0, max(len(features), 1), ROWS_AT_ONCE)
        logits = torch.cat([logits_of(*self.view(features[start : start + ROWS_AT_ONCE])) for start in starts])
        return (torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=-1)).numpy()

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes and constants from the tensor `sequence` to the tensors `scores` and `patch_scores`."""
        nodes, net = Nodes("head_"), self.net
        standard, projected = self.view.append_to(nodes)
        logits = _linear(nodes, standard, net.linear)
        if net.kind == "gru":
            logits = nodes("Add", logits, _linear(nodes, _recurrent(nodes, projected, net.gru), net.order))
        if net.kind == "attention":
            attention = nodes("Softmax", _linear(nodes, projected, net.attention), axis=1)
            pooled = nodes("ReduceSum", nodes("Mul", attention, logits), nodes.constant([1]), keepdims=0)
        else:
            pooled = nodes("ReduceMean", logits, nodes.constant([1]), keepdims=0)
        append_squash(nodes, pooled, self.multi_label)
        append_squash(nodes, logits, self.multi_label, "patch_scores")
        return nodes.nodes, nodes.constants


def _linear(nodes: Nodes, values: str, layer: nn.Linear) -> str:
    """A linear layer over the last axis."""
    weight, bias = (each.detach().numpy() for each in (layer.weight, layer.bias))
    return nodes("Add", nodes("MatMul", values, nodes.constant(np.ascontiguousarray(weight.T))), nodes.constant(bias))


def _recurrent(nodes: Nodes, projected: str, gru: nn.GRU) -> str:
    """The states (batch, patches, both ways). ONNX wants time first."""
    states = nodes(
        "GRU",
        nodes("Transpose", projected, perm=[1, 0, 2]),
        *(nodes.constant(weights.detach().numpy()) for weights in onnx_weights(gru, "GRU")),
        hidden_size=N_HIDDEN,
        direction="bidirectional",
        linear_before_reset=1,  # as torch has it
    )
    batch_first = nodes("Transpose", states, perm=[2, 0, 1, 3])  # from (patches, ways, batch, hidden)
    return nodes("Reshape", batch_first, nodes.constant([0, 0, 2 * N_HIDDEN]))


def fit_mean_pool(examples: Examples, *, seed: int) -> SequenceHead:
    """A linear head on the mean over the patches: what the heads that look at their sequence are held against."""
    return _fit("mean_pool", examples, seed)


def fit_attention(examples: Examples, *, seed: int) -> SequenceHead:
    """Each class attends to the patches that tell most about it."""
    return _fit("attention", examples, seed)


def fit_gru(examples: Examples, *, seed: int) -> SequenceHead:
    """A recurrent network, both ways, adds what the order of the patches says."""
    return _fit("gru", examples, seed)


_LEARNING = threading.Lock()  # one at a time: all draw from torch's one generator


def _fit(kind: str, examples: Examples, seed: int) -> SequenceHead:
    """Learn for as many rounds as inner folds choose. Rows of which nothing is known are left out."""
    known = examples.select(examples.weights.any(axis=1))
    view = _view(known)
    seen = view(known.features)
    fresh = partial(SequenceNet, *view.directions.shape, torch.from_numpy(base_logits(known)), kind)
    with _LEARNING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        n_rounds, facts = _choose_rounds(fresh, seen, known)
        net = fresh()
        for _ in zip(range(n_rounds), _learn(net, seen, known), strict=False):
            pass
    n_patches = examples.features.shape[1]
    extra = {"patch_scores": ("batch", n_patches, examples.n_classes)}
    return SequenceHead(view, net.eval(), examples.multi_label, {"kind": kind, "patches": n_patches, **facts}, extra)


def _view(examples: Examples) -> View:
    """Found without a look at labels, so that inner folds may share it."""
    n_features = examples.features.shape[2]
    rows = np.repeat(np.arange(len(examples)), examples.features.shape[1])
    patches = np.ascontiguousarray(examples.features).reshape(-1, n_features)
    if not len(patches):
        nothing = np.zeros(n_features, np.float32)
        return View(Standardisation(nothing, nothing), np.zeros((n_features, 1), np.float32))
    weights = examples.weights[rows]
    standard = standardisation(
        Examples(patches, examples.targets[rows], weights, rows, examples.parts[rows], examples.multi_label)
    )
    some = standard(patches[:: 1 + len(patches) // PATCHES_LOOKED_AT]).astype(np.float64)
    variances, directions = np.linalg.eigh(some.T @ some / len(some))
    variances, directions = variances[-N_DIRECTIONS:], directions[:, -N_DIRECTIONS:]
    least = max(LEAST_VARIANCE * variances[-1], np.finfo(np.float32).tiny)
    return View(standard, (directions / np.sqrt(np.maximum(variances, least))).astype(np.float32))


def _choose_rounds(
    fresh: Callable[[], SequenceNet], seen: tuple[Tensor, Tensor], examples: Examples
) -> tuple[int, dict[str, Any]]:
    """The number of rounds with the least loss on inner folds, and the facts of it."""
    folds = inner_folds(examples)[:MOST_FOLDS]
    if not folds:
        return USUAL_ROUNDS, {"rounds": USUAL_ROUNDS, "chosen_by": "default: the training clips make one inner fold"}
    nets = [fresh() for _ in folds]
    learners = [
        _learn(net, (seen[0][training], seen[1][training]), examples.select(training))
        for net, (training, _) in zip(nets, folds, strict=True)
    ]
    held_out = np.concatenate([held for _, held in folds])
    judges = examples.select(held_out)

    def loss() -> float:
        with torch.no_grad():
            logits = [
                net.windows(seen[0][held], seen[1][held]).numpy() for net, (_, held) in zip(nets, folds, strict=True)
            ]
        return log_loss(judges, np.concatenate(logits))

    losses = [loss()]
    for _ in zip(range(MOST_ROUNDS), *learners, strict=False):
        losses.append(loss())
        if len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE:
            break
    best = int(np.argmin(losses))
    return best, {"rounds": best, "chosen_by": f"{len(folds)} inner folds", "inner_loss": round(losses[best], 4)}


def _learn(net: SequenceNet, seen: tuple[Tensor, Tensor], examples: Examples) -> Iterator[None]:
    """Learn without end; yields after each round."""
    targets, weights = torch.from_numpy(examples.targets), torch.from_numpy(examples.weights)
    competing = torch.from_numpy(compete(examples.weights))
    usual = float(weights.amax(dim=1).mean()) if len(weights) else 1.0
    rates = {"linear": STEP / net.linear.in_features**0.5}
    groups = [{"params": layer.parameters(), "lr": rates.get(name, LATER_RATE)} for name, layer in net.named_children()]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    batches = _batches(len(weights))
    while True:
        for _ in range(ROUND_STEPS):
            rows = next(batches)
            logits = net.windows(seen[0][rows], seen[1][rows])
            if examples.multi_label:
                losses = functional.binary_cross_entropy_with_logits(logits, targets[rows], reduction="none")
            else:
                likely = functional.log_softmax(logits.masked_fill(~competing[rows], -torch.inf), dim=1)
                losses = -likely.masked_fill(weights[rows] == 0, 0.0) * targets[rows]
            optimizer.zero_grad()
            # Over what such a batch usually weighs: over its own weight, a light row would count as any other.
            ((losses * weights[rows]).sum() / (usual * max(len(rows), 1))).backward()
            optimizer.step()
        yield


def _batches(n_rows: int) -> Iterator[Tensor]:
    """Positions of rows, in a new order each time that all have been seen."""
    while True:
        yield from torch.randperm(n_rows).split(BATCH_ROWS)
