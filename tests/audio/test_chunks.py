"""WAV, RF64, W64, AIFF, AU and CAF with every damage that programs, pipes and crashes do to their headers."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError

RATE = 16_000
NOISE = random.Random(1).randbytes(20_000)


def put(content: bytes, at: int, form: str, value: int) -> bytes:
    """Bytes with a number written over."""
    changed = bytearray(content)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


@pytest.fixture
def wav(encoded) -> bytes:
    """One second, 16 bit, mono; the data chunk begins at byte 36."""
    content = encoded("WAV", "PCM_16")
    assert content[36:44] == b"data" + struct.pack("<I", 2 * RATE)
    return content


@pytest.fixture
def second(wav, saved):
    """What the undamaged second decodes to."""
    return audio.load(saved("good.wav", wav), RATE)


def size_of_data(content: bytes, value: int) -> bytes:
    return put(content, 40, "<I", value)


# How a WAV of one second is damaged so that all of it can still be read.
MENDABLE = {
    "size 0": lambda wav: size_of_data(wav, 0),
    "both sizes 0": lambda wav: put(size_of_data(wav, 0), 4, "<I", 0),
    "all ones (ffmpeg to a pipe)": lambda wav: put(size_of_data(wav, 0xFFFF_FFFF), 4, "<I", 0xFFFF_FFFF),
    "2 GB less a page (sox to a pipe)": lambda wav: put(size_of_data(wav, 0x7FFF_F000), 4, "<I", 0x7FFF_F024),
    "2 GB (arecord)": lambda wav: size_of_data(wav, 0x8000_0000),
    "RIFF size 0": lambda wav: put(wav, 4, "<I", 0),
    "fmt behind data": lambda wav: wav[:12] + wav[36:] + wav[12:36],
    "chunk behind": lambda wav: wav + b"LIST\x04\0\0\0INFO",
    "ID3 chunk behind": lambda wav: wav + b"ID3 " + struct.pack("<I", len(NOISE)) + NOISE,
    "bare ID3 behind": lambda wav: wav + b"ID3\x04\0\0" + NOISE,
    "zeros behind": lambda wav: wav + bytes(10_000),
    "erased flash memory behind": lambda wav: wav + b"\xff" * 10_000,
    "BW64": lambda wav: b"BW64" + wav[4:],
    "block align 0": lambda wav: put(wav, 32, "<H", 0),
    "byte rate 0": lambda wav: put(wav, 28, "<I", 0),
}


@pytest.mark.parametrize("damage", MENDABLE)
def test_a_wav_whose_sound_is_all_there_is_read_whole(wav, second, saved, without_av, damage):
    path = saved("damaged.wav", MENDABLE[damage](wav))
    np.testing.assert_array_equal(audio.load(path, RATE), second)
    np.testing.assert_array_equal(audio.load(path, RATE, start=0.25, end=0.5), second[RATE // 4 : RATE // 2])
    assert audio.probe(path).seconds == 1.0


@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_data_of_an_odd_size_with_or_without_its_zero_are_read(wav, second, saved, pad):
    odd = size_of_data(wav[:-1], 2 * RATE - 1) + pad + b"LIST\x04\0\0\0INFO"
    np.testing.assert_array_equal(audio.load(saved("odd.wav", odd), RATE), second[:-1])


@pytest.mark.parametrize("n_bytes", [2, 500, 60_000])
def test_a_streamed_silence_of_any_length_is_a_silence(wav, saved, n_bytes):
    waveform = audio.load(saved("silence.wav", size_of_data(wav[:44], 0) + bytes(n_bytes)), RATE)
    np.testing.assert_array_equal(waveform, np.zeros(n_bytes // 2))


def test_a_header_with_no_sound_behind_it_is_empty_even_if_a_chunk_follows(wav, saved):
    empty = size_of_data(wav[:44], 0)
    for name, content in (("bare.wav", empty), ("list.wav", empty + b"LIST\x04\0\0\0INFO")):
        with pytest.raises(AudioError, match=r"holds no sound \(0 samples\)"):
            audio.load(saved(name, content), RATE)


def test_joined_wav_files_and_several_data_chunks_are_read_whole(wav, second, saved):
    joined = audio.load(saved("joined.wav", wav + wav), RATE)
    np.testing.assert_array_equal(joined, np.concatenate([second, second]))
    doubled = audio.load(saved("doubled.wav", wav + wav[36:]), RATE)
    np.testing.assert_array_equal(doubled, joined)


def test_joined_files_of_other_rates_and_channels_become_mono_at_the_first_rate(wav, second, saved, encoded):
    other = encoded("WAV", "PCM_16", 44_100, 0.5, channels=2)
    path = saved("joined.wav", wav + other + wav)
    waveform = audio.load(path, RATE)
    assert abs(len(waveform) - 2.5 * RATE) <= 1
    np.testing.assert_array_equal(waveform[:RATE], second)
    np.testing.assert_allclose(waveform[-RATE + 1 :], second[1:], atol=1e-6)
    np.testing.assert_allclose(waveform[RATE + 100 : RATE + 7_900], second[100:7_900], atol=1e-3)  # the same tone
    np.testing.assert_allclose(audio.load(path, RATE, 1.2, 2.1), waveform[round(1.2 * RATE) : round(2.1 * RATE)])
    assert {frames.shape[1] for frames in audio.read_frames(path)} == {1}


CONTAINERS = [("WAV", "wav"), ("RF64", "rf64"), ("W64", "w64"), ("AIFF", "aiff"), ("AU", "au"), ("CAF", "caf")]


@pytest.mark.parametrize(("format_name", "suffix"), CONTAINERS)
def test_a_file_that_is_cut_off_says_what_is_there_and_what_its_header_claims(
    encoded, saved, without_av, format_name, suffix
):
    content = encoded(format_name, "PCM_16", 44_100, channels=2)
    whole = audio.load(saved(f"whole.{suffix}", content), 44_100)
    path = saved(f"cut.{suffix}", content[: len(content) // 2])
    with pytest.raises(audio.CutOffError, match=r"stops at 0\.\d\d s \(expected sound until 1\.00 s\)") as caught:
        audio.load(path, 44_100)
    assert caught.value.claimed_seconds == pytest.approx(1.0, abs=1e-4)
    assert 0.48 < caught.value.readable_seconds < 0.51
    assert audio.probe(path).seconds == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(audio.load(path, 44_100, end=0.4), whole[:17_640])
    with pytest.raises(audio.CutOffError, match=r"expected sound until 0\.80 s"):
        audio.load(path, 44_100, end=0.8)


@pytest.mark.parametrize(("format_name", "suffix"), CONTAINERS)
def test_sound_behind_the_end_that_the_header_gives_is_an_error(encoded, saved, format_name, suffix):
    with pytest.raises(AudioError, match=r"its header gives \d+ bytes of sound, but 20000 bytes follow"):
        audio.load(saved(f"more.{suffix}", encoded(format_name, "PCM_16") + NOISE), RATE)


def test_a_header_that_claims_sound_with_none_behind_it_is_cut_off(wav, saved):
    with pytest.raises(audio.CutOffError, match=r"stops at 0\.00 s") as caught:
        audio.load(saved("bare.wav", wav[:44]), RATE)
    assert caught.value.readable_seconds == 0


# Format, the sound chunk's name, how far behind it its size stands, its struct format, sizes that mean "unknown".
STREAMED = [
    ("RF64", b"ds64", 16, "<Q", (0, 2**64 - 1)),
    ("W64", b"data\xf3", 16, "<Q", (0, 24, 2**63 - 1)),
    ("AIFF", b"SSND", 4, ">I", (0, 8, 0x7F00_0008)),
    ("CAF", b"data", 4, ">q", (-1, 4)),
    ("AU", b".snd", 8, ">I", (0, 0xFFFF_FFFF)),
]


@pytest.mark.parametrize(("format_name", "chunk", "after", "form", "sizes"), STREAMED, ids=lambda value: str(value))
def test_other_formats_of_unknown_size_are_read_to_their_end(
    encoded, saved, second, without_av, format_name, chunk, after, form, sizes
):
    content = encoded(format_name, "PCM_16")
    for size in sizes:
        path = saved("streamed", put(content, content.index(chunk) + after, form, size))
        np.testing.assert_array_equal(audio.load(path, RATE), second)


@pytest.mark.parametrize("mask", [0, 1, 0xFFFF_FFFF, 0x8000_0000])
def test_any_speaker_mask_is_read(encoded, saved, second, mask):
    content = encoded("WAVEX", "PCM_16", channels=2)
    np.testing.assert_array_equal(audio.load(saved("mask.wav", put(content, 40, "<I", mask)), RATE), second)


def test_impossible_headers_are_errors(wav, encoded, saved):
    aiff = encoded("AIFF", "PCM_16")
    rate = aiff.index(b"COMM") + 16
    for content in (
        put(wav, 22, "<H", 0),  # channels
        put(wav, 22, "<H", 65_535),
        put(wav, 24, "<I", 0),  # rate
        put(wav, 24, "<I", 2**32 - 1),
        put(wav, 34, "<H", 0),  # bits
        put(wav, 20, "<H", 0xDEAD),  # codec
        aiff[:rate] + b"\x7f\xff\xc0" + bytes(7) + aiff[rate + 10 :],  # a rate that is no number
    ):
        with pytest.raises(AudioError, match="is not a sound that can be decoded|its header is damaged"):
            audio.load(saved("impossible.wav", content), RATE)


def test_headers_cut_at_any_byte_are_errors_or_cut_off(encoded, saved, without_av):
    for format_name, suffix in CONTAINERS:
        content = encoded(format_name, "PCM_16", seconds=0.5)
        for n_bytes in (*range(1, 140), 1000):
            with pytest.raises(AudioError):
                audio.load(saved(f"cut.{suffix}", content[:n_bytes]), RATE)
