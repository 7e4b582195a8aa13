from __future__ import annotations

import numpy as np
import pytest

from earmark import audio
from earmark.errors import AudioError, RunError

RATE = 32_000


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("sub/A.WAV", "PCM_16")])
def test_what_is_written_comes_back_within_16_bits(tmp_path, make_tone, name, subtype):
    original = make_tone(440, RATE, 1.0)
    audio.write(tmp_path / name, original, RATE)
    assert audio.probe(tmp_path / name).subtype == subtype
    np.testing.assert_allclose(audio.load(tmp_path / name, RATE), original, atol=1 / 32_768)


def test_a_minute_of_vorbis_is_written(tmp_path, make_tone):
    audio.write(tmp_path / "long.ogg", make_tone(440, RATE, 60.0), RATE)
    assert audio.probe(tmp_path / "long.ogg").seconds == pytest.approx(60.0, abs=0.01)


def test_a_peak_above_full_scale_makes_a_float_wav_not_a_clipped_one(tmp_path, make_tone):
    original = make_tone(440, RATE, 0.5, amplitude=1.7)
    audio.write(tmp_path / "loud.wav", original, RATE)
    assert audio.probe(tmp_path / "loud.wav").subtype == "FLOAT"
    np.testing.assert_array_equal(audio.load(tmp_path / "loud.wav", RATE), original)


@pytest.mark.parametrize(
    ("name", "waveform", "reason"),
    [
        ("a.mp3", np.zeros(10), r"cannot write '\.mp3' files\. Choose \.wav, \.flac, \.ogg"),
        ("a.wav", np.zeros((10, 2)), "one row of finite samples"),
        ("a.wav", np.zeros(0), "one row of finite samples"),
        ("a.wav", np.array([0.0, np.nan]), "one row of finite samples"),
        ("a.flac", np.array([0.0, 1.5]), "FLAC cannot hold a peak of 1.5"),
    ],
)
def test_what_cannot_be_written_is_an_error_and_leaves_no_file(tmp_path, name, waveform, reason):
    with pytest.raises(AudioError, match=reason):
        audio.write(tmp_path / name, waveform, RATE)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        audio.write(tmp_path / "file" / "a.wav", np.zeros(10), RATE)
