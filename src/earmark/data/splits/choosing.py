"""Which clips are held out: folds for the score, a test split, and the inner split that chooses the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from earmark.data.manifest import Manifest
from earmark.data.splits.dealing import count_by, label_counts, units_of
from earmark.data.splits.methods import SPLITS
from earmark.errors import ConfigError, ManifestError
from earmark.lookup import lookup

N_TRIES = 20
ROLES = ("train", "validation", "test")


def choose_folds(
    manifest: Manifest, n_folds: int = 5, seed: int = 0, method: str | None = None
) -> tuple[Manifest, str, str]:
    """Folds for cross-validation: those given in the manifest, else stratified, and grouped if it has groups.

    Stratified folds leave every class on every training side, and are fewer than `n_folds` where no class has that
    many groups; a class with fewer groups than folds is held out in fewer of them. Clips of a validation or test
    split stay out of the folds.

    Args:
        method: a key of SPLITS; temporal may name its column, as in "temporal:recorded".

    Returns:
        The manifest with folds; the method, a key of SPLITS; a sentence that says what was done.

    Raises:
        ManifestError: there is only one class or given fold, a class lies in one group (or clip) alone, or no clip is
            left for training.
        ConfigError: fewer than two folds are asked for, or the method is unknown.
    """
    if n_folds < 2:
        raise ConfigError(f"n_folds is {n_folds}, but there must be a fold to train on. Take 2.")
    if len(manifest.vocabulary) < 2:
        raise ManifestError(
            f"{manifest.root}: '{manifest.vocabulary[0]}' is the only class, so there is nothing to tell "
            "apart. Add another, or pass the folder one level down if the class folders are there."
        )
    rows = np.flatnonzero(~np.isin(manifest.splits, ["validation", "test"]))
    if not len(rows):
        raise ManifestError(
            f"{manifest.root}: every clip is set aside for validation or test. Leave some for training."
        )
    rest = manifest.select(rows)
    method = method or ("given" if rest.has_folds else _usual_method(rest))
    name, split = _resolve(method)
    if name.startswith("stratified"):
        _require_two_groups(rest, name)
        n_folds = _feasible(rest, n_folds, name)
        found = _first_usable(split, rest, [1 / n_folds] * n_folds, seed)
    else:
        found = split(rest, [1 / n_folds] * n_folds, seed)
    folds = np.full(len(manifest), -1, dtype=np.int64)
    folds[rows] = found
    return manifest.with_folds(folds), name, _describe(rest, found, name)


def split_test(
    manifest: Manifest,
    fraction: float = 0.2,
    seed: int = 0,
    method: str | None = None,
    validation_fraction: float = 0.0,
) -> tuple[Manifest, str]:
    """Set a test split aside, and perhaps a validation split: stratified, and grouped if the manifest has groups.

    What would take the last group of a class from training stays in training, unless the split is by time. Clips
    that are set aside leave the folds.

    Args:
        fraction, validation_fraction: wanted shares of the clips, 0 for none.
        method: as for `choose_folds`; None keeps the splits that the manifest has.

    Returns:
        The manifest with splits; the method, a key of SPLITS.

    Raises:
        ConfigError: the fractions leave nothing to train on or set nothing aside, or the method is unknown.
        ManifestError: no clip can be set aside.
    """
    if method == "given" or (method is None and (manifest.splits != "").any()):
        return manifest, "given"
    held = fraction + validation_fraction
    if min(fraction, validation_fraction) < 0 or not 0 < held < 1:
        raise ConfigError(
            f"test {fraction:g} and validation {validation_fraction:g} are {held:g} of the clips, expected shares "
            "that together are above 0 and below 1. Take 0.2 and 0."
        )
    name, split = _resolve(method or _usual_method(manifest))
    sides = split(manifest, (1 - held, validation_fraction, fraction), seed)
    if name != "temporal":
        sides = np.where(_keep_classes(manifest, sides > 0, grouped=name.endswith("grouped")), sides, 0)
    wanted = [role for role, share in enumerate((1 - held, validation_fraction, fraction)) if share]
    missing = [ROLES[role] for role in wanted if not (sides == role).any()]
    if missing:
        raise ManifestError(
            f"{manifest.root}: no clip is left for {' and '.join(missing)}: {len(set(manifest.groups))} groups are too "
            "few to take that from, every class staying in training. Add recordings, or take other shares."
        )
    splits = np.array(ROLES, dtype=object)[sides]
    return manifest.with_splits(splits).with_folds(np.where(sides > 0, -1, manifest.folds)), name


def inner_split(manifest: Manifest, fraction: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Set clips aside from a training side, to choose the epoch by. Given folds are not looked at.

    Args:
        manifest: the training clips of one fold.
        fraction: wanted share of validation clips, above 0 and at most 0.5.
        seed: of the shuffle.

    Returns:
        Positions for training and for validation, ascending: no group on both sides, and every class that
        occurs on the training side.

    Raises:
        ManifestError: every class lies in one group (or clip) alone.
    """
    method = _usual_method(manifest)
    n_folds = _feasible(manifest, round(1 / fraction), method)
    if n_folds > 1:
        folds = lookup(SPLITS, method, "split")(manifest, [1 / n_folds] * n_folds, seed)
        for fold in range(n_folds):
            validation = _keep_classes(manifest, folds == fold, grouped=True)
            if validation.any():
                return np.flatnonzero(~validation), np.flatnonzero(validation)
    raise ManifestError(
        f"{manifest.root}: no clips can be set aside to choose the epoch by, for each of the training side's "
        f"{len(np.unique(manifest.groups))} groups is the only one of some class. Add recordings."
    )


def _usual_method(manifest: Manifest) -> str:
    return "stratified_grouped" if manifest.has_groups else "stratified"


def _resolve(method: str):
    """The name of a method and its function, with the column that may follow a colon."""
    name, _, column = method.partition(":")
    split = lookup(SPLITS, name, "split")
    if not column:
        return name, split
    if name != "temporal":
        raise ConfigError(f"'{method}': only temporal takes a column. Leave out ':{column}'.")
    return name, partial(split, column=column)


def _first_usable(split, manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """The folds of the first of several seeds that leaves no fold empty and no class in one fold alone."""
    for attempt in range(N_TRIES):
        folds = split(manifest, shares, seed + attempt)
        n_folds_of = n_sides_of_classes(manifest, folds)
        if len(np.unique(folds)) == len(shares) and n_folds_of[n_folds_of > 0].min() > 1:
            return folds
    raise ManifestError(
        f"{manifest.root}: {N_TRIES} tries to spread the groups over {len(shares)} folds left a fold empty or a "
        "class in one fold alone. Take fewer folds, or give them in a column 'fold'."
    )


def n_sides_of_classes(manifest: Manifest, sides: np.ndarray) -> np.ndarray:
    """On how many sides, numbered from 0, each class occurs (classes,); those of -1 do not count."""
    held = sides >= 0
    counts = count_by(sides[held], label_counts(manifest)[held], int(sides.max()) + 1)
    return (counts > 0).sum(axis=0)[:-1]


def _feasible(manifest: Manifest, n_folds: int, method: str) -> int:
    """At most as many folds as some class has groups."""
    return min(n_folds, int(units_of(manifest, method.endswith("grouped")).carriers.max()))


def _require_two_groups(manifest: Manifest, method: str) -> None:
    """Refuse classes that cannot be both trained on and held out."""
    units = units_of(manifest, method.endswith("grouped"))
    alone = np.flatnonzero(units.carriers == 1)
    if not len(alone):
        return
    n_clips = units.counts.sum(axis=0)
    names = ", ".join(f"{manifest.vocabulary[column]} ({n_clips[column]} clips)" for column in alone[:5])
    more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
    where = "group" if manifest.has_groups else "clip"
    raise ManifestError(
        f"{manifest.root}: {len(alone)} classes lie in a single {where}, which cannot be both trained on and "
        f"held out: {names}{more}. Add recordings of them, or leave them out."
    )


def _keep_classes(manifest: Manifest, held_out: np.ndarray, grouped: bool) -> np.ndarray:
    """A mask (clips,) of what is held out, less the smallest units that training needs to have every class."""
    units = units_of(manifest, grouped)
    held = np.zeros(len(units.sizes), dtype=bool)
    held[units.of_clips[held_out]] = True
    has = units.counts[:, :-1] > 0
    lost = np.flatnonzero(has.sum(axis=0) == has[held].sum(axis=0))
    for column in lost:
        carriers = np.flatnonzero(has[:, [column]].toarray().ravel())
        if len(carriers) and held[carriers].all():
            held[carriers[units.sizes[carriers].argmin()]] = False
    return held[units.of_clips]


def _describe(manifest: Manifest, folds: np.ndarray, method: str) -> str:
    """The sentence for the log and the card."""
    numbers, sizes = np.unique(folds[folds >= 0], return_counts=True)
    n_groups = f"{len(set(manifest.groups))} groups kept whole"
    how = {
        "given": "given in the data",
        "random": "by lot" + (", groups not kept whole" if manifest.has_groups else ""),
        "grouped": f"by lot, {n_groups}",
        "stratified": "stratified by class",
        "stratified_grouped": f"stratified by class, {n_groups}",
        "temporal": "blocks in the order of time",
    }[method]
    clips = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    sentence = f"{len(sizes)} folds, {how}; {clips} clips each."
    if sizes.sum() < len(folds):
        sentence += f" {len(folds) - sizes.sum()} clips are never held out."
    n_folds_of = n_sides_of_classes(manifest, folds)
    n_sides_of = n_sides_of_classes(manifest, folds - folds.min())  # those never held out are one more side
    labels = np.array(manifest.vocabulary.labels, dtype=object)
    single = labels[(n_folds_of == 1) & (n_sides_of == 1)]
    some = labels[(n_folds_of < len(sizes)) & (n_sides_of > 1)]
    if len(single):
        sentence += (
            f" {len(single)} of {len(labels)} classes are in one fold alone, so their clips were scored without one "
            f"trained on, and count so: {', '.join(single)}."
        )
    if len(some):
        sentence += f" Not in every fold: {', '.join(some)}."
    return sentence
