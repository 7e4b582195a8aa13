"""A tagger that tells its windows step by step: when, more finely than a window, a label is heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from earmark.errors import TaggerFileError
from earmark.predictions import Predictions
from earmark.tagger.tagger import Clip, Tagger
from earmark.windows import Window


class SteppedTagger(Tagger):
    """Scores of the steps of each window in the place of one of the window, from the graph's `patch_scores`.

    Its windows lie end to end and a step is told once: by the first window that it is in. Nothing of it is calibrated,
    and its thresholds are those of windows.

    Args:
        tagger: of a graph whose head answers each step of time; its own hop and views do not matter.

    Raises:
        TaggerFileError: it is of another kind.
    """

    def __init__(self, tagger: Tagger):
        known = replace(
            tagger.metadata, hop_seconds=tagger.metadata.window_seconds, views="sliding", view_seconds=()
        )
        super().__init__(tagger.backend, known, tagger.path, read=tagger.read)
        silence = np.zeros((1, self.window_samples), dtype=np.float32)
        self.n_steps = self.backend.run_steps(silence).shape[1]

    @property
    def rows_per_window(self) -> int:
        """Steps."""
        return self.n_steps

    def run(self, windows: Sequence[Window], clip_id: str, start: float = 0.0) -> tuple[Predictions, np.ndarray]:
        """Scores of the steps of a few windows; arguments and errors as for any tagger. Nothing is embedded.

        Returns:
            A row per step, by time; none of what the window before has told, or of padding. Features (rows, 0).
        """
        scores = self.backend.run_steps(np.stack([window.samples for window in windows]))
        self._check(scores.reshape(-1, scores.shape[-1]), len(windows) * self.n_steps)
        length = self.window_samples
        edges = np.arange(self.n_steps + 1) * (length / self.n_steps)
        rows: list[np.ndarray] = []
        kept: list[np.ndarray] = []
        for window, steps in zip(windows, scores, strict=True):
            # All windows begin where the one before ends, but the last, which reaches back from the end.
            told = -(-window.start // length) * length
            spans = np.clip(np.stack([edges[:-1], edges[1:]], axis=1) + window.start, told, window.stop)
            heard = spans[:, 1] - spans[:, 0] > 0.5  # samples
            rows.append(spans[heard])
            kept.append(steps[heard])
        starts, stops = np.concatenate(rows).T / self.sample_rate
        ids = np.full(len(starts), clip_id, dtype=object)
        found = Predictions(ids, start + starts, start + stops, np.concatenate(kept), self.labels, "window")
        return found, np.zeros((len(starts), 0), dtype=np.float32)

    def embed(self, clip: Clip | Path | str, *, stop: Callable[[], bool] = lambda: False) -> NoReturn:
        """Not of steps.

        Raises:
            TaggerFileError: always.
        """
        raise TaggerFileError(f"{self.metadata.name}: its steps have no embedding of their own. Embed its windows.")
