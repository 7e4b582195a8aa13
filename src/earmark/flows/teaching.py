"""A run's teacher: where its scores are, and that they do not know what is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.audio.cache import content_hash
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, TaggerFileError, summarise_rows
from earmark.flows.run_config import RunConfig
from earmark.run import Run
from earmark.tagger.tagger import load_tagger
from earmark.training.teacher import Teacher, read_teacher


def find_teacher(config: RunConfig, manifest: Manifest, everything: Manifest) -> tuple[RunConfig, list[str]]:
    """The settings with the whole path and content of the teacher's table, and what a reader of the scores must know.

    Args:
        manifest: the clips in folds. everything: these and those that were set aside.

    Raises:
        ConfigError: the teacher cannot be read, knows other labels or clips, or learnt from what its scores are held
            against.
    """
    if not config.optim.teacher:
        return config, []
    table, teacher = known_teacher(config.optim.teacher)
    where = f"optim.teacher: {table}"
    apart = sorted(set(teacher.labels) ^ set(manifest.vocabulary))
    if apart or len(teacher.labels) != len(manifest.vocabulary):
        raise ConfigError(
            f"{where} knows other labels than the data ({', '.join(apart[:5])}). Give a table with a column per label."
        )
    taught = np.isin(manifest.clip_ids, teacher.clip_ids)
    if not taught.any():
        raise ConfigError(
            f"{where} has scores of none of the {len(manifest)} clips ('{teacher.clip_ids[0]}' is one of its own, "
            f"'{manifest.clip_ids[0]}' is one here). Train the teacher on the same table."
        )
    run = Run(table.parent)
    known = run.manifest.is_file()
    if known:
        require_out_of_fold(run, manifest, everything)
    optim = replace(config.optim, teacher=str(table), teacher_hash=content_hash(table))
    remark = (
        f"{optim.teacher_share:.0%} of what the networks learn of {taught.sum():,} of {len(manifest):,} clips is what "
        f"{run.name if known else table.name} says of them"
    )
    remark += (
        ", out of fold. Its models for other folds have heard the clips that are held out here, which flatters the "
        "score a little."
        if known
        else ". Nothing tells which clips it has heard: the score may be too good."
    )
    return replace(config, optim=optim), [remark]


def known_teacher(given: str) -> tuple[Path, Teacher]:
    """The table that a teacher is read from, and what it says.

    Raises:
        ConfigError: it cannot be read, or is no teacher.
    """
    path = Path(given).resolve()
    table = shipped_scores(path) if path.is_dir() else path
    return table, read_teacher(table)


def shipped_scores(folder: Path) -> Path:
    """The out-of-fold scores of what a finished run or ensemble ships.

    Raises:
        ConfigError: it is neither.
    """
    run = Run(folder)
    try:
        table = run.predictions(str(load_tagger(folder).metadata.scores.get("model", "")))
    except TaggerFileError as error:
        raise ConfigError(f"optim.teacher: {folder} ships nothing that could teach. {error}") from error
    if not (table.is_file() and run.manifest.is_file()):
        raise ConfigError(
            f"optim.teacher: {folder} holds no finished run and no ensemble (expected {run.manifest.name} and "
            f"{table.name}). {run.way_out if run.stages.is_file() else 'Give one, or a table of scores.'}"
        )
    return table


def require_out_of_fold(run: Run, manifest: Manifest, everything: Manifest) -> None:
    """Refuse a teacher of other folds, or one that learnt from clips that are set aside here.

    Its scores of a clip that both train on would come from a model that knew the labels of this run's held-out clips.

    Raises:
        ConfigError: there are such clips.
    """
    theirs = read_manifest(run.manifest, look_for_files=False)
    fold_of = dict(zip(theirs.clip_ids, theirs.folds.tolist(), strict=True))
    aside = set(everything.clip_ids) - set(manifest.clip_ids)
    heard = [name for name in theirs.clip_ids if name in aside]
    if heard:
        raise ConfigError(
            f"optim.teacher: {run.folder} learnt from {len(heard)} clips that are set aside here. Train it with the "
            f"same split.\n{summarise_rows(heard)}"
        )
    ours = zip(manifest.clip_ids, manifest.folds.tolist(), strict=True)
    moved = [name for name, fold in ours if fold_of.get(name, fold) != fold]
    if moved:
        raise ConfigError(
            f"optim.teacher: {run.folder} has {len(moved)} clips in other folds than this run, so its scores are not "
            f"out of fold. Train both with the same folds.\n{summarise_rows(moved)}"
        )
