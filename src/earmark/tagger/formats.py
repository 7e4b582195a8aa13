"""Tags in files: CSV, JSON lines, Audacity label tracks, Raven selection tables; Parquet in a module of its own."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import numpy as np

from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.predictions import seconds_text
from earmark.run import to_json, write_atomically, write_json
from earmark.tagger.events import Event, EventRule
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tag, Tagger

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
ROWS_AT_ONCE = 1024  # whose tags are in memory together: the rows of a day are many


@dataclass(frozen=True)
class Selection:
    """Which tags are written: see `Tagger.tags` for top and threshold. all_scores: of every label, too.

    events: how windows become events, which are written in their place; None = they do not.
    """

    top: int | None = None
    threshold: float | None = None
    all_scores: bool = False
    events: EventRule | None = None

    def __post_init__(self):
        if self.events is not None and (self.top is not None or self.all_scores):
            raise ConfigError(
                "--events: the best labels and all scores are of windows, an event has one label. "
                "Leave out --top and --all-scores, or take --timeline."
            )


class Row(NamedTuple):
    """What is written of a clip, a window or an event.

    start, end: seconds. tags: what is asserted of it. scores: (classes,) of every label; None of an event.
    """

    start: float
    end: float
    tags: Sequence[Tag | Event]
    scores: np.ndarray | None


class TextWriter:
    """What writers of text have in common; `write` appends the rows of one clip, `close` whatever was held back."""

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        self.file, self.tagger, self.selection = file, tagger, selection

    def close(self) -> None:
        """Nothing is held back."""


class JsonlWriter(TextWriter):
    """One object a row: {"path", "start", "end", "tags": [{"label", "score"}], "error"}, times in seconds.

    Also "unknown": true where nothing reaches its threshold, "scores" (of every label) with all_scores, and "warnings"
    where there are some. A clip that failed is one row with the reason in "error". An event is a row whose one tag has
    "mean_score", too, and "tagger" beside it; a clip without events one that is unknown.
    """

    def write(self, tagged: TaggedClip) -> None:
        """Append the rows of one clip."""
        path = str(tagged.clip.path)
        extra = {"tagger": self.tagger.identity} if self.selection.events else {}
        extra |= {"warnings": tagged.warnings} if tagged.warnings else {}
        if tagged.predictions is None:
            region = {"start": tagged.clip.start, "end": tagged.clip.end}
            self._line({"path": path, **region, "tags": [], "error": tagged.error, **extra})
            return
        for row in _rows(self.tagger, self.selection, tagged):
            self._row(path, row, extra)

    def _row(self, path: str, row: Row, extra: dict) -> None:
        line = row_document(path, row)
        if not row.tags:
            line[UNKNOWN] = True
        if self.selection.all_scores:
            line["scores"] = dict(zip(self.tagger.labels, map(short_score, row.scores.tolist()), strict=True))
        self._line(line | {"error": None} | extra)

    def _line(self, document: dict) -> None:
        self.file.write(to_json(document) + "\n")


class CsvWriter(TextWriter):
    """A row per tag: path, start, end, label, score; of an event also mean_score and tagger.

    A clip without a tag is a row with the label "unknown" and no score; a window without one has no row. With
    all_scores a row per clip (or window) and a column per label instead. Clips that failed have no row.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        super().__init__(file, tagger, selection)
        self.writer = csv.writer(file, lineterminator="\n")
        self.writer.writerow(table_columns(tagger, selection))

    def write(self, tagged: TaggedClip) -> None:
        """Append the rows of one clip."""
        for path, start, end, *cells in table_rows(self.tagger, self.selection, tagged):
            short = [short_score(cell) if isinstance(cell, float) else cell for cell in cells]
            self.writer.writerow([path, seconds_text(start), seconds_text(end), *short])


class AudacityWriter(TextWriter):
    """A label track of one recording: start, end, label, separated by tabs; no header."""

    def write(self, tagged: TaggedClip) -> None:
        """Append the tags of one clip."""
        for row in _rows(self.tagger, self.selection, tagged):
            for tag in row.tags:
                cells = seconds_text(tag.start), seconds_text(tag.end), _cell(tag.label)
                self.file.write("\t".join(cells) + "\n")


class RavenWriter(TextWriter):
    """A selection table of one recording: RAVEN_COLUMNS, separated by tabs; the tagger's whole band.

    Of events also RAVEN_EVENT_COLUMNS.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        super().__init__(file, tagger, selection)
        self.n_written = 0
        columns = RAVEN_COLUMNS + (RAVEN_EVENT_COLUMNS if selection.events else ())
        self.file.write("\t".join(columns) + "\n")

    def write(self, tagged: TaggedClip) -> None:
        """Append the tags of one clip."""
        highest = seconds_text(self.tagger.sample_rate / 2)
        for row in _rows(self.tagger, self.selection, tagged):
            for tag in row.tags:
                self.n_written += 1
                where = [
                    str(self.n_written),
                    "Spectrogram 1",
                    "1",
                    seconds_text(tag.start),
                    seconds_text(tag.end),
                ]
                cells = [*where, "0", highest, _cell(tag.label), str(short_score(tag.score))]
                if isinstance(tag, Event):
                    cells += [str(short_score(tag.mean_score)), _cell(self.tagger.identity)]
                self.file.write("\t".join(cells) + "\n")


def write_tags(
    tagged_clips: Iterable[TaggedClip], tagger: Tagger, format: str, out: Path | None, selection: Selection
) -> Iterator[TaggedClip]:
    """Write clips into one file (or stdout, if `out` is None) as they come, and pass them on.

    The file takes its place when the last clip has been passed on.
    """
    writer_of = lookup(FORMATS, format, "format")
    with open_output(out, format) as file, closing(writer_of(file, tagger, selection)) as writer:
        for tagged in tagged_clips:
            writer.write(tagged)
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
    """Write one file per recording as they come, and pass them on.

    Files are named as the recordings, with an ending of SUFFIXES, and lie in `folder` as those in `root`.
    """
    for tagged in tagged_clips:
        if tagged.predictions is not None:
            name = written_name(tagged.clip.path, format, root)
            list(write_tags([tagged], tagger, format, folder / name, selection))
        yield tagged


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


def table_columns(tagger: Tagger, selection: Selection) -> list[str]:
    """The columns of a table of tags."""
    columns = tagger.labels if selection.all_scores else ("label", "score")
    return ["path", "start", "end", *columns, *(EVENT_COLUMNS if selection.events else ())]


def table_rows(
    tagger: Tagger, selection: Selection, tagged: TaggedClip
) -> Iterator[tuple[str | float | None, ...]]:
    """The rows of a clip in a table of tags, times in seconds; no score (None) where a clip is unknown."""
    path = str(tagged.clip.path)
    for row in _rows(tagger, selection, tagged):
        place = path, row.start, row.end
        if selection.all_scores:
            yield (*place, *row.scores.tolist())
            continue
        for tag in row.tags:
            beside = (tag.mean_score, tagger.identity) if isinstance(tag, Event) else ()
            yield (*place, tag.label, tag.score, *beside)
        if not row.tags and tagged.predictions.level == "clip":
            yield (*place, UNKNOWN, None)


def write_origin(path: Path, tagger: Tagger, rule: EventRule) -> None:
    """Write beside label tracks, which have no room for it, which tagger and rule they are of."""
    write_json(path, {"tagger": tagger.identity, "events": asdict(rule)})


def _rows(tagger: Tagger, selection: Selection, tagged: TaggedClip) -> Iterator[Row]:
    """What is to be written of a clip; nothing of one that failed, all of it where there are no events in it."""
    scores = tagged.predictions
    if scores is None:
        return
    if selection.events is not None:
        events = tagger.events(scores, selection.events, threshold=selection.threshold)
        yield from (Row(event.start, event.end, (event,), None) for event in events)
        if not events:
            yield Row(float(scores.starts.min()), float(scores.ends.max()), (), None)
        return
    for first in range(0, len(scores), ROWS_AT_ONCE):
        some = scores.rows(slice(first, first + ROWS_AT_ONCE))
        tags = tagger.tags(some, top=selection.top, threshold=selection.threshold)
        yield from map(Row, some.starts.tolist(), some.ends.tolist(), tags, some.scores)


def _cell(text: str) -> str:
    """A label that cannot break a row: tabs and line breaks become spaces."""
    return " ".join(text.split())


def microseconds(seconds: float) -> float:
    """Seconds to the microsecond, which is what files hold."""
    return round(float(seconds), 6)


def short_score(score: float) -> float:
    """A float32 score without the digits that float32 does not have."""
    return float(f"{score:.7g}")
