"""Tags as text: CSV, JSON lines, Audacity label tracks, Raven selection tables."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from earmark.lookup import lookup
from earmark.predictions import seconds_text
from earmark.run import to_json, write_atomically
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tag, Tagger

FORMATS = {
    "csv": "earmark.tagger.formats:CsvWriter",
    "jsonl": "earmark.tagger.formats:JsonlWriter",
    "audacity": "earmark.tagger.formats:AudacityWriter",
    "raven": "earmark.tagger.formats:RavenWriter",
}
UNKNOWN = "unknown"  # in the place of a label where a clip has no tag; a label of that name has a score beside it
# Formats whose file holds one recording, and how its name ends.
SUFFIXES = {"audacity": ".txt", "raven": ".Table.1.selections.txt"}
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


@dataclass(frozen=True)
class Selection:
    """Which tags are written: see `Tagger.tags` for top and threshold. all_scores: of every label, too."""

    top: int | None = None
    threshold: float | None = None
    all_scores: bool = False


class JsonlWriter:
    """One object a row: {"path", "start", "end", "tags": [{"label", "score"}], "error"}, times in seconds.

    Also "unknown": true where nothing reaches its threshold, "scores" (of every label) with all_scores, and "warnings"
    where there are some. A clip that failed is one row with the reason in "error".
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        self.file, self.tagger, self.selection = file, tagger, selection

    def write(self, tagged: TaggedClip) -> None:
        """Append the rows of one clip."""
        path = str(tagged.clip.path)
        extra = {"warnings": tagged.warnings} if tagged.warnings else {}
        if tagged.predictions is None:
            region = {"start": tagged.clip.start, "end": tagged.clip.end}
            self._line({"path": path, **region, "tags": [], "error": tagged.error, **extra})
            return
        scores = tagged.predictions
        for row, tags in enumerate(_tags(self.tagger, self.selection, tagged)):
            line = {
                "path": path,
                "start": _microseconds(scores.starts[row]),
                "end": _microseconds(scores.ends[row]),
            }
            line["tags"] = [{"label": tag.label, "score": _short(tag.score)} for tag in tags]
            if not tags:
                line[UNKNOWN] = True
            if self.selection.all_scores:
                line["scores"] = dict(
                    zip(scores.labels, map(_short, scores.scores[row].tolist()), strict=True)
                )
            self._line(line | {"error": None} | extra)

    def _line(self, document: dict) -> None:
        self.file.write(to_json(document) + "\n")


class CsvWriter:
    """A row per tag: path, start, end, label, score.

    A clip without a tag is a row with the label "unknown" and no score; a window without one has no row. With
    all_scores a row per clip (or window) and a column per label instead. Clips that failed have no row.
    """

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        self.tagger, self.selection = tagger, selection
        self.writer = csv.writer(file, lineterminator="\n")
        columns = tagger.labels if selection.all_scores else ("label", "score")
        self.writer.writerow(["path", "start", "end", *columns])

    def write(self, tagged: TaggedClip) -> None:
        """Append the rows of one clip."""
        if tagged.predictions is None:
            return
        scores, path = tagged.predictions, str(tagged.clip.path)
        if self.selection.all_scores:
            for start, end, row in zip(scores.starts, scores.ends, scores.scores.tolist(), strict=True):
                self.writer.writerow([path, seconds_text(start), seconds_text(end), *map(_short, row)])
            return
        for row, tags in enumerate(_tags(self.tagger, self.selection, tagged)):
            times = seconds_text(scores.starts[row]), seconds_text(scores.ends[row])
            named = [(tag.label, _short(tag.score)) for tag in tags]
            if not named and scores.level == "clip":
                named = [(UNKNOWN, "")]
            for label, score in named:
                self.writer.writerow([path, *times, label, score])


class AudacityWriter:
    """A label track of one recording: start, end, label, separated by tabs; no header."""

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        self.file, self.tagger, self.selection = file, tagger, selection

    def write(self, tagged: TaggedClip) -> None:
        """Append the tags of one clip."""
        for tags in _tags(self.tagger, self.selection, tagged):
            for tag in tags:
                cells = seconds_text(tag.start), seconds_text(tag.end), _cell(tag.label)
                self.file.write("\t".join(cells) + "\n")


class RavenWriter:
    """A selection table of one recording: RAVEN_COLUMNS, separated by tabs; the tagger's whole band."""

    def __init__(self, file: TextIO, tagger: Tagger, selection: Selection):
        self.file, self.tagger, self.selection = file, tagger, selection
        self.n_written = 0
        self.file.write("\t".join(RAVEN_COLUMNS) + "\n")

    def write(self, tagged: TaggedClip) -> None:
        """Append the tags of one clip."""
        highest = seconds_text(self.tagger.sample_rate / 2)
        for tags in _tags(self.tagger, self.selection, tagged):
            for tag in tags:
                self.n_written += 1
                where = [
                    str(self.n_written),
                    "Spectrogram 1",
                    "1",
                    seconds_text(tag.start),
                    seconds_text(tag.end),
                ]
                cells = [*where, "0", highest, _cell(tag.label), str(_short(tag.score))]
                self.file.write("\t".join(cells) + "\n")


def write_tags(
    tagged_clips: Iterable[TaggedClip], tagger: Tagger, format: str, out: Path | None, selection: Selection
) -> Iterator[TaggedClip]:
    """Write clips into one file (or stdout, if `out` is None) as they come, and pass them on.

    The file takes its place when the last clip has been passed on.
    """
    writer_of = lookup(FORMATS, format, "format")
    with open_text(out, format) as file:
        writer = writer_of(file, tagger, selection)
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
            name = os.path.relpath(os.path.abspath(tagged.clip.path), root) + SUFFIXES[format]
            list(write_tags([tagged], tagger, format, folder / name, selection))
        yield tagged


@contextmanager
def open_text(out: Path | None, format: str) -> Iterator[TextIO]:
    """A file that takes its place when the block ends well, or stdout; any name passes through."""
    errors = ENCODING_ERRORS.get(format, "surrogateescape")
    if out is None:
        sys.stdout.reconfigure(encoding="utf-8", errors=errors)
        yield sys.stdout
        return
    with (
        write_atomically(out) as temporary,
        open(temporary, "w", encoding="utf-8", errors=errors, newline="") as file,
    ):
        yield file


def _tags(tagger: Tagger, selection: Selection, tagged: TaggedClip) -> list[list[Tag]]:
    """The tags of each row of a clip; none of a clip that failed."""
    if tagged.predictions is None:
        return []
    return tagger.tags(tagged.predictions, top=selection.top, threshold=selection.threshold)


def _cell(text: str) -> str:
    """A label that cannot break a row: tabs and line breaks become spaces."""
    return " ".join(text.split())


def _microseconds(seconds: float) -> float:
    return round(float(seconds), 6)


def _short(score: float) -> float:
    """A float32 score without the digits that float32 does not have."""
    return float(f"{score:.7g}")
