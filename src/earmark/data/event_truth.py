"""What sounds from when to when in recordings: rows of events gathered by recording."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from earmark.data.manifest import Manifest
from earmark.errors import ManifestError, summarise_rows

# Label → (events, 2): start and end in seconds, as written.
RawEvents = dict[str, np.ndarray]


@dataclass(frozen=True)
class EventTruth:
    """The events of recordings, as someone has heard them.

    recordings: a row per recording, the whole of it; those in which nothing happens, too.
    events: of each recording. onsets_only: no event has an end (nan).
    """

    recordings: Manifest
    events: list[RawEvents]
    onsets_only: bool

    def select(self, kept: np.ndarray) -> EventTruth:
        """Some of the recordings, by a mask."""
        return EventTruth(self.recordings.select(kept), list(compress(self.events, kept)), self.onsets_only)


def gather_events(rows: Manifest, recordings: Manifest | None = None) -> EventTruth:
    """The events of each recording.

    Args:
        rows: what `read_manifest` reads with `events`: a row per event, and one without a label for a recording of
            which no more is said.
        recordings: a row per recording, the whole of it, with its group and split; None = those that have a row.

    Raises:
        ManifestError: some events have an end and others none, `recordings` has parts of files or a file twice, or a
            row is of none of them.

    >>> from pathlib import Path
    >>> rows = Manifest.build(Path("."), ["a.wav", "b.wav"], [("dog",), ()], starts=[1, 0], ends=[2.5, 9])
    >>> found = gather_events(rows)
    >>> found.recordings.clip_ids.tolist(), found.events[0]["dog"].tolist(), found.events[1]
    (['a.wav', 'b.wav'], [[1.0, 2.5]], {})
    """
    whole = _of_rows(rows) if recordings is None else _whole(recordings)
    number_of = {os.path.abspath(file): number for number, file in enumerate(whole.files)}
    found: list[dict[str, list[tuple[float, float]]]] = [defaultdict(list) for _ in number_of]
    strangers = []
    columns = (rows.table[name].tolist() for name in ("path", "labels", "start", "end"))
    for file, path, labels, start, end in zip(rows.files, *columns, strict=True):
        number = number_of.get(os.path.abspath(file))
        if number is None:
            strangers.append(path)
            continue
        for label in labels:
            found[number][label].append((start, end))
    if strangers:
        named = sorted(set(strangers))
        raise ManifestError(
            f"{rows.root}: {len(named)} recordings have events and are not among the {len(whole)} of --recordings. "
            f"Add their rows there, or leave it out.\n{summarise_rows(named)}"
        )
    events = [{label: np.array(times) for label, times in by_label.items()} for by_label in found]
    events, onsets_only = _with_one_kind(events, rows)
    labels = [tuple(sorted(by_label)) for by_label in events]
    table = whole.table.assign(labels=labels)
    return EventTruth(replace(whole, table=table, vocabulary=rows.vocabulary, multi_label=True), events, onsets_only)


def _with_one_kind(events: Sequence[RawEvents], rows: Manifest) -> tuple[list[RawEvents], bool]:
    """The events, without ends where none has one; and whether that is so."""
    times = [pairs for by_label in events for pairs in by_label.values()]
    every = np.concatenate(times) if times else np.empty((0, 2))
    no_end, point = np.isnan(every[:, 1]), every[:, 1] == every[:, 0]
    if len(every) and (no_end | point).all():
        return [
            {label: np.stack([pairs[:, 0], np.full(len(pairs), np.nan)], axis=1) for label, pairs in by_label.items()}
            for by_label in events
        ], True
    if no_end.any():
        raise ManifestError(
            f"{rows.root}: {no_end.sum()} of {len(every)} events have no end. Give every event one, or none of them: "
            "then onsets alone are judged."
        )
    return list(events), False


def _of_rows(rows: Manifest) -> Manifest:
    """The recordings that have rows, each once, by path."""
    first = rows.select(np.flatnonzero(~rows.table["path"].duplicated().to_numpy()))
    first = first.select(np.argsort(first.table["path"].to_numpy(dtype=str), kind="stable"))
    return replace(first, table=first.table.assign(start=0.0, end=np.nan, clip_id=first.table["path"]))


def _whole(recordings: Manifest) -> Manifest:
    """The same recordings, by path; refuses what is not one whole file a row."""
    table = recordings.table
    wrong = [
        f"{path} ({'a part of it' if part else 'in several rows'})"
        for path, part, twice in zip(table["path"], table["start"] > 0, table["path"].duplicated(), strict=True)
        if part or twice
    ]
    if wrong:
        raise ManifestError(
            f"{recordings.root}: {len(wrong)} rows of --recordings are no whole recordings. Give each file one row, "
            f"without start and end.\n{summarise_rows(wrong)}"
        )
    ordered = recordings.select(np.argsort(table["path"].to_numpy(dtype=str), kind="stable"))
    return replace(ordered, table=ordered.table.assign(end=np.nan, clip_id=ordered.table["path"]))
