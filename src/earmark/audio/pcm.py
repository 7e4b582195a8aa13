"""Raw samples, as pipes and streams bring them: bytes without a header that would say what they are."""

from __future__ import annotations

import numpy as np

PCM_FORMATS = {"f32le": "<f4", "s16le": "<i2"}  # as ffmpeg calls them → as NumPy does


def bytes_per_sample(format: str) -> int:
    """Of one of PCM_FORMATS.

    >>> bytes_per_sample("s16le")
    2
    """
    return np.dtype(PCM_FORMATS[format]).itemsize


def decode_pcm(content: bytes, format: str) -> np.ndarray:
    """Whole samples as float32 (samples,), full scale ±1; those of floats as they are, whatever they hold.

    >>> decode_pcm(b"\\x00\\x40\\x00\\xc0", "s16le").tolist()
    [0.5, -0.5]
    """
    samples = np.frombuffer(content, dtype=PCM_FORMATS[format])
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    return samples.astype(np.float32) / -np.float32(np.iinfo(samples.dtype).min)
