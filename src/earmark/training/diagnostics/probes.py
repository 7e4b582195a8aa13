"""Numbers of a network's layers, taken from the steps it trains on: nothing is run again, drawn or changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from earmark.models.tagging_net import TaggingNet

MEASURED_CLIPS = 4  # of a batch, whose maps and sequences are measured; of vectors those of all clips are
SAMPLED_WEIGHTS = 4096  # of a tensor, about, whose movement is measured
SILENT_PEAK = 1e-4  # full scale is 1: −80 dB
PASSING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, nn.Flatten)  # layers that say nothing of their own
LAST_AXIS = (nn.Linear, nn.LayerNorm, nn.RNNBase)
SECOND_AXIS = (nn.Conv1d, nn.Conv2d, nn.GroupNorm, nn.MaxPool1d, nn.AvgPool1d, _BatchNorm)


def layers_of(net: TaggingNet) -> dict[str, nn.Module]:
    """The front end as a whole, and every layer behind it that holds no others.

    >>> from earmark.models.frontend import FrontendConfig
    >>> from earmark.models.tagging_net import build
    >>> list(layers_of(build("tiny_cnn", FrontendConfig(), 3)))[:3]
    ['frontend', 'backbone.layers.0.norm', 'backbone.layers.1.0']
    """
    found: dict[str, nn.Module] = {"frontend": net.frontend}
    for name, layer in net.named_modules():
        inside = name.startswith("frontend") or "parametrizations" in name
        if not (inside or isinstance(layer, PASSING) or any(True for _ in layer.children())):
            found[name] = layer
    found.pop("", None)
    return found


class Activations:
    """Mean and deviation of what each layer gives, and which of its units ever gave something other than zero.

    A unit is a channel of a feature map, or a feature of a sequence or vector. Memory is a few numbers a unit, however
    many steps are heard.
    """

    def __init__(self, net: TaggingNet):
        self.net = net
        self.layers = layers_of(net)
        self._axis = 1
        self._handles: list[RemovableHandle] = []
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._active: dict[str, Tensor] = {}
        self._silent: Tensor | None = None
        self._n_heard = 0

    def attach(self) -> None:
        """Listen to the next forward pass."""
        for name, layer in self.layers.items():
            self._handles.append(layer.register_forward_hook(self._listener(name)))
        self._handles.append(self.net.frontend.register_forward_pre_hook(self._hear_input))

    def detach(self) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _listener(self, name: str) -> Any:
        return lambda layer, _, output: self._hear(name, layer, output)

    @torch.no_grad()
    def _hear_input(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        silent = (arguments[0].detach().abs().amax(dim=1) < SILENT_PEAK).float().mean()
        self._silent = silent if self._silent is None else self._silent + silent
        self._n_heard += 1

    @torch.no_grad()
    def _hear(self, name: str, layer: nn.Module, output: Any) -> None:
        while isinstance(output, tuple | list) and output:  # a recurrence gives its state too
            output = output[0]
        if not isinstance(output, Tensor) or output.ndim < 2 or not output.is_floating_point():
            return
        self._axis = axis = _unit_axis(layer, output, self._axis)
        output = (output if output.ndim == 2 else output[:MEASURED_CLIPS]).detach().float()
        deviation, mean = torch.std_mean(output, correction=0)
        others = [each for each in range(output.ndim) if each != axis % output.ndim]
        active = torch.linalg.vector_norm(output, ord=torch.inf, dim=others) != 0  # nor is nan dead
        sums = torch.stack([mean, deviation, torch.ones_like(mean)])
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        before = self._active.get(name)
        self._active[name] = active | before if before is not None and before.shape == active.shape else active

    def take(self) -> tuple[dict[str, dict[str, Any]], float]:
        """What was heard since the last time: by layer mean, deviation, units and the share of dead ones; and the share
        of windows that were silent."""
        if not self._sums:
            return {}, 0.0
        dead = [1 - active.float().mean() for active in self._active.values()]
        table = torch.cat([torch.stack(list(self._sums.values())), torch.stack(dead)[:, None]], dim=1).tolist()
        found = {
            name: {
                "kind": type(self.layers[name]).__name__,
                "mean": _rounded(mean / count),
                "std": _rounded(deviation / count),
                "units": len(self._active[name]),
                "dead": round(share, 4),
            }
            for name, (mean, deviation, count, share) in zip(self._sums, table, strict=True)
        }
        silent = float(self._silent) / self._n_heard if self._silent is not None else 0.0
        self._clear()
        return found, silent


class Movements:
    """How far a step moves the weights of each layer, as a share of what they are: of a sample of every tensor."""

    def __init__(self, net: nn.Module):
        owners = {name: list(layer.parameters(recurse=False)) for name, layer in net.named_modules()}
        self.owners = {name: parameters for name, parameters in owners.items() if parameters}
        self._kept: dict[str, list[Tensor]] = {}
        self._pulled: dict[str, Tensor] = {}
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def before(self) -> None:
        """Keep what the next step is about to change."""
        for name, parameters in self.owners.items():
            self._kept[name] = [_sample(parameter).clone() for parameter in parameters]
            pulls = [_sample(p.grad).abs().amax() for p in parameters if p.grad is not None]
            self._pulled[name] = torch.stack(pulls).amax() > 0 if pulls else torch.zeros((), dtype=torch.bool)

    @torch.no_grad()
    def after(self) -> None:
        """Compare with what was kept, and forget it."""
        for name, kept in self._kept.items():
            now = [_sample(parameter) for parameter in self.owners[name]]
            pairs = list(zip(kept, now, self.owners[name], strict=True))
            moved = torch.stack([(new - old).abs().amax() for old, new, _ in pairs]).amax() > 0
            # Of matrices and kernels alone: a bias or a norm may start at zero.
            matrices = [(old, new) for old, new, parameter in pairs if parameter.ndim > 1] or [
                (old, new) for old, new, _ in pairs
            ]
            change = torch.stack([(new - old).float().square().sum() for old, new in matrices]).sum()
            size = torch.stack([old.float().square().sum() for old, _ in matrices]).sum()
            share = (change / size.clamp(min=1e-12)).sqrt()
            learnt = moved & self._pulled[name].to(moved.device)
            sums = torch.stack([share, learnt.float(), torch.ones_like(share)])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        self._kept.clear()
        self._pulled.clear()

    def take(self) -> dict[str, dict[str, Any]]:
        """Since the last time, by layer: the mean share by which a step moved it, and whether it was ever moved by a
        gradient (not by weight decay alone)."""
        if not self._sums:
            return {}
        table = torch.stack([each.float() for each in self._sums.values()]).tolist()
        found = {
            name: {"update": _rounded(share / count), "moved": moves > 0}
            for name, (share, moves, count) in zip(self._sums, table, strict=True)
        }
        self._clear()
        return found

    def meant_to_move(self, groups: list[list[nn.Parameter]]) -> set[str]:
        """Layers that learn, unless all their weights are held still by choice.

        Args:
            groups: of parameters by depth, those that do not require a gradient at present being held still by choice.
        """
        still = {id(p) for group in groups for p in group if not p.requires_grad}
        return {name for name, parameters in self.owners.items() if any(id(p) not in still for p in parameters)}


def together(
    activations: Mapping[str, dict[str, Any]], movements: Mapping[str, dict[str, Any]], kinds: Mapping[str, nn.Module]
) -> dict[str, dict[str, Any]]:
    """One table of layers, in the order in which they were heard."""
    names = [*activations, *(name for name in movements if name not in activations)]
    return {
        name: {"kind": type(kinds[name]).__name__, **activations.get(name, {}), **movements.get(name, {})}
        for name in names
    }


def _unit_axis(layer: nn.Module, output: Tensor, before: int) -> int:
    """The axis of a layer's units; what only changes numbers has the axis of the layer before it."""
    if isinstance(layer, LAST_AXIS):
        return -1
    if output.ndim != 3 or isinstance(layer, SECOND_AXIS):
        return 1
    return before


def _sample(tensor: Tensor) -> Tensor:
    """Numbers of a dense tensor, evenly spread in the order in which they lie in memory; a view."""
    tensor = tensor.detach()
    step = max(1, tensor.numel() // SAMPLED_WEIGHTS)
    while math.gcd(step, tensor.numel()) > 1:  # or it would always meet the same place of a kernel
        step += 1
    return tensor.as_strided((len(range(0, tensor.numel(), step)),), (step,))


def _rounded(value: float) -> float:
    """Four digits: a file of thousands of numbers needs no more."""
    return float(f"{value:.4g}")
