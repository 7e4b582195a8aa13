"""FLAC: files that were joined, of which libsndfile reads the first without a word."""

from __future__ import annotations

import itertools
import mmap
import re
from collections.abc import Iterator

from earmark.audio.parts import Part, find_all

_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the mark, and the head of the block that comes first
_START_BYTES = 8
_FRAME = re.compile(rb"\xff[\xf8\xf9][\x10-\xff]", re.DOTALL)  # the mark of a frame; 0 is no block size
_WINDOW = 1 << 16  # bytes in which a frame surely begins
_N_LOOKS = 8
_BLOCKS = (0, 192, *(576 << n for n in range(4)), 0, 0, *(256 << n for n in range(8)))  # samples by code


def flac_parts(data: mmap.mmap, first: int) -> tuple[Part, ...]:
    """The sounds in a FLAC file, in order.

    Args:
        data: all bytes of the file.
        first: where FLAC begins, behind an ID3 tag.

    Source: RFC 9639 §8 (metadata blocks) and §9.1 (the frame header).
    """
    stop = len(data) - 128 * (data[-128:-125] == b"TAG")  # an ID3v1 tag would be taken for a damaged frame
    edges = [0, stop]
    if not _counts_on(data, first, stop):
        edges[1:1] = find_all(data, _START, first + 4, stop, _START_BYTES)
    return tuple(Part((edge,)) for edge in itertools.pairwise(edges))


def _counts_on(data: mmap.mmap, first: int, stop: int) -> bool:
    """Whether the frames are numbered through to the length that the header gives: then nothing was joined.

    A few frames are looked at instead of every byte, which would take a tenth of the time of decoding.
    """
    block = int.from_bytes(data[first + 10 : first + 12])
    n_samples = int.from_bytes(data[first + 21 : first + 26]) & (1 << 36) - 1
    looks = [first + (stop - first) * n // _N_LOOKS for n in range(_N_LOOKS)]
    seen = {frame for at in looks for frame in itertools.islice(_frames(data, at, min(at + _WINDOW, stop), block), 1)}
    last = [*_frames(data, max(first, stop - _WINDOW), stop, block)][-1:]
    counted = [before for _, before, _ in sorted(seen.union(last))]
    return bool(last) and sum(last[0][1:]) == n_samples and all(a < b for a, b in itertools.pairwise(counted))


def _frames(data: mmap.mmap, first: int, stop: int, block: int) -> Iterator[tuple[int, int, int]]:
    """Of each frame that begins in a stretch: where, how many samples come before it, and how many it holds.

    Args:
        block: samples in each frame but the last, where frames are numbered and not samples.
    """
    for match in _FRAME.finditer(data, first, stop):
        head = data[match.start() : match.start() + 16].ljust(16, b"\0")
        size_code, rate_code = head[2] >> 4, head[2] & 15
        n_more = max(0, 8 - (~head[4] & 0xFF).bit_length() - 1)  # as UTF-8 codes a number
        number = head[4] & 0x7F >> n_more + bool(n_more)
        for byte in head[5 : 5 + n_more]:
            number = number << 6 | byte & 0x3F
        at = 5 + n_more
        n_samples = _BLOCKS[size_code]
        if size_code in (6, 7):
            n_samples = 1 + int.from_bytes(head[at : at + size_code - 5])
            at += size_code - 5
        at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
        if _checksum(head[:at]) == head[at]:
            yield match.start(), number if head[1] & 1 else number * block, n_samples


def _checksum(data: bytes) -> int:
    """CRC-8 of the polynomial x^8 + x^2 + x + 1."""
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum << 1 ^ (0x107 if checksum & 0x80 else 0)
    return checksum
