"""wave_cnn: convolutions on the raw waveform, with a small transformer over time or as in EnvNet-v2."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import ConvNormReLU, TransformerBlock, positions

DESIGNS = ("eat", "envnet")
STRIDES = (4, 4, 4)  # after the stem's 4: 256 samples a step
LATER_STRIDES = (2, 2)  # each after residual blocks of all dilations
DILATIONS = (1, 3, 9)
KERNEL = 15  # of the filters in residual blocks
SLOPE = 0.2  # of the activation below zero
N_HEADS = 8


class WaveCNN(nn.Module):
    """The waveform goes in as it is; the network finds its own spectrogram, and wants more clips for it.

    Args:
        design: "eat" = strided and residual convolutions over time, then transformer blocks over what they give, 1024
            samples a step; "envnet" = two filter banks, then convolutions over their picture of time and filter.
        width: channels of the first layer; the others grow with it.
        n_layers: transformer blocks of "eat".
        dropout: before the last layer of the head.

    Raises:
        ConfigError: there is no such design.

    Source: "eat" after Gazneli et al. 2022, arXiv 2204.11479, with the strides in the convolutions, where they cost a
        quarter, and positions told by sines, for any length. "envnet" after Tokozume et al. 2018, arXiv 1711.10282
        (EnvNet-v2, which is width 32), padded and so with odd kernels, normalised, with the head of all families in
        place of its three dense layers.

    >>> import torch
    >>> WaveCNN()(torch.zeros(2, 1, 1, 32000)).shape
    torch.Size([2, 128, 1, 32])
    """

    hears_waveform = True

    def __init__(self, *, design: str = "eat", width: int = 16, n_layers: int = 2, dropout: float = 0.2):
        super().__init__()
        require(design in DESIGNS, "model_options of wave_cnn: design", f"'{design}'", " or ".join(DESIGNS))
        self.dropout = dropout
        self.n_features = 8 * width
        self.layers = ResidualWave(width, n_layers) if design == "eat" else FilterPicture(width)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 1, 1, samples) to features (batch, n_features, rows, steps)."""
        return self.layers(waveform[:, 0])


class ResidualWave(nn.Module):
    """Strided convolutions, residual blocks between them, then transformer blocks over 8 · width features a step."""

    def __init__(self, width: int, n_layers: int):
        super().__init__()
        n_features = 8 * width
        stages = [nn.Sequential(*_convolution(1, width, KERNEL, 4))]
        n_in = width
        for number, stride in enumerate(STRIDES):
            stages.append(nn.Sequential(*_convolution(n_in, 2 * n_in, 2 * stride + 1, stride)))
            n_in *= 2
            if number % 2 == 0:
                stages.append(ResidualFilter(n_in, 1))
        for stride in LATER_STRIDES:
            stages += [ResidualFilter(n_in, dilation) for dilation in DILATIONS]
            stages.append(nn.Sequential(*_convolution(n_in, 2 * n_in, 2 * stride + 1, stride)))
            n_in *= 2
        self.stages = nn.Sequential(*stages, nn.Conv1d(n_in, n_features, 1))
        self.blocks = nn.Sequential(*(TransformerBlock(n_features, N_HEADS, dropout=0.1) for _ in range(n_layers)))
        self.last_norm = nn.LayerNorm(n_features)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 1, samples) to features (batch, features, 1, steps)."""
        sequence = self.stages(waveform).transpose(1, 2)
        sequence = sequence + positions(sequence.shape[1], sequence.shape[2], sequence.device)
        return self.last_norm(self.blocks(sequence)).transpose(1, 2)[:, :, None]


class ResidualFilter(nn.Module):
    """Filter each channel by itself, spread out by `dilation`, and mix the channels; both added to what came in."""

    def __init__(self, n_channels: int, dilation: int):
        super().__init__()
        self.filter = nn.Sequential(*_convolution(n_channels, n_channels, KERNEL, 1, dilation, n_channels))
        self.mix = nn.Sequential(*_convolution(n_channels, n_channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, channels, steps), same shape out."""
        return features + self.filter(features) + self.mix(features)


class FilterPicture(nn.Module):
    """Two strided filter banks and a maximum over 64 steps make a picture of filters over time; convolutions see it."""

    def __init__(self, width: int):
        super().__init__()
        half, full = width, 2 * width
        self.filters = nn.Sequential(
            nn.Sequential(nn.Conv1d(1, half, 64, 2, 32, bias=False), nn.BatchNorm1d(half), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv1d(half, full, 16, 2, 8, bias=False), nn.BatchNorm1d(full), nn.ReLU(inplace=True)),
            nn.MaxPool2d((1, 64), ceil_mode=True),  # in one dimension its export would be tied to one length
        )
        self.picture = nn.Sequential(
            nn.Sequential(ConvNormReLU(1, width, (9, 9)), ConvNormReLU(width, width, (9, 9))),
            nn.MaxPool2d((5, 3), ceil_mode=True),
        )
        n_in = width
        for n_out in (2 * width, 4 * width, 8 * width):
            kernel = (1, 3)
            self.picture.append(nn.Sequential(ConvNormReLU(n_in, n_out, kernel), ConvNormReLU(n_out, n_out, kernel)))
            self.picture.append(nn.MaxPool2d((1, 2), ceil_mode=True))
            n_in = n_out

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 1, samples) to features (batch, features, rows, steps)."""
        return self.picture(self.filters(waveform)[:, None])


def _convolution(
    n_in: int, n_out: int, kernel: int, stride: int, dilation: int = 1, groups: int = 1
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv1d(n_in, n_out, kernel, stride, padding, dilation, groups, bias=False)
    return [convolution, nn.BatchNorm1d(n_out), nn.LeakyReLU(SLOPE, inplace=True)]
