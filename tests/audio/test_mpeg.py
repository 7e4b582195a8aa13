"""MP3 as it is found: joined, cut, without or with a wrong Xing header, with tags and rubbish anywhere."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest

from earmark import audio
from earmark.audio.mpeg import mpeg_parts

RATE = 44_100
ID3 = b"ID3\x04\0\0\0\0\0\x05hello"
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 132, 0, 0xA000_0000) + bytes(8) + bytes(100)
APE += b"APETAGEX" + struct.pack("<IIII", 2000, 132, 0, 0x8000_0000) + bytes(8)
LYRICS = b"LYRICSBEGIN" + b"la" * 1500 + b"003011LYRICS200"
RUBBISH = b"rubbish\xff\xfb\x90\xff" * 300
SLACK = 0.06  # seconds that an encoder's delay may add where no header tells it


def frame_bytes(content: bytes, position: int) -> int:
    """Length of an MPEG-1 layer III frame at 44.1 or 48 kHz. Source: ISO 11172-3 §2.4.3.1."""
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[content[position + 2] >> 4]
    rate = (44_100, 48_000)[content[position + 2] >> 2 & 3]
    return 144_000 * kbits // rate + (content[position + 2] >> 1 & 1)


def without_xing(content: bytes) -> bytes:
    """An MP3 less its first frame, which says how long it is."""
    assert b"Xing" in content[:100] or b"Info" in content[:100]
    return content[frame_bytes(content, 0) :]


def seconds(path) -> float:
    return len(audio.load(path, RATE)) / RATE


def ends_with_sound(path) -> bool:
    """Whether the last quarter of a second but a twentieth is as loud as the rest."""
    waveform = audio.load(path, RATE)
    return bool(np.std(waveform[-RATE // 4 : -RATE // 20]) > 0.9 * np.std(waveform))


def test_a_variable_bit_rate_without_header_is_read_to_its_end(mp3, saved):
    content = mp3(seconds=3.0)
    whole = audio.load(saved("whole.mp3", content), RATE)
    bare = audio.load(saved("bare.mp3", without_xing(content)), RATE)
    assert 0 <= len(bare) - len(whole) <= SLACK * RATE
    delay = next(n for n in range(2_400) if np.array_equal(bare[n : n + 5_000], whole[:5_000]))
    np.testing.assert_array_equal(bare[delay : delay + len(whole)], whole)  # the same bits, only later
    region = audio.load(saved("bare.mp3", without_xing(content)), RATE, start=1.5, end=2.5)
    np.testing.assert_array_equal(region, bare[round(1.5 * RATE) : round(2.5 * RATE)])


@pytest.mark.parametrize(
    "between", [b"", ID3V1 + ID3, APE, LYRICS + ID3V1, RUBBISH], ids=["", "ID3", "APE", "Lyrics", "rubbish"]
)
def test_joined_files_are_both_heard_sample_for_sample(mp3, saved, between):
    parts = [audio.load(saved(f"{f}.mp3", mp3(frequency=f, seconds=0.8)), RATE) for f in (440, 880)]
    path = saved("joined.mp3", mp3(frequency=440, seconds=0.8) + between + mp3(frequency=880, seconds=0.8))
    np.testing.assert_array_equal(audio.load(path, RATE), np.concatenate(parts))
    np.testing.assert_array_equal(
        np.concatenate(list(audio.blocks(path, RATE, block_seconds=0.01))), np.concatenate(parts)
    )
    assert audio.probe(path).seconds == pytest.approx(1.6, abs=1e-4)


def test_joined_files_of_other_rates_and_channels_are_heard(mp3, encoded, saved):
    low = encoded("MP3", "MPEG_LAYER_III", 22_050, channels=2)
    path = saved("joined.mp3", mp3(seconds=1.0) + low + mp3(seconds=0.5))
    assert abs(seconds(path) - 2.5) < 0.001
    assert ends_with_sound(path)


def test_frames_added_behind_what_the_header_counts_are_heard(mp3, saved):
    path = saved("added.mp3", mp3(seconds=1.0) + without_xing(mp3(seconds=1.0)))
    assert abs(seconds(path) - 2.0) < 2 * SLACK
    assert ends_with_sound(path)


@pytest.mark.parametrize("junk", [RUBBISH, bytes(100_000), ID3 + RUBBISH, APE], ids=["rubbish", "zeros", "ID3", "APE"])
def test_what_stands_before_the_first_frame_is_skipped(mp3, saved, without_av, junk):
    whole = audio.load(saved("whole.mp3", mp3()), RATE)
    np.testing.assert_array_equal(audio.load(saved("junk.mp3", junk + mp3()), RATE), whole)


@pytest.mark.parametrize(
    "tail", [ID3V1, APE, LYRICS + ID3V1, bytes(5_000), RUBBISH], ids=["ID3v1", "APE", "Lyrics", "zeros", "rubbish"]
)
def test_what_stands_behind_the_last_frame_is_no_sound(mp3, saved, tail):
    whole = audio.load(saved("whole.mp3", mp3()), RATE)
    np.testing.assert_array_equal(audio.load(saved("tail.mp3", mp3() + tail), RATE), whole)


def test_rubbish_within_costs_a_frame_and_not_the_rest(mp3, saved):
    content = mp3(seconds=2.0)
    half = len(content) // 2
    path = saved("hole.mp3", without_xing(content[:half] + RUBBISH + content[half:]))
    assert abs(seconds(path) - 2.0) < 2 * SLACK
    assert ends_with_sound(path)


def test_a_free_bit_rate_is_read(encoded, saved):
    """Frames of 480 bytes, as at 160 kbit/s, whose headers do not say so."""
    free = bytearray(encoded("MP3", "MPEG_LAYER_III", 48_000, bitrate_mode="CONSTANT", compression_level=0.5))
    length = frame_bytes(free, 0)
    assert len(free) % length == 0
    for position in range(0, len(free), length):
        free[position + 2] &= 0x0F
    path = saved("free.mp3", bytes(free[length:]))
    assert abs(seconds(path) - 1.0) < SLACK
    assert ends_with_sound(path)
    assert abs(seconds(saved("twice.mp3", 2 * bytes(free[length:]))) - 2.0) < 2 * SLACK


def test_an_mp3_in_a_wav_is_read_whole(mp3, saved):
    frames = without_xing(mp3(seconds=2.0))
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 16_000, 1, 0, 12, 1, 2, 417, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(frames)) + frames
    path = saved("layer3.wav", b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert abs(seconds(path) - 2.0) < SLACK
    assert ends_with_sound(path)


def test_a_cut_within_a_frame_is_told_even_without_header(mp3, saved):
    content = without_xing(mp3(seconds=2.0))
    path = saved("cut.mp3", content[: len(content) // 2 + 7])
    with pytest.raises(audio.CutOffError, match=r"ends within a piece of sound at [01]\.\d\d s") as caught:
        audio.load(path, RATE)
    assert 0.8 < caught.value.readable_seconds < 1.2
    assert caught.value.claimed_seconds is None
    assert len(audio.load(path, RATE, end=0.75)) == round(0.75 * RATE)


def test_the_first_of_joined_files_may_not_be_cut_off(mp3, saved):
    content = mp3(seconds=2.0)
    path = saved("joined.mp3", content[: len(content) // 2] + mp3(seconds=1.0))
    with pytest.raises(audio.CutOffError, match=r"stops at [01]\.\d\d s \(expected sound until 3\.00 s\)"):
        audio.load(path, RATE)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("length", [0.02, 1.0])
def test_every_frame_of_any_rate_and_mode_is_found(encoded, saved, rate, mode, length):
    options = {"bitrate_mode": mode, "compression_level": 0.5}
    content = encoded("MP3", "MPEG_LAYER_III", rate, length, **options)
    assert audio.probe(saved("a.mp3", content)).seconds == pytest.approx(length, abs=1e-3)
    assert [part.ranges for part in mpeg_parts(content)] == [((0, len(content)),)]
    twice = audio.load(saved("twice.mp3", content + content), rate)
    assert abs(len(twice) - 2 * length * rate) <= 2


def test_files_without_frames_have_no_parts():
    for content in (b"", b"\xff", RUBBISH, bytes(1000), b"\xff\xfb" * 500, ID3):
        assert mpeg_parts(content) == ()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\xff\xfb", b"TAG", b"\xff\xff\xfb"])
def test_much_rubbish_is_passed_over_in_no_time(mp3, saved, filler):
    path = saved("card.mp3", mp3(seconds=0.5) + (1 << 24) // len(filler) * filler + mp3(seconds=0.5))
    assert abs(seconds(path) - 1.0) < SLACK


def test_memory_does_not_grow_with_joined_files(encoded, saved):
    content = encoded("MP3", "MPEG_LAYER_III", 8_000, 300.0)
    path = saved("long.mp3", 3 * content)
    tracemalloc.start()
    n_samples = sum(len(block) for block in audio.blocks(path, 8_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(n_samples - 900 * 8_000) <= 3
    assert peak < 12e6  # the whole would be 29 MB
