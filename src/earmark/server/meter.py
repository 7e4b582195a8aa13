"""What one request uses while it is at work, and where that ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.server.limits import Limits
from earmark.server.refusals import GoneError, Refusal

BYTES_PER_SAMPLE = 4


class Meter:
    """Reads a sound within limits: what is too much ends while it is decoded, not after. Time runs from the start.

    heard_seconds: of sound that came out.
    """

    def __init__(self, limits: Limits):
        self.heard_seconds = 0.0
        self._limits = limits
        self._until = time.monotonic() + limits.work_seconds
        self._gone = threading.Event()

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._gone.set()

    def spent(self) -> bool:
        """Whether there is nothing to go on for; `require` says why."""
        return self._gone.is_set() or time.monotonic() > self._until

    def require(self) -> None:
        """Go on only while there is time and someone waits.

        Raises:
            Refusal, GoneError: otherwise.
        """
        if self._gone.is_set():
            raise GoneError("upload: the client has left. Nothing is answered.")
        if self.spent():
            raise Refusal(
                "too_slow",
                f"upload: decoding and scoring took more than {self._limits.work_seconds:g} s. Send a shorter sound, "
                "or try again when less is going on.",
            )

    def require_length(self, info: audio.AudioInfo, start: float, end: float | None) -> None:
        """Refuse by a header what would be refused on the way.

        Raises:
            Refusal: the region is too long, or the file decodes to too much.
        """
        if info.seconds is not None:
            stop = info.seconds if end is None else min(end, info.seconds)
            self._require_seconds(stop - start)
            self._require_decoded(round(stop * info.sample_rate * info.n_channels))

    def read(self, path: Path, sample_rate: int, start: float, end: float | None) -> Iterator[np.ndarray]:
        """`audio.blocks` as long as there is no limit in the way.

        Raises:
            AudioError: the sound cannot be read.
            Refusal, GoneError: it is too much, or took too long.
        """
        n_decoded, n_heard = 0, 0

        def watch(n_samples: int) -> None:
            nonlocal n_decoded
            n_decoded += n_samples
            self._require_decoded(n_decoded)
            self.require()

        for block in audio.blocks(path, sample_rate, start, end, watch=watch):
            n_heard += len(block)
            self.heard_seconds = max(self.heard_seconds, n_heard / sample_rate)
            self._require_seconds(n_heard / sample_rate)
            yield block

    def _require_seconds(self, seconds: float) -> None:
        most = self._limits.seconds
        if seconds > most:
            raise Refusal(
                "too_long",
                f"upload: more than {most:g} s of sound are to be tagged, which is the most. Send it in parts, or "
                "with the start and end of a region in the request.",
            )

    def _require_decoded(self, n_samples: int) -> None:
        most = self._limits.decoded_bytes
        if n_samples * BYTES_PER_SAMPLE > most:
            raise Refusal(
                "too_much_sound",
                f"upload: decodes to more than {most} bytes over all channels, which is the most. Send a part of it, "
                "or fewer channels.",
            )
