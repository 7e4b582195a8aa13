"""A CSV, TSV or Parquet file as columns of text. Nothing is guessed to be missing or a number."""

from __future__ import annotations

import csv
import io
import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.data.readers import parquet
from earmark.data.readers.cells import read_one_hot
from earmark.data.readers.encodings import find_encoding
from earmark.data.readers.problems import RowProblem
from earmark.errors import ManifestError, MissingExtraError, summarise_rows

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".csv", ".tsv", *parquet.SUFFIXES)
# Accepted names of each column, the preferred first; compared without case.
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "fname", "recording", "slice_file_name"),
    "labels": ("labels", "label", "category", "class", "event_label", "target"),
    "strengths": ("strengths", "strength"),
    "negative": ("negative", "negatives"),
    "unsure": ("unsure", "uncertain"),
    "start": ("start", "start_time", "onset", "onset_s", "begin time (s)"),
    "end": ("end", "end_time", "offset", "offset_s", "end time (s)"),
    "fold": ("fold",),
    "group": ("group", "fsid", "src_file", "site"),
    "split": ("split",),
    "subset": ("subset", "manually_verified", "noisy"),
    "weight": ("weight",),
    "clip_id": ("clip_id",),
}
# Known columns that are never a class, whatever they hold.
OTHER_COLUMNS = ("classid", "esc10", "take")
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Table:
    """A table as text.

    columns: cells by column name, without columns that have no name. lines: where each row stands in the file,
        from 1.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: Sequence[int]

    def column(self, name: str) -> list[str]:
        """The cells of a column without blanks around them."""
        return list(map(str.strip, self.columns[name]))


def load_table(
    path: Path,
    encoding: str | None = None,
    names: Callable[[], Iterable[str]] = list,
    problems: list[RowProblem] | None = None,
) -> Table:
    """The cells of a table.

    Args:
        encoding: of its text, None to find it.
        names: gives the names of files that it may name, by which the encoding is told.
        problems: gains rows with too few or too many cells; None to raise them.

    Raises:
        ManifestError: the file cannot be read or is empty, its encoding cannot be told, or rows have too few or too
            many cells.
        MissingExtraError: Parquet needs pyarrow.
    """
    if path.suffix.lower() in parquet.SUFFIXES:
        header, columns = parquet.read_columns(path)
        lines, wrong = range(1, 1 + max(map(len, columns), default=0)), []
    else:
        header, columns, lines, wrong = _read_text_table(path, _open(path, encoding, names, log))
    if not lines and not wrong:
        what = "has a header but no rows" if header else "is empty"
        raise ManifestError(f"{path}: {what}. Give one row per clip below the column names.")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ManifestError(f"{path}: columns stand more than once ({', '.join(repeated)}). Rename them.")
    if wrong and (problems is None or not lines):
        messages = [f"row {line}: {text}" for line, text in wrong]
        raise ManifestError(
            f"{path}: {len(wrong)} rows have too few or too many cells. Quote cells that hold a separator.\n"
            f"{summarise_rows(messages)}"
        )
    for line, text in wrong:
        problems.append(RowProblem(f"{path} row {line}", "", "bad_row", text))
    return Table(path, {name: cells for name, cells in zip(header, columns, strict=True) if name}, lines)


def find_columns(table: Table) -> dict[str, str]:
    """The column of each role of COLUMNS that the table has.

    Raises:
        ManifestError: there is no column of file names.
    """
    names = {name.casefold(): name for name in reversed(table.columns)}
    ours = {"clip_id", "path", "labels"} <= set(names)  # a table that a Manifest wrote: other names mean nothing
    columns = {}
    for role, aliases in COLUMNS.items():
        present = [names[alias] for alias in (aliases[:1] if ours else aliases) if alias in names]
        if present:
            columns[role] = present[0]
    if "path" not in columns:
        raise ManifestError(column_missing(table, "path", "file names"))
    if "slice_file_name" in names and "fsid" in names:
        # UrbanSound8K: start and end are times in the recording that the file was cut from, not in the file.
        columns = {role: name for role, name in columns.items() if role not in ("start", "end")}
    return columns


def free_columns(table: Table) -> dict[str, list[str]]:
    """The columns that have no known meaning in a table without a column of labels."""
    roles = COLUMNS.keys() - {"strengths", "negative", "unsure"}
    known = {*(alias for role in roles for alias in COLUMNS[role]), *OTHER_COLUMNS}
    return {name: table.column(name) for name in table.columns if name.casefold() not in known}


def is_labelled(path: Path, encoding: str | None = None) -> bool:
    """Whether a file is a table of files and labels; faulty rows count, so that they get told."""
    if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
        return False
    try:
        if path.suffix.lower() in parquet.SUFFIXES:
            header = parquet.column_names(path)
        else:
            text = _open(path, encoding)
            header = _header(text, _delimiter(text))
    except (ManifestError, MissingExtraError) as error:
        log.warning("%s It is passed over.", error)
        return False
    names = {name.strip().casefold() for name in header}
    if names.isdisjoint(COLUMNS["path"]):
        return False
    return not names.isdisjoint(COLUMNS["labels"]) or bool(
        read_one_hot(free_columns(load_table(path, encoding))).labels
    )


def column_missing(table: Table, role: str, what: str) -> str:
    """The text for a column that a table must have."""
    return (
        f"{table.path}: no column holds {what} (found: {', '.join(table.columns)}). "
        f"Name one of them: {', '.join(COLUMNS[role])}."
    )


def _open(
    path: Path,
    encoding: str | None,
    names: Callable[[], Iterable[str]] = list,
    remarks: logging.Logger | None = None,
) -> io.TextIOWrapper:
    """A text table from its first sign on, the byte order mark passed over; how it is read goes to `remarks`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    found = find_encoding(data, path, encoding, names)
    if remarks and found.remark:
        remarks.log(logging.INFO if found.certain else logging.WARNING, "%s: %s", path, found.remark)
    text = io.TextIOWrapper(io.BytesIO(data), encoding=found.name, newline="")
    if text.read(1) != "\ufeff":
        text.seek(0)
    return text


def _read_text_table(
    path: Path, text: io.TextIOWrapper
) -> tuple[list[str], list[list[str]], Sequence[int], list[tuple[int, str]]]:
    """Header, columns, the line of each row, and (line, what is wrong) of rows that do not fit the header."""
    lines, wrong = array("q"), []
    try:
        rows = _filled_rows(text, _delimiter(text))
        header = [name.strip() for name in next(rows, (1, []))[1]]
        columns: list[list[str]] = [[] for _ in header]
        known: dict[str, str] = {}
        chunk = []
        for line, row in rows:
            if len(row) != len(header):
                wrong.append((line, f"{len(row)} cells (expected {len(header)})"))
                continue
            lines.append(line)
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                _append(columns, known, chunk)
                chunk.clear()
        _append(columns, known, chunk)
    except csv.Error as error:
        where = f"{path} after row {lines[-1]}" if lines else str(path)
        raise ManifestError(f"{where}: is no table ({error}). Pass a CSV or TSV text file.") from error
    return header, columns, lines, wrong


def _filled_rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row that is not blank."""
    reader = csv.reader(text, delimiter=delimiter)
    line = 1
    for row in reader:
        if row and (row[0].strip() or any(map(str.strip, row))):
            yield line, row
        line = reader.line_num + 1


def _append(columns: list[list[str]], known: dict[str, str], rows: list[list[str]]) -> None:
    """Add rows to columns, equal cells being one object: millions of rows have few distinct labels."""
    if len(known) > parquet.MOST_SHARED:
        known.clear()
    for column, cells in zip(columns, zip(*rows, strict=True), strict=False):
        column.extend(map(known.setdefault, cells, cells))


def _delimiter(text: io.TextIOWrapper) -> str:
    """The sign that gives the header a known column of file names, and most columns."""

    def rank(delimiter: str) -> tuple[bool, int]:
        header = _header(text, delimiter)
        return any(name.strip().casefold() in COLUMNS["path"] for name in header), len(header)

    return max(",\t;", key=rank)


def _header(text: io.TextIOWrapper, delimiter: str) -> list[str]:
    """The first row that is not empty; the text stays where it is."""
    start = text.tell()
    try:
        return next((row for row in csv.reader(_lines(text), delimiter=delimiter) if any(row)), [])
    except csv.Error:
        return []
    finally:
        text.seek(start)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text that can be told where it stands, as iterating over it cannot."""
    return iter(text.readline, "")
