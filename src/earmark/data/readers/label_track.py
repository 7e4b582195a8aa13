"""Audacity label tracks: start, end and label of each region, separated by tabs, without a header.

Source: Audacity manual, "Importing and Exporting Labels". Exports may add a line with the lowest and highest frequency
below each region, which begins with a backslash.
"""

from __future__ import annotations

from earmark.data.readers.events import Event, is_number, lines_of

LOOKED_AT = 20  # lines in which one region must be found


def is_label_track(text: str) -> bool:
    """Whether a text, or the start of one, holds a labelled region; faulty lines around it are to be told.

    >>> is_label_track("0.5\\t1.25\\tdog\\n"), is_label_track("start,end,label")
    (True, False)
    """
    return any(_is_region(line.split("\t")) for _, line in lines_of(text)[:LOOKED_AT])


def read_label_track(text: str) -> list[Event]:
    """The regions of a label track; lines with too few cells come with an empty end, which is no time.

    >>> read_label_track("0.5\\t1.25\\tdog\\n\\\\\\t300\\t900\\n")
    [Event(line=1, start='0.5', end='1.25', label='dog', recording='', offset='')]
    """
    events = []
    for number, line in lines_of(text):
        if line.startswith("\\"):
            continue
        start, end, label = [*line.split("\t", 2), "", ""][:3]
        events.append(Event(number, start, end, label.strip()))
    return events


def _is_region(cells: list[str]) -> bool:
    return len(cells) == 3 and is_number(cells[0]) and is_number(cells[1]) and bool(cells[2].strip())
