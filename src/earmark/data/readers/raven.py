"""Raven selection tables: a header, then a row per selection and view, separated by tabs.

Source: Raven Pro user's manual, chapter 6, "Selection tables". Measurements and annotations are free columns. A
selection stands once for each view that it was drawn in (Waveform 1, Spectrogram 1), with the same times.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from earmark.data.readers.events import Event, is_number, lines_of
from earmark.errors import ManifestError

START, END = "begin time (s)", "end time (s)"
RECORDING = ("begin file", "begin path")
OFFSET = "file offset (s)"
# Where the label stands, the preferred first; compared without case.
LABELS = (
    *("annotation", "annotations", "label", "labels", "species", "common name", "species code", "scientific name"),
    *("class", "category", "event_label", "sound type", "call type", "call_type", "call", "type", "tag", "tags"),
)
# Columns of Raven's own without a unit in their name, and scores of detectors: never labels.
MEASUREMENTS = frozenset(
    (
        *("selection", "view", "channel", "begin file", "end file", "begin path", "end path", "begin date"),
        *("begin date time", "end date", "begin clock time", "end clock time", "occupancy", "confidence", "score"),
        *("sound file", "detector", "template", "notes", "comments", "observer", "annotator"),
    )
)


def is_selection_table(text: str) -> bool:
    """Whether a text, or the start of one, has the header of a selection table.

    >>> is_selection_table("Selection\\tView\\tChannel\\tBegin Time (s)\\tEnd Time (s)\\tSpecies\\n")
    True
    """
    names = _header(text)
    return START in names and END in names


def names_recordings(text: str) -> bool:
    """Whether a selection table says which recordings it is about."""
    return not set(RECORDING).isdisjoint(_header(text))


def read_selection_table(text: str, path: Path) -> tuple[list[Event], str]:
    """The selections of a table, and the name of the column that their labels are from ("" without selections).

    Times are those of the first recording of several opened in a row; "File Offset (s)" tells where in its own
    recording each selection begins.

    Args:
        text: all of the table.
        path: for the error text.

    Raises:
        ManifestError: no column holds labels.

    >>> table = "Selection\\tBegin Time (s)\\tEnd Time (s)\\tSpecies\\n1\\t0.5\\t2\\towl\\n"
    >>> read_selection_table(table, Path("dusk.Table.1.selections.txt"))
    ([Event(line=2, start='0.5', end='2', label='owl', recording='', offset='')], 'Species')
    """
    (_, first), *rest = lines_of(text)
    header = [name.strip() for name in first.split("\t")]
    rows = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in rest]
    rows = [(number, cells + [""] * (len(header) - len(cells))) for number, cells in rows]
    if not rows:
        return [], ""
    names = [name.casefold() for name in header]
    label = _label_column(header, [cells for _, cells in rows], path)
    recording = next((names.index(name) for name in RECORDING if name in names), None)
    offset = names.index(OFFSET) if OFFSET in names and recording is not None else None
    start, end = names.index(START), names.index(END)
    events = [
        Event(
            number,
            cells[start],
            cells[end],
            cells[label],
            "" if recording is None else cells[recording].replace("\\", "/").rsplit("/", 1)[-1],
            "" if offset is None else cells[offset],
        )
        for number, cells in rows
    ]
    return events, header[label]


def _header(text: str) -> list[str]:
    """The column names in lower case."""
    lines = lines_of(text)
    return [name.strip().casefold() for name in lines[0][1].split("\t")] if lines else []


def _label_column(header: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> int:
    """Position of the column of labels: one called so, else the first of words that Raven does not measure.

    Raises:
        ManifestError: there is none.
    """
    names = [name.casefold() for name in header]
    filled = [position for position in range(len(header)) if any(cells[position] for cells in rows)]
    for name in LABELS:
        if name in names and names.index(name) in filled:
            return names.index(name)
    for position in filled:
        measured = names[position] in MEASUREMENTS or names[position].endswith(")")
        if not measured and not all(is_number(cells[position]) for cells in rows if cells[position]):
            return position
    raise ManifestError(
        f"{path}: no column holds the selections' labels (found: {', '.join(header)}). "
        "Add a column called Annotation or Species in Raven."
    )
