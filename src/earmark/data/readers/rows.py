"""The rows of a table as clips: each column read by what it means, what is wrong noted row by row."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.manifest import Manifest
from earmark.data.readers.cells import read_one_hot, split_labels
from earmark.data.readers.merging import check_states, merge_repeated, select
from earmark.data.readers.paths import FileFinder
from earmark.data.readers.problems import Faults, RowProblem
from earmark.data.readers.table import COLUMNS, Table, column_missing, find_columns, free_columns, load_table
from earmark.errors import ManifestError

log = logging.getLogger(__name__)

SPLITS = {
    "": "",
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
# What the cells of each column that tells the subset mean.
SUBSETS = {
    "subset": {"": "", "curated": "curated", "noisy": "noisy"},
    "manually_verified": {"": "", **dict.fromkeys(_YES, "curated"), **dict.fromkeys(_NO, "noisy")},
    "noisy": {"": "", **dict.fromkeys(_YES, "noisy"), **dict.fromkeys(_NO, "curated")},
}


def read_table(
    path: Path,
    audio_dir: Path | None = None,
    *,
    encoding: str | None = None,
    merge: bool = True,
    problems: list[RowProblem] | None = None,
    look_for_files: bool = True,
    events: bool = False,
) -> Manifest:
    """Read a labelled CSV, TSV or Parquet file.

    Args:
        path: a table in any usual encoding; as text separated by comma, tab or semicolon.
        audio_dir: where the sounds lie, if not beside or below the table.
        encoding, merge, problems, look_for_files, events: as in `read_manifest`.

    Raises:
        ManifestError: a column is missing, or rows are wrong (all of them are told at once).
        MissingExtraError: Parquet needs pyarrow.
    """
    finder = FileFinder(audio_dir or path.parent)
    table = load_table(path, encoding, finder.file_names, problems)
    roles = find_columns(table)
    if "labels" not in roles:  # then there is a column per class, and it may have any of these names
        roles = {role: name for role, name in roles.items() if role not in ("strengths", "negative", "unsure")}
    if any(name != role for role, name in roles.items()):
        read_as = ", ".join(f"{role} from '{name}'" for role, name in roles.items())
        log.info("%s: %s", path, read_as)  # a table with our own names, such as a run's, needs no word
    faults = Faults(path, table.lines, table.column(roles["path"]))
    columns = _labels(table, roles, faults, events)
    classes = columns.pop("classes", ())
    columns["paths"] = _paths(table.columns[roles["path"]], finder, look_for_files, faults)
    columns |= _regions(table, roles, faults, events) | _roles(table, roles, faults)
    extras = _extras(table, roles, classes)
    check_states(columns, faults)
    kept = merge_repeated(columns, faults, merge)
    faults.tell(problems, finder.root)
    columns, extras = select(columns, kept), select(extras, kept)
    return Manifest.build(finder.root, columns.pop("paths"), columns.pop("labels"), **columns, extras=extras)


def _labels(table: Table, roles: dict[str, str], faults: Faults, may_have_none: bool) -> dict[str, Any]:
    """What each row says of labels: columns of a Manifest, and `classes`, the columns that it came from if several."""
    if "labels" not in roles:
        return _class_columns(table, faults)
    where = f"{table.path} column '{roles['labels']}'"
    more = [role for role in ("negative", "unsure") if role in roles]
    others = [table.column(roles[role]) for role in more]
    (labels, *others), empty_is_meant = split_labels(table.column(roles["labels"]), where, *others)
    if not any(labels):
        raise ManifestError(f"{where}: every cell is empty. Write each clip's label there.")
    columns = {"labels": labels, **dict(zip(more, others, strict=True))}
    if not empty_is_meant and not may_have_none:
        for row, said in enumerate(zip(*columns.values(), strict=True)):
            if not any(said):
                faults.note(row, "no_label", "no label (if clips may have none, end every cell with ';')")
    if "strengths" in roles:
        columns["strengths"] = _strengths(table.column(roles["strengths"]), labels, faults)
    return columns


def _class_columns(table: Table, faults: Faults) -> dict[str, Any]:
    """What each row says of labels in a column per class."""
    found = read_one_hot(free_columns(table))
    if not found.classes:
        raise ManifestError(column_missing(table, "labels", "labels") + " Or give one 0/1 column per class.")
    names = ", ".join(found.classes[:5]) + (", …" if len(found.classes) > 5 else "")
    log.info("%s: %d columns are classes (%s)", table.path, len(found.classes), names)
    for row, messages in found.wrong.items():
        for message in messages:
            faults.note(row, "bad_row", message)
    return {"labels": found.labels, "strengths": found.strengths, "unsure": found.unsure, "classes": found.classes}


def _strengths(cells: Sequence[str], labels: Sequence[tuple[str, ...]], faults: Faults) -> list[tuple[float, ...]]:
    """How much of each of its labels is in each row; notes rows with other than one number in (0, 1] a label."""
    known = {cell: [_number(piece) for piece in re.split(r"[;|,\s]+", cell) if piece] for cell in set(cells)}
    shared: dict[tuple[float, ...], tuple[float, ...]] = {}
    strengths = []
    for row, (cell, names) in enumerate(zip(cells, labels, strict=True)):
        values = known[cell]
        if values and (len(values) != len(names) or not all(0 < value <= 1 for value in values)):
            faults.note(row, "bad_row", f"strengths '{cell}' are no number in (0, 1] for each of {len(names)} labels")
        whole = all(value == 1 for value in values)
        strengths.append(() if whole else shared.setdefault(tuple(values), tuple(values)))
    return strengths


def _paths(cells: Sequence[str], finder: FileFinder, look: bool, faults: Faults) -> list[str]:
    """Where each row's file is; notes rows whose file is missing or stands for several."""
    paths = []
    for row, cell in enumerate(cells):
        if not cell.strip():
            faults.note(row, "bad_row", "no file name")
            paths.append("")
        elif not look:
            paths.append(finder.as_written(cell.replace("\\", "/")))
        else:
            try:
                paths.append(finder.find(cell))
            except ManifestError as error:
                faults.note(row, "missing_file", str(error))
                paths.append("")
    return paths


def _regions(table: Table, roles: dict[str, str], faults: Faults, may_be_points: bool) -> dict[str, np.ndarray]:
    """Start and end of each row in seconds (0 and nan where not given); notes rows where they are wrong."""
    values = {}
    for role, default in (("start", 0.0), ("end", math.nan)):
        if role not in roles:
            continue
        cells = table.column(roles[role])
        numbers = np.array([_number(cell) if cell else default for cell in cells])
        for row in np.flatnonzero(np.isnan(numbers)):
            if cells[row]:
                faults.note(int(row), "bad_row", f"{role} '{cells[row]}' is no time in seconds")
        values[f"{role}s"] = numbers
    starts = values.get("starts", np.zeros(len(faults.lines)))
    for row in np.flatnonzero(starts < 0):
        faults.note(int(row), "bad_row", f"start {starts[row]:g} s is negative")
    if "ends" in values:
        for row in np.flatnonzero(starts > values["ends"] if may_be_points else starts >= values["ends"]):
            text = f"start {starts[row]:g} s is not before end {values['ends'][row]:g} s"
            faults.note(int(row), "bad_row", text)
    return values


def _roles(table: Table, roles: dict[str, str], faults: Faults) -> dict[str, list]:
    """The columns with one value a row; notes rows where it is none."""
    columns = {}
    if "fold" in roles:
        folds = _read(table, roles["fold"], _fold, "is not a whole number of 0 or more", faults)
        if folds.count(-1) < len(folds):
            columns["folds"] = folds
    if "split" in roles:
        wrong = "is none of train, validation and test (a number is a fold: name the column so)"
        columns["splits"] = _read(table, roles["split"], lambda cell: SPLITS.get(cell.casefold()), wrong, faults)
    if "subset" in roles:
        meanings = SUBSETS[roles["subset"].casefold()]
        wrong = "is neither curated nor noisy" if "curated" in meanings else "is neither 1 nor 0"
        columns["subsets"] = _read(table, roles["subset"], lambda cell: meanings.get(cell.casefold()), wrong, faults)
    if "weight" in roles:
        columns["weights"] = _read(table, roles["weight"], _weight, "is no number of 0 or more", faults)
    if "group" in roles:
        columns["groups"] = table.column(roles["group"])
    if "clip_id" in roles:
        columns["clip_ids"] = table.columns[roles["clip_id"]]
        for row, name in enumerate(columns["clip_ids"]):
            if not name.strip():
                faults.note(row, "bad_row", "the clip_id is empty")
    return columns


def _read(table: Table, name: str, parse: Callable[[str], Any], wrong: str, faults: Faults) -> list:
    """The values of a column's cells; notes rows where `parse` gives None. Each distinct cell is parsed once."""
    cells = table.column(name)
    values = {cell: parse(cell) for cell in set(cells)}
    if None in values.values():
        for row, cell in enumerate(cells):
            if values[cell] is None:
                faults.note(row, "bad_row", f"{name} '{cell}' {wrong}")
    return [values[cell] for cell in cells]


def _fold(cell: str) -> int | None:
    """A fold's number, −1 for none, None where the cell says something else."""
    value = _number(cell) if cell else -1.0
    return int(value) if -1 <= value < 2**53 and value == int(value) else None


def _weight(cell: str) -> float | None:
    """A clip's weight, None where the cell is none."""
    value = _number(cell) if cell else 1.0
    return value if value >= 0 else None


def _number(cell: str) -> float:
    """A finite number, nan where the cell is none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _extras(table: Table, roles: dict[str, str], classes: Sequence[str]) -> dict[str, list[str]]:
    """The columns with another or no meaning, as text. What gives the groups keeps its own name beside it."""
    used = {*classes, *(name for role, name in roles.items() if role != "group")}
    return {name: table.column(name) for name in table.columns if name not in used and name.casefold() not in COLUMNS}
