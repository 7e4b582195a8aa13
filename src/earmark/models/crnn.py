"""crnn: convolutions that keep the time axis, then a recurrent network over its steps."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import ConvNormReLU, MelNorm
from earmark.models.recurrence import AddedGRU


class CRNN(nn.Module):
    """A strided stem, convolutions pooled along mel alone, a bidirectional GRU over the steps of time.

    A step is four frames (40 ms by default). With its usual head, attention, the tagger file scores each step as well
    (`patch_scores`).

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        channels: of the stem, then of each convolution.
        n_hidden: units of the recurrent network, each way; both ways are added.
        n_layers: of the recurrent network.
        dropout: before the last layer of the head.

    Raises:
        ConfigError: the recurrent network has no layer.

    Source: Çakır et al. 2017, arXiv 1702.06286.

    >>> import torch
    >>> CRNN(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 128, 1, 25])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 128),
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout: float = 0.2,
    ):
        super().__init__()
        require(n_layers >= 1, "model_options of crnn: n_layers", n_layers, "1 or more")
        self.dropout = dropout
        self.n_features = n_hidden
        self.norm = MelNorm(n_mels, n_channels)
        self.stem = ConvNormReLU(n_channels, channels[0], (3, 5), (2, 4))
        self.blocks = nn.Sequential()
        height = (n_mels + 1) // 2
        for n_in, n_out in zip(channels, channels[1:], strict=False):
            pool = nn.MaxPool2d((2, 1), ceil_mode=True)
            self.blocks.append(nn.Sequential(ConvNormReLU(n_in, n_out), pool))
            height = (height + 1) // 2
        self.recurrent = AddedGRU(channels[-1] * height, n_hidden, n_layers)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, 1, frames / 4)."""
        features = self.blocks(self.stem(self.norm(spectrogram)))
        return self.recurrent(features.flatten(1, 2).transpose(1, 2)).transpose(1, 2)[:, :, None]
