"""What `noisy_tagging.py` compares: rows, each a network trained in stages, and the row that it is held against.

Every row of one network takes the same number of steps, so that none wins by training longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from noisy_tagging_data import LARGE, Plan

REFERENCE = "noisy_curated"
# Each over the default augmentation, in both stages.
AUGMENTATIONS = {
    "off": (
        "no augmentation",
        ("roll=false", "gain_db=0", "warp_time=0", "warp_mel=0", "warp_shift=0", "equalise_db=0", "mask_mel=0")
        + ("mask_time=0",),
    ),
    "mixup": ("+ mixup", ("mixup_probability=0.5",)),
    "no_masks": ("− SpecAugment masks", ("mask_mel=0", "mask_time=0")),
    "no_warp": ("− time stretch and mel warp", ("warp_time=0", "warp_mel=0", "warp_shift=0")),
    "bc": ("+ BC mixing", ("bc_probability=0.5",)),
    "pieces": (
        "+ timemix, freqmix, cutmix",
        ("timemix_probability=0.17", "freqmix_probability=0.17", "cutmix_probability=0.16"),
    ),
    "reverb": ("+ reverb", ("reverb=0.4",)),
    "noise": ("+ coloured noise", ("noise=0.4",)),
    "filters": ("+ filters, peaks", ("filter=0.3", "peaks=0.3")),
    "speed": ("+ speed and pitch", ("speed=0.5",)),
    "crossfade": ("+ crossfade", ("crossfade_probability=0.5",)),
    "polarity": ("+ polarity, 12 dB of gain", ("polarity=0.5", "gain_db=12")),
    "damage": ("+ codec, dropouts, cutout, overdrive", ("codec=0.2", "dropouts=0.2", "cutout=0.2", "overdrive=0.2")),
    "no_equalise": ("− equaliser curves", ("equalise_db=0",)),
}
# Of the stage on noisy clips.
LOSSES = {
    "l_soft": ("L_soft, β 0.7", ("loss=l_soft",)),
    "l_q": ("L_q, q 0.5", ("loss=l_q",)),
    "mask": ("the worst clips of a batch masked, 0.8", ("noisy_mask=0.8",)),
    "lsep": ("LSEP", ("loss=lsep",)),
    "focal": ("focal, γ 2", ("loss=focal",)),
    "asymmetric": ("asymmetric", ("loss=asymmetric",)),
    "smoothing": ("label smoothing 0.05", ("smoothing=0.05",)),
}
# How the reference's network hears the test clips: views, their lengths in seconds, pool.
VIEWS = {
    "max": ("sliding windows, max", ("sliding", (), "max")),
    "geometric": ("sliding windows, geometric mean", ("sliding", (), "geometric")),
    "ends": ("start, middle and end", ("ends", (), "mean")),
    "full": ("all at once", ("full", (), "mean")),
    "lengths": ("windows of 1, 2 and 3 s", ("lengths", (1.0, 2.0, 3.0), "mean")),
}


@dataclass(frozen=True)
class Size:
    """How much is trained.

    plan: of the sounds. settings: of every stage. rate, later_rate: learning rates of networks from scratch, and of
    those that go on. *_epochs: of each kind of stage.
    """

    plan: Plan = field(default_factory=Plan)
    settings: tuple[str, ...] = ("model=tiny_cnn", "window.seconds=2")
    rate: float = 4e-3
    later_rate: float = 2e-3
    noisy_epochs: int = 16
    curated_epochs: int = 30
    alone_epochs: int = 94
    mixed_epochs: int = 19
    agreeing_epochs: int = 15


SMALL_SIZE = Size()
LARGE_SIZE = Size(LARGE, ("model=se_cnn", "window.seconds=3"), 2e-3, 1e-3, 40, 60, 300, 62, 30)


@dataclass(frozen=True)
class Stage:
    """One training.

    subset: as data.subset. settings: that differ from the defaults. after: the stage whose network it goes on from.
    judges: stages whose networks say which noisy clips agree.
    """

    subset: str
    settings: tuple[str, ...]
    after: Stage | None = None
    judges: tuple[Stage, ...] = ()

    @property
    def name(self) -> str:
        """Of its folder: the same for the same training."""
        said = [self.subset, *self.settings, *(before.name for before in self.before)]
        return f"{self.subset or 'mixed'}-{hashlib.sha256(' '.join(said).encode()).hexdigest()[:10]}"

    @property
    def before(self) -> tuple[Stage, ...]:
        """What has to be done first."""
        return (*((self.after,) if self.after else ()), *self.judges)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    part: of the table. stage: whose network is scored. against: the row that it is held against; empty = none.
    views: how it hears the test clips, of VIEWS; empty = as it was trained.
    """

    name: str
    part: str
    title: str
    stage: Stage
    against: str = REFERENCE
    views: str = ""


def rows_of(size: Size, seed: int) -> list[Row]:
    """All rows of one network, the most telling first."""

    def stage(subset: str, epochs: int, *more: str, after: Stage | None = None, judges: Sequence[Stage] = ()) -> Stage:
        rate = size.later_rate if after else size.rate
        usual = (f"optim.epochs={epochs}", f"optim.learning_rate={rate:g}", "optim.batch_size=32", f"seed={seed}")
        return Stage(subset, (*size.settings, *usual, *more), after, tuple(judges))

    def curated(after: Stage, *more: str) -> Stage:
        return stage("curated", size.curated_epochs, *more, after=after)

    def noisy(*more: str) -> Stage:
        return stage("noisy", size.noisy_epochs, *more)

    reference = curated(noisy())
    rows = [
        Row(REFERENCE, "parts", "noisy → curated", reference, "curated"),
        Row("curated", "parts", "curated only", stage("curated", size.alone_epochs), ""),
        Row("mixed", "parts", "both mixed", stage("", size.mixed_epochs), "curated"),
    ]
    agreeing = stage("agreeing", size.agreeing_epochs, after=noisy(), judges=[reference])
    rows.append(Row("agreeing", "parts", "noisy → curated and agreeing", agreeing))
    two_heads = stage("", size.mixed_epochs, "optim.noisy_head=true")
    rows.append(Row("two_heads", "parts", "both mixed, two heads", two_heads, "mixed"))
    for name, (title, settings) in LOSSES.items():
        last = curated(noisy(*(f"optim.{each}" for each in settings)))
        rows.append(Row(f"loss_{name}", "losses", title, last))
    for name, (title, settings) in AUGMENTATIONS.items():
        more = [f"augment.{each}" for each in settings]
        rows.append(Row(f"augment_{name}", "augmentation", title, curated(noisy(*more), *more)))
    any_length = curated(noisy(), "window.views=full")
    for name, (title, (views, *_)) in VIEWS.items():
        last = any_length if views in ("full", "lengths") else reference
        rows.append(Row(f"views_{name}", "views", title, last, REFERENCE, name))
    return rows


def stages_of(rows: Sequence[Row]) -> list[Stage]:
    """Every stage once, each after those that it builds on, in the order of the rows."""
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for each in stage.before:
            add(each)
        found.setdefault(stage.name, stage)

    for row in rows:
        add(row.stage)
    return list(found.values())
