"""Everything a training run can be told, and how the defaults follow from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.augment.borrowed import Borrowed
from earmark.augment.pipeline import AugmentConfig
from earmark.baselines import BASELINES, SEQUENCE_HEADS
from earmark.config import change, keyword_options, parse_assignments, read_yaml, require, require_settings
from earmark.errors import ConfigError
from earmark.evaluation.calibration import AUTO, CALIBRATIONS
from earmark.evaluation.thresholds import ThresholdConfig
from earmark.lookup import lookup, require_name
from earmark.models.branches import BRANCHES
from earmark.models.frontend import FrontendConfig
from earmark.models.heads import HEADS
from earmark.models.tagging_net import MODELS, family_options
from earmark.run import TAGGER_SUFFIX
from earmark.tagger.tta import ANY_LENGTH, VIEWS
from earmark.training.optim_config import PRECISIONS, OptimConfig
from earmark.windows import PADDINGS, POOLS, Framing, samples

FINETUNED = "finetuned"
KNOWN_MODELS = (*BASELINES, *MODELS, FINETUNED)
STAGES, FROM = "stages", "from"  # in a recipe of several trainings, and in the settings of each (flows/stages.py)
LONGEST = "longest"
# Defaults of a network that is trained on, as text like a recipe's. Its new last layer is first fitted to the network
# as it is; then everything learns, lower layers more slowly. At rates for fresh weights few clips a class end below the
# frozen network (docs/transfer.md). It has heard more kinds of sound than strong augmentation could imitate.
FINETUNING = {
    "optim": {"epochs": "10", "learning_rate": "2e-4", "layer_decay": "0.6"},
    "augment": {
        "warp_time": "0",
        "warp_mel": "0",
        "warp_shift": "0",
        "equalise_db": "0",
        "mixup_probability": "0.5",
        "off_for_last": "1",
    },
}
# Those of a published network besides: its lower half stays as it is, which takes a third off an epoch, and nothing is
# masked (docs/decisions/0015).
FINETUNING_PUBLISHED = {
    "optim": {"learning_rate": "4e-4", "layer_decay": "1", "open_depths": "3"},
    "augment": {"mixup_alpha": "0.3", "mask_mel": "0", "mask_time": "0", "off_for_last": "0"},
    "precision": "float32",
}
SHIPS = ("refit", "ensemble")
SUBSETS = ("", "curated", "noisy", "agreeing")
SAMPLE_RATES = (8000, 32000)  # lowest and highest, Hz, that the defaults choose
GIVEN = {
    "path": "the data is the command's first argument",
    "audio_dir": "pass --audio-dir",
    "encoding": "pass --encoding",
    "folder_tricks": "pass --folder-tricks",
    "merge": "pass --no-merge",
    "fraction": "pass --fraction",
    "segment": "pass --segment",
    "allow_leak": "pass --allow-leak",
    "corrections": "pass --corrections",
    "corrections_hash": "it is found when the files are read",
    "content_hash": "it is found when the data is read",
}
MAX_PATCH_SECONDS = 60.0
WINDOW_SECONDS = (1.0, 5.0)  # shortest and longest that the defaults choose


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    path: the table or folder.
    audio_dir: where the table's files are, if not beside it.
    encoding: of the table's text, if it was told. folder_tricks, merge: how folders were read (`read_manifest`).
    fraction: share of the data that is used.
    segment: "activity" = recordings were cut into their sounding stretches.
    n_folds: parts of a cross-validation, if the data brings none of its own.
    fold_seed: of the folds that Earmark draws; the same for every training seed.
    allow_leak: go on although pieces of one recording are in several folds.
    content_hash: of the sounds and labels, found when they are read.
    subset: whom training hears, where a column says which clips are noisy: all; the "curated" ones; the "noisy" ones,
    every curated clip of the folds held out together; the curated ones and those noisy ones with whose labels earlier
    networks are "agreeing".
    agree_with: folders of the runs whose networks, trained on curated clips, judge the noisy ones.
    agree_share: of the noisy clips with some label, those that may stay for it, above 0 and at most 1.
    corrections: files of decisions on labels, applied in this order; corrections_hash: of what they hold.
    """

    path: str = ""
    audio_dir: str | None = None
    encoding: str | None = None
    folder_tricks: bool = False
    merge: bool = True
    fraction: float = 1.0
    segment: str | None = None
    n_folds: int = 5
    fold_seed: int = 0
    allow_leak: bool = False
    content_hash: str = ""
    subset: str = ""
    agree_with: tuple[str, ...] = ()
    agree_share: float = 0.5
    corrections: tuple[str, ...] = ()
    corrections_hash: str = ""

    def __post_init__(self):
        require(self.n_folds >= 2, "data.n_folds", self.n_folds, "2 or more")
        require(self.fold_seed >= 0, "data.fold_seed", self.fold_seed, "0 or more")
        require(0 < self.agree_share <= 1, "data.agree_share", self.agree_share, "above 0 and at most 1")
        require(self.subset in SUBSETS, "data.subset", f"'{self.subset}'", f"{', '.join(SUBSETS[1:])}, or nothing")
        if (self.subset == "agreeing") != bool(self.agree_with):
            raise ConfigError(
                f"data.agree_with: {list(self.agree_with)} with data.subset '{self.subset}'. Name the runs that judge "
                "the noisy clips with data.subset=agreeing, and only there."
            )

    @classmethod
    def at(
        cls, path: Path | str, audio_dir: Path | str | None = None, corrections: Sequence[Path | str] = (), **how: Any
    ) -> DataConfig:
        """Data as it is given to a command: its places hold wherever the run goes on. `how`: fields by name."""
        where = str(Path(audio_dir).resolve()) if audio_dir else None
        corrected = tuple(str(Path(each).resolve()) for each in corrections)
        return cls(str(Path(path).resolve()), where, corrections=corrected, **how)


@dataclass(frozen=True)
class WindowConfig:
    """How recordings become windows.

    seconds: length of a window; by default the clips' median length, between 1 and 5 s. Where it is set, "longest"
    stands for that of the longest clip.
    hop_seconds: from one window to the next; by default half a window.
    padding: what follows a clip that is too short, "repeat" or "zeros".
    pool: how window scores become a clip's, "mean", "max" or "geometric" (mean).
    views: what the tagger hears of a clip: "sliding" windows; its "ends", the windows at start, middle and end; "full",
    all of it at once; sliding windows of several "lengths", which view_seconds lists. The latter two: networks from
    scratch only.
    """

    seconds: float = 5.0
    hop_seconds: float = 2.5
    padding: str = "repeat"
    pool: str = "mean"
    views: str = "sliding"
    view_seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class BackboneConfig:
    """The network whose features a classifier stands on, or whose weights training starts from.

    on: a pretrained network, by name; a tagger file; or the folder of a run. Empty = none.
    patch_seconds, patch_hop_seconds: how the window is cut into what it hears at once; 0 = as it was made for (a
    shorter window is said again until it is as long), before heads over the sequence of patches 1 s and half of it.
    outputs: what of it is joined to features: embedding, logits, scores, and of pretrained networks depths, the mean
    of each stage; empty = embedding and depths.
    pool: of the patches of a window: "mean", "mean_std" or "mean_max".
    content_hash: of its file, found when it is opened.
    frozen_head: the classifier on the network as it was, which fine-tuning is held against; empty = none.
    """

    on: str = ""
    patch_seconds: float = 0.0
    patch_hop_seconds: float = 0.0
    outputs: tuple[str, ...] = ()
    pool: str = "mean"
    content_hash: str = ""
    frozen_head: str = "choice"


@dataclass(frozen=True)
class RunConfig:
    """A training run.

    model: a name in MODELS or BASELINES, or "finetuned": the backbone itself, its weights trained on.
    model_options: keyword arguments of its class or function.
    head: of a network that is trained from the waveform, a name in HEADS; empty = the usual one of its family.
    branches: what such a network hears beside the spectrogram, names in BRANCHES.
    backbone: what a classifier stands on in place of summary features, or a finetuned network starts from.
    validation_fraction: share of the training folds that chooses the epoch; 0 = the last epoch is taken.
    precision: "float32", "bfloat16", or "auto" = bfloat16 where the hardware has it.
    devices: GPUs that train one network together, each a part of every batch; without any GPU, processes.
    ship: the tagger for use: "refit" on all clips, or the "ensemble" of the folds' networks.
    seed: of everything random but the folds.
    calibration: "auto", whatever of temperature and Platt's makes out-of-fold scores truer, or "none".
    baseline: fit a cheap model on the same folds, which the network is held against; false where another run has it.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: str = "se_cnn"
    model_options: dict[str, str] = field(default_factory=dict)
    head: str = ""
    branches: tuple[str, ...] = ()
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation_fraction: float = 0.0
    precision: str = "auto"
    devices: int = 1
    ship: str = "refit"
    seed: int = 0
    calibration: str = AUTO
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    baseline: bool = True

    def __post_init__(self):
        choices = {
            "calibration": (self.calibration, CALIBRATIONS),
            "window.padding": (self.window.padding, PADDINGS),
            "window.pool": (self.window.pool, POOLS),
            "window.views": (self.window.views, VIEWS),
            "precision": (self.precision, PRECISIONS),
            "ship": (self.ship, SHIPS),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise ConfigError(f"{name}: '{value}' is none of {', '.join(known)}.")
        require_name(KNOWN_MODELS, self.model, "model")
        if self.head:
            lookup(HEADS, self.head, "head")
        for name in self.branches:
            lookup(BRANCHES, name, "branch")
        if (self.head or self.branches) and self.model == FINETUNED:
            raise ConfigError(
                "model: fine-tuning keeps the head and the branches that its network has. Leave head and branches away."
            )
        if self.model in MODELS:  # before anything is trained: does the family have these options?
            family_options(self.model, self.frontend, self.model_options)
        if self.model in BASELINES:
            fit = lookup(BASELINES, self.model, "model")
            keyword_options(fit, self.model_options, f"model_options of {self.model}")
        for name in ("patch_seconds", "patch_hop_seconds"):
            value = getattr(self.backbone, name)
            require(0 <= value <= MAX_PATCH_SECONDS, f"backbone.{name}", value, f"0 to {MAX_PATCH_SECONDS:g}")
        if self.backbone.on and self.model in MODELS:
            raise ConfigError(
                f"model: {self.model} learns from the waveform and stands on nothing. Leave --on away, or choose a "
                f"head ({', '.join(sorted(BASELINES))}) or --finetune."
            )
        if self.backbone.frozen_head:
            lookup(BASELINES, self.backbone.frozen_head, "head")
        if self.model in SEQUENCE_HEADS and not self.backbone.on:
            raise ConfigError(f"model: {self.model} goes over the patches of a backbone. Pass --on with one.")
        if self.model in BASELINES and self.optim.teacher:
            raise ConfigError(f"optim.teacher: {self.model} learns from labels alone. Choose a network, or no teacher.")
        if self.model == FINETUNED and not self.backbone.on:
            raise ConfigError("model: there is nothing to fine-tune. Pass --on with a pretrained network or a run.")
        if self.model == FINETUNED and self.optim.batch_norm == "group":
            raise ConfigError(
                "optim.batch_norm: a trained network is lost without the batch norm it knows. Choose adapted or kept."
            )
        if self.optim.schedule == "plateau" and not (self.validation_fraction and self.ship == "ensemble"):
            raise ConfigError(
                "optim.schedule: plateau listens to inner validation clips, which a refit on all clips does not have. "
                "Set validation_fraction=0.1 and ship=ensemble, or choose another schedule."
            )
        if not 0 < self.window.hop_seconds <= self.window.seconds:
            raise ConfigError(
                f"window.hop_seconds: {self.window.hop_seconds:g} s would leave gaps between windows of "
                f"{self.window.seconds:g} s. Choose more than 0 and at most the window."
            )
        if self.framing.window_samples < self.frontend.n_fft:
            raise ConfigError(
                f"window.seconds: {self.window.seconds:g} s is shorter than one transform of {self.frontend.n_fft} "
                f"samples at {self.frontend.sample_rate} Hz. Choose a longer window or a smaller frontend.n_fft."
            )
        self._check_views()
        require(0 <= self.validation_fraction <= 0.5, "validation_fraction", self.validation_fraction, "0 to 0.5")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.devices >= 1, "devices", self.devices, "1 or more")
        if self.data.subset == "noisy" and self.model not in BASELINES and self.ship == "refit":
            raise ConfigError(
                "data.subset: a refit would hear the curated clips that a network of noisy ones is held against. Set "
                "ship=ensemble, which is here the one network that was scored."
            )

    def _check_views(self) -> None:
        views, seconds = self.window.views, self.window.view_seconds
        shortest = min(seconds, default=self.window.seconds)
        if (views == "lengths") != bool(seconds) or samples(shortest, self.frontend.sample_rate) < self.frontend.n_fft:
            raise ConfigError(
                f"window.view_seconds: {list(seconds)} with the views {views}. Give lengths of windows, each longer "
                "than a transform, with window.views=lengths, and only there."
            )
        if views in ANY_LENGTH and self.model not in MODELS:
            raise ConfigError(
                f"window.views: {views} need a network for windows of any length, trained from the waveform, which "
                f"{self.model} is not. Choose sliding or ends, or a network ({', '.join(MODELS)})."
            )

    @property
    def model_name(self) -> str:
        """What the model's rows, files and folders are called: of a head on a backbone, both."""
        return f"{backbone_name(self.backbone.on)}+{self.model}" if self.has_head else self.model

    @property
    def has_head(self) -> bool:
        """Whether the model is a classifier on a backbone's features."""
        return bool(self.backbone.on) and self.model in BASELINES

    @property
    def framing(self) -> Framing:
        """The windows in samples."""
        rate, window = self.frontend.sample_rate, self.window
        return Framing(rate, samples(window.seconds, rate), samples(window.hop_seconds, rate), window.padding)


def backbone_name(on: str) -> str:
    """A backbone's name as part of a file name: of a tagger file without its suffix, of a run its folder's.

    >>> backbone_name("mn04_as"), backbone_name("runs/birds"), backbone_name("/tmp/birds.tagger.onnx")
    ('mn04_as', 'birds', 'birds')
    """
    return Path(on).name.removesuffix(TAGGER_SUFFIX)


def defaults_for(sample_rates: Sequence[int], clip_seconds: Sequence[float]) -> RunConfig:
    """The defaults for clips of these sample rates (Hz) and lengths (s).

    The rate is the median file's (of two, the lower), from 8 to 32 kHz: beyond, almost nothing is heard and everything
    costs more. Transform and hop keep their length in time, about 32 and 10 ms; the hop is a multiple of 16 samples,
    which is fast in the exported file.
    """
    rate = int(np.clip(np.percentile(sample_rates, 50, method="lower"), *SAMPLE_RATES))
    shortest, longest = WINDOW_SECONDS
    seconds = float(np.clip(round(float(np.median(clip_seconds)), 1), shortest, longest))
    return RunConfig(frontend=frontend_for(rate), window=WindowConfig(seconds=seconds, hop_seconds=seconds / 2))


def frontend_for(sample_rate: int) -> FrontendConfig:
    """The default front end at a sample rate, Hz."""
    return FrontendConfig(
        sample_rate=sample_rate,
        n_fft=2 ** round(np.log2(0.032 * sample_rate)),
        hop_length=16 * round(0.010 * sample_rate / 16),
    )


def require_known(values: Mapping[str, Any], where: str) -> None:
    """Refuse what is no setting of any run, whatever the data: names alone are looked at, and the model.

    Raises:
        ConfigError: an unknown key or model, or what is given in another way.
    """
    for key in set(values.get("data") or ()) & set(GIVEN):
        raise ConfigError(f"{where}: data.{key} is not a setting; {GIVEN[key]}.")
    require_settings(RunConfig, values, where)
    require_name(KNOWN_MODELS, values.get("model", RunConfig.model), "model")


def resolve(
    defaults: RunConfig,
    data: DataConfig,
    recipe: Path | None,
    settings: Sequence[str],
    longest_seconds: float | None = None,
) -> RunConfig:
    """Defaults < recipe < `--set` settings.

    A window length that is changed alone takes its hop with it.

    Args:
        longest_seconds: of all clips, what "longest" stands for as the length of the window.

    Raises:
        ConfigError: an unknown setting, a wrong value, or settings that contradict each other.
    """
    changes = [(str(recipe), read_yaml(recipe))] if recipe else []
    changes.append(("--set", parse_assignments(settings)))
    config = replace(defaults, data=data)
    for where, values in changes:
        if STAGES in values:
            raise ConfigError(f"{where}: has several stages, and this is one training. Give it to `earmark train`.")
        require_known(values, where)
        window = values.get("window")
        if isinstance(window, dict) and window.get("seconds") == LONGEST and longest_seconds:
            window = {**window, "seconds": math.ceil(10 * longest_seconds - 1e-6) / 10}
            values = {**values, "window": window}
        if isinstance(window, dict) and "seconds" in window and "hop_seconds" not in window:
            length = change(config.window, {"seconds": window["seconds"]}, where).seconds
            values = {**values, "window": {**window, "hop_seconds": length / 2}}
        config = change(config, values, where)
    if config.augment.audiomentations:  # a wrong name is said before anything is heard
        Borrowed(config.augment.audiomentations, config.frontend.sample_rate)
    return config
