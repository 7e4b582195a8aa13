from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark import audio
from earmark.audio.parts import Part, PartFile, find_all, joined, open_part
from earmark.audio.sound import PartsSound
from earmark.errors import AudioError

CONTENT = bytes(range(200))
STRETCH = st.tuples(st.integers(0, 200), st.integers(0, 200)).map(lambda pair: tuple(sorted(pair)))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("parts") / "content"
    file.write_bytes(CONTENT)
    return file


@given(
    header=st.binary(max_size=20),
    ranges=st.lists(STRETCH, max_size=5),
    steps=st.lists(st.tuples(st.sampled_from(("read", 0, 1, 2)), st.integers(-60, 260)), max_size=20),
)
def test_a_part_reads_and_seeks_like_the_bytes_it_stands_for(path, header, ranges, steps):
    expected = io.BytesIO(header + b"".join(CONTENT[first:stop] for first, stop in ranges))
    with open_part(path, Part(tuple(ranges), header)) as file:
        for step, number in steps:
            if step == "read":
                assert file.read(max(0, number)) == expected.read(max(0, number))
            elif step == 0:
                assert file.seek(max(0, number)) == expected.seek(max(0, number))
            elif step == 2:
                assert file.seek(min(0, number), 2) == expected.seek(min(0, number), 2)
            assert file.tell() == expected.tell()
        file.seek(0)
        assert file.read() == expected.getvalue()


def test_a_position_before_the_beginning_is_the_beginning(path):
    with PartFile(path, Part(((0, 200),))) as file:
        assert file.seek(-5) == 0


def test_stretches_that_touch_are_one():
    assert joined([(0, 4), (4, 9), (10, 12)]) == ((0, 9), (10, 12))


def test_a_decoder_that_finds_less_than_there_is_is_not_believed(encoded, saved):
    content = encoded("WAV", "PCM_16")
    path = saved("a.wav", content)
    with pytest.raises(AudioError, match=r"holds more sound than could be read \(at least 2\.00 s, of which 1\.00 s\)"):
        PartsSound(path, [Part(((0, len(content)),), least=32_000)])
    assert audio.probe(path).seconds == 1.0


@given(data=st.binary(max_size=60).map(lambda data: bytes(byte % 3 for byte in data)), stretch=st.integers(1, 70))
def test_a_file_is_searched_stretch_by_stretch_as_at_once(data, stretch):
    pattern, stop = re.compile(b"\0\1\2"), max(0, len(data) - 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("earmark.audio.parts.STRETCH_BYTES", stretch)
        found = list(find_all(data, pattern, 1, stop, 3))
    assert found == [match.start() for match in pattern.finditer(data, 1, stop)]
