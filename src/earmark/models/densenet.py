"""densenet: densely connected networks of pictures, on the spectrogram; ImageNet weights can be their start."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import MelNorm
from earmark.models.pretrained.imagenet import load_imagenet
from earmark.models.pretrained.keys import KeyRules

# Per depth: channels that a layer adds, channels of the stem, layers of each block.
DEPTHS = {121: (32, 64, (6, 12, 24, 16)), 161: (48, 96, (6, 12, 36, 24))}
WIDENING = 4  # of what a layer mixes before it adds to it
KEYS: KeyRules = ((r"^stem\.", "features."), (r"^blocks\.", "features."))


class DenseNet(nn.Module):
    """Strided stem and maximum, then four blocks in which every layer sees what all before it gave.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        depth: 121 or 161 layers.
        width: multiplies all channels.
        layers: of each block, in place of the depth's.
        weights: a file of weights trained on ImageNet, as torchvision publishes it for this depth (.pth, .safetensors).
        dropout: before the last layer of the head.

    Raises:
        ConfigError: there is no such depth, or the weights are of another network.
        FetchError: the file of weights cannot be read.

    Source: Huang et al. 2017, arXiv 1608.06993; names of layers as in torchvision's models.

    >>> import torch
    >>> DenseNet(64, width=0.25, layers=(2, 2, 2, 2))(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 32, 2, 4])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        depth: int = 121,
        width: float = 1.0,
        layers: tuple[int, ...] = (),
        weights: str = "",
        dropout: float = 0.2,
    ):
        super().__init__()
        require(0.1 <= width <= 4, "model_options of densenet: width", width, "0.1 to 4")
        known = " or ".join(map(str, DEPTHS))
        require(depth in DEPTHS, "model_options of densenet: depth", depth, known)
        growth, n_maps, usual = DEPTHS[depth]
        growth, n_maps = int(growth * width), int(n_maps * width)
        self.dropout = dropout
        self.norm = MelNorm(n_mels, n_channels)
        self.stem = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(n_channels, n_maps, 7, 2, 3, bias=False),
                norm0=nn.BatchNorm2d(n_maps),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, 2, 1),
            )
        )
        self.blocks = nn.Sequential()
        for number, n_layers in enumerate(layers or usual, start=1):
            if number > 1:
                self.blocks.add_module(f"transition{number - 1}", _transition(n_maps, n_maps // 2))
                n_maps //= 2
            block = nn.Sequential()
            for layer in range(1, n_layers + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(n_maps, growth))
                n_maps += growth
            self.blocks.add_module(f"denseblock{number}", block)
        self.blocks.add_module("norm5", nn.BatchNorm2d(n_maps))
        self.n_features = n_maps
        if weights:
            load_imagenet(self, Path(weights), KEYS, stem="features.conv0.weight", name=f"densenet{depth}")

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        return torch.relu(self.blocks(self.stem(self.norm(spectrogram))))


class DenseLayer(nn.Module):
    """Mixes what there is, filters it, and puts the result beside it."""

    def __init__(self, n_in: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_in)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(n_in, WIDENING * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(WIDENING * growth)
        self.conv2 = nn.Conv2d(WIDENING * growth, growth, 3, 1, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames), `growth` channels more out."""
        mixed = self.conv1(self.relu(self.norm1(features)))
        return torch.cat([features, self.conv2(self.relu(self.norm2(mixed)))], dim=1)


def _transition(n_in: int, n_out: int) -> nn.Sequential:
    """Fewer channels at half the resolution."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(n_in),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(n_in, n_out, 1, bias=False),
            pool=nn.AvgPool2d(2, ceil_mode=True),
        )
    )
