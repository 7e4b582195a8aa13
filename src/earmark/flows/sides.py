"""Who is trained on, who is held out, and who is neither: folds, validation splits, noisy and curated clips."""

from __future__ import annotations

import numpy as np

from earmark.data.manifest import Manifest
from earmark.data.splits import choose_folds, inner_split
from earmark.errors import ConfigError, ManifestError
from earmark.flows.run_config import DataConfig, RunConfig

ASIDE = ("test", "validation")  # splits that no fold scores
HEARD = {  # what becomes of noisy clips that share no recording with what is scored, by `DataConfig.subset`
    "": "always trained on",
    "curated": "left out",
    "noisy": "all that is trained on",
    "agreeing": "trained on where networks agree with their labels",
}


def hold_out(manifest: Manifest, config: DataConfig) -> tuple[Manifest, str]:
    """The manifest in folds, and the sentence on them. A validation split without folds is the one fold held out.

    Raises:
        ManifestError: nothing is left to train on, or no folds can be made.
    """
    validation = manifest.splits == "validation"
    given = manifest.has_folds
    if validation.any() and not given:
        return hold_out_validation(manifest, validation)
    manifest, _, how = choose_folds(manifest, config.n_folds, seed=config.fold_seed)
    noisy = manifest.column("subset") == "noisy"
    loose = noisy & ~np.isin(manifest.groups, manifest.groups[~noisy]) & (manifest.folds >= 0)
    if given or noisy.all() or not loose.any():
        return manifest, how
    manifest = manifest.with_folds(np.where(loose, -1, manifest.folds))
    heard = f"{loose.sum()} noisy clips are {HEARD[config.subset]} and never scored"
    return manifest, f"{how} {heard}; the {manifest.scored.sum()} others are."


def hold_out_validation(manifest: Manifest, validation: np.ndarray) -> tuple[Manifest, str]:
    """Fold 0 of the validation clips (clips,) bool; labels that only one side has are said."""
    training = ~validation & (manifest.splits != "test")
    if not training.any():
        raise ManifestError(f"{manifest.root}: no clip is left to train on. Give some the split train, or none.")
    how = f"One validation split, given in the data; {validation.sum()} clips."
    present = manifest.present() > 0
    on = {side: present[rows].any(axis=0) for side, rows in (("training", training), ("validation", validation))}
    for side, has in on.items():
        missing = [label for label, there in zip(manifest.vocabulary, has, strict=True) if not there]
        if missing:
            how += f" Not in {side}: {', '.join(missing)}."
    return manifest.with_folds(np.where(validation, 0, -1)), how


def take_subset(manifest: Manifest, subset: str) -> tuple[Manifest, np.ndarray]:
    """The clips that training or scoring hears, in folds, and their positions in what was given.

    Noisy clips of a recording that is scored share its fold; all others are in every training side. Where the noisy
    ones alone are trained on, all that is scored is held out at once, and what shares a recording with it left out.

    Args:
        subset: see `DataConfig`.

    Raises:
        ManifestError: there are no noisy clips, or none but these.
    """
    everything = np.arange(len(manifest))
    if not subset:
        return manifest, everything
    noisy, scored = manifest.column("subset") == "noisy", manifest.scored
    if not noisy.any() or noisy[scored].any():
        raise ManifestError(
            f"{manifest.root}: data.subset={subset} wants curated and noisy clips, and there are none that are "
            f"{'curated' if noisy.any() else 'noisy'}. Say in a column 'subset' which clips are noisy."
        )
    loose = noisy & ~np.isin(manifest.groups, manifest.groups[scored])
    manifest = manifest.with_folds(np.where(loose, -1, manifest.folds))
    kept = {"curated": ~noisy, "noisy": loose | scored, "agreeing": ~noisy | loose}[subset]
    if subset == "noisy":
        manifest = manifest.with_folds(np.where(scored, 0, manifest.folds))
    kept |= np.isin(manifest.splits, ASIDE) & (manifest.folds < 0)  # which are said to be set aside later
    return manifest.keep(kept), everything[kept]


def require_inner_splits(config: RunConfig, manifest: Manifest) -> None:
    """Stop before anything is trained if some fold's training side has no clips to choose the epoch by."""
    for fold in manifest.fold_numbers if config.validation_fraction else ():
        inner_split(manifest.select(manifest.folds != fold), config.validation_fraction, seed=config.data.fold_seed)


def require_subsets(config: RunConfig, manifest: Manifest) -> None:
    """Stop before anything is trained if settings speak of noisy clips, or of a share of them, that are not there.

    Raises:
        ConfigError: the data has no clip of a subset that is asked for.
    """
    noisy, optim = manifest.column("subset") == "noisy", config.optim
    asked = {
        "noisy": optim.knows_noisy or bool(optim.noisy_share),
        "curated": optim.noisy_share is not None and optim.noisy_share < 1,
    }
    there = {"noisy": noisy.any(), "curated": not noisy.all()}
    for subset in asked:
        if asked[subset] and not there[subset]:
            raise ConfigError(
                f"{config.data.path}: no clip is of the {subset} subset, which the settings optim.noisy_… ask for. "
                "Leave them away, or say in a column 'subset' which clips are noisy."
            )
