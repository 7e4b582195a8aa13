"""The story of `earmark augment preview`: what training does to a few clips, to hear and to see."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from earmark.audio.cache import Cache
from earmark.augment.mixing import ALWAYS_EITHER, MIXES, join_labels, mix_labels
from earmark.augment.pipeline import MIX_PROBABILITIES, SHARES, Augmentation, AugmentConfig
from earmark.augment.waveform import Sometimes
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.errors import ManifestError
from earmark.flows.prepare import survey
from earmark.flows.reading import Failures, read_rows
from earmark.flows.run_config import DataConfig, RunConfig, resolve
from earmark.lookup import lookup
from earmark.models.frontend import LogMel
from earmark.report.augment_page import Changed, Original, write_augment_page
from earmark.training.dataset import background_windows
from earmark.training.fit import suited
from earmark.training.sampling import seed_for

log = logging.getLogger("earmark")

MIXED_SHARE = 0.6  # of a mixture that is the clip's own, unless one is set
# What is off is shown with.
USUAL = {"gain_db": 6.0, "equalise_db": 6.0, "warp_time": 0.2, "warp_mel": 0.1, "mask_mel": 0.15, "mask_time": 0.15}
USUAL |= {"roll": True, "crop": 0.3, **dict.fromkeys(SHARES, 1.0)}


@dataclass(frozen=True)
class Clips:
    """Some clips of a data set, a window of each.

    windows: float32 (clips, window_samples). targets, weights: float32 (clips, classes).
    """

    manifest: Manifest
    windows: Tensor
    targets: Tensor
    weights: Tensor

    def said(self, targets: Tensor, weights: Tensor) -> tuple[str, ...]:
        """Labels of each clip in words, such as "dog 0.6, rain 0.4"."""
        return tuple(
            ", ".join(
                label + (f" {target:.2g}" if target < 1 else "")
                for label, target, weight in zip(self.manifest.vocabulary, *row, strict=True)
                if target * weight > 0
            )
            for row in zip(targets.tolist(), weights.tolist(), strict=True)
        )


def preview(
    data: Path | str,
    out: Path | str,
    *,
    n_clips: int = 2,
    everything: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
) -> list[str]:
    """Write a page with a few clips after each augmentation that is on, after all of them, and as they were.

    Args:
        data: a table of files and labels, or a folder with a folder per class.
        out: the page.
        n_clips: how many clips are shown; at least 2, so that they can be mixed.
        everything: also what is off, at a usual strength.
        audio_dir, encoding, folder_tricks, merge, recipe, settings: as for `train`.

    Returns:
        The names of the augmentations that are shown.

    Raises:
        EarmarkError: the data or the settings are at fault.
    """
    how = {"encoding": encoding, "folder_tricks": folder_tricks, "merge": merge}
    failures: Failures = []
    manifest = read_rows(Path(data), failures, audio_dir=audio_dir, **how)
    manifest, defaults, longest = survey(manifest, failures, Path(out).with_suffix(".failures.csv"))
    for path, reason in failures:
        log.warning("%s: left out (%s)", path, reason)
    rows = _choose(manifest, n_clips)
    given = DataConfig.at(data, audio_dir, **how)
    config = resolve(defaults, given, Path(recipe) if recipe else None, settings, longest)
    audio = ClipAudio(manifest, Cache(), config.framing.sample_rate)
    windows = [config.framing.cut(audio[row]) for row in rows]
    loudest = np.stack([cut[np.square(cut).mean(axis=1).argmax()] for cut in windows])
    chosen = manifest.select(np.array(rows))
    labels = torch.from_numpy(chosen.targets()), torch.from_numpy(chosen.label_weights())
    clips = Clips(chosen, torch.from_numpy(loudest), *labels)
    shown = {**USUAL, **_switched_on(config.augment)} if everything else {}
    augment = suited(replace(config.augment, **shown), config.frontend)
    backgrounds = background_windows(manifest, audio, config.framing, config.seed) if augment.background else None
    changes = [
        _together(config, clips, backgrounds),
        *_alone(config, Augmentation(augment, config.framing.sample_rate, backgrounds), clips),
        *_mixed(config, clips, everything),
    ]
    said = clips.said(clips.targets, clips.weights)
    originals = [Original(*each) for each in zip(chosen.table["path"], said, loudest, strict=True)]
    write_augment_page(Path(out), Path(data).resolve().stem, config.framing.sample_rate, originals, changes)
    return [change.name for change in changes[1:]]


def _choose(manifest: Manifest, n_clips: int) -> list[int]:
    """Rows of clips, of other labels each while there are any."""
    labels = manifest.table["labels"].tolist()
    first = list({said: row for row, said in reversed(list(enumerate(labels)))}.values())[::-1]
    rows = list(dict.fromkeys([*(row for row in first if labels[row]), *range(len(manifest))]))[:n_clips]
    if len(rows) < n_clips:
        raise ManifestError(
            f"{manifest.root}: holds {len(rows)} readable clips, and {n_clips} are to be shown. Lower --clips, or add "
            "some."
        )
    return rows


def _switched_on(augment: AugmentConfig) -> dict[str, object]:
    """Of what USUAL would set, the settings that are on already."""
    return {name: value for name in USUAL if (value := getattr(augment, name))}


def _generator(config: RunConfig, number: int) -> Generator:
    return Generator().manual_seed(seed_for(config.seed, number))


def _together(config: RunConfig, clips: Clips, backgrounds: Tensor | None) -> Changed:
    """Everything that is on, as a batch of training meets it."""
    augment, generator = suited(config.augment, config.frontend), _generator(config, 0)
    augmentation = Augmentation(augment, config.framing.sample_rate, backgrounds).train()
    heard, *labels = augmentation.waveform(clips.windows, clips.targets, clips.weights, generator)
    seen = augmentation.spectrogram(LogMel(config.frontend)(heard), generator)
    words = "Everything that is on, one after the other. The picture is what the network sees."
    return Changed("all together", words, "", True, clips.said(*labels), heard.numpy(), seen[:, 0].numpy())


def _alone(config: RunConfig, augmentation: Augmentation, clips: Clips) -> Iterator[Changed]:
    """Each augmentation by itself, on every clip."""
    said = clips.said(clips.targets, clips.weights)
    steps = augmentation.on_waveform.items()
    for number, (name, step) in enumerate(steps, start=1):
        change = step.change if isinstance(step, Sometimes) else step
        heard = change.train()(clips.windows, _generator(config, number))
        yield Changed(name, _words(change), *_setting(config.augment, name), said, heard.numpy())
    spectrogram = LogMel(config.frontend)(clips.windows)
    for number, (name, change) in enumerate(augmentation.on_spectrogram.items(), start=len(steps) + 1):
        seen = change.train()(spectrogram, _generator(config, number))
        yield Changed(name, _words(change), *_setting(config.augment, name), said, None, seen[:, 0].numpy())


def _mixed(config: RunConfig, clips: Clips, everything: bool) -> Iterator[Changed]:
    """Each clip mixed with the one before it in each of the ways."""
    augment, own = config.augment, torch.ones(len(clips.windows))
    partner = torch.arange(len(own)).roll(1)
    share = (augment.mixup_share or MIXED_SHARE) * own
    for number, (name, field) in enumerate(MIX_PROBABILITIES.items(), start=100):
        probability = getattr(augment, field)
        if not (probability or everything):
            continue
        mix = lookup(MIXES, name, "way to mix")
        rate = config.framing.sample_rate
        heard = mix(clips.windows, clips.windows[partner], share, _generator(config, number), rate)
        join = join_labels if augment.mix_labels == "either" or name in ALWAYS_EITHER else mix_labels
        said = clips.said(*join(clips.targets, clips.weights, partner, share))
        yield Changed(name, _words(mix), f"augment.{field}={probability:g}", probability > 0, said, heard.numpy())


def _words(change: nn.Module | object) -> str:
    """What an augmentation does: the first paragraph of its docstring."""
    documented = type(change) if isinstance(change, nn.Module) else change
    return " ".join(inspect.getdoc(documented).partition("\n\n")[0].split())


def _setting(augment: AugmentConfig, name: str) -> tuple[str, bool]:
    """The settings of an augmentation as they would be given, and whether it is on."""
    fields = [field for field in vars(augment) if field == name or field.startswith(f"{name}_")]
    told = " ".join(f"augment.{field}={_plain(getattr(augment, field))}" for field in fields)
    return told, bool(getattr(augment, name) if name in fields else any(getattr(augment, field) for field in fields))


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
