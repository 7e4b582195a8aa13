"""What is tagged already: a ledger beside the output, so that a folder that grows is heard once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from earmark.errors import RunError
from earmark.lookup import lookup
from earmark.run import write_atomically
from earmark.tagger.formats import FORMATS, SPOOLED_BYTES, open_output, write_tags_each, written_name
from earmark.tagger.rows import Selection
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tagger

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nothing keeps two runs apart
    fcntl = None

LEDGER_VERSION = 1
LEDGER_SUFFIX = ".done.jsonl"  # behind the name of the output
LEDGER_NAME = "done.jsonl"  # in a folder of outputs
ROWS_START = b'{"rows"'  # of a line that is not the last of its recording


class Stamp(NamedTuple):
    """By which a recording is taken as unchanged."""

    size: int
    mtime_ns: int


class Entry(NamedTuple):
    """One recording in a ledger.

    stamp: as it was before it was heard. failed: it could not be read. file: what was written of it, if a file of its
    own. at: where its lines begin, bytes.
    """

    stamp: Stamp
    failed: bool
    file: str | None
    at: int


class Ledger:
    """JSON lines, one appended as each recording is done: a kill at any point loses none of them and doubles none.

    The first line says what made them. A line without its end was cut off, and is passed over; of several of one
    recording the last counts. Where all recordings go into one file, a line also holds what is written of its
    recording, that of a long one the last of what lines of rows before it hold; that file is made of these: by the next
    run, if this one does not come to it. One run at a time.

    Args:
        path: of the ledger, which need not be there.
        origin: what must be as it was for what is done to count: JSON values by name.

    Raises:
        RunError: it is of another origin, damaged, kept by another run, or cannot be written.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any]):
        self.path = path
        self.entries: dict[str, Entry] = {}  # by absolute path, in the order of their lines
        self.n_lines = 0
        self._written: int | None = None  # length of the output, if nothing was added since
        self._rows_at: int | None = None  # where lines of rows begin whose recording has not come
        self._stamps: dict[str, Stamp] = {}
        self._origin = json.loads(json.dumps({"ledger": LEDGER_VERSION} | dict(origin)))
        self._file = self._open()
        try:
            self._read()
        except RunError:
            self._file.close()
            raise

    def close(self) -> None:
        """Let other runs have it; without the lines that do not count any more, if these are most of it."""
        if not self._file.closed and self.n_lines > 2 * len(self.entries) + 2:
            self._compact()
        self._file.close()

    def pending(self, recordings: Sequence[Path]) -> list[Path]:
        """Those that are new, have changed, failed, or whose output is gone."""
        left = []
        for recording in recordings:
            name = os.path.abspath(recording)
            with suppress(OSError):  # it will be heard, and fail with its reason
                status = os.stat(recording)
                self._stamps[name] = Stamp(status.st_size, status.st_mtime_ns)
            if not self._is_done(name):
                left.append(recording)
        return left

    def stamp(self, recording: Path) -> Stamp | None:
        """What a recording of `pending` was before it was heard; None if it is not there."""
        return self._stamps.get(os.path.abspath(recording))

    def add(self, tagged: TaggedClip, *, rows: str | None = None, file: str | None = None) -> bool:
        """Note that a recording of `pending` is done, or failed; nothing of one that is not there: False.

        Args:
            rows: what is written of it, where all go into one file, after what was given to `add_rows` since the last.
            file: the file that is written of it, otherwise.
        """
        name = os.path.abspath(tagged.clip.path)
        stamp, known = self._stamps.get(name), self.entries.get(name)
        if stamp is None:
            self._drop_rows()
            return False
        fails_again = tagged.error is not None and known is not None and known.failed and known.stamp == stamp
        if not fails_again:
            line = {"path": name, **stamp._asdict(), "error": tagged.error}
            self._note(line | {key: value for key, value in (("rows", rows), ("file", file)) if value is not None})
        return True

    def add_rows(self, rows: str) -> None:
        """Note rows of a recording that is whole, and about to be added."""
        self._note({"rows": rows})

    def rows(self) -> Iterator[str]:
        """What is written of each recording, in the order in which they were done, in pieces."""
        with open(self.path, "rb") as file:
            for entry in self.entries.values():
                for line in _lines(file, entry.at):
                    yield json.loads(line)["rows"]

    def agrees_with(self, out: Path) -> bool:
        """Whether an output is as it was made of all recordings that are done."""
        return self._written is not None and out.is_file() and out.stat().st_size == self._written

    def note_written(self, out: Path) -> None:
        """Note that an output has been made of all of them."""
        self._note({"written": out.stat().st_size})

    def _is_done(self, name: str) -> bool:
        entry = self.entries.get(name)
        if entry is None or entry.failed or entry.stamp != self._stamps.get(name):
            return False
        return entry.file is None or (self.path.parent / entry.file).is_file()

    def _open(self) -> BinaryIO:
        """The file, locked, to read and to append to."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            file = os.fdopen(descriptor, "a+b")
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}). Choose another --out.") from error
        if not _lock(file, self.path):
            file.close()
            raise RunError(f"{self.path}: another run is at work on it. Wait until it has ended.")
        return file

    def _read(self) -> None:
        """Take in what stands there; what was cut off goes, with the rows of a recording that did not come."""
        self._file.seek(0)
        at = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                document = json.loads(line)
                if number == 1:
                    self._require(document)
                else:
                    self._take_in(document, at)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunError(f"{self.path}: line {number} is not of a ledger ({error}). {_MEND}") from error
            at += len(line)
        self._file.truncate(at)
        self._file.seek(0, os.SEEK_END)
        self._drop_rows()
        if not at:
            self._append(self._origin)

    def _require(self, origin: Mapping[str, Any]) -> None:
        """Refuse the first line of a ledger that was made otherwise."""
        changed = [
            f"{name} was {origin.get(name)}, is {self._origin.get(name)}"
            for name in {**self._origin, **origin}
            if origin.get(name) != self._origin.get(name)
        ]
        if changed:
            raise RunError(f"{self.path}: what is done was made otherwise ({'; '.join(changed)}). {_MEND}")

    def _take_in(self, line: Mapping[str, Any], at: int) -> None:
        if line.keys() == {"rows"}:
            self._rows_at = at if self._rows_at is None else self._rows_at
            return
        self.n_lines += 1
        self._written = line.get("written")
        if self._written is None:
            name = line["path"]
            self.entries.pop(name, None)  # the last counts, in its place
            stamp = Stamp(line["size"], line["mtime_ns"])
            at = at if self._rows_at is None else self._rows_at
            self.entries[name] = Entry(stamp, line["error"] is not None, line.get("file"), at)
        self._rows_at = None

    def _drop_rows(self) -> None:
        """Let go of rows whose recording does not come."""
        if self._rows_at is not None:
            self._file.truncate(self._rows_at)
            self._file.seek(0, os.SEEK_END)
            self._rows_at = None

    def _note(self, line: Mapping[str, Any]) -> None:
        at = self._file.tell()
        self._append(line)
        self._take_in(line, at)

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode("ascii") + b"\n")
        self._file.flush()

    def _compact(self) -> None:
        """Write the ledger anew, with only the lines that count."""
        with write_atomically(self.path) as temporary, open(temporary, "wb") as file:
            self._file.seek(0)
            file.write(self._file.readline())
            for entry in self.entries.values():
                file.writelines(_lines(self._file, entry.at))
            if self._written is not None:
                file.write(json.dumps({"written": self._written}).encode("ascii") + b"\n")


def write_tags_on(
    tagged_clips: Iterable[TaggedClip], tagger: Tagger, format: str, out: Path, selection: Selection, ledger: Ledger
) -> Iterator[TaggedClip]:
    """As `write_tags`, into a file that also has what the ledger holds of earlier runs."""
    rows = _LedgerRows(ledger)
    with closing(lookup(FORMATS, format, "format")(rows, tagger, selection, out.parent)) as writer:
        header = rows.take()
        for tagged in tagged_clips:
            writer.write(tagged)
            if not tagged.more:
                ledger.add(tagged, rows=rows.take())
            yield tagged
    if not ledger.agrees_with(out):
        with open_output(out, format) as file:
            file.write(header)
            file.writelines(ledger.rows())
        ledger.note_written(out)


class _LedgerRows:
    """What a writer writes into: keeps a little, and what is more than that goes into the ledger."""

    def __init__(self, ledger: Ledger):
        self._ledger, self._held = ledger, ""

    def write(self, text: str) -> None:
        """Take the next rows."""
        if len(self._held) + len(text) > SPOOLED_BYTES:
            self._ledger.add_rows(self._held)
            self._held = ""
        self._held += text

    def take(self) -> str:
        """What is kept, which from now on is not."""
        held, self._held = self._held, ""
        return held


def write_tags_each_on(
    tagged_clips: Iterable[TaggedClip],
    tagger: Tagger,
    format: str,
    folder: Path,
    selection: Selection,
    root: Path,
    ledger: Ledger,
) -> Iterator[TaggedClip]:
    """As `write_tags_each`, each noted in the ledger once its file is there."""
    for tagged in write_tags_each(tagged_clips, tagger, format, folder, selection, root):
        name = written_name(tagged.clip.path, format, root)
        if tagged.more:
            pass
        elif tagged.predictions is not None:
            ledger.add(tagged, file=name)
        elif ledger.add(tagged):  # it has changed, so what was written of it is true no more
            (folder / name).unlink(missing_ok=True)
        yield tagged


def _lock(file: BinaryIO, path: Path) -> bool:
    """Keep other runs from an open file; False if one has it, or has put another in its place meanwhile."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))


def _lines(file: BinaryIO, at: int) -> Iterator[bytes]:
    """The lines of one recording, which begin at a byte: the one that names it is the last."""
    file.seek(at)
    for line in file:
        yield line
        if not line.startswith(ROWS_START):
            return


_MEND = "Name another --out, or delete it and what it stands beside: all is then done again."
