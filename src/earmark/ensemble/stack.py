"""The stacker: weights of members for every class, then a layer that mixes the labels, trained on out-of-fold scores.

Source: the FSD system (Freesound Audio Tagging 2019, second place).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earmark.ensemble.blend import fit_weights
from earmark.ensemble.panel import Panel
from earmark.tagger.combination import STACK_SHIFT, weighted

LEARNING_RATE = 1e-4
EPOCHS = 100
BATCH_SIZE = 64


class Stacker(nn.Module):
    """Scores of members and of their weighted mean (batch, members + 1, classes) → scores (batch, classes).

    It starts as that mean, whose order the last step keeps. The members' weights of a class have length 1.

    >>> stacker = Stacker(2, 3)
    >>> scores = torch.rand(4, 3, 3)
    >>> torch.equal(stacker(scores), (torch.tanh(scores[:, -1] - 1.6) + 1) / 2)
    True
    """

    def __init__(self, n_members: int, n_classes: int):
        super().__init__()
        start = torch.zeros(n_members + 1, n_classes)
        start[-1] = 1
        self.weights = nn.Parameter(start)
        self.layer = nn.Parameter(torch.eye(n_classes))

    def forward(self, scores: Tensor) -> Tensor:
        """Scores in [0, 1]."""
        mixed = (scores * self.weights).sum(dim=1) @ self.layer
        return (torch.tanh(mixed - STACK_SHIFT) + 1) / 2

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring every class's weights back to length 1."""
        self.weights /= self.weights.norm(dim=0, keepdim=True).clamp(min=1e-12)


def stack(panel: Panel, seed: int = 0) -> dict[str, Any]:
    """The stacker fitted to the windows of a panel.

    Args:
        seed: of the order of the windows.
    """
    mean_weights = fit_weights(panel)
    mean = weighted(panel.scores.astype(np.float64), mean_weights)
    inputs = torch.from_numpy(np.concatenate([panel.scores, mean[:, None]], axis=1).astype(np.float32))
    targets, known = (torch.from_numpy(each.astype(np.float32)) for each in (panel.row_targets, panel.row_weights))
    known = known / known.mean().clamp(min=1e-12)
    stacker = Stacker(len(panel.names), len(panel.labels))
    optimizer = torch.optim.NAdam(stacker.parameters(), lr=LEARNING_RATE)
    for epoch in range(EPOCHS):
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(inputs)))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy(stacker(inputs[batch]), targets[batch], known[batch])
            loss.backward()
            optimizer.step()
            stacker.normalise()
    return {
        "kind": "stack",
        "mean_weights": mean_weights.tolist(),
        "weights": stacker.weights.detach().double().numpy().tolist(),
        "layer": stacker.layer.detach().double().numpy().tolist(),
    }
