"""From a waveform to a sound file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from earmark.errors import AudioError
from earmark.run import write_atomically

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
BLOCK = 65_536  # frames in one write: libsndfile's Vorbis encoder overruns the stack on long ones


def write(path: str | Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a mono sound file, whole or not at all.

    Args:
        path: ends in .wav (16 bit; 32-bit float where the peak is above 1), .flac (16 bit) or .ogg (Vorbis).
        waveform: float (samples,), full scale ±1.
        sample_rate: Hz.

    Raises:
        AudioError: the ending is none of these, or the samples cannot be written as such a file.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"{path}: cannot write '{path.suffix}' files. Choose {', '.join(FORMATS)}.")
    format_name, subtype = FORMATS[path.suffix.lower()]
    if waveform.ndim != 1 or not len(waveform) or not np.isfinite(waveform).all():
        raise AudioError(f"{path}: a waveform is one row of finite samples (found shape {waveform.shape}).")
    peak = float(np.abs(waveform).max())
    if peak > 1 and format_name == "FLAC":
        raise AudioError(f"{path}: FLAC cannot hold a peak of {peak:.3g} (at most 1). Scale it, or write WAV.")
    if peak > 1 and format_name == "WAV":
        subtype = "FLOAT"
    samples = np.asarray(waveform, dtype=np.float32)
    with (
        write_atomically(path) as temporary,
        soundfile.SoundFile(temporary, "w", sample_rate, 1, subtype=subtype, format=format_name) as file,
    ):
        for first in range(0, len(samples), BLOCK):
            file.write(samples[first : first + BLOCK])
