"""resnet: residual networks of pictures, on the spectrogram; weights trained on ImageNet can be their start."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import MelNorm
from earmark.models.pretrained.imagenet import load_imagenet
from earmark.models.pretrained.keys import KeyRules

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # blocks of each stage
STEM_CHANNELS = 64
KEYS: KeyRules = ((r"^stem\.", ""),)


class ResNet(nn.Module):
    """Strided stem and maximum, then four stages of residual blocks, each but the first at half the resolution.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        depth: 18, 34 or 50 layers; those of 50 stand in bottlenecks.
        width: multiplies all channels.
        weights: a file of weights trained on ImageNet, as torchvision publishes it for this depth (.pth, .safetensors).
        dropout: before the last layer of the head.

    Raises:
        ConfigError: there is no such depth, or the weights are of another network.
        FetchError: the file of weights cannot be read.

    Source: He et al. 2016, arXiv 1512.03385; strides and names of layers as in torchvision's models.

    >>> import torch
    >>> ResNet(64, width=0.25)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 128, 2, 4])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        depth: int = 18,
        width: float = 1.0,
        weights: str = "",
        dropout: float = 0.2,
    ):
        super().__init__()
        require(0.1 <= width <= 4, "model_options of resnet: width", width, "0.1 to 4")
        known = ", ".join(map(str, DEPTHS))
        require(depth in DEPTHS, "model_options of resnet: depth", depth, f"one of {known}")
        block = Bottleneck if depth == 50 else BasicBlock
        n_in = int(STEM_CHANNELS * width)
        self.dropout = dropout
        self.norm = MelNorm(n_mels, n_channels)
        self.stem = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(n_channels, n_in, 7, 2, 3, bias=False),
                bn1=nn.BatchNorm2d(n_in),
                relu=nn.ReLU(inplace=True),
                maxpool=nn.MaxPool2d(3, 2, 1),
            )
        )
        for stage, n_blocks in enumerate(DEPTHS[depth]):
            n_inside = int(STEM_CHANNELS * width) * 2**stage
            blocks = nn.Sequential()
            for number in range(n_blocks):
                blocks.append(block(n_in, n_inside, stride=2 if stage and not number else 1))
                n_in = n_inside * block.widening
            setattr(self, f"layer{stage + 1}", blocks)
        self.n_features = n_in
        if weights:
            load_imagenet(self, Path(weights), KEYS, stem="conv1.weight", name=f"resnet{depth}")

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels', frames')."""
        features = self.stem(self.norm(spectrogram))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, added to what came in."""

    widening = 1

    def __init__(self, n_in: int, n_inside: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_inside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_inside)
        self.conv2 = nn.Conv2d(n_inside, n_inside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_inside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(n_in, n_inside, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        inside = self.relu(self.bn1(self.conv1(features)))
        return self.relu(self.bn2(self.conv2(inside)) + self.downsample(features))


class Bottleneck(nn.Module):
    """A 3×3 convolution between two that narrow and widen again, added to what came in."""

    widening = 4

    def __init__(self, n_in: int, n_inside: int, stride: int):
        super().__init__()
        n_out = n_inside * self.widening
        self.conv1 = nn.Conv2d(n_in, n_inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_inside)
        self.conv2 = nn.Conv2d(n_inside, n_inside, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_inside)
        self.conv3 = nn.Conv2d(n_inside, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(n_in, n_out, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames)."""
        inside = self.relu(self.bn1(self.conv1(features)))
        inside = self.relu(self.bn2(self.conv2(inside)))
        return self.relu(self.bn3(self.conv3(inside)) + self.downsample(features))


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Module:
    """What came in, in the shape of what goes out."""
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
