"""Listening: a source through a tagger, for as long as it gives sound."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from earmark.errors import AudioError
from earmark.predictions import Predictions
from earmark.tagger.events import Event, EventRule
from earmark.tagger.live.clips import Clip, ClipKeeper
from earmark.tagger.live.lines import Origin, event_line, loss_line
from earmark.tagger.live.source import BLOCK_SECONDS, Block, Source
from earmark.tagger.tag_stream import TagStream
from earmark.tagger.tagger import Tagger

FILLED_SECONDS = 1.0  # so much that is lost is heard as silence; after more, a new stream begins
CLOCK_SLACK_SECONDS = 0.5  # blocks come a little early or late, which says nothing about when they were made
ANCHORS = 4096  # of the clock that are remembered
LOAD_SECONDS = 30.0  # over which the load is averaged


@dataclass(frozen=True)
class LiveEvent:
    """An event, in seconds since listening began. at: when it began, seconds since 1970. clip: where it is kept."""

    event: Event
    at: float
    clip: Clip | None = None

    def line(self, origin: Origin) -> dict:
        """It as a line, with its clip."""
        line = event_line(origin, self.event, self.at)
        if self.clip is None:
            return line
        warnings = [*line.pop("warnings", ()), *self.clip.warnings]
        return line | ({"warnings": warnings} if warnings else {}) | {"clip": str(self.clip.path)}


@dataclass(frozen=True)
class Loss:
    """A stretch that was not heard, in seconds since listening began. at: when it began, seconds since 1970."""

    start: float
    end: float
    at: float

    @property
    def reason(self) -> str:
        """What happened, in a sentence."""
        return f"{self.end - self.start:.3g} s of sound were lost: it came faster than it was heard."

    def line(self, origin: Origin) -> dict:
        """It as a line."""
        return loss_line(origin, self.start, self.end, self.at, self.reason)


@dataclass(frozen=True)
class Moment:
    """What became known by a block.

    seconds: since listening began, lost ones included. level: RMS of the block, full scale 1; nan without a block.
    windows: scores of the windows that became whole. sounding: what has begun and not ended.
    events: those that have surely ended. loss: what was lost before the block.
    backlog_seconds: of sound that waits. load: seconds of computing that a second of sound takes.
    """

    seconds: float
    level: float
    windows: Predictions
    sounding: list[Event]
    events: list[LiveEvent]
    loss: Loss | None
    backlog_seconds: float
    load: float


class Listening:
    """A source through a tagger; iterated, the moments of it, until the source ends, is stopped, or fails.

    Times are the source's: lost samples count. Up to FILLED_SECONDS of them are heard as silence. After more, what
    sounds has ended, and a new stream begins: hearing silence would take as long as hearing.

    Args:
        source, tagger: whose sound, heard by what.
        rule, threshold: as for `Tagger.events`.
        keeper: where the sound of events is kept; an event is then told once its clip is written.
        seconds: after so many of sound, no more is heard.

    Raises:
        TaggerFileError, AudioError: as `TagStream`.
    """

    def __init__(
        self,
        source: Source,
        tagger: Tagger,
        rule: EventRule | None = None,
        threshold: float | None = None,
        keeper: ClipKeeper | None = None,
        seconds: float | None = None,
    ):
        self._source, self._tagger, self._keeper = source, tagger, keeper
        self._rule, self._threshold = rule, threshold
        self._stream = self._begin()
        self._first = self._position = 0  # samples: where the stream began, and how far all is heard
        self._last = None if seconds is None else round(seconds * source.sample_rate)
        self._clock = WallClock()
        self._unsaved: list[LiveEvent] = []  # whose second afterwards has not come yet
        self._busy_seconds = self._sound_seconds = 0.0

    def __iter__(self) -> Iterator[Moment]:
        """Moments; the last one has what still sounded.

        Raises:
            AudioError: the source failed; what it gave before was told.
            TaggerFileError: the graph fails.
            RunError: a clip cannot be written.
        """
        failure = None
        try:
            for block in self._source.blocks():
                yield self._hear(block)
                if self._last is not None and self._position >= self._last:
                    break
        except AudioError as error:
            failure = error
        heard = self._stream.close()
        yield self._moment(heard.windows, self._tell(heard.events, ended=True), ended=True)
        if failure is not None:
            raise failure

    @property
    def seconds(self) -> float:
        """How far all is heard, lost samples included."""
        return self._position / self._source.sample_rate

    def _begin(self) -> TagStream:
        return TagStream(self._tagger, self._source.sample_rate, self._rule, self._threshold)

    def _hear(self, block: Block) -> Moment:
        begun = time.monotonic()
        block = self._up_to_the_last(block)
        start, events = self.seconds, []
        if block.n_lost:
            events += self._pass_over(block.n_lost)
        n_seconds = len(block.samples) / self._source.sample_rate
        self._clock.set(self.seconds, block.came - n_seconds)
        loss = Loss(start, self.seconds, self._clock.at(start)) if block.n_lost else None
        windows, more = self._push(block.samples)
        share = math.exp(-n_seconds / LOAD_SECONDS)
        self._busy_seconds = self._busy_seconds * share + time.monotonic() - begun
        self._sound_seconds = self._sound_seconds * share + n_seconds
        level = math.sqrt(np.square(block.samples).mean()) if len(block.samples) else math.nan
        return self._moment(windows, events + more, loss, level)

    def _up_to_the_last(self, block: Block) -> Block:
        """The part of a block before the end that was asked for."""
        if self._last is None:
            return block
        n_lost = min(block.n_lost, self._last - self._position)
        return replace(block, samples=block.samples[: self._last - self._position - n_lost], n_lost=n_lost)

    def _push(self, samples: np.ndarray) -> tuple[Predictions, list[LiveEvent]]:
        heard = self._stream.push(samples)
        if self._keeper is not None:
            self._keeper.push(samples)
        self._position += len(samples)
        return heard.windows, self._tell(heard.events)

    def _pass_over(self, n_lost: int) -> list[LiveEvent]:
        """Go on after lost samples; the events that ended with them."""
        if n_lost <= FILLED_SECONDS * self._source.sample_rate:
            return self._push(np.zeros(n_lost, dtype=np.float32))[1]
        events = self._tell(self._stream.close().events, ended=True)
        if self._keeper is not None:
            self._keeper.skip(n_lost)
        self._position += n_lost
        self._stream, self._first = self._begin(), self._position
        return events

    def _tell(self, events: list[Event], ended: bool = False) -> list[LiveEvent]:
        """Events of the stream as they are told, by their end: at once, or when their clips are written."""
        told = [LiveEvent(event, self._clock.at(event.start)) for event in self._place(events)]
        keeper = self._keeper
        if keeper is None:
            return told
        told, self._unsaved = [*self._unsaved, *told], []
        saved = []
        for heard in told:
            if ended or heard.event.end + keeper.around <= keeper.seconds:
                saved.append(replace(heard, clip=keeper.save(heard.event, heard.at)))
            else:
                self._unsaved.append(heard)
        return saved

    def _place(self, events: list[Event]) -> list[Event]:
        """Events of the stream, in seconds since listening began."""
        first = self._first / self._source.sample_rate
        return [replace(event, start=first + event.start, end=first + event.end) for event in events]

    def _moment(
        self,
        windows: Predictions,
        events: list[LiveEvent],
        loss: Loss | None = None,
        level: float = math.nan,
        ended: bool = False,
    ) -> Moment:
        first = self._first / self._source.sample_rate
        return Moment(
            self.seconds,
            level,
            replace(windows, starts=first + windows.starts, ends=first + windows.ends),
            [] if ended else self._place(self._stream.sounding),
            events,
            loss,
            self._source.backlog_seconds,
            self._busy_seconds / self._sound_seconds if self._sound_seconds else 0.0,
        )


def longest_delay(tagger: Tagger, rule: EventRule) -> float:
    """How many seconds after its end an event is known, at most."""
    known = tagger.metadata
    return known.window_seconds + known.hop_seconds + rule.join_seconds + 2 * BLOCK_SECONDS


class WallClock:
    """When sound came, by the clock on the wall: the computer sleeps, sound cards run slow, and a pipe may hurry.

    Remembers where seconds of sound and of the wall drew apart, the last ANCHORS times.
    """

    def __init__(self):
        self._anchors: deque[tuple[float, float]] = deque(maxlen=ANCHORS)  # (seconds of sound, seconds since 1970)

    def set(self, seconds: float, came: float) -> None:
        """The sound at `seconds` came at `came`."""
        if not self._anchors or abs(self.at(seconds) - came) > CLOCK_SLACK_SECONDS:
            self._anchors.append((seconds, came))

    def at(self, seconds: float) -> float:
        """When the sound at `seconds` came, in seconds since 1970."""
        number = max(bisect_right(self._anchors, (seconds, math.inf)) - 1, 0)
        begun, came = self._anchors[number]
        return came + seconds - begun
