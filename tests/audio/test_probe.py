from __future__ import annotations

import os
import pathlib
import socket

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError

RATE = 16_000


def test_probe_tells_rate_channels_duration_and_format(sound):
    path = sound("a.wav", np.zeros((4_410, 2), dtype=np.float32), 44_100, subtype="PCM_24")
    assert audio.probe(path) == audio.AudioInfo(44_100, 2, 0.1, "WAV", "PCM_24")


def test_probe_counts_a_stream_of_unknown_length(sound, make_tone):
    path = sound("piped.flac", make_tone(440, RATE, 1.5), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio.probe(path).seconds == 1.5


def test_the_content_decides_the_format_not_the_name(sound, make_tone):
    original = make_tone(440, RATE, 0.2)
    flac = sound("a.flac", original, RATE)
    for name in ("really_flac.mp3", "no_extension", "UPPER.WAV"):
        renamed = flac.with_name(name)
        renamed.write_bytes(flac.read_bytes())
        np.testing.assert_allclose(audio.load(renamed, RATE), original, atol=1e-4)


@pytest.mark.skipif(os.name != "posix", reason="names that are not Unicode exist on POSIX only")
def test_a_name_that_is_not_unicode_opens(sound, make_tone, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    os.rename(sound("plain.wav", make_tone(440, RATE, 0.2), RATE), odd)
    assert len(audio.load(pathlib.Path(os.fsdecode(odd)), RATE)) == round(0.2 * RATE)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.wav", b"", r"is empty \(0 bytes\)"),
        ("text.wav", b"This is not a sound at all", r"it starts with 'This is not '"),
        ("page.mp3", b"  <!DOCTYPE html><html>404</html>", "is a web page"),
        ("page2.mp3", b"<html><body>moved</body></html>", "is a web page"),
        ("pointer.wav", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("page3.wav", b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "is a web page"),
        ("page4.wav", "<html>".encode("utf-16"), "is a web page"),
        ("quota.wav", b'{"error": {"code": 403}}', "is a JSON document"),
        ("denied.flac", b"<?xml version='1.0'?><Error>", "is an XML document"),
        ("set.wav", b"PK\3\4 ........", r"is an archive\. Unpack it"),
        ("set.wav.gz", b"\x1f\x8b\x08.........", "is an archive"),
        ("paper.mp3", b"%PDF-1.7 ....", "is a PDF document"),
        ("phone.m4a", b"\0\0\0 ftypM4A ....", "is not a sound that can be decoded|needs the PyAV package"),
        ("samples.raw", bytes(100), "raw samples say neither rate nor format"),
        ("riff.wav", b"RIFF\x10\0\0\0WAVEfmt ", "is not a sound that can be decoded"),
    ],
)
def test_a_file_that_is_no_sound_is_an_error_that_says_what_it_is(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (
        audio.probe,
        lambda path: audio.load(path, RATE),
        lambda path: list(audio.blocks(path, RATE)),
    ):
        with pytest.raises(AudioError, match=reason) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_a_folder_and_a_header_without_samples_are_errors(tmp_path, sound):
    with pytest.raises(AudioError, match="there is no such file"):
        audio.load(tmp_path / "absent.wav", RATE)
    with pytest.raises(AudioError, match="is a folder, not a sound file"):
        audio.load(tmp_path, RATE)
    with pytest.raises(AudioError, match=r"holds no sound \(0 samples\)"):
        audio.load(sound("header.wav", np.zeros(0, dtype=np.float32), RATE), RATE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
@pytest.mark.timeout(20)
def test_a_pipe_or_device_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", "/dev/zero"):
        with pytest.raises(AudioError, match="is a pipe or device"):
            audio.load(path, RATE)


def test_a_name_too_long_for_the_platform_is_an_error(tmp_path):
    with pytest.raises(AudioError, match="cannot be reached"):
        audio.load(tmp_path / ("x" * 5_000 + ".wav"), RATE)


def test_a_file_without_permission_is_an_error(sound, make_tone, monkeypatch):
    path = sound("secret.wav", make_tone(440, RATE, 0.1), RATE)
    if os.geteuid() == 0:  # root may read anything, so the refusal is played

        def refuse(*arguments, **options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
    else:
        path.chmod(0)
    with pytest.raises(AudioError, match=r"cannot be opened \(Permission denied\)"):
        audio.load(path, RATE)


def test_an_absurd_sample_rate_is_an_error(sound):
    path = sound("slow.wav", np.zeros(100, dtype=np.float32), 8_000)
    header = bytearray(path.read_bytes())
    header[24:28] = (7).to_bytes(4, "little")
    path.write_bytes(header)
    with pytest.raises(AudioError, match="sample rate of 7 Hz"):
        audio.load(path, RATE)


SOUND_STARTS = [
    *(b"RIFF\0\0\0\0WAVE", b"RF64\xff\xff\xff\xffWAVE", b"RIFX\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"FORM\0\0\0\0AIFC"),
    *(b"fLaC", b"OggS", b"ID3\x04", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"\xff\xfb\x90", b"wvpk"),
]


@pytest.mark.parametrize("start", SOUND_STARTS, ids=repr)
def test_a_file_without_suffix_is_a_sound_by_its_first_bytes(saved, start):
    assert audio.is_sound(saved("nameless", start + bytes(20)))
    assert not audio.is_sound(saved("named.txt", start + bytes(20)))


@pytest.mark.parametrize(
    "start", [b"", b"R", b"RIFF\0\0\0\0AVI ", b"FORM\0\0\0\0ILBM", b"%PDF", b"\x89PNG", b"some text"]
)
def test_a_file_without_suffix_and_such_bytes_is_none(saved, start):
    assert not audio.is_sound(saved("nameless", start))


def test_a_suffix_decides_without_opening_the_file(tmp_path):
    for suffix in (".wav", ".WAV", ".opus", ".m4a", ".mp2"):
        assert audio.is_sound(tmp_path / f"absent{suffix}")
    for name in ("absent", "notes.txt", "list.csv", "archive.zip"):
        assert not audio.is_sound(tmp_path / name)
    (tmp_path / "folder.wav").mkdir()
    assert not audio.is_sound(tmp_path / "folder.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
@pytest.mark.timeout(20)
def test_pipes_sockets_devices_and_links_are_refused_without_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    os.mkfifo("pipe")
    os.mkfifo("pipe.flac")
    os.symlink("/dev/zero", "zero.wav")
    os.symlink("loop.wav", "loop.wav")
    os.symlink("pipe.flac", "link.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
        for name in ("pipe", "pipe.flac", "zero.wav", "loop.wav", "link.wav", "socket.wav"):
            assert audio.is_sound(name) == (name != "pipe")
            for read in (audio.probe, lambda path: audio.load(path, RATE), lambda path: list(audio.read_frames(path))):
                with pytest.raises(AudioError, match="is a pipe or device|cannot be reached"):
                    read(name)


def test_a_nameless_file_that_cannot_be_opened_is_none(saved, monkeypatch):
    path = saved("nameless", b"fLaC")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert not audio.is_sound(path)
