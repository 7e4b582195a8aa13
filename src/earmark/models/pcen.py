"""Per-channel energy normalisation: each band over its own recent past, so that what is steady fades."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.models.frontend_config import FrontendConfig

BLOCK = 64  # frames that one matrix smooths


class PCEN(nn.Module):
    """Automatic gain for each band, then a root. Of a band's energy E, with the past M:

        M[t] = (1 - s) · M[t - 1] + s · E[t],   M[-1] = E[0]
        PCEN = (E / (amin + M) ** gain + bias) ** power - bias ** power

    The past is a matrix product over blocks of BLOCK frames, and one more over what each block hands on to those
    after it: a loop over frames would export to thousands of nodes. Where it learns, each band has settings of its
    own: those of the config times the exponential of `changes`, which start at 0.

    >>> steady = PCEN(FrontendConfig(compression="pcen"))(torch.ones(2, 64, 100))
    >>> steady.shape, round(steady.mean().item(), 4)  # whatever its level: (1 + 2) ** 0.5 - 2 ** 0.5
    (torch.Size([2, 64, 100]), 0.3178)

    Source: Wang et al. 2017, arXiv 1607.05666; equal to `librosa.pcen` with the past beginning at the first frame,
        see tests/models/test_frontend_options.py.
    """

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.floor = config.amin
        past_frames = config.pcen_seconds * config.sample_rate / config.hop_length
        settings = torch.tensor([config.pcen_gain, config.pcen_bias, config.pcen_power, past_frames])
        self.register_buffer("settings", settings[:, None], persistent=False)
        self.changes = nn.Parameter(torch.zeros(4, config.n_mels)) if "pcen" in config.learns else None

    def forward(self, bands: Tensor) -> Tensor:
        """Energies (batch, mels, frames), 0 or more, to the same shape; 0 in silence."""
        settings = self.settings if self.changes is None else self.settings * self.changes.exp()
        gain, bias, power, past_frames = settings[:, :, None]
        # Not divided by amin + past: the exporter drops a sum with 1e-8 or less.
        levelled = bands / (self.floor**gain * (1 + _past(bands, past_frames) / self.floor) ** gain)
        return (levelled + bias) ** power - bias**power


def _past(bands: Tensor, frames: Tensor) -> Tensor:
    """Exponential mean of each band's frames up to each, (batch, mels, frames).

    Args:
        frames: time constant, (mels, 1) or one for all, (1, 1).

    Source: the share s of a new frame is that of `librosa.pcen`.
    """
    batch, n_bands, n_frames = bands.shape
    n_blocks = (n_frames + BLOCK - 1) // BLOCK
    share = 2 / (1 + (1 + 4 * frames**2).sqrt())
    fading = torch.log1p(-share)  # of what is a frame older
    blocks = functional.pad(bands, (0, n_blocks * BLOCK - n_frames)).reshape(batch, n_bands, n_blocks, BLOCK)
    within = blocks @ (share[:, :, None] * _fading(BLOCK, fading))
    # Of the block before each; the first frame stands for all that was before it.
    ends = torch.cat([bands[..., :1], within[..., :-1, -1]], dim=2)
    before = (ends[:, :, None] @ _fading(n_blocks, BLOCK * fading)).transpose(2, 3)
    since = torch.arange(1, BLOCK + 1, device=bands.device) * fading
    return (within + before * since.exp()[:, None]).reshape(batch, n_bands, -1)[..., :n_frames]


def _fading(n: int, logarithm: Tensor) -> Tensor:
    """How much of step k is left at step t, (mels, k, t), 0 before it; `logarithm` (mels, 1) is that of one step."""
    steps = torch.arange(n, device=logarithm.device)
    age = steps - steps[:, None]
    return torch.where(age >= 0, (age.clamp(min=0) * logarithm[:, :, None]).exp(), 0.0)
