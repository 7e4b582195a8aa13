"""What is written of recordings: rows of clips, windows or events, as their parts come."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark.errors import ConfigError
from earmark.predictions import Predictions
from earmark.tagger.events import Event, EventFinder, EventRule
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tag, Tagger

ROWS_AT_ONCE = 1024  # whose tags are in memory together: the rows of a whole day are many


@dataclass(frozen=True)
class Selection:
    """Which tags are written: see `Tagger.tags` for top and threshold. all_scores: of every label, too.

    events: how windows become events, which are written in their place; None = they do not.
    """

    top: int | None = None
    threshold: float | None = None
    all_scores: bool = False
    events: EventRule | None = None

    def __post_init__(self):
        if self.events is not None and (self.top is not None or self.all_scores):
            raise ConfigError(
                "--events: the best labels and all scores are of windows, an event has one label. "
                "Leave out --top and --all-scores, or take --timeline."
            )


class Row(NamedTuple):
    """What is written of a clip, a window or an event.

    start, end: seconds. tags: what is asserted of it. scores: (classes,) of every label; None of an event.
    """

    start: float
    end: float
    tags: Sequence[Tag | Event]
    scores: np.ndarray | None


class Rows:
    """The rows of one recording after the other; of events no more is held than waits for one that began earlier."""

    def __init__(self, tagger: Tagger, selection: Selection):
        self.tagger, self.selection = tagger, selection
        self._events: _EventsByStart | None = None  # of the recording whose parts come

    def of(self, tagged: TaggedClip) -> Iterator[Row]:
        """What a part of a recording adds; nothing of one that failed, all of it where there are no events in it."""
        scores = tagged.predictions
        if scores is None:
            self._events = None
        elif self.selection.events is not None:
            self._events = self._events or _EventsByStart(self.tagger, self.selection)
            yield from self._events.rows(scores, tagged.more)
            if not tagged.more:
                self._events = None
        else:
            for first in range(0, len(scores), ROWS_AT_ONCE):
                some = scores.rows(slice(first, first + ROWS_AT_ONCE))
                tags = self.tagger.tags(some, top=self.selection.top, threshold=self.selection.threshold)
                yield from map(Row, some.starts.tolist(), some.ends.tolist(), tags, some.scores)


class _EventsByStart:
    """The events of a recording whose windows come in parts: those of `Tagger.events`, in that order."""

    def __init__(self, tagger: Tagger, selection: Selection):
        limits = tagger.limits("window", selection.threshold)
        self._finder = EventFinder(tagger.labels, limits, selection.events, tagger.metadata.multi_label)
        self._place = {label: number for number, label in enumerate(tagger.labels)}
        self._held: list[tuple[float, int, Event]] = []  # a heap
        self._start, self._end, self._none = np.inf, -np.inf, True

    def rows(self, scores: Predictions, more: bool) -> Iterator[Row]:
        """Those that no event to come will begin before; without any at the end, the whole recording without a tag."""
        self._hold(self._finder.push(scores.rows(np.argsort(scores.starts, kind="stable"))))
        self._start = min(self._start, float(scores.starts.min()))
        self._end = max(self._end, float(scores.ends.max()))
        if not more:
            self._hold(self._finder.close())
        while self._held and (not more or self._held[0][0] < self._finder.undecided_from):
            _, _, event = heapq.heappop(self._held)
            self._none = False
            yield Row(event.start, event.end, (event,), None)
        if not more and self._none:
            yield Row(self._start, self._end, (), None)

    def _hold(self, events: Iterable[Event]) -> None:
        for event in events:
            heapq.heappush(self._held, (event.start, self._place[event.label], event))
