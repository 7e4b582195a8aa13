"""Which clips are held out: folds for the score, and the inner split that chooses the epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from earmark.data.manifest import Manifest
from earmark.errors import ConfigError, ManifestError
from earmark.lookup import lookup

# name → function (manifest, n_folds, seed) -> folds (clips,) int64
SPLITS = {
    "given": "earmark.data.splits:given",
    "stratified": "earmark.data.splits:stratified",
    "stratified_grouped": "earmark.data.splits:stratified_grouped",
}
N_TRIES = 20


def choose_folds(manifest: Manifest, n_folds: int = 5, seed: int = 0) -> tuple[Manifest, str, str]:
    """Folds for cross-validation: those given in the manifest, else stratified, and grouped if it has groups.

    Made folds leave every class on every training side. They are fewer than `n_folds` where no class has that
    many groups; a class with fewer groups than folds is held out in fewer of them.

    Returns:
        The manifest with folds; the method, a key of SPLITS; a sentence that says what was done.

    Raises:
        ManifestError: there is only one class or given fold, or a class lies in one group (or clip) alone.
        ConfigError: fewer than two folds are asked for.
    """
    if n_folds < 2:
        raise ConfigError(f"n_folds is {n_folds}, but there must be a fold to train on. Take 2.")
    if len(manifest.vocabulary) < 2:
        raise ManifestError(
            f"{manifest.root}: '{manifest.vocabulary[0]}' is the only class, so there is nothing to tell "
            "apart. Add another, or pass the folder one level down if the class folders are there."
        )
    if manifest.has_folds:
        method = "given"
        folds = given(manifest, n_folds, seed)
    else:
        method = "stratified_grouped" if manifest.has_groups else "stratified"
        _require_two_groups(manifest)
        folds = _first_usable(lookup(SPLITS, method, "split"), manifest, _feasible(manifest, n_folds), seed)
    return manifest.with_folds(folds), method, _describe(manifest, folds, method)


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
    n_folds = _feasible(manifest, round(1 / fraction))
    split = lookup(SPLITS, "stratified_grouped" if manifest.has_groups else "stratified", "split")
    if n_folds > 1:
        folds = split(manifest, n_folds, seed)
        for fold in range(n_folds):
            validation = _keep_classes(manifest, folds == fold)
            if validation.any():
                return np.flatnonzero(~validation), np.flatnonzero(validation)
    raise ManifestError(
        f"{manifest.root}: no clips can be set aside to choose the epoch by, for each of the training side's "
        f"{len(np.unique(manifest.groups))} groups is the only one of some class. Add recordings."
    )


def given(manifest: Manifest, n_folds: int, seed: int) -> np.ndarray:
    """The manifest's own folds, whatever their number.

    Raises:
        ManifestError: there is only one.
    """
    folds = np.unique(manifest.folds)
    if len(folds) < 2:
        raise ManifestError(
            f"{manifest.root}: all clips are in fold {folds[0]}, so none can be held out. Give two or more "
            "folds, or leave the column out."
        )
    return manifest.folds


def stratified(manifest: Manifest, n_folds: int, seed: int) -> np.ndarray:
    """Each class spread evenly over the folds. Multi-label: iterative stratification.

    Source: Sechidis et al. 2011, On the stratification of multi-label data; scikit-learn.
    """
    targets = manifest.targets()
    if manifest.multi_label:
        return _iterative(targets, n_folds, seed)
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return _to_folds(splitter.split(targets, targets.argmax(axis=1)), len(manifest))


def stratified_grouped(manifest: Manifest, n_folds: int, seed: int) -> np.ndarray:
    """Each class spread evenly over the folds, as far as groups, which stay whole, allow.

    Multi-label: iterative stratification of the groups, each with the labels of all its clips.
    """
    groups, counts = _group_counts(manifest)
    if manifest.multi_label:
        return _iterative(counts > 0, n_folds, seed)[groups]
    from sklearn.model_selection import StratifiedGroupKFold

    targets = manifest.targets()
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return _to_folds(splitter.split(targets, targets.argmax(axis=1), groups), len(manifest))


def _iterative(targets: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Multi-label stratified folds (rows,) of targets (rows, classes)."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    splitter = MultilabelStratifiedKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    return _to_folds(splitter.split(targets, targets), len(targets))


def _to_folds(splits, n_rows: int) -> np.ndarray:
    """Fold of each row, from scikit-learn's pairs of positions."""
    folds = np.full(n_rows, -1, dtype=np.int64)
    with warnings.catch_warnings():
        # "The least populated class has fewer members than folds": allowed here, and told in the sentence.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splits):
            folds[held_out] = fold
    return folds


def _first_usable(
    split: Callable[..., np.ndarray], manifest: Manifest, n_folds: int, seed: int
) -> np.ndarray:
    """The folds of the first of several seeds that leaves no fold empty and no class in one fold alone."""
    for attempt in range(N_TRIES):
        folds = split(manifest, n_folds, seed + attempt)
        if len(np.unique(folds)) == n_folds and _n_folds_of_classes(manifest, folds).min() > 1:
            return folds
    raise ManifestError(
        f"{manifest.root}: {N_TRIES} tries to spread the groups over {n_folds} folds left a fold empty or a "
        "class in one fold alone. Take fewer folds, or give them in a column 'fold'."
    )


def _n_folds_of_classes(manifest: Manifest, folds: np.ndarray) -> np.ndarray:
    """In how many folds each class occurs (classes,)."""
    targets = manifest.targets() > 0
    return np.sum([targets[folds == fold].any(axis=0) for fold in np.unique(folds)], axis=0)


def _group_counts(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Number of each clip's group (clips,), and each group's clips of each class (groups, classes)."""
    names, groups = np.unique(manifest.groups.astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(manifest.vocabulary)), dtype=np.int64)
    np.add.at(counts, groups, manifest.targets().astype(np.int64))
    return groups, counts


def _feasible(manifest: Manifest, n_folds: int) -> int:
    """At most as many folds as some class has groups."""
    return min(n_folds, int((_group_counts(manifest)[1] > 0).sum(axis=0).max()))


def _require_two_groups(manifest: Manifest) -> None:
    """Refuse classes that cannot be both trained on and held out."""
    groups, counts = _group_counts(manifest)
    alone = np.flatnonzero((counts > 0).sum(axis=0) < 2)
    if not len(alone):
        return
    n_clips = counts.sum(axis=0)
    names = ", ".join(f"{manifest.vocabulary[column]} ({n_clips[column]} clips)" for column in alone[:5])
    more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
    where = "group" if manifest.has_groups else "clip"
    raise ManifestError(
        f"{manifest.root}: {len(alone)} classes lie in a single {where}, which cannot be both trained on and "
        f"held out: {names}{more}. Add recordings of them, or leave them out."
    )


def _keep_classes(manifest: Manifest, validation: np.ndarray) -> np.ndarray:
    """A validation mask (clips,) less the smallest groups that training needs to have every class."""
    groups, counts = _group_counts(manifest)
    validation = validation.copy()
    sizes = np.bincount(groups)
    targets = manifest.targets() > 0
    for column in np.flatnonzero(targets.any(axis=0) & ~targets[~validation].any(axis=0)):
        if not targets[~validation, column].any():
            carriers = np.unique(groups[validation & targets[:, column]])
            validation[groups == carriers[sizes[carriers].argmin()]] = False
    return validation


def _describe(manifest: Manifest, folds: np.ndarray, method: str) -> str:
    """The sentence for the log and the card."""
    sizes = np.unique(folds, return_counts=True)[1]
    how = {
        "given": "given in the data",
        "stratified": "stratified by class",
        "stratified_grouped": f"stratified by class, {len(set(manifest.groups))} groups kept whole",
    }[method]
    clips = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    sentence = f"{len(sizes)} folds, {how}; {clips} clips each."
    n_folds_of = dict(zip(manifest.vocabulary, _n_folds_of_classes(manifest, folds).tolist(), strict=True))
    single = [label for label, n_folds in n_folds_of.items() if n_folds < 2]
    partial = [label for label, n_folds in n_folds_of.items() if 2 <= n_folds < len(sizes)]
    if single:
        sentence += f" In one fold alone, so not trained on while that is held out: {', '.join(single)}."
    if partial:
        sentence += f" Not in every fold: {', '.join(partial)}."
    return sentence
