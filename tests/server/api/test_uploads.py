"""Uploads: forms and bodies that are not what they should be, what is too much, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from earmark import audio
from earmark.errors import AudioError
from earmark.server import upload
from earmark.server.limits import Limits
from earmark.server.refusals import Refusal
from earmark.tagger import load_tagger

FORM = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def receive(pieces: list[bytes], file, limits: Limits, seconds_between: float = 0.0, **headers: str) -> None:
    """Let a request of these pieces arrive in a file."""
    coming = iter([(piece, True) for piece in pieces] + [(b"", False)])

    async def next_piece() -> dict:
        await asyncio.sleep(seconds_between)
        body, more = next(coming)
        return {"type": "http.request", "body": body, "more_body": more}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": named}, next_piece)
    asyncio.run(upload.receive(request, file, limits))


def test_the_spare_file_has_no_name_and_goes_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), upload.spare_file() as (file, path):
        file.write(b"sound")
        file.flush()
        assert path.read_bytes() == b"sound"
        if upload.OPEN_FILES.exists():
            assert list(tmp_path.iterdir()) == []
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    assert not path.exists()


def test_the_spare_file_goes_where_it_must_have_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(upload, "OPEN_FILES", tmp_path / "nowhere")
    with upload.spare_file() as (_, path):
        assert list(tmp_path.iterdir()) == [path]
        assert path.suffix == ""
        assert os.stat(path).st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_a_form_gives_its_file_however_it_is_cut(content, cuts):
    content = content.replace(b"--x", b"")
    body = PART + content + b"\r\n--x--\r\n"
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[first:stop] for first, stop in zip(edges, edges[1:], strict=False)]
    with upload.spare_file() as (file, path):
        if content:
            receive(pieces, file, Limits(), content_type=FORM)
            assert path.read_bytes() == content
        else:
            with pytest.raises(Refusal, match="is empty"):
                receive(pieces, file, Limits(), content_type=FORM)


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"", {}, "upload: is empty"),
        (b"RIFF", {"content_encoding": "gzip"}, "its body is compressed"),
        (b"x", {"content_type": "multipart/form-data"}, "is no form that can be read"),
        (b"x", {"content_type": "multipart/form-data; boundary=" + "x" * 300}, "is no form that can be read"),
        (b"hello", {"content_type": FORM}, "is no form that can be read"),
        (PART + b"abc", {"content_type": FORM}, "it stops before its last boundary"),
        (b"--x--\r\n", {"content_type": FORM}, "has no field 'file'"),
        (PART.replace(b'"file"', b'"top"') + b"3\r\n--x--\r\n", {"content_type": FORM}, "has a field 'top'"),
        (b"--x\r\n\r\n3\r\n--x--\r\n", {"content_type": FORM}, "has a field ''"),
        ((PART + b"a\r\n") * 2 + b"--x--\r\n", {"content_type": FORM}, "has more than one file"),
        (b"--x\r\nA: " + b"b" * 10_000 + b"\r\n\r\n", {"content_type": FORM}, "is no form that can be read"),
        (PART + b"a\r\n--x--\r\n" + b"b" * 100_000, {"content_type": FORM}, "more than 65536 bytes of it are no file"),
    ],
)
def test_a_body_that_holds_no_file_is_refused(body, headers, said):
    with upload.spare_file() as (file, _), pytest.raises(Refusal, match=said) as caught:
        receive([body], file, Limits(), **headers)
    assert (caught.value.status, caught.value.reason) == (422, "bad_upload")


@pytest.mark.parametrize(
    "headers", [{"content_length": "99999999999"}, {"content_length": "3"}, {}, {"content_type": FORM}]
)
def test_too_many_bytes_end_an_upload_as_they_come(headers):
    with upload.spare_file() as (file, _), pytest.raises(Refusal, match="has too many bytes") as caught:
        receive([PART, *[b"a" * 50_000] * 1000], file, Limits(bytes=100_000), **headers)
    assert caught.value.status == 413
    assert file.closed


def test_a_body_that_trickles_in_is_ended():
    with upload.spare_file() as (file, _), pytest.raises(Refusal, match="came in the time that is given") as caught:
        receive([b"a"] * 1000, file, Limits(receive_seconds=0.2), seconds_between=0.02)
    assert (caught.value.status, caught.value.reason) == (408, "slow_upload")


def test_a_body_that_brings_enough_may_take_longer():
    limits = Limits(receive_seconds=0.1, receive_bytes_per_second=1000)
    with upload.spare_file() as (file, path):
        receive([b"a" * 200] * 10, file, limits, seconds_between=0.03)
        assert path.stat().st_size == 2000


def silence(path: Path, seconds: float, rate: int = 8000, n_channels: int = 1) -> bytes:
    """FLAC of silence: hours in a few kilobytes."""
    with soundfile.SoundFile(path, "w", rate, n_channels, format="FLAC", subtype="PCM_16") as file:
        for _ in range(round(seconds / 100)):
            file.write(np.zeros((100 * rate, n_channels), dtype=np.int16))
    return path.read_bytes()


def unknown_length(content: bytes) -> bytes:
    """A FLAC file whose header does not say how long it is, as one from a pipe."""
    header = bytearray(content)
    header[21] &= 0xF0
    header[22:26] = bytes(4)
    return bytes(header)


def test_hours_in_a_small_file_are_refused_before_they_are_decoded(make_client, tmp_path, refused):
    bomb = silence(tmp_path / "two_hours.flac", 7200)
    assert len(bomb) < 1_000_000
    client = make_client(limits=Limits(seconds=600))
    assert refused(client.post("/v1/tag", content=bomb)) == (413, "too_long")
    assert client.post("/v1/tag?start=7000&end=7010", content=bomb).json()["outcome"] in ("tags", "no_tag")


def test_hours_that_no_header_tells_of_are_cut_off_as_they_are_decoded(make_client, tmp_path, refused):
    bomb = unknown_length(silence(tmp_path / "bomb.flac", 1000))
    (tmp_path / "unknown.flac").write_bytes(bomb)
    assert audio.read_header(tmp_path / "unknown.flac").seconds is None
    client = make_client(limits=Limits(seconds=50))
    assert refused(client.post("/v1/tag", content=bomb)) == (413, "too_long")


def test_what_decodes_to_too_much_is_refused_whether_a_header_tells_or_not(make_client, tmp_path, refused):
    bomb = silence(tmp_path / "bomb.flac", 600, n_channels=8)
    client = make_client(limits=Limits(decoded_bytes=100_000_000))
    assert refused(client.post("/v1/tag?start=590&end=591", content=bomb)) == (413, "too_much_sound")
    assert refused(client.post("/v1/tag", content=unknown_length(bomb))) == (413, "too_much_sound")


def test_decoding_that_takes_too_long_is_ended(make_client, tmp_path, refused, long_sound):
    client = make_client(limits=Limits(work_seconds=1e-6))
    answer = client.post("/v1/tag", content=long_sound)
    assert refused(answer) == (503, "too_slow")
    assert answer.headers["retry-after"] == "1"


def test_a_watch_sees_what_is_decoded_and_can_stop_it(tmp_path, vectors):
    path = tmp_path / "long.flac"
    silence(path, 300, n_channels=2)
    seen: list[int] = []
    length = sum(len(block) for block in audio.blocks(path, 8000, 200, 210, watch=seen.append))
    assert (length, sum(seen)) == (80_000, 160_000)  # what FLAC can skip is not decoded

    def stop(n_decoded: int) -> None:
        raise AudioError("that is enough")

    with pytest.raises(AudioError, match="that is enough"):
        list(audio.blocks(path, 8000, watch=stop))


def test_what_must_be_decoded_on_the_way_is_watched_too(tmp_path):
    path = tmp_path / "long.mp3"
    soundfile.write(path, np.zeros(16_000 * 60, dtype=np.float32), 16_000, format="MP3")
    seen: list[int] = []
    length = sum(len(block) for block in audio.blocks(path, 16_000, 50, 51, watch=seen.append))
    assert length == 16_000
    assert sum(seen) >= 51 * 16_000


def test_slow_rates_are_read_in_pieces_that_stay_small_when_they_are_resampled(tmp_path):
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(100_000, dtype=np.float32), 100)
    seen: list[int] = []
    sum(len(block) for block in audio.blocks(path, 8000, watch=seen.append))
    assert max(seen) == 10_000


def test_a_tagger_on_other_parts_leaves_the_one_it_came_from(vectors):
    for name in ("cnn.tagger.onnx", "together.tagger"):
        tagger = load_tagger(vectors / name)
        asked = []

        def read(*arguments, heard=asked):
            heard.append(arguments)
            yield from audio.blocks(*arguments)

        other = tagger.with_parts(read=read)
        np.testing.assert_array_equal(
            other.score(vectors / "long.wav").scores, tagger.score(vectors / "long.wav").scores
        )
        assert len(asked) == len(getattr(tagger, "members", [tagger]))
