"""The picture shows what the sound is."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from earmark.page import spectrogram, spectrogram_uri
from earmark.page.spectrogram import MAGMA, N_COLUMNS, N_ROWS, _palette, mel


def pixels(uri: str) -> np.ndarray:
    """The palette indices of a PNG data URI, top row first, read by Pillow (not by us)."""
    images = pytest.importorskip("PIL.Image")
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64"
    image = images.open(io.BytesIO(base64.b64decode(data)))
    assert image.format == "PNG"
    assert image.mode == "P"
    return np.asarray(image)


def tone(hertz: float, seconds: float = 1.0, sample_rate: int = 16_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate)


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 3000.0, 6000.0])
@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_a_tone_is_a_line_at_its_height_on_the_mel_axis(hertz, sample_rate):
    picture = pixels(spectrogram_uri(tone(hertz, sample_rate=sample_rate), sample_rate))
    brightest = np.argmax(picture[:, 10:-10].mean(axis=1))
    expected = N_ROWS * (1 - mel(hertz) / mel(sample_rate / 2))
    assert abs(brightest + 0.5 - expected) < 2.0


def test_a_click_is_a_column_at_its_time():
    waveform = np.zeros(16_000)
    waveform[12_000] = 1.0
    picture = pixels(spectrogram_uri(waveform, 16_000))
    assert abs(np.argmax(picture.mean(axis=0)) / picture.shape[1] - 0.75) < 0.02


def test_silence_is_black_and_a_loud_sound_reaches_the_brightest_colour():
    assert pixels(spectrogram_uri(np.zeros(8000), 16_000)).max() == 0
    assert pixels(spectrogram_uri(tone(1000), 16_000)).max() == 255


def test_halving_the_level_changes_no_pixel():
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    assert np.array_equal(pixels(spectrogram_uri(noise, 16_000)), pixels(spectrogram_uri(noise / 2, 16_000)))


@pytest.mark.parametrize("n_samples", [1, 100, 3000, 16_000, 480_000])
def test_any_length_gives_a_picture_of_bounded_size(n_samples):
    picture = pixels(spectrogram_uri(np.random.default_rng(0).normal(0, 0.1, n_samples), 16_000))
    assert picture.shape[0] == N_ROWS
    assert 1 <= picture.shape[1] <= N_COLUMNS + 1


def test_the_palette_is_magma():
    colormaps = pytest.importorskip("matplotlib").colormaps
    magma = 255 * colormaps["magma"](np.arange(256))[:, :3]
    assert len(MAGMA.split()) == 17
    assert np.abs(_palette() - magma).max() < 5


def test_ticks_stand_at_their_time_and_frequency():
    text = spectrogram(tone(1000, seconds=4.0), 16_000, alt="tone")
    assert '<span style="left:50.0%">2</span>' in text
    assert f'<span style="bottom:{100 * mel(4000) / mel(8000):.1f}%">4 kHz</span>' in text
    assert ">16</span>" not in text


def test_the_alternative_text_is_escaped():
    assert 'alt="&lt;b&gt; &quot;x&quot;"' in spectrogram(tone(500), 16_000, alt='<b> "x"')
