"""Ogg: the streams in a file, one after the other (a chain) or side by side (with video, a skeleton).

libsndfile reads the first stream of a chain alone, and stops where pages of other streams come between.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from earmark.audio.parts import STRETCH_BYTES, Part, joined, let_go
from earmark.errors import AudioError

_SOUNDS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")  # how the first packet of a stream begins
_BEGINS = 2  # flag of the page that a stream begins with


def ogg_parts(path: Path, data: mmap.mmap) -> tuple[Part, ...]:
    """The sounds in an Ogg file, in order.

    Args:
        path: for the error text.
        data: all bytes of the file.

    Raises:
        AudioError: two streams of sound are there at the same time.

    Source: RFC 3533 §4 (chaining, multiplexing) and §6 (the page header).
    """
    links: list[dict[int, list[tuple[int, int]]]] = []  # of each link: serial number of a sound → its pages
    cut: list[bool] = []  # of each link: whether it ends within a page
    position, at_beginning = data.find(b"OggS"), False
    held_to = STRETCH_BYTES
    while 0 <= position <= len(data) - 27:
        if position > held_to:
            let_go(data)
            held_to = position + STRETCH_BYTES
        serial, n_segments = struct.unpack_from("<I8xB", data, position + 14)
        body = position + 27 + n_segments
        stop = body + sum(data[position + 27 : body])
        following = stop if data[stop : stop + 4] == b"OggS" else data.find(b"OggS", position + 4)
        begins = bool(data[position + 5] & _BEGINS)
        if begins and not at_beginning:
            links.append({})
            cut.append(False)
        at_beginning = begins
        if begins and data[body : body + 8].startswith(_SOUNDS):
            links[-1][serial] = []
        if links:
            end = following if following >= 0 else len(data)
            cut[-1] = stop > end
            if serial in links[-1]:
                links[-1][serial].append((position, min(stop, end)))
        position = following
    if cut and position >= 0:  # within the header of a page
        cut[-1] = True
    parts = []
    for streams, is_cut in zip(links, cut, strict=True):
        if len(streams) > 1:
            raise AudioError(
                f"{path}: holds {len(streams)} sounds at the same time. Write the one that is meant to a file of "
                "its own (for example with ffmpeg -map 0:a:0)."
            )
        parts += [Part(joined(pages), cut=is_cut) for pages in streams.values()]
    return tuple(parts) or (Part(((0, len(data)),)),)  # if no sound is known, the decoder will say what is wrong
