"""The story of `earmark evaluate --events`: events that a tagger or a file finds, held against those that are there."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.event_table import FoundEvents, FoundScores, read_found
from earmark.data.event_truth import EventTruth, RawEvents, gather_events
from earmark.data.label_map import map_labels, merge_columns, read_label_map
from earmark.data.leakage import hash_contents
from earmark.data.lock import Lock, verify
from earmark.data.manifest import Manifest
from earmark.data.readers import table_of
from earmark.errors import ConfigError, EarmarkError, ManifestError, summarise_rows
from earmark.evaluation.events import COLLAR_SECONDS, merge_events
from earmark.evaluation.psds import Heard
from earmark.evaluation.thresholds import DEFAULT_THRESHOLD
from earmark.flows.evaluate import (
    UNKNOWN_ORIGIN,
    choose_split,
    heard_before,
    look_counted,
    read_labels,
    require_unseen,
)
from earmark.flows.judging import on_one_vocabulary
from earmark.flows.judging_events import Detected, EventsEvaluated, judge_events
from earmark.flows.reading import Failures, read_rows
from earmark.predictions import Predictions
from earmark.tagger.events import SLACK_SECONDS, Event, EventRule, find_events, step_scores
from earmark.tagger.tag_files import default_threads, gather_warnings, tag_files
from earmark.tagger.tagger import Tagger, load_tagger

log = logging.getLogger("earmark")

OF_STEPS = "By the steps of its windows, uncalibrated; the thresholds that are stored were fitted on whole windows."
Names = Mapping[str, str]  # what scores call a label → what the data does


def evaluate_events(
    tagger: Path | str,
    data: Path | str,
    *,
    recordings: Path | str | None = None,
    rule: EventRule | None = None,
    collar: float = COLLAR_SECONDS,
    threshold: float | None = None,
    steps: bool = False,
    split: str | None = None,
    mapping: Path | None = None,
    common: bool = False,
    audit: bool = False,
    allow_leak: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
) -> EventsEvaluated:
    """Let a tagger hear whole recordings, and score the events that it finds. Nothing is fitted on them.

    Args:
        tagger: as for `evaluate.evaluate`.
        data: rows with starts and ends of labels: a table, label tracks, selection tables (`read_manifest`).
        recordings: a table with a row per recording, where `data` does not name those without an event.
        rule: how windows become events. collar: seconds by which a start, or an end, may be off.
        threshold: from which an event begins, for every label; None = those that are stored.
        steps: by the scores of its windows' steps (`Tagger.with_steps`).
        split, mapping, common, audit, allow_leak, audio_dir, encoding: as in `evaluate.evaluate`.

    Raises:
        ConfigError: the collar is no time.
        ManifestError: as in `evaluate.evaluate`; or events with and without ends, see `gather_events`.
        EarmarkError: the recordings are what it was trained on, or none can be read.
    """
    require_collar(collar)
    opened, data = load_tagger(tagger), Path(data)
    opened = opened.with_steps() if steps else opened
    opened.require_labels()
    rule, failures = rule or EventRule(), []
    names, _ = _names(opened.labels, mapping)
    asked = _read_truth(data, recordings, failures, split, audio_dir=audio_dir, encoding=encoding)
    labels, truth, remarks = _on_one_vocabulary(asked.truth, tuple(dict.fromkeys(names.values())), common)
    remarks = [*asked.remarks, *remarks]
    remarks += _require_unseen(opened, truth.recordings, asked.rows, data, allow_leak)
    if audit:
        hashes = hash_contents(truth.recordings, default_threads())
        remarks += heard_before(str(tagger), truth.recordings, hashes, allow_leak)
    if not opened.metadata.multi_label:
        remarks.append("The tagger names one label at a time: of what sounds together it finds one.")
    if steps:
        remarks.append(OF_STEPS)
    scores = _hear(opened, truth, data, failures)
    truth = truth.select(np.array([each is not None for each in scores]))
    heard = [each for each in scores if each is not None]
    found = [opened.events(each, rule, threshold=threshold) for each in heard]
    events = [_renamed(some, names, labels) for some in found]
    detected = Detected(opened.metadata.name, labels, events, [_steps(each, names, labels) for each in heard])
    judged = judge_events(detected, truth, collar=collar, rule=rule, remarks=remarks, failures=failures)
    return _counted(judged, asked, opened.path)


def evaluate_found(
    found: Path | str,
    data: Path | str,
    *,
    recordings: Path | str | None = None,
    rule: EventRule | None = None,
    collar: float = COLLAR_SECONDS,
    threshold: float | None = None,
    split: str | None = None,
    mapping: Path | None = None,
    common: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
) -> EventsEvaluated:
    """Score events, or scores of windows, that any tool has written (`read_found`).

    Args:
        rule: how windows become events; events are joined and left out by it if it is given.
        threshold: from which an event begins; of windows 0.5 unless given, of events those that are written.
        The rest as in `evaluate_events`; sounds that a table names need not be there.

    Raises:
        ConfigError, ManifestError: as in `evaluate_events` and from `read_found`; or no label is shared.
    """
    require_collar(collar)
    path, data = Path(found), Path(data)
    asked = _read_truth(data, recordings, None, split, audio_dir=audio_dir, encoding=encoding)
    its = read_found(path, asked.truth.recordings, threshold=threshold)
    names, never = _names(its.labels, mapping, of_list=isinstance(its, FoundEvents))
    if not set(names.values()) & set(asked.truth.recordings.vocabulary):
        raise ManifestError(
            f"{path}: shares no label with the data (the data: {_some(asked.truth.recordings.vocabulary)}; found: "
            f"{_some(names.values())}). Give --map with a table of names."
        )
    if isinstance(its, FoundScores):
        rule = rule or EventRule()
        detected, truth, remarks = _from_scores(path, its, asked.truth, names, common, rule, threshold)
        failures = []
    else:
        detected, truth, remarks = _from_list(path, its, asked.truth, names, common, rule)
        failures = its.failures
    if never:
        remarks = [*remarks, f"{len(never)} names of the map are never found: {_some(never)}."]
    remarks = [*asked.remarks, UNKNOWN_ORIGIN, *remarks]
    judged = judge_events(detected, truth, collar=collar, rule=rule, remarks=remarks, failures=failures)
    return _counted(judged, asked, path)


def _from_scores(
    path: Path,
    its: FoundScores,
    truth: EventTruth,
    names: Names,
    common: bool,
    rule: EventRule,
    threshold: float | None,
) -> tuple[Detected, EventTruth, list[str]]:
    """A table of windows: its events, the recordings that it is of, and the remarks.

    Raises:
        ManifestError: recordings have no scores, or the data has labels that it lacks, and it is not `common`.
    """
    labels, truth, remarks = _on_one_vocabulary(truth, tuple(dict.fromkeys(names.values())), common)
    kept = np.array([each is not None for each in its.scores])
    if not kept.all():
        missing = truth.recordings.clip_ids[~kept].tolist()
        said = f"{len(missing):,} of {len(kept):,} recordings have no scores"
        if not common:
            raise ManifestError(
                f"{path}: {said}. Add their rows, or pass --common to score the others.\n{summarise_rows(missing)}"
            )
        remarks = [*remarks, f"{said} and do not count."]
    heard = [each for each in its.scores if each is not None]
    limits = np.full(len(its.labels), DEFAULT_THRESHOLD if threshold is None else threshold)
    events = [_renamed(find_events(each, limits, rule), names, labels) for each in heard]
    steps = [_steps(each, names, labels) for each in heard]
    return Detected(path.stem, labels, events, steps), truth.select(kept), remarks


def _from_list(
    path: Path, its: FoundEvents, truth: EventTruth, names: Names, common: bool, rule: EventRule | None
) -> tuple[Detected, EventTruth, list[str]]:
    """A list of events: those of the recordings that did not fail, and the remarks. What it does not name, it missed.

    Raises:
        ConfigError: a rule is for scores of windows.
    """
    if rule is not None and rule.keep_share != EventRule().keep_share:
        raise ConfigError(f"--keep-share: is of scores of windows, and {path} holds events. Leave it out.")
    known, remarks = dict.fromkeys(names.values()), []
    labels = tuple(sorted({*truth.recordings.vocabulary, *known}))
    if common:
        labels, truth, remarks = _on_one_vocabulary(truth, tuple(known), common)
    failed = {name for name, _ in its.failures}
    kept = np.array([name not in failed for name in truth.recordings.clip_ids])
    n_silent = len(kept) - its.n_named
    if n_silent:
        remarks = [*remarks, f"{n_silent:,} of {len(kept):,} recordings are not named: nothing was found there."]
    events = []
    for by_label in compress(its.events, kept):
        triples = [Event(label, 1.0, *pair, 1.0) for label, pairs in by_label.items() for pair in pairs.tolist()]
        events.append(_shaped(_renamed(triples, names, labels), rule))
    truth = truth.select(kept)
    if any(np.isnan(pairs).any() for by_label in events for pairs in by_label.values()):
        truth = replace(truth, onsets_only=True)
    return Detected(path.stem, labels, events, None), truth, remarks


@dataclass(frozen=True)
class _Asked:
    """What is to be found. rows: as they were read, of the recordings of `truth`. table: that a lock may be of."""

    truth: EventTruth
    rows: Manifest
    table: Path | None
    lock: Lock | None
    remarks: list[str]


def _read_truth(
    data: Path, recordings: Path | str | None, failures: Failures | None, split: str | None, **reading: Any
) -> _Asked:
    """The events of the recordings of a split.

    Args:
        failures: gains recordings that are not there; None = they need not be.
    """

    def read(path: Path, **more: Any) -> Manifest:
        if failures is None:
            return read_labels(path, reading["encoding"], {**reading, **more})
        return read_rows(path, failures, all_labels=False, **reading, **more)

    rows = read(data, events=True)
    whole = None if recordings is None else read(Path(recordings))
    truth = gather_events(rows, whole)
    table = table_of(data if recordings is None else Path(recordings), reading["encoding"])
    lock = verify(table, rows if whole is None else whole, default_threads()) if table else None
    chosen, remarks = choose_split(truth.recordings, split)
    names = set(chosen.clip_ids)
    truth = truth.select(np.array([name in names for name in truth.recordings.clip_ids]))
    files = {os.path.abspath(file) for file in truth.recordings.files}
    rows = rows.select(np.array([os.path.abspath(file) in files for file in rows.files]))
    return _Asked(truth, rows, table, lock, remarks)


def require_collar(collar: float) -> None:
    """Refuse what is no time.

    Raises:
        ConfigError: it is none.
    """
    if not 0 <= collar < np.inf:
        raise ConfigError(f"--collar: is {collar:g} (expected seconds of 0 or more). Give such as 0.2.")


def _on_one_vocabulary(
    truth: EventTruth, labels: tuple[str, ...], common: bool
) -> tuple[tuple[str, ...], EventTruth, list[str]]:
    """The labels that are judged, the events of these, and the remarks on what is left out."""
    kept, labels, remarks = on_one_vocabulary(truth.recordings, labels, common)
    events = [{label: each for label, each in some.items() if label in labels} for some in truth.events]
    return labels, EventTruth(kept, events, truth.onsets_only), remarks


def _require_unseen(tagger: Tagger, whole: Manifest, rows: Manifest, data: Path, allow_leak: bool) -> list[str]:
    """Refuse recordings, or events as they are cut out here, that a tagger was trained on; the remark if allowed."""
    hashes = hash_contents(whole, default_threads())
    of_file = {os.path.abspath(whole.root / path): digest for path, digest in hashes.items()}
    remarks = require_unseen(tagger, whole, hashes, data, allow_leak)
    its = {path: of_file[os.path.abspath(rows.root / path)] for path in set(rows.table["path"])}
    return remarks or require_unseen(tagger, rows, its, data, allow_leak)


def _hear(tagger: Tagger, truth: EventTruth, data: Path, failures: Failures) -> list[Predictions | None]:
    """The windows of each recording; None of one that cannot be read, which becomes a failure.

    Raises:
        EarmarkError: none can be read.
    """
    heard = list(tag_files(tagger, truth.recordings.clips(), level="window"))
    for warning in gather_warnings((tagged.clip.path, warning) for tagged in heard for warning in tagged.warnings):
        log.warning("%s", warning)
    failures += [(str(tagged.clip.path), str(tagged.error)) for tagged in heard if tagged.predictions is None]
    if all(tagged.predictions is None for tagged in heard):
        raise EarmarkError(
            f"{data}: no recording can be read.\n{summarise_rows([reason for _, reason in failures])}"
        )
    return [tagged.predictions for tagged in heard]


def _names(labels: Sequence[str], mapping: Path | None, of_list: bool = False) -> tuple[Names, list[str]]:
    """What each label is called by the data, those that the map leaves out missing; and what only the map names.

    of_list: the labels are those of a list of events, which may lack some that its tool knows.
    """
    if mapping is None:
        return {label: label for label in labels}, []
    table = read_label_map(mapping)
    never = [name for name in table if name not in labels] if of_list else []
    labels = (*labels, *never)
    columns = map_labels(labels, table, mapping)
    return {labels[number]: new for new, numbers in columns.items() for number in numbers}, never


def _renamed(events: Sequence[Event], names: Names, labels: Sequence[str]) -> RawEvents:
    """Events of one recording by the names and among the labels of the data."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for event in events:
        if (label := names.get(event.label)) in labels:
            found[label].append((event.start, event.end))
    return {label: np.array(pairs) for label, pairs in found.items()}


def _steps(scores: Predictions, names: Names, labels: Sequence[str]) -> Heard:
    """Scores over time in the labels of the data; where several of the tagger's are one, the highest."""
    own = [number for number, label in enumerate(scores.labels) if names.get(label) in labels]
    some = replace(scores, scores=scores.scores[:, own], labels=tuple(scores.labels[number] for number in own))
    edges, values = step_scores(some)
    columns = {label: [n for n, each in enumerate(some.labels) if names[each] == label] for label in labels}
    return Heard(edges, merge_columns(values, columns))


def _shaped(events: RawEvents, rule: EventRule | None) -> RawEvents:
    """Events joined, and short ones left out, if that was asked for."""
    if rule is None:
        return events
    joined = {label: merge_events(pairs, rule.join_seconds) for label, pairs in events.items()}
    return {
        label: pairs[~(pairs[:, 1] - pairs[:, 0] < rule.min_seconds - SLACK_SECONDS)] for label, pairs in joined.items()
    }


def _counted(judged: EventsEvaluated, asked: _Asked, source: Path) -> EventsEvaluated:
    """The same, with the remark on a look at a locked test split, which is counted."""
    if not asked.lock or not (asked.truth.recordings.splits == "test").any():
        return judged
    remark = look_counted(asked.table, source, judged.primary_metric, judged.value)
    return replace(judged, remarks=(*judged.remarks, remark))


def _some(labels: Iterable[str]) -> str:
    labels = list(labels)
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
