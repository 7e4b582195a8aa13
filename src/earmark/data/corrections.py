"""Corrections: what someone decided about labels, a row each in a CSV that only grows."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.data.manifest_file import SEPARATORS, closed
from earmark.errors import ManifestError, summarise_rows
from earmark.lookup import did_you_mean

log = logging.getLogger("earmark")

COLUMNS = ("when", "who", "clip_id", "given", "label", "decision", "new_labels", "why")
# keep: as it is; relabel: the clip has the new labels; unsure: nobody can tell; drop: the clip is left out; skip: not
# now; label: a clip of no data set yet gets its labels; undo: the last decision on that clip and label is taken back.
DECISIONS = ("keep", "relabel", "unsure", "drop", "skip", "label", "undo")
TELLING = ("keep", "relabel", "label")  # those that say all labels of the clip


@dataclass(frozen=True)
class Correction:
    """One decision.

    when: UTC, ISO 8601. given: the clip's labels when it was decided, by the data or earlier corrections.
    label: the one in question, "" = the whole clip. decision: one of DECISIONS. new_labels: of a telling one, all
    labels that the clip has from now on. row: in its file, the header being row 1.
    """

    when: str
    who: str
    clip_id: str
    given: tuple[str, ...]
    label: str
    decision: str
    new_labels: tuple[str, ...] = ()
    why: str = ""
    row: int = 0


@dataclass
class Verdict:
    """What all decisions on a clip come to.

    labels: all it has, None = as given. unsure: labels that may be there or not. given: when it was last decided.
    """

    given: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    unsure: set[str] = field(default_factory=set)
    dropped: bool = False
    rows: list[int] = field(default_factory=list)


def labels_cell(labels: Sequence[str]) -> str:
    """Labels in one cell, the sign between them at its end too, so that none is mistaken for a part of a name.

    >>> labels_cell(["rain", "dog; far"]), labels_cell([])
    ('rain|dog; far|', ';')
    """
    text = "".join(labels)
    free = [separator for separator in SEPARATORS if separator not in text]
    if not free:
        raise ManifestError(
            f"labels {list(labels)}: contain each of {' '.join(SEPARATORS)}, so a cell cannot list them. Rename one."
        )
    return closed(labels, free[0]) or free[0]


def cell_labels(cell: str) -> tuple[str, ...]:
    """What `labels_cell` wrote, or one label, or several with ; between them as a hand would write them.

    >>> cell_labels("rain|dog; far|"), cell_labels("rain;dog"), cell_labels(";"), cell_labels("")
    (('rain', 'dog; far'), ('rain', 'dog'), (), ())
    """
    separator = cell[-1] if cell.endswith(SEPARATORS) else ";"
    pieces = (piece.strip() for piece in cell.removesuffix(separator).split(separator))
    return tuple(dict.fromkeys(piece for piece in pieces if piece))


def read_corrections(path: Path) -> list[Correction]:
    """All rows of a file of corrections. A last row that a kill cut off is left out, and said.

    Raises:
        ManifestError: there is no such file, it has other columns, or rows are wrong; all of them are listed.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise ManifestError(f"{path}: corrections cannot be read ({error.strerror}). Check the path.") from error
    rows = list(csv.reader(io.StringIO(text)))
    if rows and not text.endswith("\n") and (len(rows) == 1 or len(rows[-1]) < len(rows[0])):
        log.warning("%s: the last row was cut off and is left out", path)
        rows.pop()
    if not rows:
        return []
    if missing := [name for name in ("clip_id", "decision") if name not in rows[0]]:
        raise ManifestError(
            f"{path}: has no column {' and '.join(missing)}, so it holds no corrections (expected "
            f"{', '.join(COLUMNS)}). Pass a file that `earmark review` wrote."
        )
    found, wrong = [], []
    for number, cells in enumerate(rows[1:], start=2):
        if not cells or cells == rows[0]:  # two processes that began the file at once have both written its header
            continue
        row = dict.fromkeys(COLUMNS, "") | dict(zip(rows[0], cells, strict=False))
        if row["decision"] not in DECISIONS:
            hint = did_you_mean(row["decision"], DECISIONS)
            wrong.append(f"row {number}: '{row['decision']}' is no decision{hint}")
            continue
        labels = {name: cell_labels(row[name]) for name in ("given", "new_labels")}
        found.append(Correction(**{name: row[name] for name in COLUMNS} | labels, row=number))
    if wrong:
        raise ManifestError(
            f"{path}: {len(wrong)} rows are wrong. Decisions are {', '.join(DECISIONS)}.\n{summarise_rows(wrong)}"
        )
    return found


def append_correction(path: Path, correction: Correction) -> None:
    """Add one row, on the disk when this returns. What a kill left of an unfinished row is cut off first."""
    cells = [getattr(correction, name) for name in COLUMNS]
    cells = [labels_cell(cell) if isinstance(cell, tuple) else " ".join(cell.split()) for cell in cells]
    if correction.decision not in TELLING:
        cells[COLUMNS.index("new_labels")] = ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as file:
        file.seek(0)
        before = file.read()
        if before and not before.endswith(b"\n"):
            begin = before.rfind(b"\n") + 1
            last = before[begin:].decode("utf-8", errors="replace")  # which may end amid a letter
            if not begin or len(next(csv.reader([last]))) < len(COLUMNS):
                file.truncate(begin)
                before = before[:begin]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not before:
            writer.writerow(COLUMNS)
        writer.writerow(cells)
        ends = not before or before.endswith(b"\n")
        file.write(("" if ends else "\n").encode() + text.getvalue().encode("utf-8"))
        os.fsync(file.fileno())


def standing(corrections: Iterable[Correction]) -> list[Correction]:
    """The decisions that were not taken back, in their order."""
    left: list[Correction] = []
    for correction in corrections:
        if correction.decision != "undo":
            left.append(correction)
            continue
        about = (correction.clip_id, correction.label)
        for position in range(len(left) - 1, -1, -1):
            if (left[position].clip_id, left[position].label) == about:
                del left[position]
                break
    return left


def verdicts(corrections: Iterable[Correction]) -> dict[str, Verdict]:
    """What stands about each clip: of several decisions on one label of it the last."""
    last = {(each.clip_id, each.label): each for each in standing(corrections) if each.decision != "skip"}
    found: dict[str, Verdict] = {}
    for each in sorted(last.values(), key=lambda each: each.row):
        verdict = found.setdefault(each.clip_id, Verdict())
        verdict.given = each.given
        verdict.rows.append(each.row)
        if each.decision == "drop":
            verdict.dropped = True
        elif each.decision == "unsure":
            verdict.unsure |= {each.label} - {""}
        else:
            verdict.labels = each.new_labels
            verdict.unsure -= set(each.new_labels)
    return found


def hash_corrections(paths: Sequence[Path]) -> str:
    """Hex digest of files of corrections, in their order; "" of none."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""
