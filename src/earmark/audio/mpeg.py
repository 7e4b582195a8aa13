"""MPEG audio (MP3): the frames in a file, and which of them belong together.

libsndfile believes the length that the first frame gives (a Xing header), or guesses it from the first frame's bit
rate: it reads the first of joined files alone, and drops the end of a variable bit rate without such a header.
"""

from __future__ import annotations

import functools
import mmap
import re
import struct
from dataclasses import dataclass, field, replace

from earmark.audio.parts import STRETCH_BYTES, Part, find_all, joined, let_go

# kbit/s by the header's four bits, for MPEG-1 layers I, II and III, and for MPEG-2 and 2.5 layer I and the others
_BIT_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KIND = 0xFFFE_0C00  # bits of a frame's header that stay the same in one sound: version, layer, sample rate
_UNPROTECTED = 0x0001_0000  # without a checksum behind the header
_MONO = 0xC0
_BIT_RATE = 0xF000
_LONGEST_FRAME = 4608  # bytes, also of a free bit rate
_SURE = 3  # frames in a row are no chance
_MADE_BIT_RATE = 8  # index of one that makes a long enough frame at every sample rate
_LOST_FRAMES = 5  # which an encoder's delay and padding may take away
# How a frame may begin: the mark with a possible version and layer; a possible bit rate and sample rate.
_MARK = re.compile(
    b"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]["
    + b"".join(b"\\x%02x" % byte for byte in range(256) if byte < 0xF0 and byte >> 2 & 3 != 3)
    + b"]"
)
_XING = (b"Xing", b"Info")
_TAG_NAME = re.compile(b"Xing|Info|VBRI")
_word = struct.Struct(">I").unpack_from


@dataclass
class _Run:
    """Frames of one kind that follow one another: one sound.

    header: of the first frame, as a number. tag: first byte and end of a frame before them that is no sound but
    says how many they are, `n_claimed`. n_frames: how many there are. ranges: where.
    """

    header: int
    tag: tuple[int, int] | None = None
    n_claimed: int | None = None
    n_frames: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)


def mpeg_parts(data: mmap.mmap) -> tuple[Part, ...]:
    """The sounds in a file of MPEG audio frames, in order; none if there are no frames.

    Source: ISO/IEC 11172-3 §2.4.1.3 and 13818-3 (the frame header); the Xing header as LAME 3.100 writes it;
    ID3v2.4 §3.1; APEv2.
    """
    first = _next_frame(data, 0)
    if first < 0:
        return ()
    plain = first in (0, foreign_bytes(data, 0))
    if plain and _tells_all(data, first):
        return (Part(((0, len(data)),)),)
    runs, cut = _runs(data, first)
    if not runs:
        return ()
    parts = [_part(run) for run in runs]
    if plain and len(parts) == 1 and not parts[0].header and len(parts[0].ranges) == 1:
        parts[0] = replace(parts[0], ranges=((0, len(data)),))
    if cut and runs[-1].n_claimed is None:
        parts[-1] = replace(parts[-1], cut=True)
    return tuple(parts)


def _runs(data: mmap.mmap, position: int) -> tuple[list[_Run], bool]:
    """All frames from a first one on, and whether the file ends within the last one."""
    tags = _possible_tags(data)
    runs: list[_Run] = []
    cut = False
    while position >= 0:
        (header,) = _word(data, position)
        tag, n_claimed = _tag(data, position) if position in tags else (None, None)
        if tag or not runs or _kind(header) != _kind(runs[-1].header):
            runs.append(_Run(header, tag, n_claimed))
        first = tag[1] if tag else position
        stop, last, n_frames, cut = _walk(data, first, _kind(header), tags)
        following = -1 if cut else _next_frame(data, stop)
        if n_frames and not cut and following != stop and not foreign_bytes(data, stop):
            within = _next_frame(data, last + 4)
            if 0 <= within < stop:  # the last frame is cut off, and another file follows at once
                stop, following, n_frames = last, within, n_frames - 1
        if n_frames:
            runs[-1].n_frames += n_frames
            runs[-1].ranges.append((first, stop))
        position = following
    return [run for run in runs if run.n_frames], cut


def _walk(data: mmap.mmap, position: int, kind: tuple[int, bool], tags: set[int]) -> tuple[int, int, int, bool]:
    """Follow frames of one kind: where they end, where the last one begins, how many they are, and whether the
    file ends within one."""
    bits, mono = kind
    same = _same_bits(bits)
    lengths = _lengths(bits & _KIND, _free_length(data, position))
    n_bytes, n_frames, length, first = len(data), 0, 0, position
    held_to = position + STRETCH_BYTES
    while position <= n_bytes - 4:
        if position > held_to:
            let_go(data)
            held_to = position + STRETCH_BYTES
        (header,) = _word(data, position)
        if header & same != bits or (header & _MONO == _MONO) is not mono:
            break
        if not lengths[header >> 9 & 127] or (position in tags and position != first):
            break
        length = lengths[header >> 9 & 127]
        position += length
        n_frames += 1
    cut = position > n_bytes
    return position - cut * length, position - length, n_frames - cut, cut


def _next_frame(data: mmap.mmap, position: int) -> int:
    """First byte of the next frame at or behind one, that is surely a frame; -1 if there is none."""
    while 0 <= position <= len(data) - 4:
        if foreign := foreign_bytes(data, position):
            position += foreign
        elif _is_frame(data, position):
            return position
        else:
            mark = _MARK.search(data, position + 1)
            position = mark.start() if mark else -1
    return -1


def _is_frame(data: mmap.mmap, position: int) -> bool:
    """Whether a frame begins here: more of its kind follow, or the end of the frames does."""
    if position > len(data) - 4:
        return False
    (first,) = _word(data, position)
    lengths = _lengths(first & _KIND, _free_length(data, position))
    for n_frames in range(_SURE):
        if position > len(data) - 4 or foreign_bytes(data, position):
            return n_frames > (position > len(data))  # a frame that is cut off is none
        (header,) = _word(data, position)
        length = lengths[header >> 9 & 127]
        if header & _KIND != first & _KIND or not length:
            return False
        position += length
    return True


def foreign_bytes(data: mmap.mmap, position: int) -> int:
    """Length of the tag that begins here; 0 if none does."""
    head = data[position : position + 32]
    if head[:3] == b"ID3" and len(head) >= 10:
        return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return 32 + struct.unpack_from("<I", head, 12)[0]
    if head[:11] == b"LYRICSBEGIN":
        end = max(data.find(b"LYRICS200", position), data.find(b"LYRICSEND", position))
        return max(0, end + 9 - position)
    return 0


def _same_bits(header: int) -> int:
    """The bits of a header that stay the same within a sound: in layers I and II, where libsndfile guesses the
    length from the bit rate, that too."""
    return _KIND if header >> 17 & 3 == 1 else _KIND | _BIT_RATE


def _kind(header: int) -> tuple[int, bool]:
    """What stays the same within a sound: those bits, and whether it is mono."""
    return header & _same_bits(header), header & _MONO == _MONO


def _samples(header: int) -> int:
    """Samples per channel in a frame."""
    layer = 4 - (header >> 17 & 3)
    return 384 if layer == 1 else 576 if layer == 3 and header >> 19 & 3 != 3 else 1152


@functools.lru_cache(maxsize=64)
def _lengths(kind: int, free_length: int) -> tuple[int, ...]:
    """Bytes of a frame by bit rate, sample rate and padding (bits 15 to 9 of its header); 0 where none can be."""
    version, layer, rate = kind >> 19 & 3, 4 - (kind >> 17 & 3), kind >> 10 & 3
    if kind >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 3:
        return (0,) * 128
    slot = 4 if layer == 1 else 1
    found = []
    for bits in range(128):
        bit_rate = bits >> 3
        if bits >> 1 & 3 != rate or bit_rate == 15:
            found.append(0)
        elif bit_rate == 0:
            found.append(free_length and free_length + slot * (bits & 1))
        else:
            bytes_per_second = 125 * _BIT_RATES[1 if version == 3 else 2, layer][bit_rate]
            n_slots = _samples(kind) * bytes_per_second // (slot * _SAMPLE_RATES[version][rate])
            found.append(slot * (n_slots + (bits & 1)))
    return tuple(found)


def _free_length(data: mmap.mmap, position: int) -> int:
    """Bytes of a frame without padding, where the header leaves the bit rate free; 0 where it does not."""
    if position > len(data) - 4 or (first := _word(data, position)[0]) & _BIT_RATE or first >> 21 != 0x7FF:
        return 0
    for after in range(position + 24, min(position + _LONGEST_FRAME, len(data) - 4)):
        if data[after] == 0xFF and _word(data, after)[0] & (_KIND | _BIT_RATE) == first & _KIND:
            return after - position - (first >> 9 & 1)
    return 0


def _side_bytes(header: int) -> int:
    """Bytes between a layer III frame's header and where a Xing header stands."""
    mono = header & _MONO == _MONO
    side = (17 if mono else 32) if header >> 19 & 3 == 3 else (9 if mono else 17)
    return side if header & _UNPROTECTED else side + 2


def _possible_tags(data: mmap.mmap) -> set[int]:
    """Where the frames would begin that hold what looks like a Xing or VBRI header."""
    found = set()
    for at in find_all(data, _TAG_NAME, 0, len(data), 4):
        found.update(at - distance for distance in (13, 15, 21, 23, 36, 38))
    return found


def _tag(data: mmap.mmap, position: int) -> tuple[tuple[int, int] | None, int | None]:
    """Where the frame that begins here ends, if it holds a Xing or VBRI header, and how many frames that counts."""
    (header,) = _word(data, position)
    stop = position + _lengths(header & _KIND, 0)[header >> 9 & 127]
    at = position + 4 + _side_bytes(header)
    if data[at : at + 4] in _XING and stop >= at + 16:
        flags, n_frames = struct.unpack_from(">II", data, at + 4)
        return (position, stop), n_frames if flags & 1 else None
    if data[position + 36 : position + 40] == b"VBRI" and stop >= position + 54:
        return (position, stop), _word(data, position + 50)[0]
    return None, None


def _tells_all(data: mmap.mmap, first: int) -> bool:
    """Whether the first frame counts the frames, and all bytes up to the tags at the file's end: then nothing
    was joined or cut off since, and the frames need not be looked at one by one."""
    tag, n_claimed = _tag(data, first)
    at = first + 4 + _side_bytes(_word(data, first)[0])
    if tag is None or n_claimed is None or data[at : at + 4] not in _XING or not data[at + 7] & 2:
        return False
    stop = first + _word(data, at + 12)[0]
    while stop < len(data) and (foreign := foreign_bytes(data, stop)):
        stop += foreign
    return stop == len(data)


def _part(run: _Run) -> Part:
    """A run as libsndfile reads it whole: with its own tag if that is right, else with a made one."""
    least = (run.n_frames - _LOST_FRAMES) * _samples(run.header)
    if run.tag and run.n_claimed is not None and run.n_frames <= run.n_claimed + 1:
        return Part(joined([run.tag, *run.ranges]), least=least)
    layer_3 = run.header >> 17 & 3 == 1
    return Part(joined(run.ranges), _made_tag(run.header, run.n_frames) if layer_3 else b"", least=least)


def _made_tag(header: int, n_frames: int) -> bytes:
    """A frame with a Xing header that counts the frames behind it."""
    header = header & ~(_BIT_RATE | 0x0200) | _MADE_BIT_RATE << 12 | _UNPROTECTED  # 0x0200 is padding
    content = struct.pack(">I", header) + bytes(_side_bytes(header)) + struct.pack(">4sII", b"Xing", 1, n_frames)
    return content.ljust(_lengths(header & _KIND, 0)[header >> 9 & 127], b"\0")
