"""Mixing clips of a batch with one another, sound and labels alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn

from earmark.augment.draws import beta, uniform
from earmark.augment.filters import filtered, frequencies
from earmark.augment.spectrogram import span
from earmark.lookup import lookup

# Ways to mix: (own, other, share, generator, sample_rate) → mixed, waveforms (clips, samples); share (clips,) in [0, 1]
# is how much of the mixture is the clip's own.
MIXES = {
    "mixup": "earmark.augment.mixing:mixup",
    "bc": "earmark.augment.mixing:mix_by_level",
    "crossfade": "earmark.augment.mixing:crossfade",
    "timemix": "earmark.augment.mixing:timemix",
    "freqmix": "earmark.augment.mixing:freqmix",
    "cutmix": "earmark.augment.mixing:cutmix",
}
LABELS = ("share", "either")
ALWAYS_EITHER = ("crossfade",)  # both are heard whole, one after the other
EITHER_SHARES = (0.3, 0.7)  # of a clip that is hardly there the label may not be said in full
LEVEL_SECONDS = 0.1
FADES = (0.01, 0.1)  # steepest and flattest, as shares of the window

Mix = Callable[[Tensor, Tensor, Tensor, Generator, int], Tensor]


class Mixing(nn.Module):
    """Mix some clips with another of the batch, each in one way that is drawn for it, and their labels alike.

    Args:
        probabilities: of each way to mix, by its name in MIXES; the rest of the clips is left alone.
        alpha: how much of a clip is its own is drawn from Beta(alpha, alpha); small = mostly one of the two.
        share: how much of a clip is its own, the same for all; 0 = drawn.
        labels: "share" = each clip's labels in the share of its sound; "either" = whatever one of the two has is
            there, and shares are drawn from 0.3 to 0.7.
        sample_rate: Hz.
    """

    def __init__(
        self,
        probabilities: Mapping[str, float],
        *,
        alpha: float = 0.4,
        share: float = 0.0,
        labels: str = "share",
        sample_rate: int = 16_000,
    ):
        super().__init__()
        self.ways: list[Mix] = [lookup(MIXES, name, "way to mix") for name in probabilities]
        self.either = torch.tensor([labels == "either" or name in ALWAYS_EITHER for name in probabilities] + [False])
        self.edges = torch.tensor(list(probabilities.values())).cumsum(dim=0)
        self.alpha = alpha
        self.share = share
        self.sample_rate = sample_rate

    def forward(
        self, waveform: Tensor, targets: Tensor, weights: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform (batch, samples), targets and weights (batch, classes), unchanged in evaluation mode."""
        if not self.training:
            return waveform, targets, weights
        batch, device = len(waveform), waveform.device
        partner = torch.randperm(batch, generator=generator)
        share = torch.full((batch,), self.share) if self.share else beta(batch, self.alpha, generator).float()
        way = torch.bucketize(uniform(batch, 0.0, 1.0, generator), self.edges, right=True)
        either = self.either[way]
        if not self.share:
            low, high = EITHER_SHARES
            share = torch.where(either, low + (high - low) * share, share)
        mixed = waveform.clone()
        for number, mix in enumerate(self.ways):
            rows = torch.nonzero(way == number)[:, 0]
            if len(rows):
                own, other = waveform[rows.to(device)], waveform[partner[rows].to(device)]
                mixed[rows.to(device)] = mix(own, other, share[rows].to(device), generator, self.sample_rate)
        share = torch.where(way < len(self.ways), share, torch.ones(())).to(device)
        partner, either = partner.to(device), either.to(device)[:, None]
        by_share = mix_labels(targets, weights, partner, share)
        in_full = join_labels(targets, weights, partner, share)
        joined = (torch.where(either, full, part) for full, part in zip(in_full, by_share, strict=True))
        return mixed, *joined


def mix_labels(targets: Tensor, weights: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Targets and weights (batch, classes) of mixtures: each clip's at its share of the sound.

    A label that only one of the two knows keeps that one's target, at its share of the weight. So binary cross-entropy
    of the mixture is the mixture of both clips' own losses. To keep only what both know would leave almost nothing
    where each clip knows few labels; the price is that an "absent" may be said, in its share, of a sound that the
    other clip holds unlabelled.

    Args:
        partner: (batch,) positions in the batch.
        share: (batch,) in [0, 1], of the clip itself.
    """
    own = share[:, None]
    weight = own * weights + (1 - own) * weights[partner]
    total = own * (weights * targets) + (1 - own) * (weights * targets)[partner]
    return total / torch.where(weight > 0, weight, torch.ones_like(weight)), weight


def join_labels(targets: Tensor, weights: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Targets and weights (batch, classes) of mixtures in which both are heard in full: what one of them has is there.

    Where one clip does not know a label, that it is there is known if the other has it, and else nothing is; of a soft
    target that is the target's share of the weight. The mixture weighs as much as both clips in their shares.

    Args:
        partner, share: as for `mix_labels`.
    """
    own = share[:, None]
    clip_weight = weights.amax(dim=1, keepdim=True)
    clip_weight = own * clip_weight + (1 - own) * clip_weight[partner]
    known, other_known = weights > 0, weights[partner] > 0
    there, other_there = known * targets, other_known * targets[partner]
    both = known & other_known
    target = torch.where(both, 1 - (1 - there) * (1 - other_there), (known | other_known).to(targets.dtype))
    return target, clip_weight * torch.where(both, torch.ones_like(target), there + other_there)


def mixup(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """share · own + (1 − share) · other.

    Source: Zhang et al. 2018, arXiv 1710.09412.
    """
    return share[:, None] * own + (1 - share[:, None]) * other


def mix_by_level(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """Both so that the levels that are heard are in the ratio of the shares, whatever the levels were; equal levels,
    equal shares, as in mixup. The mixture of two unrelated sounds of one level has that level.

    A level is that of the loudest tenth of a second; unlike the original's it is not A-weighted.

    Source: Between-class learning, Tokozume et al. 2018, arXiv 1711.10282, equation 2.
    """
    louder = loudest(own, sample_rate) / loudest(other, sample_rate)
    share = share[:, None].clamp(1e-4, 1 - 1e-4)
    part = 1 / (1 + louder * (1 - share) / share)
    return (part * own + (1 - part) * other) / (part.square() + (1 - part).square()).sqrt()


def loudest(waveform: Tensor, sample_rate: int) -> Tensor:
    """Root mean square (batch, 1) of each clip's loudest tenth of a second, never quite 0."""
    n_samples = min(waveform.shape[1], max(1, round(LEVEL_SECONDS * sample_rate)))
    whole = waveform[:, : waveform.shape[1] // n_samples * n_samples]
    power = whole.view(len(waveform), -1, n_samples).square().mean(dim=2)
    return power.amax(dim=1, keepdim=True).sqrt().clamp(min=1e-8)


def crossfade(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """The clip until its share of the window is over, then the other, from one to the other along a sigmoid."""
    width = uniform(len(own), *FADES, generator).to(own.device)
    time = torch.linspace(0, 1, own.shape[1], device=own.device)
    return torch.lerp(other, own, torch.sigmoid((share[:, None] - time) / width[:, None]))


def timemix(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """The clip, but for a stretch of time in which the other is heard.

    Source: Gazneli et al. 2022, arXiv 2204.11479, for this and `freqmix`.
    """
    start = uniform(len(own), 0.0, 1.0, generator).to(own.device) * share
    return splice(own, other - own, start, 1 - share)


def freqmix(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """The clip, but for a band of the mel axis in which the other is heard."""
    low = uniform(len(own), 0.0, 1.0, generator).to(own.device) * share
    return own + mel_band(other - own, low, 1 - share, sample_rate)


def cutmix(own: Tensor, other: Tensor, share: Tensor, generator: Generator, sample_rate: int) -> Tensor:
    """The clip, but for a rectangle of time and mel, its sides equal shares of the axes, in which the other is heard.

    Source: Yun et al. 2019, arXiv 1905.04899.
    """
    side = (1 - share).sqrt()
    start, low = (uniform(len(own), 0.0, 1.0, generator).to(own.device) * (1 - side) for _ in range(2))
    return splice(own, mel_band(other - own, low, side, sample_rate), start, side)


def splice(own: Tensor, difference: Tensor, start: Tensor, width: Tensor) -> Tensor:
    """own + difference in [start, start + width) of the time, (clips,) as shares of the window; own alone elsewhere."""
    return torch.where(span(own.shape[1], start.cpu(), width.cpu()).to(own.device), own + difference, own)


def mel_band(waveform: Tensor, low: Tensor, height: Tensor, sample_rate: int) -> Tensor:
    """What of the waveform (clips, samples) lies in [low, low + height) of the mel axis, (clips,) as shares of it."""
    mel = torch.log1p(frequencies(waveform, sample_rate) / 700)
    place = (mel / mel[-1].clamp(min=1e-6))[None]
    inside = (place >= low[:, None]) & (place < (low + height)[:, None] + 1e-6)
    return filtered(waveform, inside.to(waveform.dtype))
