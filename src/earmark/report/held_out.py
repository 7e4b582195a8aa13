"""The model of each fold, to ask about clips that it never saw."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from earmark import audio
from earmark.predictions import Predictions
from earmark.report.occlusion import Listening, listen
from earmark.run import Run
from earmark.tagger.tagger import Clip, Tagger, load_tagger

LISTENING_SECONDS = 8.0  # of the processor, for all clips of a report together; the first is always asked


class HeldOut:
    """One model of a run, by fold. Folds whose files are gone are not asked.

    Args:
        run, model: whose.
        seconds: of the processor that `listen` may take in all; once they are used up, it gives None.
    """

    def __init__(self, run: Run, model: str, seconds: float = LISTENING_SECONDS):
        self.run, self.model = run, model
        self.seconds_left = seconds
        self.has_asked = False
        self.tagger = cache(self._tagger)
        self.windows = cache(self._windows)

    def listen(self, fold: int, clip: Clip, label: str) -> Listening | None:
        """Where in a clip its fold's tagger finds a label.

        Raises:
            AudioError: the sound cannot be read.
            TaggerFileError: the tagger is damaged.
        """
        tagger = self.tagger(fold)
        if tagger is None or (self.has_asked and self.seconds_left <= 0):
            return None
        started, self.has_asked = time.process_time(), True
        top_hz = audio.probe(clip.path).sample_rate / 2
        waveform = audio.load(clip.path, tagger.sample_rate, clip.start, clip.end)
        found = listen(tagger, waveform, label, top_hz) if len(waveform) else None
        self.seconds_left -= time.process_time() - started
        return found

    def loudest(self, fold: int, clip_id: str, label: str) -> float | None:
        """The middle of the window where a label scores highest, in seconds of the file; None where it is not known."""
        windows = self.windows(fold)
        rows = [] if windows is None else np.flatnonzero(windows.clip_ids == clip_id)
        if not len(rows):
            return None
        row = rows[windows.scores[rows, windows.labels.index(label)].argmax()]
        return float(windows.starts[row] + windows.ends[row]) / 2

    def _tagger(self, fold: int) -> Tagger | None:
        path = self.run.fold(fold, self.model).tagger
        return load_tagger(path) if path.exists() else None

    def _windows(self, fold: int) -> Predictions | None:
        path = self.run.fold(fold, self.model).predictions
        return Predictions.load(path) if path.exists() else None
