"""statistics: what samples say of a clip is the same however they arrive, and physics holds."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data.statistics import OCTAVES, ClipStatistics, StatisticsStream

RATE = 16_000


def heard(frames: np.ndarray, rate: int = RATE, subtype: str = "", cuts: tuple[int, ...] = ()) -> ClipStatistics:
    frames = np.asarray(frames, dtype=np.float32)
    frames = frames[:, np.newaxis] if frames.ndim == 1 else frames
    stream = StatisticsStream(rate, frames.shape[1], subtype)
    for block in np.split(frames, sorted(cuts)):
        stream.push(block)
    return stream.finish()


def tone(hertz: float, peak: float = 0.5, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def as_stored(waveform: np.ndarray, rate: int, subtype: str, container: str = "WAV") -> np.ndarray:
    """What a file of that kind gives back."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, subtype=subtype, format=container)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


def test_a_tone_has_its_peak_level_and_length():
    found = heard(tone(440))
    assert (found.seconds, found.n_channels, found.sample_rate) == (1.0, 1, RATE)
    assert found.peak == pytest.approx(0.5, abs=1e-3)
    assert found.rms == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert found.offset == pytest.approx(0.0, abs=1e-6)


def test_an_offset_is_told_and_counts_for_neither_level_nor_swing():
    found = heard(tone(440, 0.1) + 0.3)
    assert found.offset == pytest.approx(0.3, abs=1e-6)
    assert found.swing == pytest.approx(0.1, abs=1e-3)
    assert found.rms == pytest.approx(0.1 / np.sqrt(2), rel=1e-3)
    assert heard(np.full(RATE, 0.3)).swing == 0.0


@given(st.lists(st.integers(0, 16_000), max_size=5))
@settings(max_examples=20, deadline=None)
def test_blocks_of_any_size_give_the_same(cuts):
    generator = np.random.default_rng(3)
    frames = 0.2 * generator.standard_normal((RATE, 2))
    whole, cut = heard(frames), heard(frames, cuts=tuple(cuts))
    assert (cut.n_samples, cut.peak, cut.swing, cut.n_flat) == (whole.n_samples, whole.peak, whole.swing, whole.n_flat)
    assert [cut.rms, cut.offset, cut.mix_ratio] == pytest.approx([whole.rms, whole.offset, whole.mix_ratio], abs=1e-5)


@pytest.mark.parametrize("level", [0.3, 1.0])
def test_flat_tops_are_counted_at_full_scale_and_below_it(level):
    clipped = as_stored(level * np.clip(2 * tone(300, 1.0), -1, 1), RATE, "PCM_16")
    assert heard(clipped).flat_share > 0.3


def test_samples_flat_on_one_side_only_are_counted():
    assert heard(np.minimum(tone(300, 1.0), 0.5)).flat_share == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("hertz", [0.5, 20, 50, 440])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"])
def test_the_rounded_peak_of_a_slow_wave_is_not_flat(subtype, hertz):
    assert heard(as_stored(tone(hertz, 0.9, seconds=4.0), RATE, subtype), subtype=subtype).n_flat == 0


def test_silence_constants_and_quiet_sounds_have_no_flat_tops():
    quiet = np.round(32768 * tone(440, 3 / 32768)) / 32768
    assert [heard(samples).n_flat for samples in (np.zeros(RATE), np.full(RATE, 0.6), quiet)] == [0, 0, 0]


@pytest.mark.parametrize("container, subtype", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_a_codecs_overshoot_beyond_full_scale_is_no_flat_top(container, subtype):
    generator = np.random.default_rng(0)
    loud = np.clip(0.6 * generator.standard_normal(48_000), -0.999, 0.999)
    found = heard(as_stored(loud, 48_000, subtype, container), 48_000, subtype)
    assert found.peak > 1.0
    assert found.flat_share < 1e-4


def test_the_mix_of_opposite_channels_is_nothing_and_of_equal_ones_all():
    left, right = tone(440), np.random.default_rng(0).standard_normal(RATE) * 0.1
    assert heard(np.stack([left, -left], axis=1)).mix_ratio == pytest.approx(0.0, abs=1e-6)
    assert heard(np.stack([left, left], axis=1)).mix_ratio == pytest.approx(2.0, rel=1e-3)
    assert heard(np.stack([right, np.roll(right, 50)], axis=1)).mix_ratio == pytest.approx(1.0, abs=0.1)
    assert heard(np.stack([left, *[0 * left] * 5], axis=1)).mix_ratio == pytest.approx(1.0, rel=1e-3)


def test_what_is_no_number_is_counted_and_left_out():
    samples = tone(440).astype(np.float32)
    samples[[4000, 4001, 9000]] = np.nan, np.inf, -np.inf
    found = heard(samples, cuts=(2000,))
    assert (found.n_not_finite, found.not_finite_seconds) == (3, 0.25)
    assert found.peak == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(found.rms)


def test_a_sound_from_a_lower_rate_reaches_no_further_than_that():
    generator = np.random.default_rng(0)
    spectrum = np.fft.rfft(generator.standard_normal(2 * 44_100))
    hertz = np.fft.rfftfreq(2 * 44_100, 1 / 44_100)
    full, narrow = (np.fft.irfft(np.where(hertz < top, spectrum, 0)) for top in (23_000, 4000))
    assert heard(0.1 * full, 44_100).bandwidth_hz == 22_050
    assert heard(0.1 * narrow, 44_100).bandwidth_hz == pytest.approx(4000, abs=500)


def test_a_tone_stands_in_its_octave():
    levels = np.array(heard(tone(3000)).octaves_db)
    assert OCTAVES[int(np.nanargmax(levels))] == 2000
    assert np.nanmax(levels) == pytest.approx(0.0, abs=0.1)
    assert np.isnan(levels[-1])  # begins above the highest frequency there is


def test_nothing_at_all_gives_numbers():
    found = StatisticsStream(RATE, 2).finish()
    assert (found.seconds, found.peak, found.swing, found.rms, found.flat_share) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert np.isnan(found.bandwidth_hz)
