"""Suspects: (clip, label) pairs that are probably wrong, the most suspicious first, and their table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from earmark.data.check.copies import MOSTLY_SHARED
from earmark.data.corrections import cell_labels, labels_cell
from earmark.data.fingerprint import BLOCK, RATE, Fingerprint
from earmark.data.manifest import Manifest
from earmark.data.matches import SPAN, Match
from earmark.errors import RunError
from earmark.review.label_errors import estimated_errors, label_quality
from earmark.run import write_atomically

GIVEN, MISSING, COPY = "given", "missing", "copy"
KINDS = {
    GIVEN: "given, but probably wrong",
    MISSING: "missing, but probably there",
    COPY: "the same sound has other labels elsewhere",
}
ALL_SHARED = 0.9  # of the longer clip: of several labels a clip has those of all its sounds, not of the shared one


@dataclass(frozen=True)
class Suspect:
    """A label of a clip that is probably wrong.

    kind: a key of KINDS. quality: in [0, 1], low = suspicious (`label_quality`). score: of the label, out of fold.
    suggested: all labels that the clip would have instead. like: the copy, of kind "copy".
    """

    kind: str
    clip_id: str
    label: str
    quality: float
    score: float
    suggested: tuple[str, ...]
    like: str = ""


def find_suspects(
    manifest: Manifest, scores: np.ndarray, matches: Sequence[Match] = (), most: int | None = None
) -> list[Suspect]:
    """Labels that are probably wrong: first those of copies that contradict each other, then by quality.

    Args:
        manifest: clips that were held out. scores: (clips, classes), out of fold.
        matches: copies among the clips (`whole_copies`); those that agree say nothing.
        most: so many by quality; None = as many as are probably wrong (`estimated_errors`).
    """
    present, known, several = manifest.present(), manifest.label_weights(), manifest.multi_label
    quality = label_quality(present, known, scores, several)
    most = estimated_errors(present, known, scores, several) if most is None else most
    by_copy = sorted(_contradicted(manifest, matches, quality, scores), key=lambda suspect: suspect.quality)
    told = {(suspect.clip_id, suspect.label) for suspect in by_copy}
    asked = np.flatnonzero(~np.isnan(quality.ravel()))
    order = asked[np.argsort(quality.ravel()[asked], kind="stable")][:most]
    names, labels, given = manifest.clip_ids, manifest.vocabulary.labels, manifest.table["labels"].tolist()
    by_quality = []
    for row, column in zip(*np.unravel_index(order, scores.shape), strict=True):
        name, label = names[row], labels[column]
        if (name, label) in told:
            continue
        kind = GIVEN if present[row, column] else MISSING
        suggested = _toggled(given[row], label) if several else (labels[_best_other(scores[row], column)],)
        numbers = float(quality[row, column]), float(scores[row, column])
        by_quality.append(Suspect(kind, name, label, *numbers, suggested))
    return by_copy + by_quality


def whole_copies(
    matches: Sequence[Match], fingerprints: Sequence[Fingerprint | None], multi_label: bool
) -> list[Match]:
    """The matches that share so much that their labels should be alike.

    One label is that of most of the shorter clip; several are those of all sounds of a clip, however short each is.
    """

    def seconds(position: int) -> float:
        return min(fingerprints[position].seconds, SPAN * BLOCK / RATE)  # no more than that is compared

    def enough(match: Match) -> float:
        lengths = sorted((seconds(match.first), seconds(match.second)))
        return ALL_SHARED * lengths[1] if multi_label else MOSTLY_SHARED * lengths[0]

    return [match for match in matches if match.overlap_seconds >= enough(match)]


def _best_other(scores: np.ndarray, column: int) -> int:
    """The class of the highest score beside one's own."""
    return int(np.where(np.arange(len(scores)) == column, -np.inf, scores).argmax())


def _toggled(labels: Sequence[str], label: str) -> tuple[str, ...]:
    """Labels without the one in question, or with it where it is missing."""
    return tuple(each for each in labels if each != label) if label in labels else (*labels, label)


def _contradicted(
    manifest: Manifest, matches: Sequence[Match], quality: np.ndarray, scores: np.ndarray
) -> Iterator[Suspect]:
    """Labels that a copy of the clip does not have, once for either clip."""
    labels, names = manifest.table["labels"].tolist(), manifest.clip_ids
    told = set()
    for match in matches:
        pair = (match.first, match.second)
        if set(labels[match.first]) == set(labels[match.second]):
            continue
        for row, other in (pair, pair[::-1]):
            differing = [label for label in labels[row] if label not in labels[other]]
            differing += [label for label in labels[other] if label not in labels[row]] if manifest.multi_label else []
            for label in differing:
                column = manifest.vocabulary.index(label)
                if (row, label) in told or np.isnan(quality[row, column]):
                    continue
                told.add((row, label))
                suggested = _toggled(labels[row], label) if manifest.multi_label else labels[other]
                numbers = float(quality[row, column]), float(scores[row, column])
                yield Suspect(COPY, names[row], label, *numbers, suggested, names[other])


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """Write them as CSV, in their order."""
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", *(field.name for field in fields(Suspect))])
        for rank, suspect in enumerate(suspects, start=1):
            cells = (getattr(suspect, field.name) for field in fields(Suspect))
            writer.writerow([rank, *(_cell(cell) for cell in cells)])


def _cell(value: str | float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return labels_cell(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def read_suspects(path: Path) -> list[Suspect]:
    """What `write_suspects` wrote.

    Raises:
        RunError: the file holds something else.
    """
    names = [field.name for field in fields(Suspect)]
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and not set(names) <= set(rows[0]):
        raise RunError(f"{path}: is no table of suspects (expected the columns {', '.join(names)}). Delete the file.")
    return [
        Suspect(
            **{name: row[name] for name in ("kind", "clip_id", "label", "like")},
            quality=float(row["quality"]),
            score=float(row["score"]),
            suggested=cell_labels(row["suggested"]),
        )
        for row in rows
    ]
