"""Recurrent layers that follow steps both ways, and how ONNX writes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BothWays(nn.Module):
    """Recurrent layers (GRU) that follow steps forwards and backwards; what both ways give is added. Always float32.

    >>> BothWays(12, 16, n_layers=2)(torch.zeros(2, 10, 12)).shape
    torch.Size([2, 10, 16])

    Source: Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(self, n_in: int, n_hidden: int, n_layers: int = 1):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.GRU(n_hidden if layer else n_in, n_hidden, batch_first=True, bidirectional=True)
            for layer in range(n_layers)
        )

    def forward(self, steps: Tensor) -> Tensor:
        """Steps (batch, steps, n_in) to (batch, steps, n_hidden)."""
        with torch.autocast(steps.device.type, enabled=False):
            steps = steps.float()
            for layer in self.layers:
                if torch.compiler.is_exporting():
                    steps = _as_one_node(layer, steps)
                else:
                    steps = layer(steps)[0].unflatten(2, (2, -1)).sum(dim=2)
            return steps


def _as_one_node(layer: nn.GRU, steps: Tensor) -> Tensor:
    """What a layer gives, both ways added, as ONNX's own GRU. The exporter would get there as well, after it has
    followed the layer step by step (of 128 steps and two layers: half a minute)."""
    batch, n_steps, _ = steps.shape
    states = torch.onnx.ops.symbolic(
        "GRU",
        (steps.transpose(0, 1), *onnx_weights(layer)),
        {"hidden_size": layer.hidden_size, "direction": "bidirectional", "linear_before_reset": 1},
        dtype=torch.float32,
        shape=(n_steps, 2, batch, layer.hidden_size),
    )
    return states.sum(dim=1).transpose(0, 1)


def onnx_weights(layer: nn.GRU) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs W, R and B of ONNX's GRU (linear_before_reset = 1) for a bidirectional layer.

    ONNX has the gates in the order update, reset, new where torch has reset, update, new.
    """

    def both_ways(name: str) -> Tensor:
        ways = []
        for way in ("", "_reverse"):
            reset, update, new = getattr(layer, f"{name}_l0{way}").chunk(3)
            ways.append(torch.cat([update, reset, new]))
        return torch.stack(ways)

    return (
        both_ways("weight_ih"),
        both_ways("weight_hh"),
        torch.cat([both_ways("bias_ih"), both_ways("bias_hh")], dim=1),
    )
