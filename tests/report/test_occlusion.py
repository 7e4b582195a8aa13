"""Where a tagger listened is where its score comes from."""

from __future__ import annotations

import numpy as np
import pytest

from earmark import audio
from earmark.report.held_out import HeldOut
from earmark.report.occlusion import listen, patches
from earmark.report.shown_clips import listening_text
from earmark.run import Run
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger import Clip, Tagger

RATE = 16_000


class ToneBackend:
    """Hears one frequency: its score grows with the energy there, wherever in the window."""

    def __init__(self, frequency_hz: float):
        self.frequency_hz = frequency_hz

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        time = np.arange(windows.shape[1]) / RATE
        found = np.abs(windows @ np.exp(-2j * np.pi * self.frequency_hz * time))[:, None] / 400
        return (found / (1 + found)).astype(np.float32), found.astype(np.float32)


def tagger(frequency_hz: float) -> Tagger:
    return Tagger(ToneBackend(frequency_hz), TaggerMetadata("tone", ("tone",), RATE, 4.0, 2.0, multi_label=True))


def burst(frequency_hz: float, start: float, seconds: float = 4.0) -> np.ndarray:
    """Half a second of a tone in faint noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    sounding = (time >= start) & (time < start + 0.5)
    noise = 0.001 * np.random.default_rng(0).normal(size=len(time))
    return (0.5 * sounding * np.sin(2 * np.pi * frequency_hz * time) + noise).astype(np.float32)


@pytest.mark.parametrize(("frequency_hz", "start"), [(500.0, 0.5), (3000.0, 2.0), (6500.0, 3.5)])
def test_the_strongest_patch_holds_the_tone_that_is_heard(frequency_hz, start):
    waveform = burst(frequency_hz, start) + burst(frequency_hz / 2.2, 3.9 - start)
    found = listen(tagger(frequency_hz), waveform, "tone")
    first, last, low, high = found.strongest
    assert first < start + 0.25 < last
    assert low < frequency_hz < high
    assert found.without < 0.4 * found.score
    assert found.shares.max() == 1
    assert found.shares.min() == 0


def test_a_sound_that_is_not_heard_has_no_place():
    found = listen(tagger(3000.0), np.zeros(4 * RATE, dtype=np.float32), "tone")
    assert not found.shares.any()
    assert "No single patch decides on tone" in listening_text("tone", found)


def test_patches_reach_no_higher_than_they_are_asked_to_and_cover_all_below():
    noise = np.random.default_rng(1).normal(size=RATE).astype(np.float32)
    edges_seconds, edges_hz = np.linspace(0, 1, 5), np.array([0.0, 300.0, 1000.0])
    found = list(patches(noise, RATE, edges_seconds, edges_hz))
    assert len(found) == 8
    power = np.abs(np.fft.rfft(sum(found))) ** 2
    frequencies = np.fft.rfftfreq(RATE, 1 / RATE)
    assert power[frequencies > 3000].sum() < 1e-3 * power.sum()
    assert (np.abs(sum(found[:4])) > 0).mean() > 0.99


def test_a_clip_is_asked_of_the_fold_that_held_it_out_while_there_is_time(tmp_path, write_tagger, sound_of):
    run = Run(tmp_path / "run")
    metadata = TaggerMetadata("fold", ("dog", "rain"), RATE, 0.6, 0.3, multi_label=True)
    waveform = sound_of(1, 1)
    audio.write(tmp_path / "a.wav", waveform, RATE)
    matrix = np.stack([waveform, -waveform], axis=1) / 50
    write_tagger(run.fold(2, "cnn").tagger, metadata, matrix)
    clip = Clip(tmp_path / "a.wav")
    held_out = HeldOut(run, "cnn", seconds=0.0)
    assert held_out.listen(1, clip, "dog") is None  # there is no such fold
    first = held_out.listen(2, clip, "dog")
    assert first.score > 0.95 > first.without
    assert held_out.listen(2, clip, "dog") is None  # its time is used up
    assert HeldOut(run, "cnn").listen(2, clip, "rain").influence.max() <= 0.01
