"""Sound for the tests of this folder: computed, not recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


def tone(frequency: float, sample_rate: int, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    """A sine, float32 (samples,)."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.fixture
def sound(tmp_path) -> Callable[..., Path]:
    """Writes samples (samples,) or (samples, channels) to a file, straight through libsndfile."""

    def write(name: str, samples: np.ndarray, sample_rate: int, **options) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        with soundfile.SoundFile(path, "w", sample_rate, channels, **options) as file:
            for first in range(0, len(samples), 65_536):
                file.write(samples[first : first + 65_536])
        return path

    return write


@pytest.fixture
def make_tone() -> Callable[..., np.ndarray]:
    return tone
