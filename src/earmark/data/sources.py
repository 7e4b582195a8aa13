"""The classes of synthetic sound, and the ranges that one bell, engine or speaker of each is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from earmark.data import synthesis
from earmark.data.synthesis import Play, Source


@dataclass(frozen=True)
class Sound:
    """One class of sound.

    play: the function that renders it.
    seconds: its shortest and longest performance.
    source: parameter → the range that one source's value is drawn from, evenly in its logarithm.
    """

    play: Play
    seconds: tuple[float, float]
    source: dict[str, tuple[float, float]]

    def draw_source(self, generator: Generator) -> Source:
        """One bell, engine or speaker: the parameters it keeps for life."""
        return {
            name: float(np.exp(generator.uniform(np.log(low), np.log(high))))
            for name, (low, high) in self.source.items()
        }


SOUNDS: dict[str, Sound] = {
    "alarm": Sound(
        synthesis.alarm,
        (1.0, 2.5),
        {"pitch_hz": (620, 2300), "beep_hz": (1, 4), "second": (0.87, 1.4), "brightness": (0.13, 0.48)},
    ),
    "bird": Sound(
        synthesis.bird,
        (1.0, 2.5),
        {
            "pitch_hz": (1700, 3400),
            "glide": (0.13, 0.68),
            "curve": (0.39, 1.9),
            "trill_hz": (10, 47),
            "syllable_seconds": (0.073, 0.25),
            "rate_hz": (2.3, 6),
        },
    ),
    "dog_bark": Sound(
        synthesis.dog_bark,
        (1.0, 2.5),
        {
            "pitch_hz": (250, 610),
            "jaw_hz": (500, 980),
            "breath": (0.35, 0.86),
            "bark_seconds": (0.13, 0.27),
            "rate_hz": (1.7, 3.1),
        },
    ),
    "engine": Sound(
        synthesis.engine,
        (1.2, 3.0),
        {
            "firing_hz": (22, 74),
            "jitter": (0.0068, 0.044),
            "unevenness": (0.067, 0.37),
            "pipe_hz": (82, 220),
            "clatter": (0.18, 0.65),
        },
    ),
    "fire": Sound(
        synthesis.fire, (1.0, 3.0), {"cracks_hz": (7.8, 38), "crack_hz": (1100, 3000), "roar": (0.013, 0.062)}
    ),
    "hand_clap": Sound(
        synthesis.hand_clap,
        (1.0, 2.5),
        {
            "pitch_hz": (810, 1900),
            "spread_ms": (4.8, 13),
            "decay_seconds": (0.018, 0.05),
            "rate_hz": (1.7, 4.3),
        },
    ),
    "hi_hat": Sound(
        synthesis.hi_hat,
        (1.0, 2.5),
        {
            "pitch_hz": (220, 450),
            "cutoff_hz": (5000, 6000),
            "decay_seconds": (0.026, 0.12),
            "rate_hz": (2.4, 6.7),
        },
    ),
    "kick": Sound(
        synthesis.kick,
        (1.0, 2.5),
        {"pitch_hz": (42, 73), "punch": (1.2, 3.4), "decay_seconds": (0.058, 0.14), "rate_hz": (1.4, 3.4)},
    ),
    "plucked_string": Sound(
        synthesis.plucked_string,
        (1.0, 2.5),
        {
            "pitch_hz": (140, 560),
            "stiffness": (1.6e-05, 0.00025),
            "position": (0.077, 0.35),
            "decay_seconds": (0.3, 0.99),
            "damping_hz": (1100, 3300),
            "rate_hz": (1, 4),
        },
    ),
    "rain": Sound(
        synthesis.rain,
        (1.2, 3.0),
        {"drops_hz": (90, 1000), "bubble_hz": (1400, 3100), "hiss": (0.37, 1.2), "hiss_hz": (2800, 6200)},
    ),
    "siren": Sound(
        synthesis.siren,
        (1.0, 3.0),
        {"low_hz": (390, 800), "span": (1.5, 2.6), "sweep_hz": (0.29, 2.4), "brightness": (0.13, 0.48)},
    ),
    "speech": Sound(
        synthesis.speech,
        (1.0, 2.5),
        {"pitch_hz": (93, 230), "tract": (0.94, 1.2), "syllable_hz": (2.8, 5.4), "hiss": (0.26, 1.2)},
    ),
    "struck_bar": Sound(
        synthesis.struck_bar,
        (1.0, 2.5),
        {
            "pitch_hz": (230, 880),
            "decay_seconds": (0.19, 0.79),
            "loss": (0.35, 0.86),
            "contact_ms": (0.067, 0.37),
            "rate_hz": (1, 4),
        },
    ),
    "wind": Sound(
        synthesis.wind,
        (1.2, 3.0),
        {
            "cutoff_hz": (150, 490),
            "slope": (1.6, 2.8),
            "gusts": (0.34, 0.78),
            "gust_hz": (0.84, 2.5),
            "whistle": (0.044, 0.41),
            "whistle_hz": (470, 1300),
        },
    ),
}
