"""What was heard as JSON lines, each written whole: as of `earmark tag --events --format jsonl`, and when it was."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from earmark.errors import RunError
from earmark.run import to_json
from earmark.tagger.events import Event
from earmark.tagger.formats import row_document
from earmark.tagger.rows import Row


def local_time(seconds: float) -> str:
    """A wall-clock time (seconds since 1970) in ISO 8601, with the place's distance from UTC."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Origin:
    """What stands in every line: what is heard, the tagger that hears it, what is said against that."""

    path: str
    tagger: str
    warnings: tuple[str, ...] = ()


def event_line(origin: Origin, event: Event, at: float) -> dict:
    """An event as a line. at: when it began, seconds since 1970."""
    line = row_document(origin.path, Row(event.start, event.end, (event,), None))
    line |= {"error": None, "tagger": origin.tagger, "at": local_time(at)}
    return line | ({"warnings": origin.warnings} if origin.warnings else {})


def loss_line(origin: Origin, start: float, end: float, at: float, reason: str) -> dict:
    """What was not heard as a line: a row without tags, and the reason as its error."""
    line = row_document(origin.path, Row(start, end, (), None))
    return line | {"error": reason, "tagger": origin.tagger, "at": local_time(at)}


class LineFile:
    """JSON objects, one a line, at the end of a file (or to stdout, if `path` is None); each is there at once.

    Raises:
        RunError: the file cannot be written.
    """

    def __init__(self, path: Path | None):
        self.path, self._descriptor = path, None
        if path is None:
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:  # of lseek: a named pipe
            self.close()
            raise RunError(
                f"{path}: cannot be appended to ({error.strerror}). Choose another file with --out."
            ) from error
        if size and os.lseek(self._descriptor, size - 1, os.SEEK_SET) >= 0 and os.read(self._descriptor, 1) != b"\n":
            self._append(b"\n")  # a line that was cut short stays alone

    def write(self, document: dict) -> None:
        """Append a line.

        Raises:
            RunError: the disk is full; nothing of the line is left.
            BrokenPipeError: nobody reads stdout any more.
        """
        line = to_json(document) + "\n"
        if self._descriptor is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            self._append(line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        """In one write, so that whoever reads along sees whole lines only."""
        try:
            n_written = os.write(self._descriptor, line)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}). Make room, and start again.") from error
        if n_written < len(line):
            os.ftruncate(self._descriptor, os.lseek(self._descriptor, 0, os.SEEK_END) - n_written)
            raise RunError(f"{self.path}: cannot be written ({os.strerror(errno.ENOSPC)}). Make room, and start again.")
