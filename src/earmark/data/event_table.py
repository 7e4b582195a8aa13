"""Events, or scores over time, that any tool has written of recordings: tables, JSON lines, annotation files."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earmark.data.event_truth import RawEvents, gather_events
from earmark.data.manifest import Manifest
from earmark.data.readers.annotations import BESIDE_SUFFIX, read_annotations
from earmark.data.readers.table import Table, load_table
from earmark.data.score_table import (
    ENDS,
    NAMES,
    SCORES,
    STARTS,
    class_columns,
    find_clips,
    first_column,
    label_column,
    numeric_columns,
    plain_name,
    read_numbers,
    refuse,
)
from earmark.errors import ManifestError, summarise_rows
from earmark.predictions import Predictions

JSON_LINES = (".jsonl", ".ndjson")
UNKNOWN = "unknown"  # what `earmark tag` writes, without a score, of a recording in which it hears nothing


@dataclass
class FoundEvents:
    """Events that were found in recordings, in their order.

    labels: that were found, or could be. failures: (recording, reason). n_named: recordings that it speaks of.
    """

    events: list[RawEvents]
    labels: tuple[str, ...]
    n_named: int
    failures: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class FoundScores:
    """Scores of windows of recordings, in their order; None of one that has none."""

    scores: list[Predictions | None]
    labels: tuple[str, ...]


def read_found(
    path: Path, recordings: Manifest, *, threshold: float | None = None, encoding: str | None = None
) -> FoundEvents | FoundScores:
    """Read what was found in recordings, which are named by path, file name, or that without suffix.

    Args:
        path: a table with a row per event (label, start, end, mostly a score) or per window (start, end, a column per
            label); JSON lines of `earmark tag`; a label track, selection table or folder of them.
        threshold: only events that score so much; None = all that are written.

    Raises:
        ManifestError: it is none of these, no row is of a recording, or numbers are none.
    """
    if path.is_dir() or path.suffix.lower() == BESIDE_SUFFIX:
        return _from_annotations(path, recordings, encoding)
    if path.suffix.lower() in JSON_LINES:
        return _from_json(path, recordings, threshold)
    table = load_table(path, encoding)
    columns = {name.casefold(): name for name in reversed(table.columns)}
    name, start, end = (first_column(columns, names) for names in (NAMES, STARTS, ENDS))
    if name is None or start is None:
        raise ManifestError(
            f"{path}: events and windows have a recording and a start (found: {', '.join(table.columns)}). Name the "
            f"columns path, start and end."
        )
    rows = _Rows(table, name, start, end, _places(table.column(name), recordings, path))
    label, score = label_column(table, columns, recordings), first_column(columns, SCORES)
    numeric = numeric_columns(table, class_columns(table, label, score, recordings), recordings)
    if label and (score or not numeric):
        return _from_rows(rows, label, score, recordings, threshold)
    return _from_windows(rows, numeric, recordings)


@dataclass(frozen=True)
class _Rows:
    """A table, its columns of names, starts and ends (None = no ends), and the recording of each row, −1 = none."""

    table: Table
    name: str
    start: str
    end: str | None
    places: np.ndarray


def _places(names: Sequence[str], recordings: Manifest, path: Path) -> np.ndarray:
    """The recording of each row, −1 = none of them; also by a path from where we are, as `earmark tag` writes it."""
    keys = [plain_name(name) for name in names]
    known = find_clips(dict.fromkeys(keys), recordings)
    files = {os.path.abspath(file): number for number, file in enumerate(recordings.files)}
    numbers = {key: known[key][0] if key in known else files.get(os.path.abspath(key), -1) for key in set(keys)}
    places = np.array([numbers[key] for key in keys])
    if not (places >= 0).any():
        raise ManifestError(
            f"{path}: none of its {len(keys)} rows is of a recording of the data (found '{keys[0]}', expected such as "
            f"'{recordings.clip_ids[0]}'). Correct the names."
        )
    return places


def _from_rows(
    rows: _Rows, label: str, score: str | None, recordings: Manifest, threshold: float | None
) -> FoundEvents:
    """A row per event; one without a label, or unknown without a score, says that a recording has none."""
    table, cells = rows.table, rows.table.column(label)
    scores = table.column(score) if score else [""] * len(cells)
    silent = [
        not cell or (cell == UNKNOWN and score is not None and not value)
        for cell, value in zip(cells, scores, strict=True)
    ]
    kept = np.flatnonzero((rows.places >= 0) & ~np.array(silent))
    faults: list[str] = []
    starts = read_numbers(table, rows.start, kept, faults)
    ends = read_numbers(table, rows.end, kept, faults) if rows.end else np.full(len(kept), np.nan)
    values = read_numbers(table, score, kept, faults) if score else np.ones(len(kept))
    refuse(table, faults)
    wrong = [f"row {table.lines[row]}" for row in kept[ends < starts]]
    if wrong:
        raise ManifestError(
            f"{table.path}: {len(wrong)} events end before they start. Correct them.\n{summarise_rows(wrong)}"
        )
    labels = [cells[row] for row in kept]
    found = list(zip(rows.places[kept].tolist(), labels, starts, ends, values, strict=True))
    return FoundEvents(_gathered(found, recordings, threshold), tuple(sorted(set(labels))), _n_named(rows.places))


def _from_windows(rows: _Rows, labels: Sequence[str], recordings: Manifest) -> FoundScores:
    """A row per window and a column per label."""
    table = rows.table
    if not labels or rows.end is None:
        raise ManifestError(
            f"{table.path}: holds neither events nor scores of windows (found: {', '.join(table.columns)}). Give a "
            "label, start and end in each row, or start, end and a column per label."
        )
    kept = np.flatnonzero(rows.places >= 0)
    faults: list[str] = []
    starts, ends = (read_numbers(table, name, kept, faults) for name in (rows.start, rows.end))
    values = np.stack([read_numbers(table, name, kept, faults) for name in labels], axis=1).astype(np.float32)
    refuse(table, faults)
    wrong = kept[ends <= starts]
    if len(wrong):
        raise ManifestError(
            f"{table.path}: {len(wrong)} windows do not end after their start (the first: row "
            f"{table.lines[wrong[0]]}). Correct them."
        )
    places = rows.places[kept]
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(1, len(recordings)))
    found: list[Predictions | None] = []
    for name, own in zip(recordings.clip_ids, np.split(order, bounds), strict=True):
        ids = np.full(len(own), name, dtype=object)
        known = Predictions(ids, starts[own], ends[own], values[own], tuple(labels), "window")
        found.append(known if len(own) else None)
    return FoundScores(found, tuple(labels))


def _from_json(path: Path, recordings: Manifest, threshold: float | None) -> FoundEvents:
    """JSON lines as `earmark tag --events --json` writes them."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}). Check the path.") from error
    lines = []
    for number, text in enumerate(content.split("\n"), start=1):  # alone: a label may hold other ends of lines
        if not text:
            continue
        try:
            line = json.loads(text)
            tags = [(str(tag["label"]), float(tag["score"])) for tag in line["tags"]]
            times = (0.0, 0.0) if line.get("error") else (float(line["start"]), float(line["end"]))
            lines.append((str(line["path"]), *times, tags, line.get("error")))
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{path} line {number}: is none of `earmark tag --events --json` ({error!r}). Pass what it wrote."
            ) from error
    if not lines:
        raise ManifestError(f"{path}: is empty. Pass what `earmark tag --events --json` wrote.")
    places = _places([line[0] for line in lines], recordings, path)
    found, failures = [], []
    for place, (_, start, end, tags, error) in zip(places.tolist(), lines, strict=True):
        if place >= 0 and error:
            failures.append((recordings.clip_ids[place], str(error)))
        elif place >= 0:
            found += [(place, label, start, end, score) for label, score in tags]
    labels = sorted({label for *_, tags, _ in lines for label, _ in tags})
    return FoundEvents(_gathered(found, recordings, threshold), tuple(labels), _n_named(places), failures)


def _from_annotations(path: Path, recordings: Manifest, encoding: str | None) -> FoundEvents:
    """Label tracks and selection tables, of recordings that are there."""
    rows = read_annotations(path, audio_dir=recordings.root, encoding=encoding, events=True)
    gathered = gather_events(rows)
    own = dict(zip(gathered.recordings.clip_ids.tolist(), gathered.events, strict=True))
    events = [own.get(name, {}) for name in recordings.table["path"]]
    named = sum(name in own for name in recordings.table["path"])
    return FoundEvents(events, tuple(gathered.recordings.vocabulary), named)


def _gathered(
    found: Sequence[tuple[int, str, float, float, float]], recordings: Manifest, threshold: float | None
) -> list[RawEvents]:
    """(recording, label, start, end, score) by recording and label; a score reaches its threshold as a tagger's does,
    in float32."""
    least = np.float32(-np.inf if threshold is None else threshold)
    times: list[dict[str, list[tuple[float, float]]]] = [defaultdict(list) for _ in range(len(recordings))]
    for place, label, start, end, score in found:
        if np.float32(score) >= least:
            times[place][label].append((start, end))
    return [{label: np.array(pairs) for label, pairs in by_label.items()} for by_label in times]


def _n_named(places: np.ndarray) -> int:
    return len(set(places[places >= 0].tolist()))
