"""Events: from when to when a label sounds in a recording, found in the scores of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from earmark.errors import ConfigError
from earmark.predictions import Predictions

SLACK_SECONDS = 1e-6  # durations are compared to the microsecond, which is what files hold


@dataclass(frozen=True)
class EventRule:
    """How scores become events.

    keep_share: an event goes on while the score reaches this share of the label's threshold, (0, 1].
    min_seconds: shorter events are left out. join_seconds: events of a label no further apart become one, first.
    """

    keep_share: float = 0.5
    min_seconds: float = 0.0
    join_seconds: float = 0.0

    def __post_init__(self):
        if not 0 < self.keep_share <= 1:
            raise ConfigError(f"keep_share: is {self.keep_share:g} (expected above 0, up to 1). 1 keeps no longer.")
        for name in ("min_seconds", "join_seconds"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"{name}: is {getattr(self, name):g} (expected seconds of 0 or more). Change it.")


@dataclass(frozen=True)
class Event:
    """A label that sounds from start to end (seconds in the recording).

    score: the highest on the way, in [0, 1]. mean_score: over its whole time, gaps that were joined included.
    """

    label: str
    score: float
    start: float
    end: float
    mean_score: float


def find_events(scores: Predictions, limits: np.ndarray, rule: EventRule, multi_label: bool = True) -> list[Event]:
    """The events of one recording, by start; those of a label never overlap or touch.

    Starts and ends of windows cut the recording into steps (of one hop, where that divides the window). The score of a
    step is the mean of the windows over it. An event starts with the first step that reaches the label's threshold,
    and ends before the first one below keep_share of it, or that no window covers.

    Args:
        scores: windows of one recording, in any order.
        limits: (classes,), the threshold of each label; inf = never.
        multi_label: several labels can hold at once; otherwise only the highest label of a step counts there.

    >>> ids, starts = np.array(["a.wav"] * 4), np.arange(4.0)
    >>> scores = Predictions(ids, starts, starts + 1, np.float32([[0.3], [0.75], [0.25], [0.1]]), ("owl",), "window")
    >>> find_events(scores, np.array([0.5]), EventRule(keep_share=0.5))
    [Event(label='owl', score=0.75, start=1.0, end=3.0, mean_score=0.5)]

    Source: two thresholds as in Canny (1986), along time.
    """
    limits = np.asarray(limits, dtype=np.float32)
    if not len(scores):
        return []
    steps = _Steps(scores)
    best = None if multi_label else steps.best()
    found = []
    # No step exceeds all of its windows: most of many labels need no look.
    for number in np.flatnonzero(scores.scores.max(axis=0) >= limits):
        values = steps.score(number)
        counts = True if best is None else best == number
        on = (values >= limits[number]) & counts
        keep = (values >= limits[number] * np.float32(rule.keep_share)) & counts
        for first, stop in _joined(*_runs(on, keep), steps.edges, rule):
            start, end = float(steps.edges[first]), float(steps.edges[stop])
            if end - start >= rule.min_seconds - SLACK_SECONDS:
                peak, mean = float(np.nanmax(values[first:stop])), steps.mean(values, first, stop)
                found.append(Event(scores.labels[number], peak, start, end, mean))
    return sorted(found, key=lambda event: event.start)


def step_scores(scores: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """What events are found in: the windows of one recording as steps that do not overlap.

    Returns:
        Edges in seconds (steps + 1,), and the mean of the windows over each step, float32 (steps, labels), nan where
        there is none.
    """
    steps = _Steps(scores)
    columns = [steps.score(number) for number in range(len(scores.labels))]
    return steps.edges, np.stack(columns, axis=1)


class _Steps:
    """A recording cut wherever a window starts or ends.

    edges: (steps + 1,), seconds, rising.
    """

    def __init__(self, scores: Predictions):
        self.scores = scores.scores
        self.edges, where = np.unique(np.concatenate([scores.starts, scores.ends]), return_inverse=True)
        self._first, self._stop = np.split(where, 2)
        self._n_windows = np.rint(self._spread(np.ones(len(scores))))

    def score(self, number: int) -> np.ndarray:
        """Of one label, the mean of the windows over each step, float32 (steps,); nan where there is none."""
        sums = self._spread(self.scores[:, number])
        heard = self._n_windows > 0
        return np.divide(sums, self._n_windows, out=np.full(len(sums), np.nan), where=heard).astype(np.float32)

    def best(self) -> np.ndarray:
        """Which label is the highest of each step, the first of equals, (steps,)."""
        highest, best = self.score(0), np.zeros(len(self.edges) - 1, dtype=np.int64)
        for number in range(1, self.scores.shape[1]):
            values = self.score(number)
            best[values > highest] = number
            highest = np.fmax(highest, values)
        return best

    def mean(self, values: np.ndarray, first: int, stop: int) -> float:
        """The mean over the time of the steps from `first` to before `stop`, as far as windows cover them."""
        values, seconds = values[first:stop].astype(np.float64), np.diff(self.edges[first : stop + 1])
        heard = np.isfinite(values)
        return float(np.average(values[heard], weights=seconds[heard]))

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """For each step the sum of the values (windows,) of all windows over it, float64."""
        changes = np.bincount(self._first, values, len(self.edges)) - np.bincount(self._stop, values, len(self.edges))
        return np.cumsum(changes)[:-1]


def _runs(on: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First step and step after the last of each stretch of `keep`, from where it is first `on`; without that, none."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]])))
    begins, stops = turns[::2], turns[1::2]
    on_at = np.append(np.flatnonzero(on), len(on))
    firsts = on_at[np.searchsorted(on_at, begins)]
    return firsts[firsts < stops], stops[firsts < stops]


def _joined(
    firsts: np.ndarray, stops: np.ndarray, edges: np.ndarray, rule: EventRule
) -> Iterator[tuple[int, int]]:
    """The stretches, those that are near enough to one another as one."""
    apart = edges[firsts[1:]] - edges[stops[:-1]] > rule.join_seconds + SLACK_SECONDS
    begins = np.flatnonzero(np.concatenate([[True], apart]))
    ends = np.append(begins[1:], len(firsts)) - 1
    if len(firsts):
        yield from zip(firsts[begins].tolist(), stops[ends].tolist(), strict=True)
