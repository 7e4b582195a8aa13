"""Ogg as it is found: chained, with other streams beside the sound, cut, recorded from the middle of a broadcast."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError

RATE = 48_000


def checksum(data: bytes) -> int:
    """CRC-32 of an Ogg page. Source: RFC 3533 §6."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x104C11DB7 if value & 0x8000_0000 else 0)) & 0xFFFF_FFFF
    return value


def sealed(page: bytes) -> bytes:
    """A page with its checksum put right."""
    page = page[:22] + bytes(4) + page[26:]
    return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


def page(serial: int, number: int, granule: int, flags: int, packet: bytes) -> bytes:
    """A page with one packet. flags: 2 begins a stream, 4 ends it."""
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qIII", granule, serial, number, 0) + bytes([len(lacing)])
    return sealed(head + lacing + packet)


def pages(content: bytes) -> Iterator[bytes]:
    """The pages of an undamaged file."""
    position = 0
    while position < len(content):
        body = position + 27 + content[position + 26]
        stop = body + sum(content[position + 27 : body])
        yield content[position:stop]
        position = stop


SKELETON = page(77, 0, 0, 2, b"fishead\0" + bytes(56))
FILM = [page(99, 0, 0, 2, b"\x80theora" + bytes(35)), *(page(99, n, n, 0, bytes(3_000)) for n in range(1, 4))]


@pytest.fixture(params=["VORBIS", "OPUS"])
def ogg(request, encoded):
    """Makes an Ogg file of one stream."""
    return lambda seconds=2.0, channels=1, rate=RATE: encoded("OGG", request.param, rate, seconds, channels)


@pytest.fixture
def whole(ogg, saved):
    """What the two seconds decode to."""
    return audio.load(saved("whole.ogg", ogg()), RATE)


def test_a_chain_is_heard_link_after_link(ogg, whole, saved):
    path = saved("chain.ogg", 3 * ogg())
    np.testing.assert_array_equal(audio.load(path, RATE), np.concatenate(3 * [whole]))
    np.testing.assert_array_equal(
        np.concatenate(list(audio.blocks(path, RATE, block_seconds=0.03))), np.concatenate(3 * [whole])
    )
    np.testing.assert_array_equal(
        audio.load(path, RATE, start=1.5, end=4.5), np.concatenate(3 * [whole])[72_000:216_000]
    )
    assert audio.probe(path).seconds == 6.0


def test_links_of_other_rates_and_channels_become_mono_at_the_first_rate(ogg, whole, saved):
    path = saved("chain.ogg", ogg() + ogg(1.0, channels=2, rate=24_000) + ogg())
    waveform = audio.load(path, RATE)
    assert abs(len(waveform) - 5 * RATE) <= 1
    np.testing.assert_array_equal(waveform[: 2 * RATE], whole)
    assert np.std(waveform[round(2.2 * RATE) : round(2.8 * RATE)]) == pytest.approx(np.std(whole), rel=0.05)
    np.testing.assert_allclose(waveform[-RATE:], whole[-RATE:], atol=1e-6)


def test_links_of_other_codecs_are_heard(encoded, saved):
    content = encoded("OGG", "VORBIS", 44_100, 2.0, channels=2) + encoded("OGG", "OPUS", 48_000, 1.0)
    assert abs(len(audio.load(saved("chain.ogg", content), 16_000)) - 48_000) <= 1


def test_a_skeleton_and_a_film_beside_the_sound_are_passed_over(ogg, whole, saved):
    first, *rest = pages(ogg())
    beside = [FILM[0], first, SKELETON, rest[0], FILM[1], *rest[1:2], FILM[2], *rest[2:], FILM[3]]
    np.testing.assert_array_equal(audio.load(saved("film.ogg", b"".join(beside)), RATE), whole)


def test_two_sounds_at_the_same_time_are_an_error(encoded, saved):
    first, *rest = pages(encoded("OGG", "VORBIS", RATE))
    second, *others = pages(encoded("OGG", "OPUS", RATE))
    with pytest.raises(AudioError, match="holds 2 sounds at the same time"):
        audio.load(saved("two.ogg", b"".join([first, second, *rest, *others])), RATE)


def test_rubbish_before_between_and_behind_pages_is_passed_over(ogg, whole, saved):
    split = list(pages(ogg()))
    content = b"x" * 500 + b"".join(split[:3]) + b"x" * 3_000 + b"".join(split[3:]) + b"x" * 3_000
    np.testing.assert_array_equal(audio.load(saved("rubbish.ogg", content), RATE), whole)


def test_a_recording_from_the_middle_of_a_broadcast_is_read_whole(ogg, whole, saved):
    split = list(pages(ogg()))
    late = [
        sealed(one[:6] + struct.pack("<q", struct.unpack_from("<q", one, 6)[0] + 10**6) + one[14:]) for one in split[2:]
    ]
    path = saved("late.ogg", b"".join(split[:2] + late))
    assert abs(len(audio.load(path, RATE)) - len(whole)) < 0.02 * RATE


def test_a_cut_within_a_page_is_told(ogg, saved):
    content = ogg(6.0)
    path = saved("cut.ogg", content[:-300])
    with pytest.raises(audio.CutOffError, match=r"ends within a piece of sound at [45]\.\d\d s") as caught:
        audio.load(path, RATE)
    assert 4 < caught.value.readable_seconds < 6
    assert caught.value.claimed_seconds is None
    assert len(audio.load(path, RATE, end=3.0)) == 3 * RATE
    path = saved("header.ogg", content + content[:20])
    with pytest.raises(audio.CutOffError, match=r"ends within a piece of sound at 6\.00 s"):
        audio.load(path, RATE)


def test_a_link_that_is_cut_ends_what_can_be_read(ogg, saved):
    path = saved("chain.ogg", ogg(6.0)[:-300] + ogg(6.0))
    with pytest.raises(audio.CutOffError, match=r"ends within a piece of sound at [45]\.\d\d s"):
        audio.load(path, RATE)


def test_a_cut_before_any_sound_is_told(ogg, saved):
    content = ogg()
    headers = sum(len(one) for one in list(pages(content))[:2])
    with pytest.raises(audio.CutOffError, match="is cut off before anything of it can be decoded|stops at 0.00 s"):
        audio.load(saved("cut.ogg", content[: headers + 100]), RATE)


def test_an_ogg_of_unknown_codec_is_an_error(saved):
    with pytest.raises(AudioError, match="is not a sound that can be decoded"):
        audio.load(saved("unknown.ogg", page(1, 0, 0, 2, b"\x7fnobody knows") + page(1, 1, 5, 4, bytes(99))), RATE)
