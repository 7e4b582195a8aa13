"""Finished runs as members of an ensemble: their out-of-fold scores side by side, once nothing speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.ensemble.panel import Panel
from earmark.errors import ConfigError, RunError, summarise_rows
from earmark.predictions import Predictions, concatenate
from earmark.run import REFIT, Run
from earmark.tagger.combination import on_rows
from earmark.tagger.tagger import Tagger, load_tagger


@dataclass(frozen=True)
class Member:
    """A run that takes part.

    model: what it ships. file, tagger: that file before calibration, as its out-of-fold scores are; opened.
    manifest: the clips that it is scored on. windows: its scores of their windows, out of fold.
    """

    run: Run
    model: str
    file: Path
    tagger: Tagger
    manifest: Manifest
    windows: Predictions

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def multi_label(self) -> bool:
        return self.tagger.metadata.multi_label


def read_member(folder: Path) -> Member:
    """Read what a finished run ships and what it scored out of fold.

    Raises:
        RunError: it is not finished, or a fold's model scored clips that it was trained on.
    """
    run = Run(folder)
    if not (run.tagger.is_file() and run.config.is_file()):
        raise RunError(f"{folder}: holds no finished run, so it cannot be a member. {run.way_out}")
    model = str(load_tagger(run.tagger).metadata.scores.get("model", ""))
    file = run.fold(REFIT, model).tagger
    if not file.is_file():
        if run.calibration.is_file():
            raise RunError(f"{folder}: lacks its tagger before calibration (expected {file}). Train it again.")
        file = run.tagger
    manifest = read_manifest(run.manifest, look_for_files=False)
    windows = read_windows(run, model, manifest)
    return Member(run, model, file, load_tagger(file), manifest.select(manifest.scored), windows)


def read_windows(run: Run, model: str, manifest: Manifest) -> Predictions:
    """What each fold's model of a run said of the windows of the clips that were held out.

    Raises:
        RunError: the run is not finished, or a fold's model scored clips that it was trained on.
    """
    parts = []
    for fold in manifest.fold_numbers:
        path = run.fold(fold, model).predictions
        if not path.is_file():
            raise RunError(
                f"{run.folder}: the scores of fold {fold} are not there (expected {path}). Let the run finish."
            )
        part = Predictions.load(path)
        held_out = set(manifest.clip_ids[manifest.folds == fold])
        known = [name for name in dict.fromkeys(part.clip_ids) if name not in held_out]
        if known:
            raise RunError(
                f"{run.folder}: the model of fold {fold} scored {len(known)} clips that it was trained on, and such "
                f"scores would be taken for knowledge. Train the run again in another folder.\n{summarise_rows(known)}"
            )
        parts.append(part)
    return concatenate(parts)


def read_members(folders: Sequence[Path | str]) -> list[Member]:
    """Read runs that may vote together.

    Raises:
        ConfigError: fewer than two, or two of one name.
        RunError: one is not finished; they know other labels, other clips, other folds, or label clips otherwise.
    """
    names = [Run(Path(folder)).name for folder in folders]
    if len(names) < 2:
        raise ConfigError("ensemble: one run is no ensemble. Give two or more.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"ensemble: {', '.join(twice)} is given twice, or two runs have one name. Rename a folder.")
    members = [read_member(Path(folder)) for folder in folders]
    for member in members[1:]:
        _require_alike(members[0], member)
    return members


def _require_alike(first: Member, other: Member) -> None:
    """Refuse a run whose scores cannot stand beside the first one's.

    Raises:
        RunError: why.
    """
    its, known = other.manifest, first.manifest
    where = other.run.folder
    if other.windows.labels != first.windows.labels or its.vocabulary != known.vocabulary:
        apart = sorted(set(other.windows.labels) ^ set(first.windows.labels))
        raise RunError(
            f"{where}: knows other labels than {first.run.folder} ({', '.join(apart) or 'in another order'}). "
            "Members give the same labels in the same order."
        )
    if other.multi_label != first.multi_label:
        raise RunError(
            f"{where}: lets {'several labels' if other.multi_label else 'one label'} hold at once and "
            f"{first.run.folder} does not. Train both on the same table."
        )
    strangers = sorted(set(its.clip_ids) ^ set(known.clip_ids))
    if strangers:
        raise RunError(
            f"{where}: was scored on other clips than {first.run.folder}. Train on one table.\n"
            f"{summarise_rows(strangers)}"
        )
    row_of = {name: row for row, name in enumerate(its.clip_ids)}
    its = its.select(np.array([row_of[name] for name in known.clip_ids]))
    moved = known.clip_ids[its.folds != known.folds].tolist()
    if moved:
        raise RunError(
            f"{where}: has {len(moved)} clips in other folds than {first.run.folder}, so one's scores know labels that "
            f"the other is scored on. Train both with the same folds.\n{summarise_rows(moved)}"
        )
    same = (its.present() == known.present()) & (its.label_weights() == known.label_weights())
    relabelled = known.clip_ids[~same.all(axis=1)].tolist()
    if relabelled:
        raise RunError(
            f"{where}: labels {len(relabelled)} clips otherwise than {first.run.folder}. Train on one table.\n"
            f"{summarise_rows(relabelled)}"
        )


def rows_of(members: Sequence[Member]) -> int:
    """Which member lays the windows of the ensemble: the first of those whose windows are longest."""
    return int(np.argmax([member.tagger.metadata.window_seconds for member in members]))


def share_windows(members: Sequence[Member]) -> bool:
    """Whether all hear the same windows, so that one graph can hold them."""
    return len({_hearing(member) for member in members}) == 1


def _hearing(member: Member) -> tuple[object, ...]:
    known = member.tagger.metadata
    return known.framing, known.views, known.view_samples


def make_panel(members: Sequence[Member]) -> Panel:
    """The scores of all members on the windows of one of them.

    Raises:
        RunError: a run has no window of some clip.
    """
    first = members[0]
    manifest = first.manifest
    tables = [_by_clip(member, manifest.clip_ids) for member in members]
    lead = rows_of(members)
    rows = members[lead].windows.rows(np.concatenate(tables[lead]))
    clip_of = np.repeat(np.arange(len(manifest)), [len(own) for own in tables[lead]])
    scores = np.empty((len(rows), len(members), len(rows.labels)), dtype=np.float32)
    together = share_windows(members)  # then they ship as one graph, whose rows are the windows themselves
    start = 0
    for clip, own in enumerate(tables[lead]):
        here = slice(start, start + len(own))
        for number, member in enumerate(members):
            its = member.windows.rows(tables[number][clip])
            on = (rows.starts[here], rows.ends[here], its.starts, its.ends, its.scores)
            scores[here, number] = its.scores if together else on_rows(*on)
        start += len(own)
    pools = {member.tagger.metadata.pool for member in members}
    return Panel(
        tuple(member.name for member in members),
        rows.labels,
        first.multi_label,
        scores,
        rows.starts,
        rows.ends,
        clip_of,
        pools.pop() if len(pools) == 1 else "mean",
        manifest.clip_ids,
        manifest.groups,
        manifest.folds,
        manifest.present(),
        manifest.label_weights(),
    )


def _by_clip(member: Member, clip_ids: np.ndarray) -> list[np.ndarray]:
    """Positions of each clip's windows among a member's."""
    names, inverse = np.unique(member.windows.clip_ids.astype(str), return_inverse=True)
    order = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    found = dict(zip(names.tolist(), order, strict=True))
    missing = [name for name in clip_ids if name not in found]
    if missing:
        raise RunError(
            f"{member.run.folder}: {len(missing)} clips have no scores. Let the run finish.\n{summarise_rows(missing)}"
        )
    return [found[name] for name in clip_ids]
