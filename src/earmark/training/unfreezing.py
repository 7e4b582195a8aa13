"""Which weights move, and how fast: a network's parts from the head down, for one that has learnt something before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from earmark.models.tagging_net import TaggingNet

N_GROUPS = 5  # of the backbone; with the head six depths
BATCH_NORMS = ("adapted", "kept", "group")
MIXES = (nn.Linear, nn.Conv1d, nn.Conv2d)  # what holds one of these itself is one block, and not taken apart

Group = list[nn.Parameter]


def depth_groups(net: TaggingNet) -> list[Group]:
    """The parameters of a network by depth: those of its head and beside it, then its backbone's from the top down, its
    front end's if any.

    Returns:
        At most 2 + N_GROUPS groups, none empty; parameters that do not require a gradient are in none.

    >>> from earmark.models.frontend import FrontendConfig
    >>> from earmark.models.tagging_net import build
    >>> [sum(p.numel() for p in group) for group in depth_groups(build("se_cnn", FrontendConfig(), 3))]
    [771, 1148896, 57680, 16808, 408, 128]
    """
    beside = (net.head, net.branches, net.auxiliary, *([net.noisy] if net.noisy else []))
    parts = [[p for part in beside for p in part.parameters()]]
    owned: set[nn.Parameter] = set()
    blocks = _blocks(net.backbone)
    for places in np.array_split(np.arange(len(blocks))[::-1], N_GROUPS):
        parts.append([p for place in places[::-1] for p in blocks[place].parameters()])
        owned.update(parts[-1])
    parts[-1] += [p for p in net.backbone.parameters() if p not in owned]  # of what was taken apart itself
    parts.append(net.frontend.parameters())
    groups = [[p for p in part if p.requires_grad] for part in parts]
    return [group for group in groups if group]


def _blocks(backbone: nn.Module) -> list[nn.Module]:
    """At least N_GROUPS parts of a backbone where it has them, in the order of its layers; a layer stays whole."""
    blocks = [backbone]
    while len(blocks) < N_GROUPS:
        divisible = [block for block in blocks if _children(block) and not _mixes(block)]
        if not divisible:
            break
        largest = max(divisible, key=lambda block: sum(p.numel() for p in block.parameters()))
        place = blocks.index(largest)
        blocks[place : place + 1] = _children(largest)
    return blocks


def _children(block: nn.Module) -> list[nn.Module]:
    return [child for child in block.children() if any(True for _ in child.parameters())]


def _mixes(block: nn.Module) -> bool:
    return any(isinstance(child, MIXES) for child in block.children())


def open_groups(groups: Sequence[Group], n_open: int) -> None:
    """Let the first groups learn and hold the others still, which costs them no backward pass either."""
    for depth, group in enumerate(groups):
        for parameter in group:
            parameter.requires_grad_(depth < n_open)


def set_batch_norm(net: nn.Module, batch_norm: str) -> None:
    """Put a network into training mode, its batch normalisation as asked.

    Args:
        batch_norm: "adapted" = statistics of the batch, and their running mean learnt; where the scale is held still
            the statistics are too. "kept" = by the statistics that it came with; scale and offset learn all the same.
            "group" = there is none (models/norms.py).
    """
    net.train()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            still = not any(parameter.requires_grad for parameter in module.parameters())
            module.train(not (still or batch_norm == "kept"))
