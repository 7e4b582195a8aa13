"""Files that libsndfile would read too short without a word: joined or header-less MP3, chained Ogg."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

# kbit/s by the header's four bits, for MPEG-1 layer III and for MPEG-2 and 2.5 layer III
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MP3_SLACK = 5 * 1152  # samples that an encoder's delay, padding and information frame may take away


def undercount(path: Path, format_name: str, n_samples: int) -> str:
    """What libsndfile leaves out of a file.

    Args:
        path: a file that opened as `format_name` ("MP3", "OGG", …) and claims `n_samples` per channel.

    Returns:
        What is wrong and what to do; "" if nothing is.
    """
    if format_name == "MP3" and _mapped(path, _mp3_samples) > n_samples + _MP3_SLACK:
        return (
            "holds more sound than its header lets be read (joined files, or a variable bit rate without "
            "Xing header). Convert it to WAV or FLAC (for example with ffmpeg)."
        )
    if format_name == "OGG" and _mapped(path, _ogg_links) > 1:
        return (
            "is a chain of Ogg streams, of which only the first could be read. Convert it to WAV or FLAC "
            "(for example with ffmpeg)."
        )
    return ""


def _mapped(path: Path, count: Callable[[mmap.mmap], int]) -> int:
    """`count` of a file's bytes, which are not copied."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return count(data)


def _mp3_samples(data: mmap.mmap) -> int:
    """Samples per channel in the layer III frames that follow one another from the first on, tags skipped.

    Source: ISO/IEC 11172-3 §2.4.1.3 and 13818-3 (the frame header); ID3v2.4 §3.1 (sizes of 7-bit bytes).
    """
    position, n_samples = 0, 0
    while position + 10 <= len(data):
        head = data[position : position + 10]
        if head[:3] == b"ID3":
            position += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
            continue
        if head[:3] == b"TAG":
            position += 128
            continue
        version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
        bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
        if head[0] != 0xFF or head[1] < 0xE0 or version == 1 or layer != 1:
            break
        if bit_rate in (0, 15) or sample_rate == 3:
            break
        samples = 1152 if version == 3 else 576
        bytes_per_second = 125 * _BIT_RATES[version != 3][bit_rate]
        padding = head[2] >> 1 & 1
        position += samples * bytes_per_second // _SAMPLE_RATES[version][sample_rate] + padding
        n_samples += samples
    return n_samples


def _ogg_links(data: mmap.mmap) -> int:
    """How many groups of streams follow one another: each begins with pages marked as beginnings.

    Source: RFC 3533 §6 (the page header).
    """
    position, links, at_beginning = 0, 0, False
    while data[position : position + 4] == b"OggS" and position + 27 <= len(data):
        begins = bool(data[position + 5] & 2)
        links += begins and not at_beginning
        at_beginning = begins
        n_segments = data[position + 26]
        position += 27 + n_segments + sum(data[position + 27 : position + 27 + n_segments])
    return links
