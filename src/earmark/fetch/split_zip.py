"""A zip archive in several files (.z01, .z02, …, .zip), read as one.

Its directory names a disk and a place on it for each member. The parts are put end to end without copying them, and
the directory is rewritten in memory with places in the whole, as the zip of one file has them.

Source: PKWARE, APPNOTE.TXT, sections 4.3 to 4.5 and 8 (splitting); the tests read what Info-ZIP's `zip -s` wrote.
"""

from __future__ import annotations

import io
import struct
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from earmark.errors import FetchError

END = struct.Struct("<4s4H2LH")  # signature, disk, directory's disk, members on it, members, size, place, comment
END_64 = struct.Struct("<4sQ2H2L4Q")  # signature, size of the rest, two versions, then as END, but wide
LOCATOR_64 = struct.Struct("<4sLQL")  # signature, disk and place of END_64, number of disks
MEMBER = struct.Struct("<4s6H3L5H2L")  # an entry of the directory, before its name, extra fields and comment
EXTRA = struct.Struct("<2H")  # number and length of an extra field
LONGEST_COMMENT = 1 << 16
SHORT, LONG = 0xFFFF, 0xFFFFFFFF  # stand for "too large for here, see the wide field"
WIDE = 1  # number of the extra field that holds it
VERSION = 45  # of the format that has wide fields


def open_zip(archive: Path) -> BinaryIO:
    """The bytes of a zip, whole or split, as one file that `zipfile` reads.

    Args:
        archive: the .zip; where it is the last of several parts, the others lie beside it.

    Raises:
        FetchError: parts are missing or do not fit, or it is no zip.
        OSError: a part cannot be read.
    """
    with open(archive, "rb") as file:
        end, locator = _read_end(file, archive)
    n_parts = locator[3] if locator else end[1] + 1
    if n_parts == 1:
        return open(archive, "rb")
    parts = [*(archive.with_suffix(f".z{number:02d}") for number in range(1, n_parts)), archive]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise FetchError(f"{archive}: parts of it are missing ({', '.join(missing)}). Put them beside it.")
    starts = list(accumulate((part.stat().st_size for part in parts), initial=0))
    try:
        with io.BufferedReader(Joined(parts)) as whole:
            if locator:
                whole.seek(starts[locator[1]] + locator[2])
                end = END_64.unpack(whole.read(END_64.size))[3:]
            disk, n_members, size, place = end[2], end[4], end[5], end[6]
            start = starts[disk] + place
            whole.seek(start)
            directory = _with_places_in_whole(whole.read(size), starts)
    except (struct.error, IndexError) as error:
        raise FetchError(f"{archive}: its parts do not fit together. Get them again.") from error
    return io.BufferedReader(Joined(parts, start, directory + _ending(n_members, len(directory), start)))


class Joined(io.RawIOBase):
    """Files read end to end as one; from `stop` on, `tail` takes the place of what they hold."""

    def __init__(self, paths: list[Path], stop: int | None = None, tail: bytes = b""):
        self._pieces: list[tuple[BinaryIO, int, int]] = []  # with where each begins and ends
        self._position = 0
        start = 0
        with ExitStack() as stack:
            for path in paths:
                end = start + path.stat().st_size
                file = stack.enter_context(open(path, "rb"))
                self._pieces.append((file, start, end if stop is None else min(end, stop)))
                start = end
            self._files = stack.pop_all()
        if stop is not None:
            self._pieces.append((io.BytesIO(tail), stop, stop + len(tail)))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the whole."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._pieces[-1][2]}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Read on, at most to the end of the piece at hand."""
        for piece, start, end in self._pieces:
            if start <= self._position < end:
                piece.seek(self._position - start)
                n_bytes = piece.readinto(memoryview(buffer)[: end - self._position])
                self._position += n_bytes
                return n_bytes
        return 0

    def close(self) -> None:
        self._files.close()
        super().close()


def _read_end(file: BinaryIO, archive: Path) -> tuple[tuple, tuple | None]:
    """The fields of END, and of LOCATOR_64 where there is one."""
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(max(0, n_bytes - LONGEST_COMMENT - END.size - LOCATOR_64.size))
    tail = file.read()
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or position + END.size > len(tail):
        raise FetchError(f"{archive}: is no zip archive, or is cut short. Get it again.")
    before = position - LOCATOR_64.size
    wide = before >= 0 and tail.startswith(b"PK\x06\x07", before)
    return END.unpack_from(tail, position), LOCATOR_64.unpack_from(tail, before) if wide else None


def _with_places_in_whole(directory: bytes, starts: list[int]) -> bytes:
    """A split archive's directory, its members' places counted from the start of the whole.

    Args:
        starts: where in the whole each disk begins.
    """
    entries = []
    position = 0
    while position < len(directory):
        fields = list(MEMBER.unpack_from(directory, position))
        *_, packed, size, n_name, n_extra, n_comment, disk, _, _, place = fields[6:]
        texts = position + MEMBER.size
        name = directory[texts : texts + n_name]
        extra = directory[texts + n_name : texts + n_name + n_extra]
        position = texts + n_name + n_extra + n_comment
        comment = directory[position - n_comment : position]
        if position > len(directory):
            raise IndexError("the directory ends within an entry")
        wide, others = _split_extra(extra)
        sizes = b""
        for value in (size, packed):
            if value == LONG:
                sizes, wide = sizes + wide[:8], wide[8:]
        if place == LONG:
            (place,), wide = struct.unpack_from("<Q", wide), wide[8:]
        if disk == SHORT:
            (disk,) = struct.unpack_from("<L", wide)
        sizes += struct.pack("<Q", starts[disk] + place)
        extra = EXTRA.pack(WIDE, len(sizes)) + sizes + others
        fields[11], fields[13], fields[16] = len(extra), 0, LONG
        entries.append(MEMBER.pack(*fields) + name + extra + comment)
    return b"".join(entries)


def _split_extra(extra: bytes) -> tuple[bytes, bytes]:
    """The content of the wide field, and the other extra fields as they stand."""
    wide, others = b"", b""
    position = 0
    while position < len(extra):
        number, n_bytes = EXTRA.unpack_from(extra, position)
        end = position + EXTRA.size + n_bytes
        if number == WIDE:
            wide = extra[position + EXTRA.size : end]
        else:
            others += extra[position:end]
        position = end
    return wide, others


def _ending(n_members: int, size: int, start: int) -> bytes:
    """What closes an archive of one file: the wide end, its locator, and the narrow end that refers to them."""
    wide = END_64.pack(b"PK\x06\x06", END_64.size - 12, VERSION, VERSION, 0, 0, n_members, n_members, size, start)
    locator = LOCATOR_64.pack(b"PK\x06\x07", 0, start + size, 1)
    return wide + locator + END.pack(b"PK\x05\x06", 0, 0, SHORT, SHORT, LONG, LONG, 0)
