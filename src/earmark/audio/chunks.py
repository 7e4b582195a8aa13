"""WAV, RF64, W64, AIFF, AU and CAF: where the samples lie, and whether the header tells the truth about them.

libsndfile takes a shorter file for a shorter sound without a word, and finds nothing where a program that could
not go back (it wrote to a pipe, it crashed) left a size of 0.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.parts import Part
from earmark.errors import AudioError

_GUID_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the name of every chunk in W64
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")  # what players add behind a sound
_MADE_UP = ((0x7F00_0000, 0x8000_0100), (0xFFFF_FF00, 0xFFFF_FFFF))  # sizes of sound that goes to a pipe
_WHOLE = 0xFFFF_FFFF  # "all that follows"
_IGNORED_BYTES = 2048  # behind the sound, that need not be explained


@dataclass(frozen=True)
class _Container:
    """How a family of files is cut into chunks.

    first: byte where chunks begin. n_name: bytes of a chunk's name. size: struct format of its size, which
    `counts_header` if it includes name and size. multiple: of how many bytes the room for a chunk is.
    sound: name of the chunk that holds the samples, after `skipped` bytes.
    """

    first: int
    n_name: int
    size: str
    counts_header: bool
    multiple: int
    sound: bytes
    skipped: int = 0


_RIFF = _Container(12, 4, "<I", False, 2, b"data")
_CONTAINERS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _Container(12, 4, ">I", False, 2, b"data"),
    b"FORM": _Container(12, 4, ">I", False, 2, b"SSND", 8),
    b"riff": _Container(40, 16, "<Q", True, 8, b"data" + _GUID_TAIL),
    b"caff": _Container(8, 4, ">q", False, 1, b"data", 4),
}
MAGICS = (*_CONTAINERS, b".snd")


@dataclass(frozen=True)
class _Chunk:
    """name; first byte of it and of its body; size of the body in bytes, as it says, -1 if it does not."""

    name: bytes
    first: int
    body: int
    size: int


def is_mpeg(data: mmap.mmap) -> bool:
    """Whether a WAV file says that it holds MPEG audio frames."""
    at = data.find(b"fmt ", 12, 4096)
    return data[:4] == b"RIFF" and at >= 0 and data[at + 8 : at + 10] in (b"\x50\0", b"\x55\0")


def chunk_parts(path: Path, data: mmap.mmap) -> tuple[Part, ...]:
    """The sounds in a file of one of these formats: one, or several where files were joined.

    Args:
        path: for the error text.
        data: all bytes of the file.

    Raises:
        AudioError: there is sound behind the end that the header gives.

    Source: Multimedia Programming Interface 1.0 (RIFF); EBU Tech 3306 (RF64); Sony Wave64; AIFF 1.3; CAF 1.0;
    Sun's au(5). tests/audio/test_chunks.py makes each damage.
    """
    if data[:4] == b".snd":
        return (_au_part(path, data),)
    parts = []
    start = 0
    while start < len(data):
        part, start = _first_file(path, data, start)
        parts.append(part)
    return tuple(parts)


def _first_file(path: Path, data: mmap.mmap, start: int) -> tuple[Part, int]:
    """The sound of the file that begins at a byte, and where the next one begins (the end if none does)."""
    container = _CONTAINERS[data[start : start + 4]]
    before: list[_Chunk] = []
    position = start + container.first
    while (chunk := _chunk_at(data, container, position)) is not None:
        if chunk.name == container.sound:
            return _sound_part(path, data, start, before, chunk)
        before.append(chunk)
        position = _behind(container, chunk)
    return Part(((start, len(data)),)), len(data)  # no sound: the decoder will say what is wrong


def _sound_part(path: Path, data: mmap.mmap, start: int, before: list[_Chunk], sound: _Chunk) -> tuple[Part, int]:
    """As `_first_file`, once the chunk with the samples is found."""
    container = _CONTAINERS[data[start : start + 4]]
    available = len(data) - sound.body
    size = _claimed_bytes(data, before, sound, available)
    after, stop, unexplained = [], len(data), 0
    if 0 <= size <= available:
        after, stop, unexplained = _follow(data, container, _after_sound(data, container, sound, size))
    if 0 <= size <= container.skipped < available and not after and stop == len(data):
        size = -1  # it is the sound that follows, not another chunk
    elif unexplained:
        raise _excess(path, size, unexplained)
    format_chunks = [chunk for chunk in after if chunk.name == b"fmt "]
    sounds = [sound, *(chunk for chunk in after if chunk.name == container.sound and chunk.size > 0)]
    in_order = not format_chunks or any(chunk.name == b"fmt " for chunk in before)
    known = data[start : start + 4] != b"BW64"  # to libsndfile
    if 0 <= size <= available and len(sounds) == 1 and in_order and known:
        return Part(((start, stop),)), stop
    first = sound.body + container.skipped
    ends = [min(sound.body + size, len(data)) if size >= 0 else len(data)]
    ends += [chunk.body + chunk.size for chunk in sounds[1:]]
    begins = [chunk.body + container.skipped for chunk in sounds]
    ranges = [(begin, max(begin, end)) for begin, end in zip(begins, ends, strict=True)]
    header = _rebuilt(data, start, [*before, *format_chunks], sound, sum(b - a for a, b in ranges))
    missing = size - available
    return (
        Part(
            tuple(ranges),
            header,
            claimed=1 + missing / (len(data) - first) if missing > 0 and first < len(data) else 1.0,
            cut=missing > 0 and first >= len(data),
        ),
        stop,
    )


def _chunk_at(data: mmap.mmap, container: _Container, position: int) -> _Chunk | None:
    """The chunk that begins at a byte; None where no name or size can be."""
    body = position + container.n_name + struct.calcsize(container.size)
    name = data[position : position + container.n_name]
    if body > len(data) or not (name[:4].isascii() and name[:4].decode("ascii").isprintable()):
        return None
    (size,) = struct.unpack_from(container.size, data, position + container.n_name)
    if container.counts_header:
        size = max(0, size - (body - position))
    if size < 0 and name != container.sound:
        return None
    return _Chunk(name, position, body, size)


def _behind(container: _Container, chunk: _Chunk) -> int:
    """First byte behind the room of a chunk."""
    return chunk.body + chunk.size + -chunk.size % container.multiple


def _after_sound(data: mmap.mmap, container: _Container, sound: _Chunk, size: int) -> int:
    """First byte behind the room of the sound; some programs leave out the byte that makes it even."""
    stop = sound.body + size
    padded = stop + -size % container.multiple
    return stop if _chunk_at(data, container, padded) is None and _chunk_at(data, container, stop) else padded


def _follow(data: mmap.mmap, container: _Container, position: int) -> tuple[list[_Chunk], int, int]:
    """The chunks from a byte on, where the next file begins (the end if none does), and how many bytes are
    neither chunks nor tags nor zeros."""
    chunks = []
    while (chunk := _chunk_at(data, container, position)) is not None:
        if data[position : position + 4] in _CONTAINERS:
            return chunks, position, 0
        if chunk.size < 0 or _behind(container, chunk) > len(data) + 1:
            break
        chunks.append(chunk)
        position = _behind(container, chunk)
    return chunks, len(data), _unexplained(data, position)


def _unexplained(data: mmap.mmap, position: int) -> int:
    """How many bytes from one on may be sound; 0 if there are few, or they are a tag, or all the same (filler)."""
    n_bytes = len(data) - position
    if n_bytes <= _IGNORED_BYTES or data[position : position + 16].startswith(_TAGS):
        return 0
    steps = range(position, len(data), 1 << 20)
    return n_bytes if any(data[at : at + (1 << 20)].strip(data[-1:]) for at in steps) else 0


def _claimed_bytes(data: mmap.mmap, before: list[_Chunk], sound: _Chunk, available: int) -> int:
    """Bytes of sound that the header says there are; -1 if it does not know."""
    size = sound.size
    wide = next((chunk for chunk in before if chunk.name == b"ds64"), None)
    if wide is not None and size == _WHOLE:
        size = int.from_bytes(data[wide.body + 8 : wide.body + 16], "little")
    made_up = size >= 1 << 62 or any(low <= size <= high for low, high in _MADE_UP)
    return -1 if size < 0 or (size > available and made_up) else size


def _rebuilt(data: mmap.mmap, start: int, chunks: list[_Chunk], sound: _Chunk, n_bytes: int) -> bytes:
    """The bytes before the samples, with these chunks and the size of the sound put right."""
    container = _CONTAINERS[data[start : start + 4]]
    head = data[start : start + container.first]
    if head[:4] in (b"RF64", b"BW64"):
        head = b"RIFF" + head[4:]  # which reads on to the end of the file, however long
    kept = b"".join(data[chunk.first : _behind(container, chunk)] for chunk in chunks if chunk.name != b"ds64")
    n_bytes += container.skipped + (sound.body - sound.first) * container.counts_header
    size = struct.pack(container.size, min(n_bytes, _WHOLE) if container.size[1] == "I" else n_bytes)
    return head + kept + sound.name + size + data[sound.body : sound.body + container.skipped]


def _au_part(path: Path, data: mmap.mmap) -> Part:
    """The sound of a Sun AU file, whose header gives where the samples begin and how many bytes they are."""
    first, size = struct.unpack_from(">II", data, 4) if len(data) >= 12 else (0, 0)
    available = len(data) - first
    if first < 24 or available <= 0 or size == available:
        return Part(((0, len(data)),))
    if 0 < size < available:
        if unexplained := _unexplained(data, first + size):
            raise _excess(path, size, unexplained)
        return Part(((0, len(data)),))
    header = data[:8] + struct.pack(">I", _WHOLE) + data[12:first]
    return Part(((first, len(data)),), header, claimed=size / available if available < size < _WHOLE else 1.0)


def _excess(path: Path, size: int, unexplained: int) -> AudioError:
    """Sound may lie behind the end that the header gives."""
    return AudioError(
        f"{path}: its header gives {size} bytes of sound, but {unexplained} bytes follow that are no part of the "
        "format: perhaps more sound. Mend its header, or cut it there."
    )
