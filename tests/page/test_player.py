"""What the player carries is the sound it was given."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile

from earmark.page import SCRIPT, STYLE, audio_uri, player, sound


def decode(uri: str) -> tuple[str, np.ndarray, int]:
    """Media type, samples and rate of an audio data URI."""
    kind, data = uri.split(";base64,")
    waveform, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    return kind, waveform, sample_rate


def noise(seconds: float, sample_rate: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * sample_rate)).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [7000, 16_000, 44_100])
def test_a_short_sound_comes_back_within_16_bits(sample_rate):
    waveform = noise(0.5, sample_rate)
    kind, decoded, rate = decode(audio_uri(waveform, sample_rate))
    assert (kind, rate) == ("data:audio/flac", sample_rate)
    assert np.abs(decoded - waveform).max() <= 1 / 32768


def test_a_sound_whose_flac_is_large_becomes_a_smaller_mp3_of_the_same_length():
    seconds = np.arange(30 * 16_000) / 16_000
    waveform = (0.3 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32) + 0.1 * noise(30, 16_000)
    kind, decoded, rate = decode(audio_uri(waveform, 16_000, max_lossless_bytes=200_000))
    assert (kind, rate) == ("data:audio/mpeg", 16_000)
    assert abs(len(decoded) - len(waveform)) < 16_000 * 0.1
    spectrum = np.abs(np.fft.rfft(decoded[16_000:32_000]))
    assert np.argmax(spectrum) == 440
    assert (
        len(audio_uri(waveform, 16_000, max_lossless_bytes=200_000))
        < len(audio_uri(waveform, 16_000, 10**8)) / 2
    )


def test_a_rate_that_mp3_lacks_stays_flac_however_large():
    assert decode(audio_uri(noise(1, 7000), 7000, max_lossless_bytes=10))[0] == "data:audio/flac"


def test_a_sound_above_full_scale_is_scaled_not_clipped():
    waveform = 1.5 * np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000)
    _, decoded, _ = decode(audio_uri(waveform, 16_000))
    assert np.allclose(decoded, waveform / 1.5, atol=1e-4)


def test_names_are_escaped_in_every_attribute():
    text = player(noise(0.1, 8000), 8000, name='"><script>') + sound(
        noise(0.1, 8000), 8000, name='"><script>'
    )
    assert "<script" not in text


def test_the_shared_style_and_script_ask_for_nothing_from_outside():
    for text in (STYLE, SCRIPT):
        assert text.strip()
        assert "http" not in text
        assert "url(" not in text
        assert "@import" not in text
