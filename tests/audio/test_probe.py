from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

from earmark import audio
from earmark.audio.undercount import _mapped, _mp3_samples
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
        ("phone.m4a", b"\0\0\0 ftypM4A ....", "m4a needs conversion to WAV or FLAC"),
        ("film.WEBM", b"\x1a\x45\xdf\xa3", "webm needs conversion to WAV or FLAC"),
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


def test_two_mp3_joined_are_an_error_not_the_first_alone(sound, make_tone):
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III"}
    first = sound("a.mp3", make_tone(440, 44_100, 1.0), 44_100, **options)
    joined = first.with_name("joined.mp3")
    id3 = b"ID3\x04\0\0\0\0\0\x05hello"
    joined.write_bytes(first.read_bytes() + b"TAG" + bytes(125) + id3 + first.read_bytes())
    with pytest.raises(AudioError, match="holds more sound than its header lets be read"):
        audio.load(joined, RATE)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_two_ogg_joined_are_an_error_not_the_first_alone(sound, make_tone, subtype):
    first = sound("a.ogg", make_tone(440, 48_000, 1.0), 48_000, format="OGG", subtype=subtype)
    joined = first.with_name("joined.ogg")
    joined.write_bytes(2 * first.read_bytes())
    with pytest.raises(AudioError, match="is a chain of Ogg streams"):
        audio.load(joined, RATE)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("seconds", [0.02, 1.0])
def test_an_ordinary_mp3_of_any_rate_and_mode_is_read(sound, make_tone, rate, mode, seconds):
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": mode, "compression_level": 0.5}
    path = sound("a.mp3", make_tone(440, rate, seconds), rate, **options)
    assert abs(audio.probe(path).seconds - seconds) < 0.05
    assert _mapped(path, _mp3_samples) >= seconds * rate  # every frame was found
