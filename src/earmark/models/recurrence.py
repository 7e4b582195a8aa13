"""Recurrent layers that go over a sequence both ways; exported, each is one node of the graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# The order in which ONNX wants the gates that torch keeps one below the other.
GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}


class BothWaysGRU(nn.GRU):
    """Gated recurrent units forwards and backwards over a sequence.

    >>> BothWaysGRU(8, 16)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 32])

    Source: Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(self, n_features: int, width: int):
        super().__init__(n_features, width, batch_first=True, bidirectional=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """Sequence (batch, steps, features) to (batch, steps, 2 · width) float32."""
        if torch.compiler.is_exporting():
            return _node(self, "GRU", sequence, {"linear_before_reset": 1})
        with torch.autocast(sequence.device.type, enabled=False):  # what a recurrence rounds, it goes on with
            return super().forward(sequence.float())[0]


class BothWaysLSTM(nn.LSTM):
    """Long short-term memory forwards and backwards over a sequence.

    >>> BothWaysLSTM(8, 16)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 32])

    Source: Hochreiter and Schmidhuber 1997, Neural Computation 9(8).
    """

    def __init__(self, n_features: int, width: int):
        super().__init__(n_features, width, batch_first=True, bidirectional=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """Sequence (batch, steps, features) to (batch, steps, 2 · width) float32."""
        if torch.compiler.is_exporting():
            return _node(self, "LSTM", sequence, {})
        with torch.autocast(sequence.device.type, enabled=False):
            return super().forward(sequence.float())[0]


class AddedGRU(nn.Module):
    """Layers of gated recurrent units both ways, what both ways give being added after each.

    >>> AddedGRU(12, 16, n_layers=2)(torch.zeros(2, 10, 12)).shape
    torch.Size([2, 10, 16])
    """

    def __init__(self, n_features: int, width: int, n_layers: int = 1):
        super().__init__()
        self.layers = nn.ModuleList(BothWaysGRU(width if layer else n_features, width) for layer in range(n_layers))

    def forward(self, sequence: Tensor) -> Tensor:
        """Sequence (batch, steps, features) to (batch, steps, width) float32."""
        for layer in self.layers:
            sequence = layer(sequence).unflatten(2, (2, -1)).sum(dim=2)
        return sequence


def _node(layer: nn.RNNBase, operator: str, sequence: Tensor, attributes: dict[str, int]) -> Tensor:
    """The layer as one node: torch's own export follows it step by step, which takes minutes for a few seconds."""
    batch, n_steps, _ = sequence.shape
    width = layer.hidden_size
    found = torch.onnx.ops.symbolic(
        operator,
        (sequence.float().transpose(0, 1), *onnx_weights(layer, operator)),
        {"hidden_size": width, "direction": "bidirectional", **attributes},
        dtype=torch.float32,
        shape=(n_steps, 2, batch, width),
    )
    return found.permute(2, 0, 1, 3).reshape(batch, n_steps, 2 * width)


def onnx_weights(layer: nn.RNNBase, operator: str) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs W, R and B of ONNX's operator (GRU: with linear_before_reset = 1) for a bidirectional layer."""
    inputs, states, input_biases, state_biases = (
        torch.stack([_reordered(layer, f"{name}_l0{way}", GATES[operator]) for way in ("", "_reverse")])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return inputs, states, torch.cat([input_biases, state_biases], dim=1)


def _reordered(layer: nn.RNNBase, name: str, order: Sequence[int]) -> Tensor:
    """A weight or bias, its gates one below the other in ONNX's order."""
    gates = getattr(layer, name).chunk(len(order))
    return torch.cat([gates[place] for place in order])
