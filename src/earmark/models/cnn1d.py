"""cnn1d: one-dimensional convolutions over time, with the mel bands as channels."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import MelNorm


class CNN1D(nn.Module):
    """Blocks of two convolutions over time, each block but the last followed by a maximum over two steps.

    The first layer mixes all mel bands at once: cheap, but a sound that moves in pitch is a new one to it.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        channels: of each block.
        kernel: steps that a convolution sees; odd.
        dropout: before the last layer of the head.

    Source: Purwins et al. 2019, arXiv 1905.00078, section II-D.

    >>> import torch
    >>> CNN1D(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 256, 1, 13])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        channels: tuple[int, ...] = (128, 128, 192, 256),
        kernel: int = 5,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.dropout = dropout
        self.n_features = channels[-1]
        self.norm = MelNorm(n_mels, n_channels)
        self.blocks = nn.Sequential()
        n_in = n_channels * n_mels
        for number, n_out in enumerate(channels, start=1):
            layers = [*_convolution(n_in, n_out, kernel), *_convolution(n_out, n_out, kernel)]
            # In one dimension its export would be tied to one length.
            pool = [nn.MaxPool2d((1, 2), ceil_mode=True)] if number < len(channels) else []
            self.blocks.append(nn.Sequential(*layers, *pool))
            n_in = n_out

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, 1, frames')."""
        return self.blocks(self.norm(spectrogram).flatten(1, 2))[:, :, None]


def _convolution(n_in: int, n_out: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm1d(n_out), nn.ReLU(inplace=True)]
