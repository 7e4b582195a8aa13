"""What a tagger says of sounds that are nothing: tags an hour of silence, of noise, of hum, sweeps and clicks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from earmark.tagger.tagger import Tagger, load_tagger

N_WINDOWS = 16  # heard of each sound
RMS = 10 ** (-30 / 20)  # of full scale, as of a room that was recorded loud
LOWEST_HZ = 20.0

Sound = Callable[[int, int], np.ndarray]  # (samples, sample rate) → float64 (samples,)


def silence(n_samples: int, sample_rate: int) -> np.ndarray:
    """Zeros."""
    del sample_rate
    return np.zeros(n_samples)


def white_noise(n_samples: int, sample_rate: int) -> np.ndarray:
    """Noise with as much power in every Hz."""
    del sample_rate
    return RMS * np.random.default_rng(0).standard_normal(n_samples)


def pink_noise(n_samples: int, sample_rate: int) -> np.ndarray:
    """Noise with as much power in every octave: 3 dB less with each octave in every Hz."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(n_samples))
    hertz = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    spectrum[hertz < LOWEST_HZ] = 0
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, LOWEST_HZ)), n_samples)
    return noise * RMS / np.sqrt(np.mean(noise**2))


def unrelated(n_samples: int, sample_rate: int) -> np.ndarray:
    """Mains hum, a sweep up every two seconds, three clicks a second: what no table of labels is about."""
    seconds = np.arange(n_samples) / sample_rate
    hum = sum(np.sin(2 * np.pi * 50 * n * seconds) / n for n in range(1, 6))
    inside = seconds % 2.0
    sweep = np.sin(2 * np.pi * (200 * inside + 0.1 * sample_rate * inside**2 / 2))
    clicks = np.arange(n_samples) % max(sample_rate // 3, 1) == 0
    return RMS * (hum + sweep + 10 * clicks)


SOUNDS: dict[str, Sound] = {
    "silence": silence,
    "white noise": white_noise,
    "pink noise": pink_noise,
    "hum, sweeps and clicks": unrelated,
}


def false_tags(path: Path) -> dict[str, float]:
    """Tags an hour that a tagger file's timeline gives to each of SOUNDS, by its own thresholds.

    Args:
        path: the tagger, file or folder.
    """

    def read(name: Path, sample_rate: int, start: float, end: float | None) -> Iterator[np.ndarray]:
        """A sound for the name of a file, the length that the tagger hears windows of."""
        del start, end
        yield SOUNDS[str(name)](round(seconds * sample_rate), sample_rate).astype(np.float32)

    tagger = load_tagger(path, read=read)
    seconds = heard_seconds(tagger)
    found = {}
    for name in SOUNDS:
        n_tags = sum(map(len, tagger.tags(tagger.score(name))))
        found[name] = round(n_tags * 3600 / seconds, 1)
    return found


def heard_seconds(tagger: Tagger) -> float:
    """How long a sound is of N_WINDOWS windows, or of one where all is heard at once."""
    known = tagger.metadata
    return known.window_seconds + (0 if known.views == "full" else (N_WINDOWS - 1) * known.hop_seconds)
