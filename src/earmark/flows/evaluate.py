"""The story of `earmark evaluate`: a tagger or a table of scores, labelled sounds it never saw, an honest score."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.fraction import take_fraction
from earmark.data.leakage import hash_contents
from earmark.data.lock import Lock, add_look, count_look, read_lock, verify
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest, table_of
from earmark.data.readers.problems import RowProblem
from earmark.data.score_table import read_scores
from earmark.data.seen import seen
from earmark.errors import ConfigError, EarmarkError, ManifestError, summarise_rows
from earmark.evaluation.scorecard import LEAK, Scorecard
from earmark.evaluation.thresholds import DEFAULT_THRESHOLD, tags_of
from earmark.flows.judging import Evaluated, Said, judge, on_one_vocabulary, renamed
from earmark.flows.reading import Failures, read_rows
from earmark.flows.slicing import require_parts
from earmark.flows.source_audit import audit_source
from earmark.predictions import Predictions, concatenate
from earmark.report.card import card_text
from earmark.report.report import write_report
from earmark.run import Run, write_text
from earmark.tagger.tag_files import default_threads, gather_warnings, tag_files
from earmark.tagger.tagger import Tagger, load_tagger
from earmark.tagger.tta import VIEWS
from earmark.windows import POOLS

log = logging.getLogger("earmark")

UNKNOWN_ORIGIN = "What made these scores is not known here, nor what that was trained on."


def evaluate(
    tagger: Path | str,
    data: Path | str,
    *,
    split: str | None = None,
    by: Sequence[str] = (),
    mapping: Path | None = None,
    common: bool = False,
    threshold: float | None = None,
    audit: bool = False,
    allow_leak: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    views: str | None = None,
    view_seconds: Sequence[float] = (),
    pool: str | None = None,
) -> Evaluated:
    """Score a tagger file on labelled data. A look at a locked test split is counted, beside it and in the run.

    Args:
        tagger: the file, the folder of taggers or of a run, or a name of a pretrained one.
        data: a table or folder, its labels among the tagger's.
        split: "train", "validation" or "test": only those clips; by default the test clips if there are some.
        by: what to score parts of the data by: columns of its table, "clip_seconds", "loudness".
        mapping: a table of the tagger's labels and what the data calls them. common: only the labels that both know.
        threshold: from which a score is a tag, for every label; None = those that are stored.
        audit: also hear what a run was trained on, to find copies that are encoded or cut otherwise.
        allow_leak: go on with clips that it was trained on, and mark the score.
        audio_dir, encoding, folder_tricks, merge: how the data is read, see `read_manifest`.
        fraction: share of the clips to use, in whole groups of every class.
        views, view_seconds, pool: what the tagger is to hear of a clip and how its scores are pooled, to measure other
            ways than its own (`Tagger.with_views`).

    Raises:
        ConfigError: the views or the pool are not known.
        ManifestError: the data has labels that the tagger does not know, no clips of the split, or a test split that
            was changed after it was locked.
        EarmarkError: the data is what it was trained on, or no clip can be read.
    """
    opened, data = load_tagger(tagger), Path(data)
    if views or view_seconds or pool:
        opened = hearing(opened, views, view_seconds, pool)
    opened.require_labels()
    failures: Failures = []
    reading = {"audio_dir": audio_dir, "encoding": encoding, "folder_tricks": folder_tricks, "merge": merge}
    manifest = read_rows(data, failures, all_labels=False, **reading)
    its = opened.metadata
    known = renamed(Said(its.name, its.labels, np.empty((0, len(its.labels))), None, its.multi_label), mapping).labels
    on_one_vocabulary(manifest, known, common)  # before anything is heard
    require_parts(manifest, by)
    manifest, lock, remarks = choose_clips(manifest, data, encoding, split, fraction)
    if views or view_seconds or pool:
        remarks.insert(0, f"Heard otherwise than the tagger is set: {its.heard}, {its.pool}.")
    hashes = hash_contents(manifest, default_threads())
    remarks += require_unseen(opened, manifest, hashes, data, allow_leak)
    if audit:
        remarks += heard_before(str(tagger), manifest, hashes, allow_leak)
    predictions = hear(opened, manifest, data, failures)
    scored = set(predictions.clip_ids)
    manifest = manifest.select(np.array([name in scored for name in manifest.clip_ids]))
    limits = its.thresholds["clip"] if threshold is None else [threshold] * len(its.labels)
    tags = tags_of(predictions.scores, limits, its.multi_label)
    said = Said(its.name, its.labels, predictions.scores, tags, its.multi_label)
    how = {"mapping": mapping, "common": common, "by": by, "remarks": remarks}
    return finish(said, predictions, manifest, data, opened.path, lock, failures, **how)


def evaluate_predictions(
    predictions: Path | str,
    data: Path | str,
    *,
    split: str | None = None,
    by: Sequence[str] = (),
    mapping: Path | None = None,
    common: bool = False,
    threshold: float | None = None,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    pool: str | None = None,
) -> Evaluated:
    """Score a table that any tool has written. A look at a locked test split is counted beside it.

    Where the data has folds, areas are computed in each and averaged: such tables are mostly made out of fold.

    Args:
        predictions: as `read_scores` reads it.
        common: only the labels that both know, and only the clips that have scores.
        threshold: from which a score is a tag, where several labels can hold; 0.5 unless given.
        pool: of several rows of a clip. The rest as in `evaluate`; the sounds need not be there.

    Raises:
        ManifestError: from `read_scores`, or clips have no scores; the rest as in `evaluate`.
    """
    path, data = Path(predictions), Path(data)
    reading = {"audio_dir": audio_dir, "encoding": encoding, "folder_tricks": folder_tricks, "merge": merge}
    taken = take_table(
        path, data, reading, split=split, fraction=fraction, common=common, threshold=threshold, pool=pool
    )
    how = {"mapping": mapping, "common": common, "by": by, "remarks": taken.remarks}
    require_parts(taken.manifest, by)
    return finish(taken.said, taken.heard, taken.manifest, data, path, taken.lock, [], folds=taken.folds, **how)


@dataclass(frozen=True)
class Taken:
    """A table of scores beside its clips. heard: the same scores as rows. folds: (clips,) where the data has them."""

    said: Said
    heard: Predictions
    manifest: Manifest
    folds: np.ndarray | None
    lock: Lock | None
    remarks: list[str]


def take_table(
    path: Path,
    data: Path,
    reading: Mapping[str, Any],
    *,
    split: str | None = None,
    fraction: float = 1.0,
    common: bool = False,
    threshold: float | None = None,
    pool: str | None = None,
) -> Taken:
    """Read a table of scores and the clips that it is of; arguments and errors as for `evaluate_predictions`."""
    if pool and pool not in POOLS:
        raise ConfigError(f"--pool: '{pool}' is none of {', '.join(POOLS)}. Choose one of them.")
    encoding = reading.get("encoding")
    manifest = read_labels(data, encoding, reading)
    manifest, lock, remarks = choose_clips(manifest, data, encoding, split, fraction)
    found = read_scores(path, manifest, pool=pool or "mean")
    remarks += [UNKNOWN_ORIGIN, *found.remarks]
    if found.missing:
        if not common:
            raise ManifestError(
                f"{path}: {len(found.missing)} of {len(manifest)} clips have no scores. Add their rows, or pass "
                f"--common to score the others.\n{summarise_rows(list(found.missing))}"
            )
        remarks.append(f"{len(found.missing):,} of {len(manifest):,} clips have no scores and do not count.")
        missing = set(found.missing)
        manifest = manifest.select(np.array([name not in missing for name in manifest.clip_ids]))
    its, multi_label = found.predictions, manifest.multi_label
    limit = DEFAULT_THRESHOLD if threshold is None and multi_label else threshold or 0.0
    tags = None if found.no_chances else tags_of(its.scores, [limit] * len(its.labels), multi_label)
    said = Said(path.stem, its.labels, its.scores, tags, multi_label, found.no_chances)
    folds = manifest.folds if len(manifest.fold_numbers) > 1 and (manifest.folds >= 0).all() else None
    if folds is not None:
        remarks.append(f"mAP and ROC-AUC are the means of the {len(manifest.fold_numbers)} folds that the data has.")
    return Taken(said, its, manifest, folds, lock, remarks)


def finish(
    said: Said,
    heard: Predictions,
    manifest: Manifest,
    data: Path,
    source: Path,
    lock: Lock | None,
    failures: Failures,
    *,
    mapping: Path | None,
    common: bool,
    by: Sequence[str],
    remarks: Sequence[str],
    folds: np.ndarray | None = None,
) -> Evaluated:
    """Scores and labels brought to the same names, judged, and the look counted."""
    said, kept, rows, more = brought_together(said, manifest, mapping, common)
    folds = None if folds is None else folds[rows]
    card, slices, reliable = judge(said, kept, by=by, folds=folds, remarks=[*remarks, *more])
    if lock and (kept.splits == "test").any():
        card = counted(card, table_of(data), source, said.name)
    predictions = replace(heard.rows(rows), scores=said.scores, labels=said.labels)
    return Evaluated(card, predictions, failures, kept, slices, reliable)


def brought_together(
    said: Said, manifest: Manifest, mapping: Path | None, common: bool
) -> tuple[Said, Manifest, np.ndarray, list[str]]:
    """Scores and clips under the same labels, which rows of the clips are left, and the remarks on what is not."""
    said = renamed(said, mapping)
    kept, labels, remarks = on_one_vocabulary(manifest, said.labels, common)
    row_of = {name: row for row, name in enumerate(manifest.clip_ids)}
    rows = np.array([row_of[name] for name in kept.clip_ids], dtype=np.int64)
    columns = [said.labels.index(label) for label in labels]
    tags = None if said.tags is None else said.tags[rows][:, columns]
    return replace(said, labels=labels, scores=said.scores[rows][:, columns], tags=tags), kept, rows, remarks


def read_labels(data: Path, encoding: str | None, reading: Mapping[str, Any]) -> Manifest:
    """Labelled clips whose sounds need not be there, unless a lock says what they were."""
    table = table_of(data, encoding)
    if table is None or read_lock(table):
        return read_manifest(data, **reading)
    problems: list[RowProblem] = []
    with suppress(ManifestError):  # what is wrong but for the files is raised below
        manifest = read_manifest(data, **reading, problems=problems)
        if not problems:
            return manifest
    return read_manifest(data, **reading, look_for_files=False)


def choose_clips(
    manifest: Manifest, data: Path, encoding: str | None, split: str | None, fraction: float
) -> tuple[Manifest, Lock | None, list[str]]:
    """The clips of a split and a fraction, the lock of their table, and the remarks.

    Raises:
        ManifestError: a test split was changed after it was locked, or there is no clip of the split.
    """
    table = table_of(data, encoding)
    lock = verify(table, manifest, default_threads()) if table else None
    manifest, remarks = choose_split(manifest, split)
    if fraction < 1:
        remarks.append(f"A part of the data: --fraction {fraction:g} of {len(manifest):,} clips.")
        manifest = take_fraction(manifest, fraction)
    return manifest, lock, remarks


def hear(tagger: Tagger, manifest: Manifest, data: Path, failures: Failures) -> Predictions:
    """Clip scores of what can be read, in the order of the data; the rest become failures.

    Raises:
        EarmarkError: nothing can be read.
    """
    heard = list(tag_files(tagger, manifest.clips()))
    for warning in gather_warnings((tagged.clip.path, warning) for tagged in heard for warning in tagged.warnings):
        log.warning("%s", warning)
    parts = [tagged.predictions for tagged in heard if tagged.predictions is not None]
    failures += [(str(tagged.clip.path), str(tagged.error)) for tagged in heard if tagged.predictions is None]
    if not parts:
        raise EarmarkError(f"{data}: no clip can be read.\n{summarise_rows([reason for _, reason in failures])}")
    return concatenate(parts)


def hearing(tagger: Tagger, views: str | None, view_seconds: Sequence[float], pool: str | None) -> Tagger:
    """The tagger with other views or another pool than its own.

    Raises:
        ConfigError: there are no such views or pool, or lengths are wanted and none given.
        TaggerFileError: its graph does not take windows of these lengths.
    """
    its = tagger.metadata
    chosen = views or ("lengths" if view_seconds else its.views)
    for option, value, known in (("--views", chosen, VIEWS), ("--pool", pool or its.pool, POOLS)):
        if value not in known:
            raise ConfigError(f"{option}: '{value}' is none of {', '.join(known)}. Choose one of them.")
    seconds = view_seconds or (its.view_seconds if chosen == its.views else ())
    if chosen == "lengths" and not seconds:
        raise ConfigError("--views: lengths of what? Give --view-seconds, such as 1,2.5,5.")
    return tagger.with_views(chosen, seconds, pool)


def choose_split(manifest: Manifest, split: str | None) -> tuple[Manifest, list[str]]:
    """The clips of a split, and the remark on it; all of them if none is asked for and there is no test split.

    Raises:
        ManifestError: there is no clip of that split.
    """
    inside = manifest.splits == (split or "test")
    if split is None and not inside.any():
        return manifest, []
    if not inside.any():
        found = ", ".join(sorted({name for name in manifest.splits if name})) or "none"
        raise ManifestError(f"{manifest.root}: there is no clip of split '{split}' (found: {found}). Correct --split.")
    return manifest.select(inside), [f"The {split or 'test'} split: {inside.sum():,} of {len(manifest):,} clips."]


def counted(scorecard: Scorecard, table: Path, source: Path, name: str) -> Scorecard:
    """The scorecard of a look at a locked test split, which is counted; it says how many there are."""
    metric = scorecard.primary_metric
    remark = look_counted(table, source, metric, scorecard.models[name].metrics[metric].value)
    return replace(scorecard, remarks=(*scorecard.remarks, remark))


def look_counted(table: Path, source: Path, metric: str, value: float) -> str:
    """Count a look at a locked test split, beside its table and, of a run's tagger, in the run; the remark."""
    look, n_looks = count_look(table, source, metric, value)
    run = Run(source.resolve().parent)
    if run.scorecard.exists() and not source.name.endswith(".csv"):
        add_look(run.test_looks, look)
        write_text(run.card, card_text(run))
        write_report(run.folder)
    return f"Look {n_looks} at this locked test split. Choosing by what is seen there uses it up."


def require_unseen(
    tagger: Tagger, manifest: Manifest, hashes: Mapping[str, str], data: Path, allow_leak: bool = False
) -> list[str]:
    """Refuse clips that a tagger was trained on, by their content; the remark where they are allowed.

    Raises:
        EarmarkError: there are some; the text lists them.
    """
    known = manifest.clip_ids[seen(tagger.metadata.trained_on.get("clips", ""), manifest, hashes)]
    if not len(known):
        return []
    its = f"tagger {tagger.metadata.name} was trained on {len(known)} of these {len(manifest)} clips"
    if allow_leak:
        return [f"{LEAK}{its}, and the score is too good."]
    raise EarmarkError(
        f"{data}: {its}, so a score on them would say nothing. Its honest score is in its card; bring clips it never "
        f"saw, or pass --allow-leak to have the score marked.\n{summarise_rows(list(known))}"
    )


def heard_before(tagger: str, manifest: Manifest, hashes: Mapping[str, str], allow_leak: bool) -> list[str]:
    """Refuse clips that share sound or a group with what a run was trained on; the remark where they are allowed.

    Raises:
        EarmarkError: there are some; the text lists them.
    """
    held_out = manifest.with_folds(np.zeros(len(manifest), dtype=np.int64))
    leaks = audit_source(tagger, held_out, hashes, threads=default_threads())
    certain = [str(leak) for leak in leaks if leak.certain]
    for leak in leaks:
        if not leak.certain:
            log.warning("%s", leak)
    if certain and not allow_leak:
        raise EarmarkError(
            f"{tagger}: its training shares {len(certain)} sounds or recordings with this data, in other copies. Leave "
            f"them out, or pass --allow-leak to have the score marked.\n{summarise_rows(certain)}"
        )
    return [f"{LEAK}{text}" for text in certain]
