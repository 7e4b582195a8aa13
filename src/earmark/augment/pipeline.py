"""What happens to a training batch, in order. Only the training step holds one of these; scoring cannot reach it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from earmark.augment.mixing import Mixup
from earmark.augment.spectrogram import Equalise, Mask, Warp
from earmark.augment.waveform import Gain, Roll
from earmark.config import require

AUGMENTATIONS = {
    "roll": "earmark.augment.waveform:Roll",
    "gain": "earmark.augment.waveform:Gain",
    "mixup": "earmark.augment.mixing:Mixup",
    "warp": "earmark.augment.spectrogram:Warp",
    "equalise": "earmark.augment.spectrogram:Equalise",
    "mask": "earmark.augment.spectrogram:Mask",
}


@dataclass(frozen=True)
class AugmentConfig:
    """How much of each augmentation; 0 (or false) leaves it out.

    roll: shift windows in time, wrapping round.
    gain_db: largest change of level, in dB.
    mixup_alpha: of the Beta distribution that shares are drawn from.
    mixup_probability: share of the clips that are mixed.
    warp_time, warp_mel: largest stretch, as the logarithm of the factor.
    warp_shift: largest shift along mel, as a share of the axis.
    equalise_db: largest boost or cut of a random equaliser, in dB.
    mask_mel, mask_time: widest SpecAugment mask, as a share of the axis.
    off_for_last: epochs at the end without any augmentation.
    """

    roll: bool = True
    gain_db: float = 6.0
    mixup_alpha: float = 0.4
    mixup_probability: float = 0.0
    warp_time: float = 0.2
    warp_mel: float = 0.1
    warp_shift: float = 0.05
    equalise_db: float = 6.0
    mask_mel: float = 0.15
    mask_time: float = 0.15
    off_for_last: int = 0

    def __post_init__(self):
        for name in ("mixup_probability", "warp_shift", "mask_mel", "mask_time"):
            require(0 <= getattr(self, name) <= 1, f"augment.{name}", getattr(self, name), "0 to 1")
        for name in ("gain_db", "equalise_db"):
            require(0 <= getattr(self, name) <= 60, f"augment.{name}", getattr(self, name), "0 to 60 dB")
        for name in ("warp_time", "warp_mel", "mixup_alpha"):
            require(0 <= getattr(self, name) <= 2, f"augment.{name}", getattr(self, name), "0 to 2")
        require(self.off_for_last >= 0, "augment.off_for_last", self.off_for_last, "0 or more epochs")


class Augmentation(nn.Module):
    """The configured augmentations: `waveform` before the front end, `spectrogram` after it; idle in evaluation."""

    def __init__(self, config: AugmentConfig):
        super().__init__()
        self.config = config
        self.on_waveform = nn.ModuleList()
        self.on_spectrogram = nn.ModuleList()
        if config.roll:
            self.on_waveform.append(Roll())
        if config.gain_db:
            self.on_waveform.append(Gain(config.gain_db))
        mixes = config.mixup_alpha and config.mixup_probability
        self.mixup = Mixup(config.mixup_alpha, config.mixup_probability) if mixes else None
        if config.warp_time or config.warp_mel or config.warp_shift:
            self.on_spectrogram.append(Warp(config.warp_time, config.warp_mel, config.warp_shift))
        if config.equalise_db:
            self.on_spectrogram.append(Equalise(config.equalise_db))
        if config.mask_mel or config.mask_time:
            self.on_spectrogram.append(Mask(config.mask_mel, config.mask_time))

    def waveform(
        self, waveform: Tensor, targets: Tensor, weights: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform (batch, samples), targets and weights (batch, classes), each clip changed alone and then mixed."""
        for augmentation in self.on_waveform:
            waveform = augmentation(waveform, generator)
        return (waveform, targets, weights) if self.mixup is None else self.mixup(waveform, targets, weights, generator)

    def spectrogram(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), in dB."""
        for augmentation in self.on_spectrogram:
            spectrogram = augmentation(spectrogram, generator)
        return spectrogram
