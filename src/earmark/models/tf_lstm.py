"""tf_lstm: recurrence over frequency within each moment, then over time."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.layers import MelNorm
from earmark.models.recurrence import BothWaysLSTM

CHUNK_MELS = 8


class TFLSTM(nn.Module):
    """One LSTM goes up and down the mel bands, chunk by chunk; what it holds at each chunk goes to LSTMs over time.

    Chunks overlap by half and share all weights, so that a pattern is known again at another pitch.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: units of each direction over time.
        chunk_width: numbers that stand for a chunk, and units of each direction over frequency.
        n_layers: recurrent layers over time.
        step_frames: frames to a step.
        dropout: before the last layer of the head.

    Source: Li et al. 2015, LSTM time and frequency recurrence for automatic speech recognition, Proc. ASRU; here both
        ways, several frames a step, and the chunks first mixed by one convolution.

    >>> import torch
    >>> TFLSTM(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 256, 1, 26])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        width: int = 128,
        chunk_width: int = 24,
        n_layers: int = 2,
        step_frames: int = 4,
        dropout: float = 0.2,
    ):
        super().__init__()
        kernel, stride = (CHUNK_MELS, step_frames), (CHUNK_MELS // 2, step_frames)
        padding = (CHUNK_MELS // 2, step_frames // 2)
        n_chunks = n_mels // stride[0] + 1
        self.dropout = dropout
        self.n_features = 2 * width
        self.norm = MelNorm(n_mels, n_channels)
        self.chunks = nn.Sequential(
            nn.Conv2d(n_channels, chunk_width, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(chunk_width),
            nn.ReLU(inplace=True),
        )
        self.over_mel = BothWaysLSTM(chunk_width, chunk_width)
        self.over_time = nn.ModuleList(
            BothWaysLSTM(2 * width if number else n_chunks * 2 * chunk_width, width)
            for number in range(n_layers)
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, 1, steps)."""
        chunks = self.chunks(self.norm(spectrogram))
        n_channels, n_chunks, n_steps = chunks.shape[1:]
        moments = chunks.permute(0, 3, 2, 1).reshape(-1, n_chunks, n_channels)
        sequence = self.over_mel(moments).reshape(-1, n_steps, n_chunks * 2 * n_channels)
        for layer in self.over_time:
            sequence = layer(sequence)
        return sequence.transpose(1, 2)[:, :, None]
