"""aux_cnn: a network that is asked on its way too, in the shape of the winner of Freesound Audio Tagging 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.config import require
from earmark.models.axis_pooling import AxisPool
from earmark.models.layers import ConvNormReLU, MelNorm, SqueezeExcitation

BLOCK_CHANNELS = (64, 128, 256, 512)
SQUEEZING = 16  # channels to one unit of the attention's middle layer


class AuxCNN(nn.Module):
    """Four blocks of two convolutions; what each gives is joined at the end, weighed and mixed. Time and mel / 8.

    In training a head stands on each of the three skips as well (`TaggingNet.auxiliary`), so that lower blocks hear the
    labels directly; these heads are not in the tagger file.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: multiplies all channels; 1.0 has about 6.5 million weights.
        dropout: before the last layer of the heads.

    Raises:
        ConfigError: the width is out of range.

    skip_widths: channels of the skips, from the lowest block up. skip_weights: of their losses; the head's is 1.

    Source: the published description of the system; Lee et al. 2015, arXiv 1409.5185 (heads on the way); Woo et al.
        2018, arXiv 1807.06521 (attention to channels, then to places; here the channels are summed up by their mean
        alone).

    >>> AuxCNN(64, width=0.25)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 128, 8, 13])
    """

    skip_weights = (0.1, 0.2, 0.4)

    def __init__(self, n_mels: int, n_channels: int = 1, *, width: float = 1.0, dropout: float = 0.2):
        super().__init__()
        require(0.1 <= width <= 4, "model_options of aux_cnn: width", width, "0.1 to 4")
        self.dropout = dropout
        channels = [round(width * n_block) for n_block in BLOCK_CHANNELS]
        self.n_features = n_last = channels[-1]
        self.skip_widths = (n_last,) * len(self.skip_weights)
        self.norm = MelNorm(n_mels, n_channels)
        self.blocks = nn.ModuleList()
        for n_in, n_out in zip((n_channels, *channels), channels, strict=False):
            layers = [ConvNormReLU(n_in, n_out), ConvNormReLU(n_out, n_out)]
            if len(self.blocks) < len(channels) - 1:
                layers.append(AxisPool("average", n_out, stride=2))
            self.blocks.append(nn.Sequential(*layers))
        self.skips = nn.ModuleList(
            nn.Sequential(
                *(AxisPool("average", n_out, stride=2) for _ in range(len(channels) - 2 - place)),
                ConvNormReLU(n_out, n_last, (1, 1)),
            )
            for place, n_out in enumerate(channels[:-1])
        )
        n_joined = len(channels) * n_last
        self.merge = nn.Sequential(
            SqueezeExcitation(n_joined, max(1, n_joined // SQUEEZING)),
            PlaceAttention(),
            ConvNormReLU(n_joined, n_last, (1, 1)),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels / 8, frames / 8)."""
        return self.with_skips(spectrogram)[0]

    def with_skips(self, spectrogram: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The features, and what the skips carry: maps of the same height and length, from the lowest block up."""
        passed = [self.norm(spectrogram)]
        for block in self.blocks:
            passed.append(block(passed[-1]))
        skips = [skip(features) for skip, features in zip(self.skips, passed[1:-1], strict=True)]
        return self.merge(torch.cat([passed[-1], *skips], dim=1)), skips


class PlaceAttention(nn.Module):
    """Weigh the places of a map by the mean and the maximum of their channels and of those around them."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, mels, frames), same shape out."""
        summary = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.look(summary))
