"""A CSV or TSV with a row per clip. Cells are text: nothing is guessed to be missing or a number."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from earmark.data.manifest import Manifest
from earmark.data.readers.cells import read_one_hot, split_labels
from earmark.data.readers.paths import FileFinder
from earmark.errors import ManifestError, summarise_rows

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".csv", ".tsv")
Problems = dict[int, list[str]]  # what is wrong, by line
# Accepted names of each column, the preferred first; compared without case.
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "fname", "recording", "slice_file_name"),
    "labels": ("labels", "label", "category", "class", "event_label", "target"),
    "start": ("start", "start_time", "onset", "onset_s", "begin time (s)"),
    "end": ("end", "end_time", "offset", "offset_s", "end time (s)"),
    "fold": ("fold",),
    "group": ("group", "fsid", "src_file", "site"),
    "clip_id": ("clip_id",),
}
# Known columns that are never a class, whatever they hold.
OTHER_COLUMNS = ("split", "subset", "manually_verified", "noisy", "weight", "classid", "esc10", "take")


@dataclass(frozen=True)
class Table:
    """A table as text.

    header: column names. rows: cells, as many per row as the header has. lines: where each row stands in the
        file, from 1.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, position: int) -> list[str]:
        """The cells of the column at a position, without blanks around them."""
        return [row[position].strip() for row in self.rows]


def read_table(path: Path, audio_dir: Path | None = None) -> Manifest:
    """Read a labelled CSV or TSV.

    Args:
        path: a UTF-8 table, with or without byte order mark; separated by comma, tab or semicolon.
        audio_dir: where the sounds lie, if not beside or below the table.

    Raises:
        ManifestError: a column is missing, or rows are wrong (all of them are told at once).
    """
    table = load_table(path)
    columns = find_columns(table)
    read_as = ", ".join(f"{role} from '{table.header[position]}'" for role, position in columns.items())
    if any(table.header[position] != role for role, position in columns.items()):
        log.info("%s: %s", path, read_as)  # a table with our own names, such as a run's, needs no word
    problems: Problems = defaultdict(list)
    labels = _labels(table, columns, problems)
    finder = FileFinder(audio_dir or path.parent)
    paths = _paths(table, columns["path"], finder, problems)
    starts, ends = _regions(table, columns, problems)
    folds = _folds(table, columns, problems)
    _find_repeated(paths, starts, ends, table.lines, "the same clip as", problems)
    clip_ids = [row[columns["clip_id"]] for row in table.rows] if "clip_id" in columns else None
    if clip_ids is not None:
        for line, name in zip(table.lines, clip_ids, strict=True):
            if not name.strip():
                problems[line].append("the clip_id is empty")
        _find_repeated(clip_ids, starts, [], table.lines, "the same clip_id as", problems)
    if problems:
        raise ManifestError(_rows_wrong(table, problems, finder.root))
    groups = table.column(columns["group"]) if "group" in columns else None
    return Manifest.build(
        finder.root, paths, labels, starts=starts, ends=ends, folds=folds, groups=groups, clip_ids=clip_ids
    )


def load_table(path: Path) -> Table:
    """The cells of a table.

    Raises:
        ManifestError: the file cannot be read, is not UTF-8 or is empty, or rows have too few or many cells.
    """
    text = _decode(path)
    try:
        delimiter = _delimiter(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        numbered = []
        line = 1
        for row in reader:
            if any(cell.strip() for cell in row):
                numbered.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(f"{path}: is no table ({error}). Pass a CSV or TSV text file.") from error
    if len(numbered) < 2:
        what = "has a header but no rows" if numbered else "is empty"
        raise ManifestError(f"{path}: {what}. Give one row per clip below the column names.")
    header = [name.strip() for name in numbered[0][1]]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ManifestError(f"{path}: columns stand more than once ({', '.join(repeated)}). Rename them.")
    wrong = [
        f"row {line}: {len(row)} cells (expected {len(header)})"
        for line, row in numbered[1:]
        if len(row) != len(header)
    ]
    if wrong:
        raise ManifestError(
            f"{path}: {len(wrong)} rows have too few or too many cells. Quote cells that hold a separator.\n"
            f"{summarise_rows(wrong)}"
        )
    return Table(path, header, [row for _, row in numbered[1:]], [line for line, _ in numbered[1:]])


def find_columns(table: Table) -> dict[str, int]:
    """Position of each column of COLUMNS that the table has.

    Raises:
        ManifestError: there is no column of file names.
    """
    names = [name.casefold() for name in table.header]
    columns = {}
    for role, aliases in COLUMNS.items():
        present = [alias for alias in aliases if alias in names]
        if present:
            columns[role] = names.index(present[0])
    if "path" not in columns:
        raise ManifestError(_column_missing(table, "path", "file names"))
    if "slice_file_name" in names and "fsid" in names:
        # UrbanSound8K: start and end are times in the recording that the file was cut from, not in the file.
        columns = {role: position for role, position in columns.items() if role not in ("start", "end")}
    return columns


def is_labelled(path: Path) -> bool:
    """Whether a file is a table of files and labels; faulty rows count, so that they get told."""
    if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
        return False
    try:
        text = _decode(path)
    except ManifestError as error:
        log.warning("%s It is passed over.", error)
        return False
    names = {name.strip().casefold() for name in _header(text, _delimiter(text))}
    if names.isdisjoint(COLUMNS["path"]):
        return False
    return not names.isdisjoint(COLUMNS["labels"]) or bool(read_one_hot(_free_columns(load_table(path)))[0])


def _column_missing(table: Table, role: str, what: str) -> str:
    return (
        f"{table.path}: no column holds {what} (found: {', '.join(table.header)}). "
        f"Name one of them: {', '.join(COLUMNS[role])}."
    )


def _decode(path: Path) -> str:
    """The text of a UTF-8 file, without byte order mark."""
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path} row {line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the table as UTF-8."
        ) from error


def _delimiter(text: str) -> str:
    """The sign that gives the header a known column of file names, and most columns."""

    def rank(delimiter: str) -> tuple[bool, int]:
        header = _header(text, delimiter)
        return any(name.strip().casefold() in COLUMNS["path"] for name in header), len(header)

    return max(",\t;", key=rank)


def _header(text: str, delimiter: str) -> list[str]:
    """The first row that is not empty."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next((row for row in rows if any(row)), [])
    except csv.Error:
        return []


def _labels(table: Table, columns: dict[str, int], problems: Problems) -> list[tuple[str, ...]]:
    """Labels per row, from one column or 0/1 columns; notes rows without one where each must have one."""
    if "labels" in columns:
        where = f"{table.path} column '{table.header[columns['labels']]}'"
        labels, empty_is_meant = split_labels(table.column(columns["labels"]), where)
        if not any(labels):
            raise ManifestError(f"{where}: every cell is empty. Write each clip's label there.")
        for line, names in zip(table.lines, labels, strict=True):
            if not names and not empty_is_meant:
                problems[line].append("no label (if clips may have none, end every cell with ';')")
        return labels
    labels, wrong = read_one_hot(_free_columns(table))
    if not labels:
        raise ManifestError(_column_missing(table, "labels", "labels") + " Or give one 0/1 column per class.")
    for line, found in zip(table.lines, wrong, strict=True):
        if found:
            problems[line] += found
    return labels


def _free_columns(table: Table) -> dict[str, list[str]]:
    """The columns that have no known meaning."""
    known = {*(alias for aliases in COLUMNS.values() for alias in aliases), *OTHER_COLUMNS}
    return {
        name: table.column(position)
        for position, name in enumerate(table.header)
        if name and name.casefold() not in known
    }


def _paths(table: Table, column: int, finder: FileFinder, problems: Problems) -> list[str]:
    """Where each row's file is; notes rows whose file is missing or stands for several."""
    paths = []
    for line, row in zip(table.lines, table.rows, strict=True):
        try:
            if not row[column].strip():
                raise ManifestError("no file name")
            paths.append(finder.find(row[column]))
        except ManifestError as error:
            problems[line].append(str(error))
            paths.append("")
    return paths


def _regions(table: Table, columns: dict[str, int], problems: Problems) -> tuple[list[float], list[float]]:
    """Start and end of each row in seconds (0 and nan where not given); notes rows where they are wrong."""
    values = {}
    for role, default in (("start", 0.0), ("end", math.nan)):
        cells = table.column(columns[role]) if role in columns else [""] * len(table.rows)
        values[role] = []
        for line, cell in zip(table.lines, cells, strict=True):
            value = _number(cell) if cell else default
            if value is None:
                problems[line].append(f"{role} '{cell}' is no time in seconds")
            values[role].append(default if value is None else value)
    for line, start, end in zip(table.lines, values["start"], values["end"], strict=True):
        if start < 0:
            problems[line].append(f"start {start:g} s is negative")
        if start >= end:
            problems[line].append(f"start {start:g} s is not before end {end:g} s")
    return values["start"], values["end"]


def _number(cell: str) -> float | None:
    """A finite number, None where the cell is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _folds(table: Table, columns: dict[str, int], problems: Problems) -> list[int] | None:
    """Each row's fold, None if none is given; notes rows where it is missing or no whole number."""
    cells = table.column(columns["fold"]) if "fold" in columns else []
    if not any(cells):
        return None
    folds = []
    for line, cell in zip(table.lines, cells, strict=True):
        value = _number(cell)
        if value is None or value < 0 or value != int(value):
            problems[line].append(f"fold '{cell}' is not a whole number of 0 or more" if cell else "no fold")
            value = -1
        folds.append(int(value))
    return folds


def _find_repeated(
    names: list[str],
    starts: list[float],
    ends: list[float],
    lines: list[int],
    what: str,
    problems: Problems,
) -> None:
    """Note rows whose name (with its region, if `ends` are given) stands in an earlier row."""
    first: dict[tuple, int] = {}
    for position, (name, line) in enumerate(zip(names, lines, strict=True)):
        key = (name, starts[position], str(ends[position])) if ends else (name,)
        if name and first.setdefault(key, line) != line:
            problems[line].append(f"{what} row {first[key]}")


def _rows_wrong(table: Table, problems: Problems, root: Path) -> str:
    """The text for all bad rows at once."""
    messages = [f"row {line}: {text}" for line in sorted(problems) for text in problems[line]]
    advice = "Correct or remove them."
    if sum("is missing" in message for message in messages) == len(table.rows):
        advice = f"No file was found below {root}: pass the folder of the sounds with --audio-dir."
    count = f"{len(problems)} of {len(table.rows)} rows are wrong"
    return f"{table.path}: {count}. {advice}\n{summarise_rows(messages)}"
