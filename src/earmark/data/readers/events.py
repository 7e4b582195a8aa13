"""Event: one line of an annotation file, still as text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Event:
    """What sounds from when to when in a recording.

    line: in the file, from 1. start, end: seconds. label: "" = none.
    recording: its name as written; "" = the one that the file stands beside.
    offset: where in the recording `start` lies, seconds, if the times count from elsewhere; "" = they do not.
    """

    line: int
    start: str
    end: str
    label: str
    recording: str = ""
    offset: str = ""


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a point or a comma.

    >>> is_number("1.5"), is_number("1,5"), is_number("dog")
    (True, True, False)
    """
    return NUMBER.fullmatch(cell) is not None


def to_seconds(cell: str) -> float | None:
    """The seconds that a cell gives, None where it is no finite number."""
    if not is_number(cell):
        return None
    value = float(cell.replace(",", "."))
    return value if math.isfinite(value) else None


def lines_of(text: str) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank; line ends of any system, and no other signs, part them."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
