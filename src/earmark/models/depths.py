"""What a network sees on its way: the mean of each of its stages, beside what its last layer gets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.models.tagging_net import TaggingNet

OUTPUTS = ("scores", "embedding", "depths")


class DepthFeatures(nn.Module):
    """A trained network that gives its scores, its embedding and its depths.

    The depths are the mean over mel and time of what each stage but the last gives: a stage ends where the next layer
    halves the resolution. A head on other sounds than those the network was trained for gains by them
    (docs/pretrained.md).

    Args:
        net: in evaluation mode; its backbone's layers stand in `features` or `blocks`, behind `norm` (and `stem`).

    >>> from earmark.models.pretrained.networks import build_pretrained
    >>> [tuple(part.shape) for part in DepthFeatures(build_pretrained("mn04_as").eval())(torch.zeros(2, 32000))]
    [(2, 527), (2, 384), (2, 88)]
    """

    def __init__(self, net: TaggingNet):
        super().__init__()
        self.frontend = net.frontend.exportable()
        backbone = net.backbone
        self.start = nn.Sequential(backbone.norm, *([backbone.stem] if hasattr(backbone, "stem") else []))
        self.layers = nn.ModuleList(backbone.features if hasattr(backbone, "features") else backbone.blocks)
        self.head = net.head
        self.ends = self._stage_ends(net.frontend.config.n_mels)

    @torch.no_grad()
    def _stage_ends(self, n_mels: int) -> tuple[int, ...]:
        """Positions of the layers that end a stage, but for the last one."""
        features = self.start(torch.zeros(1, 1, n_mels, 2 * n_mels))
        heights = []
        for layer in self.layers:
            features = layer(features)
            heights.append(features.shape[2])
        return tuple(i for i in range(len(heights) - 1) if heights[i + 1] < heights[i])

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform (batch, samples) to scores (batch, classes), embedding (batch, features), depths (batch, …)."""
        features = self.start(self.frontend(waveform))
        depths = []
        for number, layer in enumerate(self.layers):
            features = layer(features)
            if number in self.ends:
                depths.append(features.mean(dim=(2, 3)))
        embedding = self.head.pool(features)
        return torch.sigmoid(self.head.classify(embedding)), embedding, torch.cat(depths, dim=1)
