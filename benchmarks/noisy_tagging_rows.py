"""What `noisy_tagging.py` compares: rows, each a network trained in stages, and the row that it is held against.

Every row of one network takes the same number of steps, so that none wins by training longer, but for LONGER: as many
on curated clips as `curated` alone, after those on noisy ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from noisy_tagging_data import LARGE, Plan

REFERENCE, LONGER = "noisy_curated", "noisy_longer"
# Each over the default augmentation, of the stage on curated clips, which are few.
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
# How a network hears the test clips: views, their lengths in seconds, pool. What goes on from another network hears one
# length only, so that the last two are for the one of both parts mixed.
SLIDING = "sliding"
VIEWS = {
    SLIDING: ("sliding windows, mean", (SLIDING, (), "mean")),
    "max": ("sliding windows, max", (SLIDING, (), "max")),
    "geometric": ("sliding windows, geometric mean", (SLIDING, (), "geometric")),
    "ends": ("start, middle and end", ("ends", (), "mean")),
    "full": ("all at once", ("full", (), "mean")),
    "lengths": ("windows of 1, 2 and 3 s", ("lengths", (1.0, 2.0, 3.0), "mean")),
}
# Of the ensembles.
MEMBERS = {
    "plain": "noisy → curated, 4 folds and refit",
    "mixed": "the same with mixup and L_q",
    "forest": "forest on summary features, curated only",
}


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Of the small one, 30 epochs on curated clips at 2e-3 and 60 at 4e-3 were held against each other on a quarter of the
    curated pools (lwlrap 0.47 and 0.61); nothing was chosen by the test part.

    plan: of the sounds. settings: of every stage. rate: the learning rate. *_epochs: of each kind of stage.
    """

    plan: Plan = field(default_factory=Plan)
    settings: tuple[str, ...] = ("model=tiny_cnn", "window.seconds=2", "frontend.hop_length=256")
    rate: float = 4e-3
    noisy_epochs: int = 16
    curated_epochs: int = 60
    alone_epochs: int = 124
    mixed_epochs: int = 25
    agreeing_epochs: int = 30


SMALL_SIZE = Size()
LARGE_SIZE = Size(LARGE, ("model=se_cnn", "window.seconds=3"), 2e-3, 30, 120, 241, 48, 60)


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

    part: of the table. stage: whose network is scored; None = several. against: the row that it is held against;
    empty = none. views: how it hears the test clips, of VIEWS; empty = as it was trained.
    """

    name: str
    part: str
    title: str
    stage: Stage | None
    against: str = REFERENCE
    views: str = ""


@dataclass(frozen=True)
class Trainings:
    """The stages that rows are made of, for one seed."""

    size: Size
    seed: int

    def alone(self, subset: str, epochs: int, *more: str) -> Stage:
        """From scratch."""
        return Stage(subset, self._settings(epochs, more))

    def noisy(self, *more: str) -> Stage:
        return self.alone("noisy", self.size.noisy_epochs, *more)

    def curated(self, after: Stage, *more: str, epochs: int = 0) -> Stage:
        """The curated clips, from the network of another stage."""
        return Stage("curated", self._settings(epochs or self.size.curated_epochs, more), after)

    def agreeing(self, after: Stage, judge: Stage) -> Stage:
        settings = self._settings(self.size.agreeing_epochs, ())
        return Stage("agreeing", settings, after, (judge,))

    def _settings(self, epochs: int, more: Sequence[str]) -> tuple[str, ...]:
        rate = f"optim.learning_rate={self.size.rate:g}"
        usual = (f"optim.epochs={epochs}", rate, "optim.batch_size=32", f"seed={self.seed}")
        return (*self.size.settings, *usual, *more)


def rows_of(size: Size, seed: int) -> list[Row]:
    """All rows of one network, the most telling first."""
    of = Trainings(size, seed)
    noisy = of.noisy()
    reference = of.curated(noisy)
    longer = of.curated(noisy, epochs=size.alone_epochs)
    mixed = of.alone("", size.mixed_epochs, "window.views=full")  # heard below in other ways too
    two_heads = of.alone("", size.mixed_epochs, "optim.noisy_head=true")
    rows = [
        Row("curated", "parts", "curated only", of.alone("curated", size.alone_epochs), ""),
        Row("mixed", "parts", "both mixed", mixed, "curated", SLIDING),
        Row(REFERENCE, "parts", "noisy → curated", reference, "curated"),
        Row("agreeing", "parts", "noisy → curated and agreeing", of.agreeing(noisy, reference)),
        Row("two_heads", "parts", "both mixed, two heads", two_heads, "mixed"),
        Row(LONGER, "parts", "noisy → curated, as long as curated only", longer, "curated"),
    ]
    for name, (title, settings) in LOSSES.items():
        last = of.curated(of.noisy(*(f"optim.{each}" for each in settings)))
        rows.append(Row(f"loss_{name}", "losses", title, last))
    for name, (title, settings) in AUGMENTATIONS.items():
        more = [f"augment.{each}" for each in settings]
        rows.append(Row(f"augment_{name}", "augmentation", title, of.curated(noisy, *more)))
    for name in ("max", "geometric", "ends"):
        rows.append(Row(f"views_{name}", "views", f"noisy → curated, {VIEWS[name][0]}", reference, REFERENCE, name))
    for name in ("ends", "full", "lengths"):
        rows.append(Row(f"mixed_{name}", "views", f"both mixed, {VIEWS[name][0]}", mixed, "mixed", name))
    return rows


def members_of(size: Size) -> dict[str, Stage]:
    """The last stages of the ensembles' members, by their names in MEMBERS."""
    of, mixup = Trainings(size, 0), "augment.mixup_probability=0.5"
    forest = Stage("curated", ("model=forest", *(each for each in size.settings if not each.startswith("model="))))
    return {
        "plain": of.curated(of.noisy()),
        "mixed": Trainings(size, 1).curated(of.noisy("optim.loss=l_q", mixup), mixup),
        "forest": forest,
    }


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
