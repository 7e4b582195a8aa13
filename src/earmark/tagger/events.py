"""Events: from when to when a label sounds in a recording, found in the scores of its windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
    finder = EventFinder(scores.labels, limits, rule, multi_label)
    in_order = scores.rows(np.argsort(scores.starts, kind="stable"))
    return by_start(finder.push(in_order) + finder.close(), scores.labels)


def by_start(events: Iterable[Event], labels: Sequence[str]) -> list[Event]:
    """Events by their start, those of one start in the order of the labels."""
    place = {label: number for number, label in enumerate(labels)}
    return sorted(events, key=lambda event: (event.start, place[event.label]))


class EventFinder:
    """The events of a recording whose windows come a few at a time, each event as soon as it has surely ended.

    What comes out does not depend on how the windows were dealt: it is what `find_events` finds in all of them. Holds
    no more than the windows over one moment, and of each label the event that sounds.

    Args:
        labels: of the scores' columns. limits, rule, multi_label: as for `find_events`.
    """

    def __init__(self, labels: Sequence[str], limits: np.ndarray, rule: EventRule, multi_label: bool = True):
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self._limits = np.asarray(limits, dtype=np.float32)
        self._keeps = self._limits * np.float32(rule.keep_share)
        self._rule = rule
        self._tracks: dict[int, _Track] = {}  # by number of label
        self._starts = self._ends = np.zeros(0)  # of the windows that go on after `_done`
        self._scores = np.zeros((0, len(self.labels)), dtype=np.float32)
        self._done = -np.inf  # all before is decided

    def push(self, scores: Predictions) -> list[Event]:
        """Take the next windows, by start, and none that starts before one that was taken; what ended by them."""
        if not len(scores):
            return []
        self._starts = np.concatenate([self._starts, scores.starts])
        self._ends = np.concatenate([self._ends, scores.ends])
        self._scores = np.concatenate([self._scores, scores.scores])
        return self._decide(float(scores.starts[-1]))

    def close(self) -> list[Event]:
        """No window comes any more: what is left."""
        events = self._decide(np.inf)
        for number in sorted(self._tracks):
            events += self._whole(number, self._tracks.pop(number))
        return events

    @property
    def sounding(self) -> list[Event]:
        """What has begun and not ended, as far as it is decided."""
        tracks = sorted(self._tracks.items())
        return by_start((track.event(self.labels[number]) for number, track in tracks if track.goes_on), self.labels)

    @property
    def undecided_from(self) -> float:
        """No event that is still to come starts before this, in seconds; inf when nothing is left."""
        starts = [track.start for track in self._tracks.values()]
        return min([*starts, self._done if len(self._starts) else np.inf])

    def _decide(self, until: float) -> list[Event]:
        """Go on to `until`, before which no further window begins."""
        edges = np.unique(np.concatenate([self._starts, self._ends]))
        edges = edges[(edges >= self._done) & (edges <= until)]
        ended = []
        if len(edges) > 1:
            steps = _Steps(edges, self._starts, self._ends, self._scores)
            best = None if self.multi_label else steps.best()
            # No step exceeds all of its windows: most of many labels need no look.
            loud = np.flatnonzero(self._scores.max(axis=0) >= self._limits).tolist()
            for number in sorted({*loud, *self._tracks}):
                ended += self._follow(number, steps, best)
        self._done = max(self._done, until)
        later = self._ends > self._done
        self._starts, self._ends, self._scores = self._starts[later], self._ends[later], self._scores[later]
        return ended

    def _follow(self, number: int, steps: _Steps, best: np.ndarray | None) -> list[Event]:
        """What ends of one label within some steps."""
        values = steps.score(number)
        counts = True if best is None else best == number
        on_at = np.flatnonzero((values >= self._limits[number]) & counts)
        off_at = np.flatnonzero(~((values >= self._keeps[number]) & counts))
        ended, place, n_steps = [], 0, len(values)
        while place < n_steps:
            track = self._tracks.get(number)
            if track and track.goes_on:
                stop = _next(off_at, place, n_steps)
                if stop > place:
                    track.hear(values[place:stop], steps.edges[place : stop + 1])
                track.goes_on = stop == n_steps
            else:
                stop = _next(on_at, place, n_steps)
                if track and steps.edges[stop] - track.end > self._rule.join_seconds + SLACK_SECONDS:
                    ended += self._whole(number, self._tracks.pop(number))
                elif track:
                    track.hear(values[place:stop], steps.edges[place : stop + 1], gap=True)
                if stop < n_steps:
                    self._tracks.setdefault(number, _Track(float(steps.edges[stop]))).goes_on = True
            place = stop
        return ended

    def _whole(self, number: int, track: _Track) -> list[Event]:
        """The event of a label, if it is long enough."""
        long_enough = track.end - track.start >= self._rule.min_seconds - SLACK_SECONDS
        return [track.event(self.labels[number])] if long_enough else []


@dataclass
class _Track:
    """A label that sounds, or has just ceased and may go on.

    goes_on: it sounded up to where all is decided. peak, heard: the highest score, (seconds, their sum of scores), up
    to its end; highest, passed: up to where all is decided.
    """

    start: float
    end: float = 0.0
    goes_on: bool = True
    peak: float = 0.0
    heard: np.ndarray = field(default_factory=lambda: np.zeros(2))
    highest: float = 0.0
    passed: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def hear(self, values: np.ndarray, edges: np.ndarray, gap: bool = False) -> None:
        """Go over steps, values (steps,), edges (steps + 1,): of the event, or of a gap after it."""
        covered = np.isfinite(values)
        seconds, values = np.diff(edges)[covered], values[covered].astype(np.float64)
        self.highest = float(np.max(values, initial=self.highest))
        # One after the other, so that sums are the same however the steps were dealt.
        self.passed = np.cumsum([self.passed, *np.stack([seconds, seconds * values], axis=1)], axis=0)[-1]
        if not gap:
            self.peak, self.end, self.heard = self.highest, float(edges[-1]), self.passed

    def event(self, label: str) -> Event:
        seconds, total = self.heard
        return Event(label, self.peak, self.start, self.end, float(total / seconds))


def step_scores(scores: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """What events are found in: the windows of one recording as steps that do not overlap.

    Returns:
        Edges in seconds (steps + 1,), and the mean of the windows over each step, float32 (steps, labels), nan where
        there is none.
    """
    edges = np.unique(np.concatenate([scores.starts, scores.ends]))
    steps = _Steps(edges, scores.starts, scores.ends, scores.scores)
    columns = [steps.score(number) for number in range(len(scores.labels))]
    return edges, np.stack(columns, axis=1)


class _Steps:
    """A stretch of a recording cut wherever a window starts or ends.

    edges: (steps + 1,), seconds, rising. starts, ends: (windows,), seconds. scores: (windows, classes).
    """

    def __init__(self, edges: np.ndarray, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray):
        self.edges, self.scores = edges, scores
        first, stop = np.searchsorted(edges, starts), np.minimum(np.searchsorted(edges, ends), len(edges) - 1)
        counts = np.maximum(stop - first, 0)
        self._window = np.repeat(np.arange(len(starts)), counts)
        self._step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
        self._n_windows = np.bincount(self._step, minlength=len(edges) - 1)

    def score(self, number: int) -> np.ndarray:
        """Of one label, the mean of the windows over each step, float32 (steps,); nan where there is none."""
        sums = np.bincount(self._step, self.scores[self._window, number], len(self.edges) - 1)
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


def _next(places: np.ndarray, first: int, n_steps: int) -> int:
    """The first of some places, rising, from `first` on; n_steps if there is none."""
    found = np.searchsorted(places, first)
    return int(places[found]) if found < len(places) else n_steps
