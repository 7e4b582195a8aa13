"""rnn: a recurrent network over time on the log-mel spectrogram."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import MelNorm
from earmark.models.recurrence import BothWaysGRU


class RNN(nn.Module):
    """A few frames at a time are mixed to one step; layers of gated recurrent units go over the steps both ways.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: units of each direction.
        n_layers: recurrent layers.
        step_frames: frames to a step; a recurrence is as slow as it is long.
        dropout: before the last layer of the head.

    Raises:
        ConfigError: there is no layer.

    Source: Purwins et al. 2019, arXiv 1905.00078, section II-D.

    >>> import torch
    >>> RNN(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 256, 1, 26])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        width: int = 128,
        n_layers: int = 2,
        step_frames: int = 4,
        dropout: float = 0.2,
    ):
        super().__init__()
        require(n_layers >= 1, "model_options of rnn: n_layers", n_layers, "1 or more")
        self.dropout = dropout
        self.n_features = 2 * width
        self.norm = MelNorm(n_mels, n_channels)
        self.steps = nn.Sequential(
            nn.Conv1d(n_channels * n_mels, width, step_frames, step_frames, padding=step_frames // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        )
        self.layers = nn.ModuleList(
            BothWaysGRU(2 * width if number else width, width) for number in range(n_layers)
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, 1, steps)."""
        sequence = self.steps(self.norm(spectrogram).flatten(1, 2)).transpose(1, 2)
        for layer in self.layers:
            sequence = layer(sequence)
        return sequence.transpose(1, 2)[:, :, None]
