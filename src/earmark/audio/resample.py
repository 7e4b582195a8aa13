"""Sample-rate conversion by soxr's HQ polyphase filter, whole or in pieces with the same result."""

from __future__ import annotations

import numpy as np
import soxr

QUALITY = "HQ"


class ResampleStream:
    """Converts a mono signal that arrives in pieces. The result does not depend on where it was cut.

    Args:
        rate_in, rate_out: Hz. Equal rates pass the samples through unchanged.
    """

    def __init__(self, rate_in: int, rate_out: int):
        self._stream = None
        if rate_in != rate_out:
            self._stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=QUALITY)

    def push(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Take float32 samples (n,), give those that are ready (m,), m >= 0. `last` flushes the filter."""
        if self._stream is None:
            return samples
        return self._stream.resample_chunk(samples, last=last)


def resample(waveform: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Convert a whole waveform.

    Args:
        waveform: float32 (samples,).
        rate_in, rate_out: Hz.

    Returns:
        float32 of round(samples * rate_out / rate_in) samples, at most one more or less.

    >>> resample(np.zeros(441, dtype=np.float32), 44_100, 32_000).shape
    (320,)
    """
    return ResampleStream(rate_in, rate_out).push(waveform, last=True)
