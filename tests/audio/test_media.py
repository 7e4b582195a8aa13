"""What PyAV decodes; the files are made with it too."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError

av = pytest.importorskip("av")

RATE = 16_000
# Name, FFmpeg's codec and container, sample rate.
FORMATS = [
    ("aac.m4a", "aac", "ipod", 44_100),
    ("aac.aac", "aac", "adts", 44_100),
    ("alac.m4a", "alac", "ipod", 44_100),
    ("opus.webm", "libopus", "webm", 48_000),
    ("aac.mka", "aac", "matroska", 44_100),
    ("wavpack.wv", "wavpack", "wv", 44_100),
    ("ac3.ac3", "ac3", "ac3", 48_000),
    ("tta.tta", "tta", "tta", 44_100),
    ("flash.flv", "libmp3lame", "flv", 44_100),
]
LOSSLESS = ("alac.m4a", "wavpack.wv", "tta.tta")


def tone(seconds: float, rate: int, channels: int) -> np.ndarray:
    """Float32 (channels, samples): a tone, half as loud in every next channel."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 / (n + 1) * np.sin(2 * np.pi * 440 * time) for n in range(channels)]).astype(np.float32)


def made(codec: str, container: str, rate: int, seconds: float = 2.0, channels: int = 2, streams: int = 1) -> bytes:
    """The bytes of a file as FFmpeg writes it, the same tone in every stream."""
    written = io.BytesIO()
    with av.open(written, "w", format=container) as file:
        layout = {1: "mono", 2: "stereo"}[channels]
        coders = [file.add_stream(codec, rate=rate, layout=layout) for _ in range(streams)]
        known = [form.name for form in coders[0].codec_context.codec.audio_formats]
        form = next((name for name in known if name.startswith("s16")), known[0])
        for coder in coders:
            coder.codec_context.format = form
        for coder in coders:
            context = coder.codec_context
            convert = av.AudioResampler(format=form, layout=layout, rate=rate, frame_size=context.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(tone(seconds, rate, channels), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            for piece in (*convert.resample(frame), *convert.resample(None)):
                file.mux(coder.encode(piece))
            file.mux(coder.encode(None))
    return written.getvalue()


@pytest.mark.parametrize(("name", "codec", "container", "rate"), FORMATS)
def test_the_mean_of_the_channels_comes_at_its_length_pitch_and_level(saved, name, codec, container, rate):
    path = saved(name, made(codec, container, rate))
    waveform = audio.load(path, RATE)
    assert 0 <= len(waveform) / RATE - 2.0 < 0.06
    assert abs(audio.probe(path).seconds - 2.0) < 0.06
    middle = waveform[RATE // 2 : RATE // 2 * 3].astype(np.float64)
    assert np.std(middle) == pytest.approx(0.375 / np.sqrt(2), rel=0.06)  # PyAV's own mixing is 3 dB louder
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() == 440


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_codecs_give_the_samples_back(saved, name):
    codec, container = next(found[1:3] for found in FORMATS if found[0] == name)
    path = saved(name, made(codec, container, 44_100))
    frames = np.concatenate(list(audio.read_frames(path)))
    np.testing.assert_allclose(frames, tone(2.0, 44_100, 2).T, atol=1 / 32_768)
    info = audio.probe(path)
    assert (info.sample_rate, info.n_channels, info.seconds) == (44_100, 2, 2.0)


@pytest.mark.parametrize(("name", "codec", "container", "rate"), FORMATS)
def test_blocks_and_regions_are_pieces_of_the_whole(saved, monkeypatch, name, codec, container, rate):
    path = saved(name, made(codec, container, rate))
    whole = audio.load(path, rate)
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path, rate, block_seconds=0.07))), whole)
    np.testing.assert_array_equal(audio.load(path, rate, 0.5, 1.25), whole[rate // 2 : rate // 4 * 5])
    monkeypatch.setattr(sys.modules["earmark.audio.sound"], "READ_SAMPLES", 5_000)
    np.testing.assert_array_equal(audio.load(path, rate), whole)


@pytest.mark.parametrize(("name", "codec", "container", "rate"), FORMATS)
def test_without_pyav_the_error_names_the_codec_and_the_extra(saved, without_av, name, codec, container, rate):
    path = saved(name, made(codec, container, rate, seconds=0.2))
    with pytest.raises(
        AudioError, match=r"\w needs the PyAV package to decode. pip install 'earmark\[media\]', or convert"
    ):
        audio.load(path, RATE)


def test_the_content_and_not_the_name_decides(saved, without_av):
    path = saved("really_aac.wav", made("aac", "ipod", 44_100, 0.2))
    with pytest.raises(AudioError, match=r"really_aac.wav: AAC needs the PyAV package"):
        audio.load(path, RATE)


@pytest.mark.parametrize("name", ["opus.webm", "wavpack.wv", "aac.mka"])
def test_a_cut_file_says_what_is_there(saved, name):
    codec, container, rate = next(found[1:] for found in FORMATS if found[0] == name)
    content = made(codec, container, rate, seconds=4.0)
    path = saved(name, content[: len(content) * 2 // 3])
    with pytest.raises(
        audio.CutOffError, match=r"stops at [23]\.\d\d s|is damaged at or after [123]\.\d\d s"
    ) as caught:
        audio.load(path, RATE)
    assert 1.4 < caught.value.readable_seconds < 3.1
    assert caught.value.claimed_seconds == pytest.approx(4.0, abs=0.05)
    assert len(audio.load(path, RATE, end=1.0)) == RATE


def test_a_file_without_its_index_is_an_error(saved):
    content = made("aac", "ipod", 44_100)
    with pytest.raises(AudioError, match="is not a sound that can be decoded"):
        audio.load(saved("no_moov.m4a", content[: len(content) * 2 // 3]), RATE)


def test_several_sounds_at_the_same_time_are_an_error(saved):
    with pytest.raises(AudioError, match="holds 2 sounds at the same time"):
        audio.load(saved("two.m4a", made("aac", "ipod", 44_100, 0.2, streams=2)), RATE)


def test_a_film_without_sound_is_an_error(saved):
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as file:
        film = file.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(5):
            file.mux(film.encode(av.VideoFrame(64, 64, "yuv420p")))
        file.mux(film.encode(None))
    with pytest.raises(AudioError, match="is a film or picture without sound"):
        audio.load(saved("silent.mp4", written.getvalue()), RATE)


def test_a_rate_that_changes_on_the_way_is_an_error(saved):
    path = saved("joined.aac", made("aac", "adts", 44_100) + made("aac", "adts", 22_050))
    with pytest.raises(AudioError, match=r"changes its sample rate at [12]\.\d\d s \(from 44100 to 22050 Hz\)"):
        audio.load(path, RATE)


def test_channels_that_change_on_the_way_keep_their_mean(saved):
    path = saved("joined.aac", made("aac", "adts", 44_100, channels=2) + made("aac", "adts", 44_100, channels=1))
    waveform = audio.load(path, 44_100)
    assert 4.0 < len(waveform) / 44_100 < 4.1
    assert np.std(waveform[60_000:70_000]) == pytest.approx(0.375 / np.sqrt(2), rel=0.05)
    assert np.std(waveform[-40_000:-20_000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert {frames.shape[1] for frames in audio.read_frames(path)} == {2}


def test_a_list_of_other_files_is_not_followed(saved):
    target = saved("target.m4a", made("aac", "ipod", 44_100, 0.5))
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{target}\n#EXT-X-ENDLIST\n"
    with pytest.raises(AudioError, match="is not a sound that can be decoded"):
        audio.load(saved("list.m4a", text.encode()), RATE)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_no_sound(saved, seed):
    with pytest.raises(AudioError):
        audio.load(saved("random.mp4", np.random.default_rng(seed).bytes(300_000)), RATE)


def test_pyav_is_not_imported_before_it_is_needed():
    code = "import sys, earmark.audio as a; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_samples_of_64_bits_come_at_their_level(saved):
    samples = (tone(1.0, 16_000, 2).T.astype(np.float64) * 2**62).astype("<i8")
    form = struct.pack("<HHIIHH", 1, 2, 16_000, 16_000 * 16, 16, 64)
    data = samples.tobytes()
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path = saved("s64.wav", b"RIFF" + struct.pack("<I", len(body)) + body)
    waveform = audio.load(path, RATE)
    np.testing.assert_allclose(waveform, samples.mean(axis=1) / 2**63, atol=1e-6)
