"""Stretches of a file that are sounds of their own, and how libsndfile reads one as if it were a file."""

from __future__ import annotations

import bisect
import io
import itertools
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BUFFER_BYTES = 1 << 16
STRETCH_BYTES = 1 << 25  # of a file that is searched through, in memory at once


@dataclass(frozen=True)
class Part:
    """One sound within a file, to be read after the one before it.

    ranges: first byte and the one after the last of each stretch of the file, in order. header: made bytes that
    go before them, where the file's own header would mislead the decoder. claimed: how many times the sound that
    is there the header says there is. cut: whether the file ends within a piece of sound, in a format whose
    header does not say how much there is. least: samples per channel that the decoder must find.
    """

    ranges: tuple[tuple[int, int], ...]
    header: bytes = b""
    claimed: float = 1.0
    cut: bool = False
    least: int = 0

    def is_file(self, n_bytes: int) -> bool:
        """Whether it is a file of `n_bytes` just as it lies there."""
        return not self.header and self.ranges == ((0, n_bytes),)


class PartFile(io.RawIOBase):
    """A part as a file that can be read and sought.

    Args:
        path: file that the part lies in; opened here, closed by `close`.
        part: what of it to show.
    """

    def __init__(self, path: Path, part: Part):
        super().__init__()
        self._header = part.header
        self._ranges = part.ranges
        lengths = (stop - first for first, stop in part.ranges)
        self._firsts = list(itertools.accumulate(lengths, initial=len(part.header)))  # of each range; the end
        self._position = 0
        self._file = io.FileIO(path)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._firsts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:
        """Fill the buffer as far as the stretch at the position goes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._position < len(self._header):
            piece = self._header[self._position : self._position + len(view)]
            view[: len(piece)] = piece
            self._position += len(piece)
            return len(piece)
        index = bisect.bisect_right(self._firsts, self._position) - 1
        if index >= len(self._ranges):
            return 0
        first, stop = self._ranges[index]
        at = first + self._position - self._firsts[index]
        self._file.seek(at)
        n_read = self._file.readinto(view[: stop - at])
        self._position += n_read
        return n_read

    def close(self) -> None:
        """Close the file underneath too."""
        self._file.close()
        super().close()


def open_part(path: Path, part: Part) -> io.BufferedReader:
    """A part as a buffered binary file."""
    return io.BufferedReader(PartFile(path, part), BUFFER_BYTES)


def let_go(data: mmap.mmap) -> None:
    """Give back the memory of a file's bytes that were looked at: a day of sound would stay in it whole."""
    if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)


def find_all(data: mmap.mmap, pattern: re.Pattern[bytes], first: int, stop: int, n_longest: int) -> Iterator[int]:
    """Where a pattern is found between two bytes of a file, of which little is held in memory.

    Args:
        n_longest: bytes that a match may have.

    >>> list(find_all(b"..ab..ab", re.compile(b"ab"), 0, 8, 2))
    [2, 6]
    """
    for begin in range(first, stop, STRETCH_BYTES):
        end = min(begin + STRETCH_BYTES + n_longest - 1, stop)
        found = [match.start() for match in pattern.finditer(data, begin, end)]
        yield from (at for at in found if at < begin + STRETCH_BYTES)
        let_go(data)


def joined(stretches: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Stretches of bytes in order, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for first, stop in stretches:
        if merged and merged[-1][1] == first:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((first, stop))
    return tuple(merged)
