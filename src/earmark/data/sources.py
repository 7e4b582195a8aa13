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
        (0.8, 2.5),
        {"pitch_hz": (500, 2800), "beep_hz": (0.8, 5), "second": (0.8, 1.5), "brightness": (0.1, 0.6)},
    ),
    "bird": Sound(
        synthesis.bird,
        (0.5, 2.0),
        {
            "pitch_hz": (1500, 3800),
            "glide": (0.1, 0.9),
            "curve": (0.3, 2.5),
            "trill_hz": (8, 60),
            "syllable_seconds": (0.06, 0.3),
            "rate_hz": (2, 7),
        },
    ),
    "dog_bark": Sound(
        synthesis.dog_bark,
        (0.4, 1.6),
        {
            "pitch_hz": (220, 700),
            "jaw_hz": (450, 1100),
            "breath": (0.3, 1.0),
            "bark_seconds": (0.12, 0.3),
            "rate_hz": (1.5, 3.5),
        },
    ),
    "engine": Sound(
        synthesis.engine,
        (1.2, 3.0),
        {
            "firing_hz": (18, 90),
            "jitter": (0.005, 0.06),
            "unevenness": (0.05, 0.5),
            "pipe_hz": (70, 260),
            "clatter": (0.15, 0.8),
        },
    ),
    "fire": Sound(
        synthesis.fire, (1.0, 3.0), {"cracks_hz": (6, 50), "crack_hz": (900, 3500), "roar": (0.01, 0.08)}
    ),
    "hand_clap": Sound(
        synthesis.hand_clap,
        (0.3, 1.8),
        {"pitch_hz": (700, 2200), "spread_ms": (4, 16), "decay_seconds": (0.015, 0.06), "rate_hz": (1.5, 5)},
    ),
    "hi_hat": Sound(
        synthesis.hi_hat,
        (0.3, 2.0),
        {"pitch_hz": (200, 500), "cutoff_hz": (4800, 6200), "decay_seconds": (0.02, 0.15), "rate_hz": (2, 8)},
    ),
    "kick": Sound(
        synthesis.kick,
        (0.3, 2.0),
        {"pitch_hz": (38, 80), "punch": (1, 4), "decay_seconds": (0.05, 0.16), "rate_hz": (1.2, 4)},
    ),
    "plucked_string": Sound(
        synthesis.plucked_string,
        (0.6, 2.0),
        {
            "pitch_hz": (110, 700),
            "stiffness": (1e-5, 4e-4),
            "position": (0.06, 0.45),
            "decay_seconds": (0.25, 1.2),
            "damping_hz": (900, 4000),
            "rate_hz": (0.8, 5),
        },
    ),
    "rain": Sound(
        synthesis.rain,
        (1.2, 3.0),
        {"drops_hz": (60, 1500), "bubble_hz": (1200, 3500), "hiss": (0.3, 1.5), "hiss_hz": (2500, 7000)},
    ),
    "siren": Sound(
        synthesis.siren,
        (1.0, 3.0),
        {"low_hz": (350, 900), "span": (1.4, 2.8), "sweep_hz": (0.2, 3.5), "brightness": (0.1, 0.6)},
    ),
    "speech": Sound(
        synthesis.speech,
        (0.8, 2.5),
        {"pitch_hz": (80, 270), "tract": (0.9, 1.25), "syllable_hz": (2.5, 6), "hiss": (0.2, 1.5)},
    ),
    "struck_bar": Sound(
        synthesis.struck_bar,
        (0.6, 2.0),
        {
            "pitch_hz": (180, 1100),
            "decay_seconds": (0.15, 1.0),
            "loss": (0.3, 1.0),
            "contact_ms": (0.05, 0.5),
            "rate_hz": (0.8, 5),
        },
    ),
    "wind": Sound(
        synthesis.wind,
        (1.2, 3.0),
        {
            "cutoff_hz": (120, 600),
            "slope": (1.5, 3),
            "gusts": (0.3, 0.9),
            "gust_hz": (0.7, 3),
            "whistle": (0.03, 0.6),
            "whistle_hz": (400, 1500),
        },
    ),
}
