"""Events that were found, judged by those that are there: every number with its interval, overall and by label."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.event_truth import EventTruth, RawEvents
from earmark.evaluation.bootstrap import FEW_GROUPS, Interval, Resamples, draw
from earmark.evaluation.events import Events, count_events, merge_events
from earmark.evaluation.psds import Heard, psds_intervals
from earmark.evaluation.tags import class_f1_intervals, count_intervals
from earmark.predictions import seconds_text
from earmark.run import write_atomically, write_json
from earmark.tagger.events import EventRule

TITLES = {
    "event": "onset and offset",
    "onset": "onset",
    "segment": "segments of 1 s",
    "psds1": "PSDS 1 (times)",
    "psds2": "PSDS 2 (labels)",
}
# What an evaluation's folder holds.
JSON, FOUND = "event_scores.json", "events.csv"


@dataclass(frozen=True)
class Detected:
    """What a tagger or a file says of recordings, in their order.

    events: as they are written. heard: scores over time, of which PSDS is made; None = there are none.
    """

    name: str
    labels: tuple[str, ...]
    events: list[RawEvents]
    heard: list[Heard] | None


@dataclass(frozen=True)
class EventsEvaluated:
    """How well events were found.

    n_recordings, hours: that were judged. n_true, n_found: events. collar: seconds. rule: how windows became events,
    None = not here.
    scores: "event", "onset", "segment" → "f1_micro", "f1_macro", "precision_micro", … → Interval. psds: "psds1" and
    "psds2" → Interval, of scores over time alone.
    per_label: label → {"n_true", "n_found", "event_f1", "onset_f1", "segment_f1": Interval, "psds1", "psds2"}.
    events: (recording, label, start, end) of all that was found.
    """

    name: str
    n_recordings: int
    hours: float | None
    n_true: int
    n_found: int
    collar: float
    rule: EventRule | None
    scores: Mapping[str, Mapping[str, Interval]]
    psds: Mapping[str, Interval]
    per_label: Mapping[str, Mapping[str, Any]]
    remarks: tuple[str, ...]
    failures: list[tuple[str, str]]
    events: list[tuple[str, str, float, float]]

    @property
    def primary_metric(self) -> str:
        """The number that a look at a test split is noted with."""
        return "event_f1_micro" if "event" in self.scores else "onset_f1_micro"

    @property
    def value(self) -> float:
        """Of the primary metric."""
        kind, _, name = self.primary_metric.partition("_")
        return self.scores[kind][name].value

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Header, rows and title of the numbers over all labels."""
        names = ("f1_micro", "f1_macro", "precision_micro", "recall_micro")
        rows = [[TITLES[kind], *(found[name].text for name in names)] for kind, found in self.scores.items()]
        rows += [[TITLES[kind], found.text, "", "", ""] for kind, found in self.psds.items()]
        hours = "" if self.hours is None else f" ({self.hours:.2f} h)"
        title = f"{self.n_recordings} recordings{hours}, {self.n_true} events, {self.n_found} found by {self.name}"
        return ["", "F1 (micro)", "F1 (macro)", "precision", "recall"], rows, title

    def label_table(self, n_shown: int = 20) -> tuple[list[str], list[list[str]], str]:
        """Header, rows and title of the labels that are there, those that are found worst first."""
        first = next(iter(self.scores))
        there = sorted(
            ((label, row) for label, row in self.per_label.items() if row["n_true"]),
            key=lambda each: each[1][f"{first}_f1"].value,
        )
        rows = [
            [label, str(row["n_true"]), str(row["n_found"])]
            + [row[f"{kind}_f1"].text for kind in self.scores]
            + [f"{row[name]:.3f}" for name in self.psds]
            for label, row in there[:n_shown]
        ]
        header = ["label", "events", "found", *(f"F1 {TITLES[kind]}" for kind in self.scores)]
        header += [TITLES[name][:6] for name in self.psds]
        return header, rows, f"the {n_shown} weakest of {len(there)} labels" if len(there) > n_shown else "labels"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the events."""
        return {
            "name": self.name,
            "n_recordings": self.n_recordings,
            "hours": self.hours,
            "n_true": self.n_true,
            "n_found": self.n_found,
            "collar_seconds": self.collar,
            "rule": self.rule and asdict(self.rule),
            "scores": {
                kind: {name: each.to_dict() for name, each in found.items()} for kind, found in self.scores.items()
            },
            "psds": {name: each.to_dict() for name, each in self.psds.items()},
            "per_label": {
                label: {name: each.to_dict() if isinstance(each, Interval) else each for name, each in row.items()}
                for label, row in self.per_label.items()
            },
            "remarks": list(self.remarks),
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
        }

    def save(self, path: Path) -> None:
        """Write as one JSON file, or, where the name does not end so, as a folder with the events that were found."""
        if path.suffix == ".json":
            write_json(path, self.to_dict())
            return
        with (
            write_atomically(path / FOUND) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "start", "end", "label"])
            for name, label, start, end in self.events:
                writer.writerow([name, seconds_text(start), "" if np.isnan(end) else seconds_text(end), label])
        write_json(path / JSON, self.to_dict())  # last: it says that all is there


def judge_events(
    detected: Detected,
    truth: EventTruth,
    *,
    collar: float,
    rule: EventRule | None,
    remarks: Sequence[str],
    failures: list[tuple[str, str]],
) -> EventsEvaluated:
    """Every number of found events, with intervals over recordings.

    Events of a label that overlap count as one, in both: a score per label cannot tell them apart.

    Args:
        detected, truth: of the same recordings.
        collar: seconds, see `count_matches`. rule: how windows became events, to be written down.
    """
    labels = detected.labels
    there, n_true = _merged(truth.events)
    found, n_found = _merged(detected.events)
    resamples = draw(truth.recordings.groups)
    counts = count_events(there, found, labels, collar, onsets_only=truth.onsets_only)
    sounding = [label for label in labels if any(label in events for events in there)]
    psds, areas = {}, {}
    if detected.heard is not None and not truth.onsets_only and sounding:
        psds, areas = _psds(detected, there, sounding, resamples)
    seconds = None if detected.heard is None else sum(float(np.ptp(each.edges)) for each in detected.heard)
    first = counts["onset"]
    per_label: dict[str, dict[str, Any]] = {
        label: {"n_true": int(first[2][:, column].sum()), "n_found": int(first[1][:, column].sum())}
        for column, label in enumerate(labels)
    }
    for kind, each in counts.items():
        for label, interval in zip(labels, class_f1_intervals(each, resamples), strict=True):
            per_label[label][f"{kind}_f1"] = interval
    for name in psds:
        for label in labels:
            per_label[label][name] = areas[name].get(label, np.nan)
    return EventsEvaluated(
        detected.name,
        len(truth.events),
        None if seconds is None else seconds / 3600,
        int(first[2].sum()),
        int(first[1].sum()),
        collar,
        rule,
        {kind: count_intervals(each, resamples) for kind, each in counts.items()},
        psds,
        per_label,
        (*remarks, *_notes(labels, sounding, truth, n_true, n_found, resamples)),
        failures,
        _listed(found, truth),
    )


def _psds(
    detected: Detected, there: Sequence[Events], sounding: Sequence[str], resamples: Resamples
) -> tuple[dict[str, Interval], dict[str, dict[str, float]]]:
    """PSDS, and that of each label that is there."""
    columns = [detected.labels.index(label) for label in sounding]
    heard = [Heard(each.edges, each.scores[:, columns]) for each in detected.heard]
    psds, areas = psds_intervals(there, heard, sounding, resamples)
    return psds, {name: dict(zip(sounding, values, strict=True)) for name, values in areas.items()}


def _merged(events: Sequence[RawEvents]) -> tuple[list[Events], int]:
    """Events of which no two of a label overlap, and how many went into others."""
    merged = [{label: merge_events(pairs) for label, pairs in by_label.items()} for by_label in events]
    n_before, n_after = (
        sum(len(pairs) for by_label in each for pairs in by_label.values()) for each in (events, merged)
    )
    return merged, n_before - n_after


def _notes(
    labels: Sequence[str], sounding: Sequence[str], truth: EventTruth, n_true: int, n_found: int, resamples: Resamples
) -> list[str]:
    """What a reader of the numbers must know."""
    notes = []
    silent = [label for label in labels if label not in sounding]
    if silent:
        shown = ", ".join(silent[:5]) + (", …" if len(silent) > 5 else "")
        notes.append(
            f"{len(silent)} of {len(labels)} labels have no event and count in no mean; false alarms of theirs count "
            f"over all: {shown}."
        )
    n_quiet = sum(not events for events in truth.events)
    if n_quiet:
        notes.append(f"In {n_quiet:,} of {len(truth.events):,} recordings nothing sounds: what is found is false.")
    for count, whose in ((n_true, "true"), (n_found, "found")):
        if count:
            notes.append(f"{count:,} {whose} events overlap one of their label, or are it again: they count as one.")
    n_points = sum(int((np.diff(pairs, axis=1) == 0).sum()) for events in truth.events for pairs in events.values())
    if n_points:
        notes.append(f"{n_points:,} true events have no length: PSDS leaves them out.")
    if truth.onsets_only:
        notes.append("There are events without ends: onsets alone are judged.")
    if resamples.n_groups < FEW_GROUPS:
        notes.append(
            f"Too few groups: {resamples.n_groups} recordings, {FEW_GROUPS} are needed. The intervals are too narrow."
        )
    return notes


def _listed(found: Sequence[Events], truth: EventTruth) -> list[tuple[str, str, float, float]]:
    """(recording, label, start, end) of what was found, by start."""
    rows = []
    for path, events in zip(truth.recordings.table["path"], found, strict=True):
        own = [(path, label, start, end) for label, pairs in events.items() for start, end in pairs.tolist()]
        rows += sorted(own, key=lambda row: row[2])
    return rows
