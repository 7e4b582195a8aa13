"""The synthetic sounds obey the physics they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.data import synthesis
from earmark.data.acoustics import damped_sines, filter_moving, tone
from earmark.data.sources import SOUNDS

RATE = 16000


def played(label: str, seconds: float = 2.0, seed: int = 0, **source: float) -> np.ndarray:
    """A take of a drawn source of which some parameters are given."""
    generator = np.random.default_rng(seed)
    drawn = SOUNDS[label].draw_source(generator)
    assert set(source) <= set(drawn)
    return SOUNDS[label].play(generator, seconds, RATE, drawn | source)


def partials(waveform: np.ndarray, n: int) -> np.ndarray:
    """Frequencies of the n lowest spectral peaks within 60 dB of the strongest."""
    power = np.abs(np.fft.rfft(waveform * np.blackman(len(waveform)), 8 * len(waveform)))
    # A peak is the largest within 40 Hz to either side.
    width = round(40 * 8 * len(waveform) / RATE)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(power, width), 2 * width + 1).max(axis=1)
    peaks = np.flatnonzero((power == around) & (power > 1e-3 * power.max()))
    return peaks[:n] * RATE / (8 * len(waveform))


def share(waveform: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Share of the energy between two frequencies."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    hertz = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return float(power[(hertz >= low_hz) & (hertz < high_hz)].sum() / power.sum())


def strongest_hz(waveform: np.ndarray, frame: int = 1024) -> np.ndarray:
    """The strongest frequency of each frame."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, frame)[:: frame // 2] * np.hanning(frame)
    return np.abs(np.fft.rfft(frames, 4 * frame)).argmax(axis=1) * RATE / (4 * frame)


def log_bands(waveform: np.ndarray) -> np.ndarray:
    """Mean level in dB in 24 log-spaced bands, and its spread over time: (48,), without the overall level."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 512)[::256] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(1, 257, 25).astype(int))
    levels = 10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    return np.concatenate([levels.mean(0) - levels.mean(), levels.std(0)])


@pytest.mark.parametrize("label", SOUNDS)
def test_every_sound_is_finite_float32_of_full_scale_and_the_length_asked(label):
    for seconds in (0.45, 1.3):
        waveform = played(label, seconds)
        assert waveform.dtype == np.float32
        assert waveform.shape == (round(seconds * RATE),)
        assert np.isfinite(waveform).all()
        assert np.abs(waveform).max() == pytest.approx(1)


@pytest.mark.parametrize("label", SOUNDS)
def test_every_sound_plays_at_other_sample_rates(label):
    for rate in (8000, 44100):
        source = SOUNDS[label].draw_source(np.random.default_rng(0))
        waveform = SOUNDS[label].play(np.random.default_rng(1), 1.0, rate, source)
        assert waveform.shape == (rate,)
        assert np.isfinite(waveform).all()


@pytest.mark.parametrize("label", SOUNDS)
def test_same_seed_same_sound_other_seed_another(label):
    source = SOUNDS[label].draw_source(np.random.default_rng(0))
    takes = [SOUNDS[label].play(np.random.default_rng(seed), 1.0, RATE, source) for seed in (1, 1, 2)]
    assert np.array_equal(takes[0], takes[1])
    assert not np.array_equal(takes[0], takes[2])


@pytest.mark.parametrize("label", SOUNDS)
def test_takes_of_one_source_are_nearer_than_those_of_others(label):
    generator = np.random.default_rng(3)
    sources = [SOUNDS[label].draw_source(generator) for _ in range(8)]
    takes = np.array(
        [
            [log_bands(SOUNDS[label].play(generator, 2.0, RATE, source)) for _ in range(2)]
            for source in sources
        ]
    )
    distance = np.linalg.norm(takes[:, 0, None] - takes[None, :, 1], axis=-1)
    same = np.diag(distance).mean()
    other = distance[~np.eye(len(sources), dtype=bool)].mean()
    assert same < 0.9 * other


def test_sources_stay_in_their_ranges():
    generator = np.random.default_rng(0)
    for sound in SOUNDS.values():
        for _ in range(20):
            source = sound.draw_source(generator)
            assert all(low <= source[name] <= high for name, (low, high) in sound.source.items())


def test_bar_partials_stand_at_the_free_free_ratios():
    waveform = played(
        "struck_bar", 1.0, pitch_hz=400, decay_seconds=0.8, loss=0.35, contact_ms=0.07, rate_hz=1
    )
    found = partials(waveform, 4)
    assert found[0] == pytest.approx(400, rel=0.002)
    assert found / found[0] == pytest.approx([1, 2.756, 5.404, 8.933], rel=0.003)


def test_high_partials_of_a_bar_die_first():
    waveform = played(
        "struck_bar", 1.0, pitch_hz=400, decay_seconds=0.5, loss=0.8, contact_ms=0.07, rate_hz=1
    )
    early, late = waveform[: RATE // 5], waveform[RATE // 2 : RATE * 7 // 10]
    assert share(late, 1000, 8000) < 0.1 * share(early, 1000, 8000)


def test_string_partials_are_harmonic_within_stiffness():
    waveform = played(
        "plucked_string", 1.0, pitch_hz=220, stiffness=2e-4, position=0.13, decay_seconds=0.9,
        damping_hz=3000, rate_hz=1,
    )  # fmt: skip
    found = partials(waveform, 6)
    n = np.arange(1, 7)
    assert found[0] == pytest.approx(220, rel=0.01)
    assert found / found[0] == pytest.approx(n * np.sqrt((1 + 2e-4 * n**2) / (1 + 2e-4)), rel=0.002)


def test_string_plucked_in_the_middle_has_weak_even_partials():
    waveform = played(
        "plucked_string", 1.0, pitch_hz=220, stiffness=1e-6, position=0.5, decay_seconds=0.9, rate_hz=1
    )
    assert share(waveform, 400, 480) < 0.1 * share(waveform, 620, 700)


def test_siren_sweeps_its_range_and_stays_in_it():
    hertz = strongest_hz(played("siren", 3.0, low_hz=500, span=2.0, sweep_hz=0.5, brightness=0.2))[1:-1]
    assert hertz.min() == pytest.approx(500, rel=0.05)
    assert hertz.max() == pytest.approx(1000, rel=0.05)
    assert np.abs(np.diff(hertz)).max() < 100


def test_alarm_stands_on_one_pitch_and_switches_on_and_off_at_its_rate():
    waveform = played("alarm", 2.0, pitch_hz=1000, second=1.0, beep_hz=4, brightness=0.2)
    assert share(waveform, 960, 1040) > 0.9
    level = np.abs(waveform).reshape(-1, RATE // 100).max(axis=1)
    spectrum = np.abs(np.fft.rfft(level - level.mean()))
    assert spectrum.argmax() / 2.0 == 4


def test_kick_lies_below_200_hz():
    for seed in range(5):
        assert share(played("kick", seed=seed), 0, 200) > 0.9


def test_hi_hat_lies_above_4_khz():
    for seed in range(5):
        assert share(played("hi_hat", seed=seed), 4000, 8000) > 0.95


def test_a_clap_is_over_within_an_eighth_of_a_second():
    for seed in range(5):
        energy = np.cumsum(np.square(played("hand_clap", 0.5, seed=seed, rate_hz=2)))
        assert np.searchsorted(energy, 0.95 * energy[-1]) < RATE / 8


def test_wind_falls_with_frequency():
    for seed in range(5):
        waveform = played("wind", seed=seed, cutoff_hz=250, whistle=1e-6)
        below, octave, next_octave = (
            share(waveform, 0, 1500),
            share(waveform, 1500, 3000),
            share(waveform, 3000, 6000),
        )
        assert below > 2 * octave > 4 * next_octave


def test_rain_is_dense_and_fire_is_sparse():
    def kurtosis(waveform: np.ndarray) -> float:
        bright = np.diff(waveform)
        return float(np.mean(bright**4) / np.mean(bright**2) ** 2)

    rain = max(kurtosis(played("rain", seed=seed)) for seed in range(5))
    fire = min(kurtosis(played("fire", seed=seed)) for seed in range(5))
    assert 2 * rain < fire


def test_engine_fires_at_its_rate():
    waveform = played("engine", 3.0, firing_hz=40, jitter=0.005, unevenness=0.05, pipe_hz=200, clatter=0.1)
    envelope = np.square(waveform).reshape(-1, 40).mean(axis=1)
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    hertz = np.fft.rfftfreq(len(envelope), 40 / RATE)
    # Revs differ by −15 to +20 % between takes and drift within one.
    assert 40 * 0.75 < hertz[spectrum.argmax()] < 40 * 1.35


def test_bird_glides():
    hertz = strongest_hz(played("bird", 1.0, pitch_hz=2000, glide=0.6, syllable_seconds=0.2, rate_hz=3), 256)
    assert hertz.min() < 2200
    assert 1.25 * hertz.min() < hertz.max() < 5000


def test_dog_barks_are_short_bursts():
    waveform = played("dog_bark", 2.0, bark_seconds=0.15, rate_hz=2)
    level = np.abs(waveform).reshape(-1, RATE // 50).max(axis=1)
    loud = level > 0.05
    onsets = np.count_nonzero(loud[1:] & ~loud[:-1]) + loud[0]
    assert onsets == 4
    assert loud.mean() < 0.5


def test_speech_has_its_pitch_and_moving_formants():
    waveform = played("speech", 2.0, pitch_hz=120, syllable_hz=4, hiss=0.01)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(waveform, 4 * RATE)) ** 2)
    lags = np.arange(RATE // 240, RATE // 70)
    assert 80 < RATE / lags[correlation[lags].argmax()] < 180
    frames = waveform[: RATE * 2].reshape(-1, 800)
    power = np.abs(np.fft.rfft(frames * np.hanning(800))) ** 2 + 1e-6
    voiced = power.sum(1) > np.median(power.sum(1))
    upper = power[voiced, 35:150]  # 700 to 3000 Hz: the second formant
    centre = (upper * np.arange(35, 150)).sum(1) / upper.sum(1) * 20
    assert centre.max() - centre.min() > 400


def test_damped_sines_equal_their_definition():
    hertz, decay, level = (
        np.array([100.0, 440.0, 9000.0]),
        np.array([0.1, 0.02, 1.0]),
        np.array([1.0, 0.5, 1.0]),
    )
    t = np.arange(1234) / RATE
    expected = sum(
        a * np.sin(2 * np.pi * f * t) * np.exp(-t / d)
        for f, d, a in list(zip(hertz, decay, level, strict=True))[:2]
    )
    assert damped_sines(hertz, decay, level, 1234, RATE) == pytest.approx(expected, abs=1e-9)


def test_a_moving_filter_of_gain_one_changes_nothing():
    noise = np.random.default_rng(0).standard_normal(5001)
    same = filter_moving(noise, RATE, lambda seconds, hertz: np.ones((len(seconds), len(hertz))))
    assert same == pytest.approx(noise, abs=1e-9)


def test_a_high_tone_does_not_alias():
    waveform = tone(np.full(RATE, 3000.0), 0.6, RATE)
    assert share(waveform, 2900, 3100) + share(waveform, 5900, 6100) > 0.999


def test_bar_ratios_are_roots_of_the_free_free_equation():
    roots = synthesis.BAR_ROOTS
    assert np.cos(roots) == pytest.approx(1 / np.cosh(roots), abs=1e-6)
    assert pytest.approx([1, 2.756, 5.404, 8.933, 13.344], abs=1e-3) == synthesis.BAR_RATIOS
