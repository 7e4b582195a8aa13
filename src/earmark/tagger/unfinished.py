"""A long recording in work: its scores so far beside the ledger, so that a kill loses no more than a minute of it."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from earmark.predictions import Predictions
from earmark.tagger.ledger import Ledger
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import WINDOWS_PER_PART, Clip, Tagger

UNFINISHED_SUFFIX = ".part"  # in the place of .jsonl of the ledger
CHECKSUM_BYTES = 4
SECONDS_AT_ONCE = 60.0  # of sound whose scores are written together; of a shorter recording none are


class Unfinished:
    """Scores of the first windows of one recording, to go on from after a kill.

    Its file is a line that says of what they are, then records of the rows of WINDOWS_PER_PART windows, each before a
    checksum, appended a minute at a time. What is torn is passed over, and what follows it. It goes when the recording
    is done.

    Args:
        ledger: beside which it lies, which keeps other runs away, and has been asked what is pending.
        tagger: that the scores are of.
    """

    def __init__(self, ledger: Ledger, tagger: Tagger):
        self.path = ledger.path.with_suffix(UNFINISHED_SUFFIX)
        self._ledger, self._tagger = ledger, tagger
        self._n_rows = WINDOWS_PER_PART * tagger.rows_per_window  # of a part
        shape = (self._n_rows,)
        fields = [("start", "<f8", shape), ("end", "<f8", shape), ("score", "<f4", (*shape, len(tagger.labels)))]
        self._kind = np.dtype(fields)
        self._head, self._n_parts = b"", 0  # of the file, as far as it is sound
        if self.path.is_file():
            self._read()

    def is_of(self, recording: Path) -> bool:
        """Whether these are scores of a recording as it is now."""
        return self._n_parts > 0 and self._head == self._head_of(recording)

    @property
    def seconds(self) -> float:
        """Up to where the recording is heard."""
        with open(self.path, "rb") as file:
            file.seek(len(self._head) + (self._n_parts - 1) * (self._kind.itemsize + CHECKSUM_BYTES))
            return float(np.frombuffer(file.read(self._kind.itemsize), self._kind)[0]["end"][-1])

    def known(self, clip: Clip) -> Iterator[Predictions]:
        """The scores of a clip, part by part; none of another."""
        if not self.is_of(clip.path):
            return
        ids = np.full(self._n_rows, clip.clip_id, dtype=object)
        with open(self.path, "rb") as file:
            for row in islice(self._records(file), self._n_parts):
                yield Predictions(ids, row["start"], row["end"], row["score"], self._tagger.labels, "window")

    def keep(self, parts: Iterable[TaggedClip]) -> Iterator[TaggedClip]:
        """Pass parts on, and write what is not there yet of a recording that goes on."""
        place, held = 0, []
        for part in parts:
            if part.more:
                if place >= (self._n_parts if self.is_of(part.clip.path) else 0):
                    held.append(part.predictions)
                    if held[-1].ends[-1] - held[0].starts[0] >= SECONDS_AT_ONCE:
                        self._write(part.clip.path, held)
                        held = []
                place += 1
            yield part
            if not part.more:  # and taken, so that it stands in the ledger
                if self.is_of(part.clip.path):
                    self.path.unlink()
                    self._head, self._n_parts = b"", 0
                place, held = 0, []

    def _head_of(self, recording: Path) -> bytes:
        """The first line of the file of a recording."""
        stamp = self._ledger.stamp(recording)
        if stamp is None:
            return b""
        known = {"path": os.path.abspath(recording), **stamp._asdict(), "tagger": self._tagger.identity}
        return json.dumps(known | {"rows": self._n_rows}).encode("ascii") + b"\n"

    def _read(self) -> None:
        """Find out of what the file is, and how many records are sound; the others go."""
        with open(self.path, "r+b") as file:
            self._head = file.readline()
            self._n_parts = sum(1 for _ in self._records(file))
            file.truncate(len(self._head) + self._n_parts * (self._kind.itemsize + CHECKSUM_BYTES))
        if not self._n_parts:
            self.path.unlink()

    def _records(self, file: IO[bytes]) -> Iterator[np.void]:
        """What is sound in an open file, one record after the other."""
        file.seek(len(self._head))
        while _checksum(content := file.read(self._kind.itemsize)) == file.read(CHECKSUM_BYTES) and content:
            yield np.frombuffer(content, self._kind)[0]

    def _write(self, recording: Path, parts: list[Predictions]) -> None:
        """Append records; of a recording that the file is not of, in the place of all that is there."""
        content, anew = b"", not self.is_of(recording)
        if anew:
            self._head, self._n_parts = self._head_of(recording), 0
            content = self._head
        for part in parts:
            record = np.zeros((), self._kind)
            record["start"], record["end"], record["score"] = part.starts, part.ends, part.scores
            content += record.tobytes() + _checksum(record.tobytes())
        with open(self.path, "wb" if anew else "ab") as file:
            file.write(content)
        self._n_parts += len(parts)


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES)
