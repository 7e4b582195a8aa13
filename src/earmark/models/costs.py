"""What a family of networks costs and how far it hears, computed from the network itself without running it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from earmark.models.frontend_config import FrontendConfig
from earmark.models.layers import SqueezeExcitation, TransformerBlock
from earmark.models.tagging_net import MODELS, build, hears_waveform

SECONDS = 5.0  # of sound that costs are counted on
# What hears the whole window at once, and what to call it.
WHOLE_WINDOW: dict[type[nn.Module], str] = {
    SqueezeExcitation: "squeeze-and-excitation",
    nn.RNNBase: "recurrence",
    TransformerBlock: "attention",
}


@dataclass(frozen=True)
class Costs:
    """A family of networks at its default options.

    about: what it is, in a line. n_parameters: numbers that training moves, without the last layer. multiply_adds: for
    a second of sound, without the front end. receptive_seconds: what of the sound one step of its features depends on
    through convolutions and pooling. whole_window: by what it depends on all of the window besides.
    """

    family: str
    about: str
    n_parameters: int
    multiply_adds: float
    receptive_seconds: float
    whole_window: tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """How many steps of the input a step of a tensor depends on, and how many lie between two neighbouring steps."""

    size: int = 1
    step: int = 1

    def through(self, kernel: int, stride: int, dilation: int = 1) -> Reach:
        """The reach after a convolution or a pooling.

        >>> Reach().through(3, 2).through(3, 1)
        Reach(size=7, step=2)
        """
        return Reach(self.size + dilation * (kernel - 1) * self.step, self.step * stride)


def family_costs(
    family: str, options: Mapping[str, Any] | None = None, frontend: FrontendConfig | None = None
) -> Costs:
    """The costs of a family of MODELS, by default at its default options and the default front end.

    >>> costs = family_costs("tiny_cnn")
    >>> costs.n_parameters, round(costs.receptive_seconds, 3), costs.whole_window
    (74720, 0.312, ())

    Raises:
        ConfigError: no such family, or an option it does not have.
    """
    frontend = frontend or FrontendConfig()
    raw = hears_waveform(family)
    n_samples = round(SECONDS * frontend.sample_rate)
    shape = (1, 1, 1, n_samples) if raw else (1, 1, frontend.n_mels, frontend.n_frames(n_samples))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.device("meta"):  # shapes alone: nothing is drawn, kept or multiplied
        backbone = build(family, frontend, 1, options).backbone.eval()
        recurrences = [_passed_over(layer) for layer in backbone.modules() if isinstance(layer, nn.RNNBase)]
        heard = torch.empty(shape)
        with counter, ReachMode(heard) as mode:
            reach = mode.of(backbone(heard))
    samples = reach.size if raw else (reach.size - 1) * frontend.hop_length + frontend.window_length
    seen = [name for kind, name in WHOLE_WINDOW.items() if any(isinstance(each, kind) for each in backbone.modules())]
    return Costs(
        family=family,
        about=_about(family),
        n_parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        multiply_adds=(counter.get_total_flops() / 2 + sum(map(sum, recurrences))) / SECONDS,
        receptive_seconds=samples / frontend.sample_rate,
        whole_window=tuple(seen),
    )


def _passed_over(layer: nn.RNNBase) -> list[int]:
    """Let a recurrent layer, slow to follow step by step, give the right shape alone; its multiply-adds, once run."""
    counted: list[int] = []
    n_ways = 2 if layer.bidirectional else 1

    def forward(sequence: Tensor) -> Any:
        *n_places, _ = sequence.shape
        matrices = sum(p.numel() for p in layer.parameters() if p.ndim == 2)
        counted.append(math.prod(n_places) * matrices)
        given = sequence[..., :1].expand(*n_places, n_ways * layer.hidden_size)
        return (given, None) if type(layer).__module__.startswith("torch.") else given

    layer.forward = forward
    return counted


def _about(family: str) -> str:
    """The first line of the family's module, without its name."""
    module = importlib.import_module(MODELS[family].partition(":")[0])
    return module.__doc__.splitlines()[0].partition(": ")[2].rstrip(".")


class ReachMode(TorchDispatchMode):
    """Follows, operation by operation, how far the last axis of each tensor depends on that of the first.

    What is joined reaches as far as the farthest of it; only convolutions and poolings reach farther.

    Args:
        start: the tensor to begin with.
    """

    def __init__(self, start: Tensor):
        super().__init__()
        self.known = {id(start): (start, Reach())}  # tensors are kept, so that no id is given twice

    def of(self, tensor: Tensor) -> Reach:
        """The reach of a tensor that was made meanwhile."""
        return self.known[id(tensor)][1]

    def __torch_dispatch__(self, function: Any, types: Any, arguments: tuple = (), options: Any = None) -> Any:
        """Run one operation, and note what it makes."""
        made = function(*arguments, **(options or {}))
        flat = [each for value in arguments for each in (value if isinstance(value, list | tuple) else [value])]
        found = [self.known[id(each)][1] for each in flat if id(each) in self.known]
        if found:
            reach = Reach(max(each.size for each in found), max(each.step for each in found))
            for kernel, stride, dilation in _windows(function, arguments):
                reach = reach.through(kernel, stride, dilation)
            for tensor in made if isinstance(made, list | tuple) else [made]:
                if isinstance(tensor, Tensor):
                    self.known[id(tensor)] = (tensor, reach)
        return made


def _windows(function: Any, arguments: tuple) -> list[tuple[int, int, int]]:
    """Kernel, stride and dilation over the last axis, of an operation that has them."""
    name = function._schema.name.removeprefix("aten::")
    if name == "convolution":
        _, weight, _, stride, _, dilation = arguments[:6]
        return [(weight.shape[-1], stride[-1], dilation[-1])]
    if name.startswith(("max_pool", "avg_pool")):
        kernel = arguments[1][-1]
        stride = arguments[2][-1] if len(arguments) > 2 and arguments[2] else kernel
        return [(kernel, stride, 1)]
    return []
