"""Fourteen sounds made from physics.

Every sound is a pure function `(generator, seconds, sample_rate, source) -> waveform`: float32, peak 1.
`source` is what one bell, engine or speaker keeps for life; the generator draws what differs between takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np
from numpy.random import Generator

from earmark.data.acoustics import (
    convolve,
    damped_sines,
    drift,
    filter_fixed,
    filter_moving,
    filtered_noise,
    high_pass,
    low_pass,
    perform,
    pulses,
    resonance,
    tone,
    voice,
)

Source = dict[str, float]
Play = Callable[[Generator, float, int, Source], np.ndarray]

# Free-free bar: the roots of cosh(x)·cos(x) = 1; partials go as their squares.
# Source: Fletcher & Rossing, The Physics of Musical Instruments, chapter 2.
BAR_ROOTS = np.array([4.730041, 7.853205, 10.995608, 14.137166, 17.278760])
BAR_RATIOS = (BAR_ROOTS / BAR_ROOTS[0]) ** 2

# First three formants (Hz) of men's i, e, a, o, u. Source: Peterson & Barney, JASA 24 (1952) 175.
VOWELS = np.array(
    [[270, 2290, 3010], [530, 1840, 2480], [730, 1090, 2440], [570, 840, 2410], [300, 870, 2240]]
)


def _finished(fade_seconds: float = 0.0) -> Callable[[Play], Play]:
    """Fade a sound in and (at least 20 ms) out, bring its peak to 1 and its samples to float32."""

    def finish(play: Play) -> Play:
        @wraps(play)
        def played(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
            waveform = play(generator, seconds, sample_rate, source)
            t = np.arange(len(waveform)) / sample_rate
            rise = np.minimum(t / fade_seconds, 1) if fade_seconds else 1.0
            waveform = waveform * rise * np.minimum(t[::-1] / max(fade_seconds, 0.02), 1)
            return (waveform / np.abs(waveform).max()).astype(np.float32)

        return played

    return finish


@_finished()
def struck_bar(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A free bar (chime, glockenspiel) struck at changing points: partials 1 : 2.756 : 5.404 : 8.933 : 13.34.

    Higher partials die sooner (τ ∝ ratio^−loss); a longer contact with the mallet leaves them out at once.
    """
    hertz = source["pitch_hz"] * BAR_RATIOS
    decay = source["decay_seconds"] * BAR_RATIOS ** -source["loss"]
    roll_off = np.exp(-((hertz * source["contact_ms"] / 1000) ** 2))
    skew = (np.cosh(BAR_ROOTS) - np.cos(BAR_ROOTS)) / (np.sinh(BAR_ROOTS) - np.sin(BAR_ROOTS))

    def strike() -> np.ndarray:
        at = BAR_ROOTS * generator.uniform(0.3, 0.48)
        mode_shape = np.cosh(at) + np.cos(at) - skew * (np.sinh(at) + np.sin(at))
        return damped_sines(
            hertz, decay, mode_shape * roll_off, round(5 * decay[0] * sample_rate), sample_rate
        )

    return perform(generator, seconds, sample_rate, source["rate_hz"], strike)


@_finished()
def plucked_string(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A stiff string: partials n·f·√(1 + B·n²), as sin(nπp)/n for a pluck at p; high ones die sooner."""
    n = np.arange(1, 41)
    hertz = source["pitch_hz"] * n * np.sqrt(1 + source["stiffness"] * n**2)
    decay = source["decay_seconds"] / (1 + (hertz / source["damping_hz"]) ** 2)

    def pluck() -> np.ndarray:
        amplitudes = np.sin(n * np.pi * source["position"] * generator.uniform(0.9, 1.1)) / n
        bend = 1 + 0.002 * generator.standard_normal()
        return damped_sines(hertz * bend, decay, amplitudes, round(5 * decay[0] * sample_rate), sample_rate)

    return perform(generator, seconds, sample_rate, source["rate_hz"], pluck)


@_finished()
def kick(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A drum skin whose tension, and so its pitch, falls within hundredths of a second after the blow."""

    def stroke() -> np.ndarray:
        t = np.arange(round(5 * source["decay_seconds"] * sample_rate)) / sample_rate
        punch = source["punch"] * generator.uniform(0.85, 1.15)
        hertz = source["pitch_hz"] * (1 + punch * np.exp(-t / 0.025))
        skin = np.sin(2 * np.pi * np.cumsum(hertz) / sample_rate) * np.exp(-t / source["decay_seconds"])
        return skin * (1 - np.exp(-t / 0.002))

    return perform(generator, seconds, sample_rate, source["rate_hz"], stroke)


@_finished()
def hi_hat(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Two cymbals: six inharmonic square waves and noise, dying within a tenth of a second, high-passed."""
    ratios = np.array([2.0, 3.0, 4.16, 5.43, 6.79, 8.21])

    def stroke() -> np.ndarray:
        t = np.arange(round(6 * source["decay_seconds"] * sample_rate)) / sample_rate
        metal = np.sign(np.sin(2 * np.pi * source["pitch_hz"] * ratios[:, None] * t)).sum(0)
        noise = generator.standard_normal(len(t)) * 3
        clash = (metal + noise) * np.exp(-t / (source["decay_seconds"] * generator.uniform(0.7, 1.3)))
        return filter_fixed(clash, sample_rate, lambda f: high_pass(f, source["cutoff_hz"], 6))

    return perform(generator, seconds, sample_rate, source["rate_hz"], stroke)


@_finished()
def hand_clap(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Hands a few milliseconds apart: bursts of noise through the resonance of hollow palms."""
    n_samples = round(0.25 * sample_rate)

    def clap() -> np.ndarray:
        t = np.arange(n_samples) / sample_rate
        offsets = (
            np.cumsum(generator.uniform(0.5, 1.5, 3) * source["spread_ms"] / 1000)
            - source["spread_ms"] / 2000
        )
        since = t - np.r_[0.0, offsets][:, None]
        decays = np.array([[0.003], [0.003], [0.003], [source["decay_seconds"]]])
        envelope = np.where(since >= 0, np.exp(-np.maximum(since, 0) / decays), 0).sum(0)
        hollow = source["pitch_hz"] * generator.uniform(0.93, 1.07)
        return envelope * filtered_noise(
            generator,
            n_samples,
            sample_rate,
            lambda f: (resonance(f, hollow, 500) + 0.15) * high_pass(f, 400, 2),
        )

    return perform(generator, seconds, sample_rate, source["rate_hz"], clap)


# Weather and fire.


def _ring(hertz: float, decay_seconds: float, sample_rate: int) -> np.ndarray:
    """The response of one small resonator, 20 ms of it."""
    return damped_sines(
        np.array([hertz]), np.array([decay_seconds]), np.ones(1), sample_rate // 50, sample_rate
    )


@_finished(fade_seconds=0.15)
def rain(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Hundreds of drops a second, each ringing a bubble for milliseconds, above the hiss of far ones."""
    n_samples = round(seconds * sample_rate)
    drops = np.zeros(n_samples)
    for bubble_hz in source["bubble_hz"] * np.geomspace(0.5, 2.4, 8) * generator.uniform(0.95, 1.05, 8):
        n_drops = 1 + generator.poisson(source["drops_hz"] * seconds / 8)
        times, loudness = generator.uniform(0, seconds, n_drops), generator.lognormal(0, 0.8, n_drops)
        drops += convolve(
            pulses(times, loudness, n_samples, sample_rate), _ring(bubble_hz, 4 / bubble_hz, sample_rate)
        )
    far = filtered_noise(
        generator, n_samples, sample_rate, lambda f: high_pass(f, 500, 1) * low_pass(f, source["hiss_hz"], 1)
    )
    return drops / np.std(drops) + source["hiss"] * far


@_finished(fade_seconds=0.15)
def wind(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Turbulence: low-passed noise whose loudness and cutoff rise with each gust, whistling at an edge."""
    n_samples = round(seconds * sample_rate)
    gust = np.exp(source["gusts"] * drift(generator, n_samples, sample_rate, source["gust_hz"]))
    times = np.arange(n_samples) / sample_rate

    def gain(at: np.ndarray, hertz: np.ndarray) -> np.ndarray:
        strength = np.interp(at, times, gust)
        roar = low_pass(hertz, source["cutoff_hz"] * strength, source["slope"])
        whistle = resonance(hertz, source["whistle_hz"] * strength**0.3, 120) ** 2
        return strength * (roar + source["whistle"] * strength * whistle)

    return filter_moving(generator.standard_normal(n_samples), sample_rate, gain)


@_finished(fade_seconds=0.15)
def fire(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Wood cracking: sparse clicks with heavy-tailed (Pareto) loudness, above the low roar of the flames."""
    n_samples = round(seconds * sample_rate)
    out = np.zeros(n_samples)
    for crack_hz in source["crack_hz"] * np.geomspace(0.4, 2.2, 6) * generator.uniform(0.9, 1.1, 6):
        n_cracks = 1 + generator.poisson(source["cracks_hz"] * seconds / 6)
        loudness = np.minimum(1 + generator.pareto(1.3, n_cracks), 30) * generator.choice([-1, 1], n_cracks)
        cracks = pulses(generator.uniform(0, seconds, n_cracks), loudness, n_samples, sample_rate)
        out += 0.3 * cracks + convolve(cracks, _ring(crack_hz, 3 / crack_hz, sample_rate))
    flames = filtered_noise(
        generator, n_samples, sample_rate, lambda f: low_pass(f, 180, 1.2) * high_pass(f, 40, 2) + 0.01
    )
    flicker = np.exp(0.4 * drift(generator, n_samples, sample_rate, 5.0))
    return out / np.abs(out).max() + source["roar"] * flicker * flames


# Animals and people.


@_finished()
def bird(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A song of whistled syllables, each a glide of frequency with a fast trill on it."""

    def syllable() -> np.ndarray:
        length = source["syllable_seconds"] * generator.uniform(0.75, 1.25)
        u = np.linspace(0, 1, round(length * sample_rate))
        arch = source["glide"] * (1 - source["curve"] * u) * u * np.sin(np.pi * u + source["curve"])
        trill = 0.04 * np.sin(2 * np.pi * source["trill_hz"] * length * u)
        hertz = source["pitch_hz"] * generator.uniform(0.94, 1.06) * (1 + arch + trill)
        return np.sin(np.pi * u) ** 1.5 * tone(hertz, 0.08, sample_rate, n_harmonics=2)

    return perform(generator, seconds, sample_rate, source["rate_hz"], syllable)


@_finished()
def dog_bark(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """Barks: a pitch that leaps up and falls, half voice half breath, through throat and jaw."""

    def bark() -> np.ndarray:
        length = source["bark_seconds"] * generator.uniform(0.8, 1.2)
        u = np.linspace(0, 1, round(length * sample_rate))
        pitch = source["pitch_hz"] * generator.uniform(0.92, 1.08) * (0.75 + 0.6 * np.sqrt(u) * (1 - u) * 2.6)
        rough = pitch * (1 + 0.04 * drift(generator, len(u), sample_rate, 150))
        breath = generator.standard_normal(len(u))
        throat = voice(rough, sample_rate)
        raw = throat / np.std(throat) + source["breath"] * breath
        jaw = source["jaw_hz"]
        shaped = filter_fixed(
            raw, sample_rate, lambda f: sum(resonance(f, jaw * k, 250 * k) / k for k in (1.0, 2.3, 3.9))
        )
        return shaped * np.minimum(u / 0.06, 1) * (1 - u) ** 1.3

    return perform(generator, seconds, sample_rate, source["rate_hz"], bark)


@_finished(fade_seconds=0.02)
def speech(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """One speaker's babble: glottal pulses through formants moving between vowels, fricatives between."""
    n_samples = round(seconds * sample_rate)
    times = np.arange(n_samples) / sample_rate
    beats = np.cumsum(generator.uniform(0.6, 1.4, int(seconds * source["syllable_hz"] * 1.7) + 3))
    beats /= source["syllable_hz"]
    vowels = VOWELS[generator.integers(0, len(VOWELS), len(beats))] * source["tract"]
    melody = source["pitch_hz"] * np.exp(0.15 * drift(generator, n_samples, sample_rate, 3.0))
    nearest = (
        np.abs(times - beats[np.searchsorted((beats[1:] + beats[:-1]) / 2, times)]) * source["syllable_hz"]
    )
    opening = np.clip(1.1 - 2.2 * nearest, 0, 1) ** 0.7
    hiss = np.clip(6 * nearest - 2.2, 0, 1) * source["hiss"]

    def gain(at: np.ndarray, hertz: np.ndarray) -> np.ndarray:
        tracks = [np.interp(at, beats, vowels[:, k]) for k in range(3)]
        widths = (80, 110, 170)
        return sum(
            resonance(hertz, track, width) * level
            for track, width, level in zip(tracks, widths, (1, 0.5, 0.25), strict=True)
        )

    voiced = filter_moving(voice(melody, sample_rate) * opening, sample_rate, gain)
    noise = generator.standard_normal(n_samples) * hiss
    return voiced / np.std(voiced) + filter_fixed(noise, sample_rate, lambda f: high_pass(f, 3000, 3))


# Machines.


@_finished(fade_seconds=0.02)
def siren(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A horn sweeping between two pitches, slowly (wail) or fast (yelp)."""
    n_samples = round(seconds * sample_rate)
    turns = np.arange(n_samples) / sample_rate * source["sweep_hz"] + generator.uniform()
    height = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
    hertz = source["low_hz"] * source["span"] ** height
    return tone(hertz, source["brightness"], sample_rate)


@_finished(fade_seconds=0.02)
def alarm(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A buzzer switching on and off; between two pitches where the second is over 15 % above the first."""
    n_samples = round(seconds * sample_rate)
    turns = np.arange(n_samples) / sample_rate * source["beep_hz"] + generator.uniform()
    first = turns % 1 < 0.5
    warble = source["second"] > 1.15
    hertz = source["pitch_hz"] * np.where(first, 1.0, source["second"] if warble else 1.0)
    edge = np.clip(np.minimum(turns % 0.5, 0.5 - turns % 0.5) / source["beep_hz"] / 0.004, 0, 1)
    loud = edge if warble else edge * first
    return loud * tone(hertz, source["brightness"], sample_rate)


@_finished(fade_seconds=0.15)
def engine(generator: Generator, seconds: float, sample_rate: int, source: Source) -> np.ndarray:
    """A piston engine: unequal cylinders firing at jittered times into an exhaust with three resonances."""
    n_samples = round(seconds * sample_rate)
    revs = source["firing_hz"] * generator.uniform(0.85, 1.2)
    n_firings = int(seconds * revs * 1.6) + 4
    throttle = np.exp(0.1 * drift(generator, n_firings, 1, 0.02 * revs / source["firing_hz"]))
    gaps = (1 + source["jitter"] * generator.standard_normal(n_firings)) / (revs * throttle)
    cylinders = 1 + source["unevenness"] * np.array([0.0, 0.8, -0.7, 0.3])
    loudness = np.resize(cylinders, n_firings) * generator.normal(1, 0.1, n_firings)
    firing = pulses(np.cumsum(np.maximum(gaps, 0)), loudness, n_samples, sample_rate)
    hertz = source["pipe_hz"] * np.array([1.0, 2.1, 4.7])
    pipe = damped_sines(hertz, 2.5 / hertz, np.array([1.0, 0.6, 0.35]), round(0.1 * sample_rate), sample_rate)
    exhaust = convolve(firing, pipe)
    rattle = convolve(firing, np.exp(-np.arange(round(0.02 * sample_rate)) / (0.004 * sample_rate)))
    clatter = rattle * filtered_noise(
        generator, n_samples, sample_rate, lambda f: high_pass(f, 600, 1) * low_pass(f, 2500, 1)
    )
    return exhaust / np.std(exhaust) + source["clatter"] * clatter / np.std(clatter)
