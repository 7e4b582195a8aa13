"""Whatever is done to a sound file, reading it ends, soon, with sound or with an error that names the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.errors import AudioError

RATE = 16_000
FORMATS = [
    *(("WAV", "PCM_16", "wav"), ("WAVEX", "PCM_24", "wav"), ("RF64", "PCM_16", "rf64"), ("W64", "PCM_16", "w64")),
    *(("AIFF", "PCM_16", "aiff"), ("AU", "PCM_16", "au"), ("CAF", "PCM_16", "caf"), ("FLAC", "PCM_16", "flac")),
    *(("MP3", "MPEG_LAYER_III", "mp3"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "opus"), ("WAV", "MS_ADPCM", "wav")),
]
WORDS = [
    *(
        bytes(4),
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x00\x00\x00\x80",
        b"RIFF",
        b"data",
        b"SSND",
        b"ds64",
        b"fmt ",
    ),
    *(b"OggS", b"ID3\x04", b"Xing", b"VBRI", b"fLaC", b"TAG\0", b"\xff\xfb\x90\xc4", b"\xff\xf8\xc9\x18"),
]
DAMAGE = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 400), st.sampled_from(WORDS)),
    st.tuples(st.just("write"), st.integers(0, 20_000), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("delete"), st.integers(0, 20_000), st.integers(1, 60)),
    st.tuples(st.just("insert"), st.integers(0, 20_000), st.binary(min_size=1, max_size=60)),
    st.tuples(st.just("cut"), st.integers(0, 20_000), st.none()),
    st.tuples(st.just("append"), st.integers(0, 20_000), st.none()),
)


def damaged(content: bytes, steps: list) -> bytes:
    """A file's bytes after some damage; "append" puts the first bytes of the file behind it."""
    changed = bytearray(content)
    for step, at, value in steps:
        if step == "write":
            changed[at : at + len(value)] = value
        elif step == "delete":
            del changed[at : at + value]
        elif step == "insert":
            changed[at:at] = value
        elif step == "cut":
            del changed[at:]
        else:
            changed += content[:at]
    return bytes(changed)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("format_name", "subtype", "suffix"), FORMATS, ids=lambda value: value)
@settings(max_examples=60, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(DAMAGE, min_size=1, max_size=4))
def test_reading_a_damaged_file_ends_with_sound_or_an_error(encoded, saved, format_name, subtype, suffix, steps):
    rate = 48_000 if subtype == "OPUS" else RATE
    path = saved(f"damaged.{suffix}", damaged(encoded(format_name, subtype, rate, 0.3), steps))
    try:
        waveform = audio.load(path, RATE)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")
        return
    assert len(waveform)
    assert np.isfinite(waveform).all()
    assert audio.probe(path).seconds >= 0
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path, RATE, block_seconds=0.05))), waveform)
