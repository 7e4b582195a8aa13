"""Panel: what several models said of the same windows, out of fold; what ensembles are fitted and judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark.predictions import Predictions
from earmark.tagger.combination import combine


@dataclass(frozen=True)
class Panel:
    """Rows are the windows in which the ensemble will run, each member's scores on them (`combination.on_rows`).

    names: of the members. labels: of the columns. multi_label: several can hold at once.
    scores: (rows, members, classes) float32, out of fold.
    starts, ends: (rows,) seconds. clip_of: (rows,) int64, which clip each row is of; rows of a clip follow one another.
    pool: of the windows of a clip, as `windows.pool` does it.
    clip_ids, groups, folds: (clips,). targets, weights: (clips, classes), 0 or 1; weight 0 = unknown.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    multi_label: bool
    scores: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    clip_of: np.ndarray
    pool: str
    clip_ids: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def select(self, clips: np.ndarray) -> Panel:
        """The rows of some clips (clips,) bool; the tables of clips stay whole and their other rows are never read."""
        rows = clips[self.clip_of]
        return replace(
            self,
            scores=self.scores[rows],
            starts=self.starts[rows],
            ends=self.ends[rows],
            clip_of=self.clip_of[rows],
        )

    @property
    def clips(self) -> np.ndarray:
        """Numbers of the clips that have rows, rising."""
        return np.unique(self.clip_of)

    @property
    def row_targets(self) -> np.ndarray:
        """(rows, classes): those of each row's clip. Weak: the label may sound in another window of it."""
        return self.targets[self.clip_of]

    @property
    def row_weights(self) -> np.ndarray:
        """(rows, classes): each clip's weights, shared among its rows."""
        shares = np.bincount(self.clip_of, minlength=len(self.clip_ids))[self.clip_of]
        return self.weights[self.clip_of] / shares[:, None]

    def combined(self, combination: Mapping[str, Any]) -> Predictions:
        """Scores of an ensemble, a row per window."""
        return self._rows(combine(self.scores, combination, self.multi_label))

    def of_member(self, name: str) -> Predictions:
        """Scores of one member, a row per window."""
        return self._rows(self.scores[:, self.names.index(name)])

    def pooled(self, rows: Predictions) -> Predictions:
        """Scores of clips in their order from those of all windows."""
        return rows.to_clips(self.pool).align(self.clip_ids[self.clips])

    def _rows(self, scores: np.ndarray) -> Predictions:
        return Predictions(self.clip_ids[self.clip_of], self.starts, self.ends, scores, self.labels, "window")
