"""The picture of a recording: the right labels in the right columns, as a whole file of the kind asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from earmark import audio
from earmark.errors import AudioError, ConfigError
from earmark.predictions import Predictions
from earmark.report.plot import _draw_scores, _draw_spectrogram, _draw_waveform, plot, window_edges
from earmark.tagger import TaggerMetadata, load_tagger

RATE = 8000
BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def tagger(tmp_path):
    """Hears in which of four bands the power lies; the labels try to be formulas."""
    labels = ("$low$", "mid_low", "mid^high", "high")
    metadata = TaggerMetadata("bands", labels, RATE, 0.5, 0.25, multi_label=True)
    (tmp_path / "bands.json").write_text(metadata.to_json(), encoding="utf-8")
    return load_tagger(tmp_path / "bands.json", backend="fake")


@pytest.fixture
def recording(tmp_path) -> Path:
    """One second at 3.5 kHz, then one at 1.5 kHz and 0.5 kHz, the latter weaker."""
    seconds = np.arange(RATE) / RATE
    first, second, third = (np.sin(2 * np.pi * hertz * seconds) for hertz in (3500, 1500, 500))
    tones = np.concatenate([0.5 * first, 0.3 * second + 0.2 * third])
    audio.write(tmp_path / "tones.wav", tones.astype(np.float32), RATE)
    return tmp_path / "tones.wav"


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_a_picture_is_of_the_kind_its_name_says(tagger, recording, tmp_path, suffix):
    out = tmp_path / "made" / f"tones{suffix}"
    assert plot(tagger, recording, out, top=2) == ["high", "mid_low"]
    assert out.read_bytes().startswith(BEGINNINGS[suffix])
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_more_labels_than_there_are_shows_all(tagger, recording, tmp_path):
    assert set(plot(tagger, recording, tmp_path / "a.png", top=99)) == set(tagger.labels)


def test_another_kind_of_picture_is_refused_before_anything_is_heard(tagger, tmp_path):
    with pytest.raises(ConfigError, match=r"a\.gif: is not a picture that can be drawn \(expected \.png, \.svg, \.pdf"):
        plot(tagger, tmp_path / "absent.wav", tmp_path / "a.gif")


def test_a_broken_sound_leaves_no_picture(tagger, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError):
        plot(tagger, tmp_path / "broken.wav", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_the_columns_of_windows_meet_and_cover_the_recording(tagger, recording):
    scores = tagger.score(recording)
    edges = window_edges(scores)
    assert (edges[0], edges[-1]) == (0.0, 2.0)
    np.testing.assert_allclose(edges[1:-1], scores.starts[1:] + 0.125)
    assert (np.diff(edges) > 0).all()


def test_one_window_is_one_column_as_long_as_the_sound(tagger, tmp_path):
    audio.write(tmp_path / "short.wav", np.zeros(1600, dtype=np.float32), RATE)
    np.testing.assert_allclose(window_edges(tagger.score(tmp_path / "short.wav")), [0.0, 0.2])


def test_a_score_is_drawn_in_its_labels_row_and_its_windows_column():
    values = np.array([[0.1, 0.9, 0.2], [0.8, 0.3, 0.4]], dtype=np.float32)
    times = np.array([0.0, 1.0])
    scores = Predictions(np.array(["a", "a"], dtype=object), times, times + 1, values, ("x", "y", "z"), "window")
    axes = Figure().subplots()
    cells = _draw_scores(axes, scores, np.array([1, 0]))
    np.testing.assert_allclose(cells.get_array(), [[0.9, 0.3], [0.1, 0.8]], rtol=1e-6)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["y", "x"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the strongest is on top


def test_a_click_is_seen_in_the_waveform():
    waveform = np.zeros(RATE * 60, dtype=np.float32)
    waveform[12345] = -0.7
    axes = Figure().subplots()
    _draw_waveform(axes, waveform, RATE)
    [area] = axes.collections
    points = area.get_paths()[0].vertices
    assert points[:, 1].min() == np.float32(-0.7)
    assert abs(points[points[:, 1].argmin(), 0] - 12345 / RATE) < 0.05


def test_a_tone_lies_at_its_tick_of_the_spectrogram():
    waveform = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
    axes = Figure().subplots()
    _draw_spectrogram(axes, waveform, RATE)
    [image] = axes.images
    decibels, top = image.get_array(), image.get_extent()[3]
    loudest = (decibels.mean(axis=1).argmax() + 0.5) / len(decibels) * top
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["0.5", "1", "2"]
    assert abs(loudest - axes.get_yticks()[labels.index("2")]) < 2 * top / len(decibels)
