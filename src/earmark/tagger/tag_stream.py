"""Sound as it comes: blocks in, scores of windows and events out, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from earmark import predictions
from earmark.audio.probe import HIGHEST_RATE, LOWEST_RATE
from earmark.audio.resample import ResampleStream
from earmark.errors import AudioError, TaggerFileError
from earmark.predictions import Predictions
from earmark.tagger.events import Event, EventFinder, EventRule
from earmark.tagger.home import FOLDER_MANIFEST
from earmark.tagger.tagger import Tagger, in_batches
from earmark.windows import Window, WindowStream

CLIP_ID = "stream"


@dataclass(frozen=True)
class Heard:
    """What became known by a block.

    windows: scores of the windows that became whole, with their seconds since the stream began.
    events: those that have surely ended, by their end, however blocks were dealt; one of them is known about a window
        after its end.
    """

    windows: Predictions
    events: list[Event]


class TagStream:
    """One stream of sound through a tagger, by sliding windows whatever its views.

    Together what it gives is what `Tagger.score` and `Tagger.events` give of the same sound in a file.

    Args:
        tagger: an opened file.
        sample_rate: Hz of the blocks that are pushed; None = the tagger's own.
        rule, threshold: as for `Tagger.events`.

    Raises:
        TaggerFileError: it has no labels, or is a folder of several.
        AudioError: there is no such rate.
    """

    def __init__(
        self,
        tagger: Tagger,
        sample_rate: int | None = None,
        rule: EventRule | None = None,
        threshold: float | None = None,
    ):
        tagger.require_labels()
        if tagger.path is not None and tagger.path.name == FOLDER_MANIFEST:
            raise TaggerFileError(
                f"{tagger.path.parent}: its taggers hear in different windows, and a stream needs one. "
                "Give one of the files in it."
            )
        self.tagger = tagger
        self.sample_rate = tagger.sample_rate if sample_rate is None else sample_rate
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise AudioError(
                f"stream: a sample rate of {self.sample_rate} Hz (expected {LOWEST_RATE} to {HIGHEST_RATE}). "
                "Give the rate of the samples."
            )
        self.n_samples = 0
        framing = tagger.metadata.framing
        self._resampled = ResampleStream(self.sample_rate, tagger.sample_rate)
        self._windows = WindowStream(framing.window_samples, framing.hop_samples, framing.padding)
        limits = tagger.limits("window", threshold)
        self._finder = EventFinder(tagger.labels, limits, rule or EventRule(), tagger.metadata.multi_label)
        self._none = Predictions(
            np.zeros(0, dtype=object),
            np.zeros(0),
            np.zeros(0),
            np.zeros((0, len(tagger.labels)), dtype=np.float32),
            tagger.labels,
            "window",
        )

    @property
    def seconds(self) -> float:
        """How much sound came."""
        return self.n_samples / self.sample_rate

    @property
    def sounding(self) -> list[Event]:
        """What has begun and not ended, as far as that is decided."""
        return self._finder.sounding

    def push(self, block: np.ndarray) -> Heard:
        """Take the next samples, float32 (samples,), mono, full scale ±1.

        Raises:
            AudioError: they are not finite, or no such array; nothing of them is taken.
        """
        if block.ndim != 1 or block.dtype != np.float32 or not np.isfinite(block).all():
            raise AudioError(
                f"stream: a block of shape {block.shape}, {block.dtype}, or with samples that are not finite "
                "(expected float32 (samples,)). Check what sends it."
            )
        self.n_samples += len(block)
        heard = self._run(self._windows.push(self._resampled.push(block)))
        return Heard(heard, _by_end(self._finder.push(heard)))

    def close(self) -> Heard:
        """No more comes: the last window, and all events that are left."""
        rest = self._resampled.push(np.zeros(0, dtype=np.float32), last=True)
        heard = self._run(chain(self._windows.push(rest), self._windows.close()))
        return Heard(heard, _by_end(self._finder.push(heard) + self._finder.close()))

    def _run(self, windows: Iterator[Window]) -> Predictions:
        rows = [self.tagger.run(some, CLIP_ID)[0] for some in in_batches(windows)]
        return predictions.concatenate(rows) if rows else self._none


def _by_end(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.end)
