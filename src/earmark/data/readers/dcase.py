"""DCASE tables of events: filename, onset, offset and event_label, separated by tabs, with that header or without.

Source: dcase.community, task descriptions of sound event detection; a recording in which nothing happens has a row
with its name alone.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from earmark.data.readers.events import Event, is_number
from earmark.data.readers.paths import is_audio
from earmark.errors import ManifestError

HEADER = ("filename", "onset", "offset", "event_label")
LOOKED_AT = 20  # rows in which one event must be found


def is_event_table(text: str) -> bool:
    """Whether a text, or the start of one, is a table of events and nothing more.

    >>> is_event_table("filename\\tonset\\toffset\\tevent_label\\na.wav\\t0.5\\t2\\tSpeech\\n")
    True
    >>> is_event_table("a.wav\\t0.5\\t2\\tSpeech\\n"), is_event_table("filename,label\\na.wav,dog\\n")
    (True, False)
    """
    try:
        rows = [cells for _, cells in _rows(text, LOOKED_AT)]
    except csv.Error:
        return False
    return bool(rows) and (_is_header(rows[0]) or any(map(_is_event, rows)))


def read_event_table(text: str, path: Path) -> list[Event]:
    """The events of a table; cells that are missing are empty.

    Args:
        text: all of the table.
        path: for the error text.

    Raises:
        ManifestError: its quotes do not close.

    >>> read_event_table("a.wav\\t0.5\\t2\\tSpeech\\n", Path("events.tsv"))
    [Event(line=1, start='0.5', end='2', label='Speech', recording='a.wav', offset='')]
    """
    try:
        rows = _rows(text)
    except csv.Error as error:
        raise ManifestError(f"{path}: is no table of events ({error}). Remove quotes that do not close.") from error
    order = dict(zip(HEADER, range(len(HEADER)), strict=True))
    if rows and _is_header(rows[0][1]):
        order = {cell.casefold(): position for position, cell in enumerate(rows.pop(0)[1])}
    events = []
    for number, cells in rows:
        cells = cells + [""] * (len(HEADER) - len(cells))
        name, start, end, label = (cells[order[column]] for column in HEADER)
        events.append(Event(number, start, end, label, name))
    return events


def _rows(text: str, n_rows: int | None = None) -> list[tuple[int, list[str]]]:
    """Line and cells of the rows that are not blank, without blanks around cells."""
    found, reader, line = [], csv.reader(io.StringIO(text, newline=""), delimiter="\t"), 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            found.append((line, [cell.strip() for cell in cells]))
        line = reader.line_num + 1
        if n_rows is not None and len(found) == n_rows:
            break
    return found


def _is_header(cells: list[str]) -> bool:
    return sorted(cell.casefold() for cell in cells) == sorted(HEADER)


def _is_event(cells: list[str]) -> bool:
    return len(cells) == len(HEADER) and is_audio(cells[0]) and is_number(cells[1]) and is_number(cells[2])
