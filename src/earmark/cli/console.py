"""What the commands share: the log on stderr, tables, and JSON."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from earmark.run import to_json

if TYPE_CHECKING:
    from earmark.evaluation.scorecard import Scorecard

WIDE = 1000  # of lines that no terminal shows: nothing in a file or a pipe is cut to a width


def _console(stream: TextIO) -> Console:
    return Console(file=stream, highlight=False, markup=False, soft_wrap=True, width=None if stream.isatty() else WIDE)


output = _console(sys.stdout)
messages = _console(sys.stderr)


class StderrLines(logging.Handler):
    """Prints each record as a line on whatever stderr is now, so that a progress bar can keep below it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        print(self.format(record), file=sys.stderr)


def show_log() -> None:
    """Send the library's log to stderr, one plain line each."""
    handler = StderrLines()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("earmark")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(to_json(document, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A table on stdout; the first column is text, the others are numbers."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    output.print(table)


def print_scorecard(scorecard: Scorecard) -> None:
    """Scores with intervals, a column per model, best first, and what must be known of them."""
    header, *rows = zip(*(scorecard.table()[0], *scorecard.table()[1]), strict=True)
    output.print()
    print_table(header, rows, f"{scorecard.n_clips} clips, {scorecard.n_classes} classes")
    output.print()
    for note in scorecard.notes():
        output.print(note)
