"""Group normalisation in place of batch normalisation, for batches too small to tell a mean by."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

GROUP_SIZES = (16, 8, 4)  # channels that share their statistics: the largest that divides a layer's


def to_group_norm(net: nn.Module) -> nn.Module:
    """The network with every batch normalisation replaced, scale and offset kept; a clip no longer depends on others.

    Where no size divides the channels all of them are one group: a channel alone would lose how loud it is.

    Source: Wu and He 2018, arXiv 1803.08494, section 4.1 (16 channels a group do best there).

    >>> from earmark.models.layers import ConvNormReLU
    >>> to_group_norm(ConvNormReLU(1, 24))[1].num_groups
    3
    """
    for name, child in net.named_children():
        if isinstance(child, _BatchNorm):
            setattr(net, name, _group_norm(child))
        else:
            to_group_norm(child)
    return net


def _group_norm(norm: _BatchNorm) -> nn.GroupNorm:
    channels = norm.num_features
    size = next((size for size in GROUP_SIZES if channels % size == 0), channels)
    made = nn.GroupNorm(channels // size, channels, norm.eps, norm.affine)
    if norm.affine:
        made.weight, made.bias = norm.weight, norm.bias
    return made
