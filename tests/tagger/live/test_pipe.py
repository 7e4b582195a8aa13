"""What comes through a pipe is samples, or an error that says what it is; nothing of it is lost."""

import os
import time

import numpy as np
import pytest

from earmark.errors import AudioError, ConfigError
from earmark.tagger.live import Pipe, pipe


def samples_of(source):
    return np.concatenate([np.zeros(0, np.float32), *(block.samples for block in source.blocks())])


def heard_until(source):
    """What was handed out before the error, and its words."""
    parts = [np.zeros(0, np.float32)]
    with pytest.raises(AudioError) as error:
        parts.extend(block.samples for block in source.blocks())
    return np.concatenate(parts), str(error.value)


@pytest.mark.parametrize("chunk", [3, 4, 1000, 1 << 20])
def test_bytes_are_put_together_however_they_come(piped, chunk):
    sent = np.linspace(-1, 1, 5000, dtype="<f4")
    np.testing.assert_array_equal(samples_of(piped(sent.tobytes(), 8000, chunk=chunk)), sent)
    whole = np.arange(-32768, 32768, 16, dtype="<i2")
    np.testing.assert_array_equal(samples_of(piped(whole.tobytes(), 8000, "s16le", chunk=chunk)), whole / 32768)


def test_channels_are_averaged_not_one_after_another(piped):
    frames = np.stack([np.full(100, 0.5), np.full(100, -0.25), np.zeros(100)], axis=1).astype("<f4")
    np.testing.assert_allclose(samples_of(piped(frames.tobytes(), 8000, "f32le", 3)), 0.25 / 3, rtol=1e-6)


def test_an_empty_pipe_is_no_sound(piped):
    assert len(samples_of(piped(b"", 8000))) == 0


def test_a_sample_that_is_cut_short_is_told_after_all_that_is_whole(piped):
    got, error = heard_until(piped(np.ones(5000, "<f4").tobytes() + b"\0\0", 8000))
    assert len(got) == 5000
    assert error.startswith("stdin: ends within a sample (2 bytes are left, a whole one has 4)")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e30])
def test_what_is_no_sample_is_told_with_its_place_and_what_came_before_is_heard(piped, wrong):
    sent = np.zeros(20_000, "<f4")
    sent[16_000] = wrong
    got, error = heard_until(piped(sent.tobytes(), 8000, chunk=3200))
    assert 15_000 < len(got) <= 16_000
    assert f"{np.float32(wrong):g} at 2.000 s is no sample (expected f32le, full scale ±1). Check --format" in error


def test_whole_numbers_taken_for_floats_are_told(piped):
    noise = np.random.default_rng(0).integers(-20_000, 20_000, 8000).astype("<i2")
    assert "is no sample (expected f32le" in heard_until(piped(noise.tobytes(), 8000))[1]


@pytest.mark.parametrize(
    ("beginning", "kind"), [(b"RIFF\x24\x08", "WAV"), (b"OggS\0", "Ogg"), (b"fLaC\0", "FLAC"), (b"ID3\x04\0", "MP3")]
)
def test_a_file_in_the_place_of_samples_is_told(piped, beginning, kind):
    assert f"stdin: begins as a {kind} file (expected raw samples). Convert it: ffmpeg -i FILE -f f32le" in heard_until(
        piped(beginning + bytes(1000), 8000)
    )[1]


def test_what_cannot_be_read_is_told(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert "stdin: cannot be read (Is a directory). Check what is piped." in heard_until(Pipe(descriptor, 8000))[1]
    os.close(descriptor)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ((0,), AudioError, "stdin: samples at 0 Hz"),
        ((10_000_000,), AudioError, r"samples at 10000000 Hz .expected 100 to 4000000."),
        ((8000, "f64le"), ConfigError, "'f64le' is not a sample format"),
        ((8000, "s16le", 0), ConfigError, r"0 channels .expected 1 to 64.. Count them again"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        Pipe(0, *options)


def test_a_writer_that_is_faster_waits_and_nothing_is_lost(piped, monkeypatch):
    monkeypatch.setattr(pipe, "BACKLOG_SECONDS", 1.0)
    sent = np.arange(800_000, dtype="<f4") / 1e6  # 100 s
    source, got = piped(sent.tobytes(), 8000, chunk=1 << 16), []
    for number, block in enumerate(source.blocks()):
        got.append(block.samples)
        assert len(block.samples) <= 8000 * 1.1
        if number < 3:
            time.sleep(0.05)
            assert source.backlog_seconds <= 1.1
    np.testing.assert_array_equal(np.concatenate(got), sent)


def test_stopped_it_hands_out_no_more_though_some_waits(piped):
    source = piped(bytes(4 * 80_000), 8000)
    blocks = source.blocks()
    next(blocks)
    source.stop()
    assert list(blocks) == []
