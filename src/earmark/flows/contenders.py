"""What `earmark compare` compares: runs, evaluations and tables of scores, brought to the same clips and labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.config import read_yaml
from earmark.data.lock import Lock
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.ensemble.members import read_windows
from earmark.errors import ConfigError, RunError, summarise_rows
from earmark.evaluation.contest import Contender
from earmark.evaluation.scorecard import LEAK, Scorecard
from earmark.flows.evaluate import brought_together, take_table
from earmark.flows.judging import CLIPS, JSON, SCORES
from earmark.predictions import Predictions
from earmark.report.reading import baseline_of
from earmark.run import Run

TABLE = "predictions."  # how a run's tables begin


@dataclass(frozen=True)
class Source:
    """One set of scores.

    folds: (clips,) which model scored each clip; None if one scored them all.
    recipe: what it was trained with but for the seed; None where nobody knows.
    lock: of the test split that it looks at.
    """

    where: str
    name: str
    manifest: Manifest
    labels: tuple[str, ...]
    scores: np.ndarray
    multi_label: bool
    folds: np.ndarray | None = None
    recipe: Mapping[str, Any] | None = None
    lock: Lock | None = None
    remarks: tuple[str, ...] = ()


def read_source(
    source: Path, data: Path | None, reading: Mapping[str, Any], mapping: Path | None, common: bool
) -> Source:
    """Read a run (what it ships), a run's `predictions.MODEL.csv`, the folder of an evaluation, or any table of scores.

    Args:
        data: the labelled clips that tables are of. reading: options of `read_manifest` for them.
        mapping, common: as for `evaluate_predictions`.

    Raises:
        RunError: the run is not finished, scored what it was trained on, or it is no run.
        ConfigError: a table is given without labelled clips.
    """
    if (source / JSON).is_file():
        return _of_evaluation(source)
    if source.is_dir():
        return _of_run(Run(source), None)
    if not source.is_file():
        raise RunError(
            f"{source}: is not there. Give folders of finished runs, folders that `earmark evaluate --out` wrote, or "
            "tables of scores with --data."
        )
    name = source.stem
    if data is None and name.startswith(TABLE) and (source.parent / "manifest.csv").is_file():
        return _of_run(Run(source.parent), name.removeprefix(TABLE))
    if data is None:
        raise ConfigError(f"{source}: is a table of scores, of which clips? Give the labelled ones with --data.")
    taken = take_table(source, data, reading, common=common)
    said, manifest, rows, remarks = brought_together(taken.said, taken.manifest, mapping, common)
    folds = None if taken.folds is None else taken.folds[rows]
    told = (*taken.remarks, *remarks)
    facts = {"folds": folds, "lock": taken.lock, "remarks": told}
    return Source(str(source), said.name, manifest, said.labels, said.scores, said.multi_label, **facts)


def _of_run(run: Run, model: str | None) -> Source:
    """The scores of a run's clips while they were held out."""
    missing = [path.name for path in (run.scorecard, run.manifest) if not path.is_file()]
    if missing:
        raise RunError(f"{run.folder}: holds no finished run ({', '.join(missing)} missing). {run.way_out}")
    card = Scorecard.load(run.scorecard)
    baseline = baseline_of(card.models)
    shipped = min(card.models, key=lambda name: name == baseline)
    manifest = read_manifest(run.manifest, look_for_files=False)
    own = model or shipped
    if not run.predictions(own).is_file():
        raise RunError(f"{run.folder}: has no scores of '{own}' (expected {run.predictions(own)}). Let the run finish.")
    if any(run.fold(fold, own).folder.is_dir() for fold in manifest.fold_numbers):
        read_windows(run, own, manifest)  # refuses what was scored by a model that knew it
    manifest = manifest.select(manifest.scored)
    found = Predictions.load(run.predictions(own)).align(manifest.clip_ids)
    recipe = None
    if run.config.is_file():
        recipe = {key: value for key, value in read_yaml(run.config).items() if key != "seed"} | {"scored": own}
    return Source(
        str(run.folder),
        run.name if own == shipped else f"{run.name}: {own}",
        manifest.with_vocabulary(found.labels),
        found.labels,
        found.scores,
        card.multi_label,
        folds=manifest.folds,
        recipe=recipe,
        remarks=tuple(remark for remark in card.remarks if remark.startswith(LEAK)),
    )


def _of_evaluation(folder: Path) -> Source:
    """What `earmark evaluate --out FOLDER` has written."""
    card = Scorecard.load(folder / JSON)
    if card.has_leaks:
        raise RunError(
            f"{folder}: holds scores of clips that the tagger was trained on, and they are compared with nothing. "
            "Evaluate it without --allow-leak."
        )
    found = Predictions.load(folder / SCORES)
    manifest = read_manifest(folder / CLIPS, look_for_files=False).with_vocabulary(found.labels)
    rows = found.align(manifest.clip_ids)
    return Source(str(folder), card.best, manifest, found.labels, rows.scores, card.multi_label, remarks=card.remarks)


def on_one_table(sources: Sequence[Source], common: bool) -> tuple[list[Source], list[str]]:
    """Sources on the same clips and labels, in the order of the first, and the remarks on what was left out.

    Raises:
        RunError: they have other clips or labels and it is not `common`; or they are of other kinds, label clips
            otherwise, or have them in other folds.
    """
    first, remarks = sources[0], []
    for other in sources[1:]:
        if other.multi_label != first.multi_label:
            raise RunError(
                f"{other.where}: lets {'several labels' if other.multi_label else 'one label'} hold at once and "
                f"{first.where} does not. Such scores cannot be compared."
            )
    labels = [label for label in first.labels if all(label in other.labels for other in sources)]
    if not labels:
        raise RunError(f"{sources[1].where}: shares no label with {first.where}. Give runs on one table.")
    labelled = [each.manifest.without_labels(set(each.labels) - set(labels)) for each in sources]
    shared = set(first.manifest.clip_ids).intersection(*(each.clip_ids for each in labelled))
    ids = [name for name in first.manifest.clip_ids if name in shared]
    if not ids:
        raise RunError(f"{sources[1].where}: shares no clip with {first.where}. Give runs on one table.")
    for other in sources:
        strange = sorted(set(other.labels) - set(labels))
        if strange and not common:
            raise RunError(
                f"{other.where}: has labels that another has not ({len(strange)}, such as '{strange[0]}'). Give runs "
                "on the same labels, or pass --common to compare on the shared ones."
            )
        lost = len(other.manifest) - len(ids)
        if lost and not common:
            gone = [name for name in other.manifest.clip_ids if name not in shared]
            raise RunError(
                f"{other.where}: {lost} of its {len(other.manifest)} clips are not in every other. Give runs on the "
                f"same clips, or pass --common to compare on the {len(ids)} shared ones.\n{summarise_rows(gone)}"
            )
        if strange or lost:
            remarks.append(f"{other.name}: {lost:,} clips and {len(strange)} labels that another has not are left out.")
    taken = [_restricted(each, ids, labels) for each in sources]
    for other in taken[1:]:
        _require_alike(taken[0], other)
    return taken, remarks


def _restricted(source: Source, ids: Sequence[str], labels: Sequence[str]) -> Source:
    """The scores of some clips and labels, in that order."""
    row_of = {name: row for row, name in enumerate(source.manifest.clip_ids)}
    rows = np.array([row_of[name] for name in ids], dtype=np.int64)
    columns = [source.labels.index(label) for label in labels]
    manifest = source.manifest.select(rows)
    left_out = [label for label in source.labels if label not in set(labels)]
    return replace(
        source,
        manifest=manifest.without_labels(left_out).with_vocabulary(labels),
        labels=tuple(labels),
        scores=source.scores[rows][:, columns],
        folds=None if source.folds is None else source.folds[rows],
    )


def _require_alike(first: Source, other: Source) -> None:
    """Refuse scores of clips that are labelled otherwise, or that stand in other folds."""
    ids = first.manifest.clip_ids
    same = (first.manifest.present() == other.manifest.present()) & (
        first.manifest.label_weights() == other.manifest.label_weights()
    )
    relabelled = ids[~same.all(axis=1)].tolist()
    if relabelled:
        raise RunError(
            f"{other.where}: labels {len(relabelled)} clips otherwise than {first.where}, so one of them is judged by "
            f"other answers. Give runs on one table.\n{summarise_rows(relabelled)}"
        )
    if first.folds is None or other.folds is None:
        return
    moved = ids[first.folds != other.folds].tolist()
    if moved:
        raise RunError(
            f"{other.where}: has {len(moved)} clips in other folds than {first.where}: what it learnt from differs. "
            f"Train both with the same folds.\n{summarise_rows(moved)}"
        )


def pool_seeds(sources: Sequence[Source]) -> list[Contender]:
    """The sources as contenders; runs that differ in nothing but the seed are one.

    Raises:
        ConfigError: fewer than two are left.
    """
    pools: list[list[Source]] = []
    for source in sources:
        own = next((each for each in pools if source.recipe is not None and each[0].recipe == source.recipe), None)
        if own is None:
            pools.append([source])
        else:
            own.append(source)
    if len(pools) < 2:
        raise ConfigError(
            f"compare: {len(sources)} runs of one recipe, which differ in nothing but the seed. Give another to "
            "hold them against."
        )
    names = [_name(own) for own in pools]
    if len(set(names)) < len(names):
        names = [_place(own) for own in pools]
    if len(set(names)) < len(names):
        names = [own[0].where for own in pools]
    return [Contender(name, tuple(each.scores for each in own)) for name, own in zip(names, pools, strict=True)]


def _name(pool: Sequence[Source]) -> str:
    """Of several seeds what their names begin with."""
    if len(pool) == 1:
        return pool[0].name
    start = os.path.commonprefix([each.name for each in pool]).rstrip(" -_.")
    return f"{start or pool[0].name} ({len(pool)} seeds)"


def _place(pool: Sequence[Source]) -> str:
    """Of several seeds the folder that all are in."""
    if len(pool) == 1:
        return pool[0].where
    return f"{os.path.commonpath([each.where for each in pool])} ({len(pool)} seeds)"
