"""What happens to a training batch, in order. Only the training step holds one of these; scoring cannot reach it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from earmark.augment.borrowed import Borrowed
from earmark.augment.damage import Codec, Cutout, Dropouts, Overdrive
from earmark.augment.filters import Filter, Peaks
from earmark.augment.mixing import LABELS, Mixing
from earmark.augment.noise import Background, Noise
from earmark.augment.resampling import Speed
from earmark.augment.room import Reverb
from earmark.augment.spectrogram import Crop, Equalise, Mask, Warp
from earmark.augment.waveform import Gain, Polarity, Roll, Sometimes
from earmark.config import require

AUGMENTATIONS = {
    "roll": "earmark.augment.waveform:Roll",
    "audiomentations": "earmark.augment.borrowed:Borrowed",
    "speed": "earmark.augment.resampling:Speed",
    "polarity": "earmark.augment.waveform:Polarity",
    "overdrive": "earmark.augment.damage:Overdrive",
    "reverb": "earmark.augment.room:Reverb",
    "background": "earmark.augment.noise:Background",
    "noise": "earmark.augment.noise:Noise",
    "filter": "earmark.augment.filters:Filter",
    "peaks": "earmark.augment.filters:Peaks",
    "gain": "earmark.augment.waveform:Gain",
    "codec": "earmark.augment.damage:Codec",
    "dropouts": "earmark.augment.damage:Dropouts",
    "cutout": "earmark.augment.damage:Cutout",
    "mixing": "earmark.augment.mixing:Mixing",
    "crop": "earmark.augment.spectrogram:Crop",
    "warp": "earmark.augment.spectrogram:Warp",
    "equalise": "earmark.augment.spectrogram:Equalise",
    "mask": "earmark.augment.spectrogram:Mask",
}
TRAINING_PADDINGS = ("", "zeros", "repeat", "offset", "wrap")
SHARES = (
    *("polarity", "noise", "background", "filter", "peaks", "speed", "reverb"),
    *("overdrive", "codec", "dropouts", "cutout"),
)
MIX_PROBABILITIES = {
    name: f"{name}_probability" for name in ("mixup", "bc", "crossfade", "timemix", "freqmix", "cutmix")
}


@dataclass(frozen=True)
class AugmentConfig:
    """How much of each augmentation; 0 (or false) leaves it out.

    roll: shift windows in time, wrapping round.
    gain_db: largest change of level, in dB.
    mixup_alpha: of the Beta distribution that shares are drawn from.
    mixup_probability: share of the clips that are mixed by mixup.
    warp_time, warp_mel: largest stretch, as the logarithm of the factor.
    warp_shift: largest shift along mel, as a share of the axis.
    equalise_db: largest boost or cut of a random equaliser, in dB.
    mask_mel, mask_time: widest SpecAugment mask, as a share of the axis.
    off_for_last: epochs at the end without any augmentation.
    padding: of clips that are too short in training: "zeros" or "repeat" like window.padding, "offset" = silence
        before and after the sound, "wrap" = said again from a random point; empty = as window.padding.
    trim_db: silence at a clip's ends, further below its loudest 20 ms than this, is not trained on; 0 = it is.
    polarity, noise, background, filter, peaks, speed, reverb, overdrive, codec, dropouts, cutout: share of the clips
        that each of them changes. background is what is heard in training clips without a label, if there are any.
    snr_db: lowest and highest level of the sound above noise or background, in dB.
    speed_range: largest change of the speed, as a share.
    reverb_seconds: shortest and longest time in which echoes fall by 60 dB.
    bc_probability, crossfade_probability, timemix_probability, freqmix_probability, cutmix_probability: share of the
        clips that are mixed in each of these ways; with mixup_probability at most 1 in all.
    mixup_share: how much of a mixed clip is its own, the same for all; 0 = drawn.
    mix_labels: "share" = labels in the share of their sound, "either" = what one of the two has is there.
    mix_epochs: epochs at the beginning in which clips are mixed; 0 = all.
    crop: largest share that is cut off each axis of a spectrogram before it is stretched again.
    masks: SpecAugment masks along each axis.
    audiomentations: names of that package's transforms, one of which changes a clip; none = it is not needed.
    audiomentations_share: share of the clips that they change.
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
    padding: str = ""
    trim_db: float = 0.0
    polarity: float = 0.0
    noise: float = 0.0
    background: float = 0.0
    filter: float = 0.0
    peaks: float = 0.0
    speed: float = 0.0
    reverb: float = 0.0
    overdrive: float = 0.0
    codec: float = 0.0
    dropouts: float = 0.0
    cutout: float = 0.0
    snr_db: tuple[float, float] = (5.0, 30.0)
    speed_range: float = 0.1
    reverb_seconds: tuple[float, float] = (0.1, 1.0)
    bc_probability: float = 0.0
    crossfade_probability: float = 0.0
    timemix_probability: float = 0.0
    freqmix_probability: float = 0.0
    cutmix_probability: float = 0.0
    mixup_share: float = 0.0
    mix_labels: str = "share"
    mix_epochs: int = 0
    crop: float = 0.0
    masks: int = 1
    audiomentations: tuple[str, ...] = ()
    audiomentations_share: float = 0.5

    def __post_init__(self):
        probabilities = MIX_PROBABILITIES.values()
        for name in ("warp_shift", "mask_mel", "mask_time", "audiomentations_share", *SHARES, *probabilities):
            require(0 <= getattr(self, name) <= 1, f"augment.{name}", getattr(self, name), "0 to 1")
        for name in ("gain_db", "equalise_db"):
            require(0 <= getattr(self, name) <= 60, f"augment.{name}", getattr(self, name), "0 to 60 dB")
        for name in ("warp_time", "warp_mel", "mixup_alpha"):
            require(0 <= getattr(self, name) <= 2, f"augment.{name}", getattr(self, name), "0 to 2")
        for name in ("off_for_last", "mix_epochs"):
            require(getattr(self, name) >= 0, f"augment.{name}", getattr(self, name), "0 or more epochs")
        for name, known in (("padding", TRAINING_PADDINGS), ("mix_labels", LABELS)):
            value = getattr(self, name)
            require(value in known, f"augment.{name}", f"'{value}'", " or ".join(word for word in known if word))
        for name, lowest, highest in (("snr_db", -60, 100), ("reverb_seconds", 0.01, 10)):
            require(
                len(value := getattr(self, name)) == 2 and lowest <= value[0] <= value[1] <= highest,
                f"augment.{name}",
                list(value),
                f"two numbers from {lowest} to {highest}, the lower first",
            )
        for name, highest in (("speed_range", 0.5), ("mixup_share", 0.99), ("crop", 0.9)):
            require(0 <= getattr(self, name) <= highest, f"augment.{name}", getattr(self, name), f"0 to {highest}")
        require(0 <= self.trim_db <= 120, "augment.trim_db", self.trim_db, "0 to 120 dB")
        require(1 <= self.masks <= 10, "augment.masks", self.masks, "1 to 10")
        in_all = sum(getattr(self, name) for name in probabilities)
        drawn = self.mixup_alpha or self.mixup_share
        require(not in_all or drawn, "augment.mixup_alpha", 0, "above 0, or a mixup_share, where clips are mixed")
        require(in_all <= 1 + 1e-9, f"augment: {', '.join(probabilities)}", f"{in_all:g} in all", "at most 1 in all")


class Augmentation(nn.Module):
    """The configured augmentations: `waveform` before the front end, `spectrogram` after it; idle in evaluation.

    Args:
        sample_rate: of the waveforms, Hz.
        backgrounds: float32 (windows, samples) of training clips that hold none of the classes; None without any.
    """

    def __init__(self, config: AugmentConfig, sample_rate: int = 16_000, backgrounds: Tensor | None = None):
        super().__init__()
        self.config = config
        self.on_waveform = nn.ModuleDict(_on_waveform(config, sample_rate, backgrounds))
        probabilities = {name: getattr(config, field) for name, field in MIX_PROBABILITIES.items()}
        mixed = {name: value for name, value in probabilities.items() if value}
        how = {"alpha": config.mixup_alpha, "share": config.mixup_share, "labels": config.mix_labels}
        draws = config.mixup_alpha or config.mixup_share
        self.mixing = Mixing(mixed, **how, sample_rate=sample_rate) if mixed and draws else None
        self.on_spectrogram = nn.ModuleDict(_on_spectrogram(config))

    def waveform(
        self, waveform: Tensor, targets: Tensor, weights: Tensor, generator: Generator, epoch: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform (batch, samples), targets and weights (batch, classes), each clip changed alone and then mixed."""
        for augmentation in self.on_waveform.values():
            waveform = augmentation(waveform, generator)
        if self.mixing is None or 0 < self.config.mix_epochs <= epoch:
            return waveform, targets, weights
        return self.mixing(waveform, targets, weights, generator)

    def spectrogram(self, spectrogram: Tensor, generator: Generator) -> Tensor:
        """Spectrogram (batch, 1, mels, frames), in dB."""
        for augmentation in self.on_spectrogram.values():
            spectrogram = augmentation(spectrogram, generator)
        return spectrogram


def _on_waveform(config: AugmentConfig, sample_rate: int, backgrounds: Tensor | None) -> dict[str, nn.Module]:
    """What changes a clip alone, in the order in which a sound meets it: source, room, microphone, transmission."""
    heard = config.background and backgrounds is not None
    others = config.audiomentations_share and config.audiomentations
    steps = {
        "roll": config.roll and Roll(),
        "audiomentations": others and Sometimes(Borrowed(others, sample_rate), config.audiomentations_share),
        "speed": config.speed and Sometimes(Speed(config.speed_range), config.speed),
        "polarity": config.polarity and Sometimes(Polarity(), config.polarity),
        "overdrive": config.overdrive and Sometimes(Overdrive(), config.overdrive),
        "reverb": config.reverb and Sometimes(Reverb(sample_rate, config.reverb_seconds), config.reverb),
        "background": heard and Sometimes(Background(backgrounds, config.snr_db), config.background),
        "noise": config.noise and Sometimes(Noise(sample_rate, config.snr_db), config.noise),
        "filter": config.filter and Sometimes(Filter(sample_rate), config.filter),
        "peaks": config.peaks and Sometimes(Peaks(sample_rate), config.peaks),
        "gain": config.gain_db and Gain(config.gain_db),
        "codec": config.codec and Sometimes(Codec(sample_rate), config.codec),
        "dropouts": config.dropouts and Sometimes(Dropouts(sample_rate), config.dropouts),
        "cutout": config.cutout and Sometimes(Cutout(), config.cutout),
    }
    return {name: step for name, step in steps.items() if step}


def _on_spectrogram(config: AugmentConfig) -> dict[str, nn.Module]:
    """What changes a clip's spectrogram."""
    warps = config.warp_time or config.warp_mel or config.warp_shift
    masks = config.mask_mel or config.mask_time
    steps = {
        "crop": config.crop and Crop(config.crop),
        "warp": warps and Warp(config.warp_time, config.warp_mel, config.warp_shift),
        "equalise": config.equalise_db and Equalise(config.equalise_db),
        "mask": masks and Mask(config.mask_mel, config.mask_time, config.masks),
    }
    return {name: step for name, step in steps.items() if step}
