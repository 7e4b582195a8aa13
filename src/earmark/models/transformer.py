"""transformer: patches of the spectrogram that look at one another, as in AST, but small enough for few clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.config import require
from earmark.models.layers import MelNorm, TransformerBlock, positions

PATCH_MELS = 16


class Transformer(nn.Module):
    """Patches of 16 mel bands, overlapping by half in time, are the steps of a sequence for transformer blocks.

    Where a patch stands in frequency is learnt, where in time told by sines: any length is heard.

    Args:
        n_mels: height of the spectrogram. n_channels: its channels.
        width: features of a patch; a multiple of n_heads, and even.
        n_layers: transformer blocks.
        n_heads: ways of looking at other patches in each.
        patch_frames: frames of a patch; even.
        block_dropout: in the blocks.
        dropout: before the last layer of the head.

    Raises:
        ConfigError: the width cannot be shared among the heads, or a patch has an odd number of frames.

    Source: Gong et al. 2021, arXiv 2104.01778 (AST), with the mean of the patches in place of summary tokens.

    >>> import torch
    >>> Transformer(64)(torch.zeros(2, 1, 64, 100)).shape
    torch.Size([2, 128, 4, 13])
    """

    def __init__(
        self,
        n_mels: int,
        n_channels: int = 1,
        *,
        width: int = 128,
        n_layers: int = 4,
        n_heads: int = 4,
        patch_frames: int = 16,
        block_dropout: float = 0.1,
        dropout: float = 0.2,
    ):
        super().__init__()
        whole = width % n_heads == 0 and width % 2 == 0
        require(whole, "model_options of transformer: width", width, f"an even multiple of n_heads = {n_heads}")
        frames = "model_options of transformer: patch_frames"
        require(patch_frames >= 2 and patch_frames % 2 == 0, frames, patch_frames, "an even number of frames")
        n_rows = -(-n_mels // PATCH_MELS)
        self.dropout = dropout
        self.n_features = width
        self.norm = MelNorm(n_mels, n_channels)
        self.patches = nn.Sequential(
            nn.ZeroPad2d((0, 0, 0, n_rows * PATCH_MELS - n_mels)),
            nn.Conv2d(
                n_channels,
                width,
                (PATCH_MELS, patch_frames),
                (PATCH_MELS, patch_frames // 2),
                padding=(0, patch_frames // 2),
            ),
        )
        self.row = nn.Parameter(0.02 * torch.randn(n_rows, 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, n_heads, dropout=block_dropout) for _ in range(n_layers)))
        self.last_norm = nn.LayerNorm(width)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Spectrogram (batch, n_channels, mels, frames) to features (batch, n_features, rows, frames')."""
        patches = self.patches(self.norm(spectrogram)).permute(0, 2, 3, 1)
        n_rows, n_steps, width = patches.shape[1:]
        patches = patches + self.row + positions(n_steps, width, patches.device)
        sequence = self.last_norm(self.blocks(patches.reshape(-1, n_rows * n_steps, width)))
        return sequence.reshape(-1, n_rows, n_steps, width).permute(0, 3, 1, 2)
