"""Sound for the tests of this folder: computed, not recorded."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from functools import partial
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
def encoded() -> Callable[..., bytes]:
    """Makes the bytes of a sound file: a tone as libsndfile writes it, the same in all channels."""

    def encode(
        format_name: str,
        subtype: str,
        sample_rate: int = 16_000,
        seconds: float = 1.0,
        channels: int = 1,
        frequency: float = 440,
        **options,
    ) -> bytes:
        written = io.BytesIO()
        samples = np.repeat(tone(frequency, sample_rate, seconds)[:, np.newaxis], channels, axis=1)
        options |= {"format": format_name, "subtype": subtype}
        with soundfile.SoundFile(written, "w", sample_rate, channels, **options) as file:
            for first in range(0, len(samples), 65_536):
                file.write(samples[first : first + 65_536])
        return written.getvalue()

    return encode


@pytest.fixture
def mp3(encoded) -> Callable[..., bytes]:
    """Makes the bytes of an MP3, with a Xing header and a variable bit rate."""
    return partial(encoded, "MP3", "MPEG_LAYER_III", 44_100, bitrate_mode="VARIABLE", compression_level=0.5)


@pytest.fixture
def saved(tmp_path) -> Callable[[str, bytes], Path]:
    """Writes bytes to a file."""

    def save(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return save


@pytest.fixture
def without_av(monkeypatch) -> None:
    """As where PyAV is not installed."""
    for name in ("media", "probe"):  # by import_module: earmark.audio.probe is also a function
        monkeypatch.setattr(importlib.import_module(f"earmark.audio.{name}"), "is_available", lambda: False)


@pytest.fixture
def make_tone() -> Callable[..., np.ndarray]:
    return tone
