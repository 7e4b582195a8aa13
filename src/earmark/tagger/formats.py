"""Tags in files: CSV, JSON lines, Audacity label tracks, Raven selection tables; Parquet in a module of its own."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, BinaryIO, TextIO

from earmark.lookup import lookup
from earmark.predictions import seconds_text
from earmark.run import to_json, write_atomically, write_json
from earmark.tagger.events import Event, EventRule
from earmark.tagger.rows import Row, Rows, Selection
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tagger

FORMATS = {
    "csv": "earmark.tagger.formats:CsvWriter",
    "jsonl": "earmark.tagger.formats:JsonlWriter",
    "audacity": "earmark.tagger.formats:AudacityWriter",
    "raven": "earmark.tagger.formats:RavenWriter",
    "parquet": "earmark.tagger.parquet:ParquetWriter",
}
UNKNOWN = "unknown"  # in the place of a label where a clip has no tag; a label of that name has a score beside it
# Formats with a file per recording, and how its name ends; those of BINARY may hold all in one, too.
SUFFIXES = {"audacity": ".txt", "raven": ".Table.1.selections.txt", "parquet": ".parquet"}
BINARY = ("parquet",)
# Bytes of a path that are no UTF-8 must come through: as they were, or in JSON as escapes.
ENCODING_ERRORS = {"jsonl": "backslashreplace"}
RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Label",
    "Score",
)
# What stands beside an event's label and score, and in Raven's words.
EVENT_COLUMNS = ("mean_score", "tagger")
RAVEN_EVENT_COLUMNS = ("Mean Score", "Tagger")
SPOOLED_BYTES = 1 << 20  # of a recording's rows in memory, and what is copied at once


class TextWriter(ABC):
    """What writers of text have in common: the rows of a recording are in its file once it has come to its end.

    Until then they are put by, in memory or, of a long one, in a file without a name.

    Args:
        file: to write to. tagger, selection: what made the tags, and which are written.
        beside: the folder of the file without a name, as for `unnamed_file`.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection, beside: Path | None = None):
        self.file, self.tagger, self.selection = file, tagger, selection
        self.rows = Rows(tagger, selection)
        # Any text must come back as it was, whatever the encoding of the file.
        self.put_by = unnamed_file(beside, mode="w+", encoding="utf-8", errors="surrogatepass", newline="")

    def write(self, tagged: TaggedClip) -> None:
        """Take a part of a clip. Of one that fails, what came before counts no more."""
        if tagged.predictions is None:
            self._clear()
        self.put(tagged)
        if not tagged.more:
            self.put_by.seek(0)
            shutil.copyfileobj(self.put_by, self.file, SPOOLED_BYTES)
            self._clear()

    @abstractmethod
    def put(self, tagged: TaggedClip) -> None:
        """Put the rows of a part by."""

    def close(self) -> None:
        """No more comes; the rows of a recording that has not ended are gone."""
        self.put_by.close()

    def _clear(self) -> None:
        self.put_by.seek(0)
        self.put_by.truncate()


class JsonlWriter(TextWriter):
    """One object a row: {"path", "start", "end", "tags": [{"label", "score"}], "error"}, times in seconds.

    Also "unknown": true where nothing reaches its threshold, "scores" (of every label) with all_scores, and "warnings"
    where there are some. A clip that failed is one row with the reason in "error". An event is a row whose one tag has
    "mean_score", too, and "tagger" beside it; a clip without events one that is unknown.
    """

    def put(self, tagged: TaggedClip) -> None:
        """Put the rows of a part by."""
        path = str(tagged.clip.path)
        extra = {"tagger": self.tagger.identity} if self.selection.events else {}
        extra |= {"warnings": tagged.warnings} if tagged.warnings else {}
        if tagged.predictions is None:
            region = {"start": tagged.clip.start, "end": tagged.clip.end}
            self._line({"path": path, **region, "tags": [], "error": tagged.error, **extra})
        for row in self.rows.of(tagged):
            self._row(path, row, extra)

    def _row(self, path: str, row: Row, extra: dict) -> None:
        line = row_document(path, row)
        if not row.tags:
            line[UNKNOWN] = True
        if self.selection.all_scores:
            line["scores"] = dict(zip(self.tagger.labels, map(short_score, row.scores.tolist()), strict=True))
        self._line(line | {"error": None} | extra)

    def _line(self, document: dict) -> None:
        self.put_by.write(to_json(document) + "\n")


class CsvWriter(TextWriter):
    """A row per tag: path, start, end, label, score; of an event also mean_score and tagger.

    A clip without a tag is a row with the label "unknown" and no score; a window without one has no row. With
    all_scores a row per clip (or window) and a column per label instead. Clips that failed have no row.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection, beside: Path | None = None):
        super().__init__(file, tagger, selection, beside)
        csv.writer(file, lineterminator="\n").writerow(table_columns(tagger, selection))
        self._writer = csv.writer(self.put_by, lineterminator="\n")

    def put(self, tagged: TaggedClip) -> None:
        """Put the rows of a part by."""
        for path, start, end, *cells in table_rows(self.rows, tagged):
            short = [short_score(cell) if isinstance(cell, float) else cell for cell in cells]
            self._writer.writerow([path, seconds_text(start), seconds_text(end), *short])


class AudacityWriter(TextWriter):
    """A label track of one recording: start, end, label, separated by tabs; no header."""

    def put(self, tagged: TaggedClip) -> None:
        """Put the rows of a part by."""
        for row in self.rows.of(tagged):
            for tag in row.tags:
                cells = seconds_text(tag.start), seconds_text(tag.end), _cell(tag.label)
                self.put_by.write("\t".join(cells) + "\n")


class RavenWriter(TextWriter):
    """A selection table of one recording: RAVEN_COLUMNS, separated by tabs; the tagger's whole band.

    Of events also RAVEN_EVENT_COLUMNS.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection, beside: Path | None = None):
        super().__init__(file, tagger, selection, beside)
        self._n_written = self._n_put = 0  # rows of whole recordings; those that are put by, too
        columns = RAVEN_COLUMNS + (RAVEN_EVENT_COLUMNS if selection.events else ())
        self.file.write("\t".join(columns) + "\n")

    def put(self, tagged: TaggedClip) -> None:
        """Put the rows of a part by."""
        highest = seconds_text(self.tagger.sample_rate / 2)
        if tagged.predictions is None:
            self._n_put = self._n_written
        for row in self.rows.of(tagged):
            for tag in row.tags:
                self._n_put += 1
                where = [
                    str(self._n_put),
                    "Spectrogram 1",
                    "1",
                    seconds_text(tag.start),
                    seconds_text(tag.end),
                ]
                cells = [*where, "0", highest, _cell(tag.label), str(short_score(tag.score))]
                if isinstance(tag, Event):
                    cells += [str(short_score(tag.mean_score)), _cell(self.tagger.identity)]
                self.put_by.write("\t".join(cells) + "\n")
        if not tagged.more:
            self._n_written = self._n_put


def write_tags(
    tagged_clips: Iterable[TaggedClip], tagger: Tagger, format: str, out: Path | None, selection: Selection
) -> Iterator[TaggedClip]:
    """Write clips, whole or in parts, into one file (or stdout, if `out` is None) as they come, and pass them on.

    The file takes its place when the last clip has been passed on.
    """
    writer_of = lookup(FORMATS, format, "format")
    beside = out.parent if out else None
    with open_output(out, format) as file, closing(writer_of(file, tagger, selection, beside)) as writer:
        for tagged in tagged_clips:
            writer.write(tagged)
            if not tagged.more:
                file.flush()
            yield tagged


def write_tags_each(
    tagged_clips: Iterable[TaggedClip],
    tagger: Tagger,
    format: str,
    folder: Path,
    selection: Selection,
    root: Path,
) -> Iterator[TaggedClip]:
    """Write one file per recording as they come, whole or in parts, and pass them on.

    Files are named as the recordings, with an ending of SUFFIXES, and lie in `folder` as those in `root`.
    """
    parts = iter(tagged_clips)
    for tagged in parts:
        if tagged.predictions is not None:
            out = folder / written_name(tagged.clip.path, format, root)
            with closing(write_tags(_to_the_last(tagged, parts), tagger, format, out, selection)) as written:
                for tagged in written:
                    if tagged.predictions is None:
                        break  # which leaves no file
                    if tagged.more:
                        yield tagged
        yield tagged


def _to_the_last(part: TaggedClip, parts: Iterator[TaggedClip]) -> Iterator[TaggedClip]:
    """A first part of a clip, and the others."""
    yield part
    while part.more:
        part = next(parts)
        yield part


def written_name(recording: Path, format: str, root: Path) -> str:
    """The file that is written of one recording, as seen from the folder of all.

    >>> written_name(Path("/field/north/dawn.wav"), "audacity", Path("/field"))
    'north/dawn.wav.txt'
    """
    return os.path.relpath(os.path.abspath(recording), root) + SUFFIXES[format]


@contextmanager
def open_output(out: Path | None, format: str) -> Iterator[TextIO | BinaryIO]:
    """A file that takes its place when the block ends well, or stdout for text; any name passes through."""
    errors = ENCODING_ERRORS.get(format, "surrogateescape")
    if out is None:
        sys.stdout.reconfigure(encoding="utf-8", errors=errors)
        yield sys.stdout
        return
    if format in BINARY:
        with write_atomically(out) as temporary, open(temporary, "wb") as file:
            yield file
        return
    with (
        write_atomically(out) as temporary,
        open(temporary, "w", encoding="utf-8", errors=errors, newline="") as file,
    ):
        yield file


def row_document(path: str, row: Row) -> dict:
    """What JSON lines say of a row in any case."""
    tags = [
        {"label": tag.label, "score": short_score(tag.score)}
        | ({"mean_score": short_score(tag.mean_score)} if isinstance(tag, Event) else {})
        for tag in row.tags
    ]
    return {"path": path, "start": microseconds(row.start), "end": microseconds(row.end), "tags": tags}


def unnamed_file(beside: Path | None, **kind: str) -> IO:
    """A file that is in memory as long as it is short, and goes when it is closed, or by a kill.

    Args:
        beside: the folder it lies in; None = the system's for such. kind: mode and encoding, as for `open`.
    """
    return tempfile.SpooledTemporaryFile(SPOOLED_BYTES, dir=beside, **kind)


def table_columns(tagger: Tagger, selection: Selection) -> list[str]:
    """The columns of a table of tags."""
    columns = tagger.labels if selection.all_scores else ("label", "score")
    return ["path", "start", "end", *columns, *(EVENT_COLUMNS if selection.events else ())]


def table_rows(rows: Rows, tagged: TaggedClip) -> Iterator[tuple[str | float | None, ...]]:
    """The rows of a part in a table of tags, times in seconds; no score (None) where a clip is unknown."""
    path = str(tagged.clip.path)
    for row in rows.of(tagged):
        place = path, row.start, row.end
        if rows.selection.all_scores:
            yield (*place, *row.scores.tolist())
            continue
        for tag in row.tags:
            beside = (tag.mean_score, rows.tagger.identity) if isinstance(tag, Event) else ()
            yield (*place, tag.label, tag.score, *beside)
        if not row.tags and tagged.predictions.level == "clip":
            yield (*place, UNKNOWN, None)


def write_origin(path: Path, tagger: Tagger, rule: EventRule) -> None:
    """Write beside label tracks, which have no room for it, which tagger and rule they are of."""
    write_json(path, {"tagger": tagger.identity, "events": asdict(rule)})


def _cell(text: str) -> str:
    """A label that cannot break a row: tabs and line breaks become spaces."""
    return " ".join(text.split())


def microseconds(seconds: float) -> float:
    """Seconds to the microsecond, which is what files hold."""
    return round(float(seconds), 6)


def short_score(score: float) -> float:
    """A float32 score without the digits that float32 does not have."""
    return float(f"{score:.7g}")
