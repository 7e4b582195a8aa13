from __future__ import annotations

import numpy as np
import pytest

from earmark import audio
from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest

RATE = 8000


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Manifest:
    """24 clips of 0.4 to 1 s: a low tone, a high tone or noise, each in noise; 12 groups of 2."""
    folder = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    paths, labels = [], []
    for number in range(24):
        label = ("low", "high", "noise")[number % 3]
        time = np.arange(int(generator.uniform(0.4, 1.0) * RATE)) / RATE
        sound = 0.05 * generator.standard_normal(len(time))
        if label != "noise":
            frequency = {"low": 300.0, "high": 2500.0}[label] * generator.uniform(0.9, 1.1)
            sound += 0.3 * np.sin(2 * np.pi * frequency * time)
        paths.append(f"{number:02}.wav")
        labels.append((label,))
        audio.write(folder / paths[-1], sound.astype(np.float32), RATE)
    groups = [f"g{number // 6}{number % 3}" for number in range(24)]
    return Manifest.build(folder, paths, labels, groups=groups)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))
