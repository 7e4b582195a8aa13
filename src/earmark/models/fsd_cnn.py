"""fsd_cnn: the networks of the FSD system, which came second in Freesound Audio Tagging 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.config import require
from earmark.models.axis_pooling import AxisPool
from earmark.models.layers import ConvNormReLU, MelNorm, SqueezeExcitation

STEM_CHANNELS = 64
BLOCK_CHANNELS = (96, 128, 256, 512)
SCALES = (3, 5, 7)  # kernels of the stems side by side …
SCALE_CHANNELS = 32  # … and the channels of each
MOMENTUM = 0.15
# Per variant: squeeze-and-excitation after every convolution; both convolutions of a block joined and mixed.
VARIANTS = {"conv": (False, False), "se": (True, False), "cat": (False, True), "se_cat": (True, True)}


class FSDCNN(nn.Module):
    """A stem, then four blocks of two 3×3 convolutions, pooled as time and mel differ. Time and mel / 8; 4.8
    million weights without the last layer. Made for the head pixel_shuffle and the branches steps and length.

    A block but the last ends with two pools, one over 3 by 3 that keeps the size, one that halves it.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        variant: "conv"; "se", squeeze-and-excitation after every convolution; "cat", a 1×1 convolution over both of a
            block's convolutions; "se_cat", both.
        width: multiplies all channels.
        multi_scale: three stems side by side, 3×3, 5×5 and 7×7, in place of one.
        coordinate: a further channel that says where on the mel axis a value stands, -1 to 1.
        first_pool, second_pool: of a block: max, average, conv (learnt), or avemax1 (average along time, then maximum
            along mel), avemax2 (average along mel, maximum along time), avemax3 (maximum along mel, average along
            time), avemax4 (maximum along time, average along mel).
        dropout: before the last layer of the head.

    Raises:
        ConfigError: there is no such variant or pool, or the width is out of range.

    Source: the published description of the system; how its two pools follow one another, and that channels are
        normalised before they are weighed, is our reading.

    >>> FSDCNN(64, width=0.25, variant="se_cat")(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 128, 8, 13])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        variant: str = "conv",
        width: float = 1.0,
        multi_scale: bool = False,
        coordinate: bool = False,
        first_pool: str = "max",
        second_pool: str = "avemax1",
        dropout: float = 0.2,
    ):
        super().__init__()
        require(variant in VARIANTS, "model_options of fsd_cnn: variant", f"'{variant}'", " or ".join(VARIANTS))
        require(0.1 <= width <= 4, "model_options of fsd_cnn: width", width, "0.1 to 4")
        self.dropout = dropout
        self.norm = MelNorm(n_mels, n_channels)
        self.coordinate = coordinate
        n_in = n_channels + coordinate
        if multi_scale:
            self.stem: nn.Module = MultiScaleStem(n_in, round(width * SCALE_CHANNELS))
            n_in = len(SCALES) * round(width * SCALE_CHANNELS)
        else:
            self.stem = ConvNormReLU(n_in, round(width * STEM_CHANNELS), momentum=MOMENTUM)
            n_in = round(width * STEM_CHANNELS)
        self.blocks = nn.Sequential()
        for n_block in BLOCK_CHANNELS:
            n_out = round(width * n_block)
            layers: list[nn.Module] = [Block(n_in, n_out, variant)]
            if n_block != BLOCK_CHANNELS[-1]:
                layers += [AxisPool(first_pool, n_out, stride=1), AxisPool(second_pool, n_out, stride=2)]
            self.blocks.append(nn.Sequential(*layers))
            n_in = n_out
        self.n_features = n_in

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, mels / 8, frames / 8)."""
        heard = self.norm(spectrogram)
        if self.coordinate:
            place = torch.linspace(-1, 1, heard.shape[2], device=heard.device, dtype=heard.dtype)
            heard = torch.cat([heard, place[:, None].expand_as(heard[:, :1])], dim=1)
        return self.blocks(self.stem(heard))


class MultiScaleStem(nn.Module):
    """Convolutions of several sizes side by side, then squeeze-and-excitation over all their channels."""

    def __init__(self, n_in: int, n_each: int):
        super().__init__()
        self.scales = nn.ModuleList(ConvNormReLU(n_in, n_each, (size, size), momentum=MOMENTUM) for size in SCALES)
        self.excitation = SqueezeExcitation(len(SCALES) * n_each)

    def forward(self, heard: Tensor) -> Tensor:
        """Heard (batch, n_in, mels, frames) to features (batch, scales · n_each, mels, frames)."""
        return self.excitation(torch.cat([scale(heard) for scale in self.scales], dim=1))


class Block(nn.Module):
    """Two convolutions, in some variants their channels weighed, in some both of them joined and mixed."""

    def __init__(self, n_in: int, n_out: int, variant: str):
        super().__init__()
        excited, self.joins = VARIANTS[variant]
        self.first, self.second = (
            nn.Sequential(
                ConvNormReLU(n_before, n_out, momentum=MOMENTUM),
                *([SqueezeExcitation(n_out)] if excited else []),
            )
            for n_before in (n_in, n_out)
        )
        if self.joins:
            self.mix = ConvNormReLU(2 * n_out, n_out, (1, 1), momentum=MOMENTUM)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, n_in, mels, frames) to (batch, n_out, mels, frames)."""
        first = self.first(features)
        second = self.second(first)
        return self.mix(torch.cat([first, second], dim=1)) if self.joins else second
