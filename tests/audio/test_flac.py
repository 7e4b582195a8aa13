"""FLAC as it is found: joined, of unknown length, with tags of other formats before and behind it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.audio import flac
from earmark.audio.flac import flac_parts

RATE = 16_000
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
ID3V1 = b"TAG" + bytes(125)


def unknown_length(content: bytes) -> bytes:
    """As an encoder leaves it that wrote to a pipe."""
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


@pytest.fixture
def whole(encoded, saved):
    return audio.load(saved("whole.flac", encoded("FLAC", "PCM_16")), RATE)


@pytest.mark.parametrize("before", [b"", ID3], ids=["", "ID3"])
@pytest.mark.parametrize("behind", [b"", ID3V1], ids=["", "ID3v1"])
@pytest.mark.parametrize("known", [True, False])
def test_tags_and_a_length_of_0_do_no_harm(encoded, saved, whole, before, behind, known):
    content = encoded("FLAC", "PCM_16")
    path = saved("tagged.flac", before + (content if known else unknown_length(content)) + behind)
    np.testing.assert_array_equal(audio.load(path, RATE), whole)
    assert audio.probe(path).seconds == 1.0


def test_a_wrong_checksum_of_the_samples_does_no_harm(encoded, saved, whole):
    content = encoded("FLAC", "PCM_16")
    path = saved("md5.flac", content[:26] + b"wrong checksum !" + content[42:])
    np.testing.assert_array_equal(audio.load(path, RATE), whole)


@pytest.mark.parametrize("first", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("second", [0.05, 1.0])
@pytest.mark.parametrize("known", [True, False])
def test_joined_files_are_both_heard(encoded, saved, first, second, known):
    contents = [encoded("FLAC", "PCM_16", seconds=seconds) for seconds in (first, second)]
    parts = [audio.load(saved("part.flac", content), RATE) for content in contents]
    joined = b"".join(content if known else unknown_length(content) for content in contents)
    path = saved("joined.flac", joined)
    np.testing.assert_array_equal(audio.load(path, RATE), np.concatenate(parts))
    np.testing.assert_array_equal(
        np.concatenate(list(audio.blocks(path, RATE, block_seconds=0.01))), np.concatenate(parts)
    )


@given(
    seconds=st.floats(0.01, 2.0), rate=st.sampled_from([8_000, 16_000, 44_100, 48_000, 96_000, 11_025]),
    channels=st.integers(1, 3), subtype=st.sampled_from(["PCM_16", "PCM_24"]), seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_ordinary_file_and_two_of_them_are_told_apart(tmp_path_factory, seconds, rate, channels, subtype, seed):
    path = tmp_path_factory.mktemp("flac") / "a.flac"
    noise = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype=subtype)
    content = path.read_bytes()
    n_counted = sum(n_samples for _, _, n_samples in flac._frames(content, 0, len(content), 4096))
    assert n_counted >= len(noise)
    assert flac_parts(content, 0)[0].ranges == ((0, len(content)),)
    assert len(flac_parts(content + content, 0)) == 2


def test_no_search_is_made_through_an_ordinary_file(encoded, saved, monkeypatch):
    path = saved("plain.flac", encoded("FLAC", "PCM_16", seconds=5.0))
    monkeypatch.setattr(flac, "_START", None)
    assert audio.probe(path).seconds == 5.0
