"""What `earmark listen` shows on stderr: a picture that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from earmark.tagger.live import LiveEvent, Moment

LOWEST_DB = -60.0  # of the level meter
LAST_EVENTS = 5
PICTURES_PER_SECOND = 8
NAME_WIDTH = 28  # of a label


@dataclass(frozen=True)
class Heading:
    """What is listened to, by what: name of the source, words of the tagger, its labels, (classes,) thresholds."""

    source: str
    tagger: str
    labels: Sequence[str]
    limits: np.ndarray


def open_display(heading: Heading, top: int) -> Display:
    """A moving picture where stderr can show one, else lines. top: how many labels it shows."""
    console = Console(stderr=True, highlight=False, markup=False)
    if console.is_terminal and not console.is_dumb_terminal and "utf" in console.encoding:
        return Picture(heading, top, console)
    return Display(heading)


class Display:
    """Plain lines: beginning, events, worries, end."""

    def __init__(self, heading: Heading):
        self.heading = heading
        self.moment: Moment | None = None
        self.n_events, self.lost_seconds = 0, 0.0

    def show(self, moment: Moment) -> None:
        """Show what became known."""
        self.moment = moment
        self.n_events += len(moment.events)
        if moment.loss is not None:
            self.lost_seconds += moment.loss.end - moment.loss.start
        for heard in moment.events:
            self.show_event(heard)

    def show_event(self, heard: LiveEvent) -> None:
        """Show an event that has ended."""
        self.say(event_text(heard))

    def say(self, text: str) -> None:
        """Tell something, once."""
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        self.say(f"Listening to {self.heading.source} with {self.heading.tagger}. Ctrl-C ends.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = self.moment.seconds if self.moment else 0.0
        lost = f", {self.lost_seconds:.3g} s lost" if self.lost_seconds else ""
        self.say(f"Heard {clock_text(seconds)}: {self.n_events} events{lost}.")


class Picture(Display):
    """Level, the strongest labels with their thresholds, what sounds, the last events; drawn by a thread of its own."""

    def __init__(self, heading: Heading, top: int, console: Console):
        super().__init__(heading)
        self._top, self._console = top, console
        self._scores, self._window_start = np.zeros(len(heading.labels), dtype=np.float32), 0.0
        self._last: deque[LiveEvent] = deque(maxlen=LAST_EVENTS)
        # Lines on stdout must stay there, and those on the same terminal above the picture.
        self._live = Live(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=PICTURES_PER_SECOND,
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )

    def show(self, moment: Moment) -> None:
        """Show what became known."""
        if len(moment.windows):
            self._scores, self._window_start = moment.windows.scores[-1], float(moment.windows.starts[-1])
        super().show(moment)

    def show_event(self, heard: LiveEvent) -> None:
        """Show an event that has ended, among the last."""
        self._last = deque([*self._last, heard], maxlen=LAST_EVENTS)

    def say(self, text: str) -> None:
        """Tell something above the picture, where it stays."""
        self._console.print(text, style="yellow" if self._live.is_started else "", soft_wrap=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        for heard in self._last:
            self.say(event_text(heard))
        super().__exit__(kind, error, trace)

    def draw(self) -> Group:
        """The picture of the last moment."""
        moment, width = self.moment, max(self._console.width - NAME_WIDTH - 10, 10)
        if moment is None:
            return Group(Text("waiting for sound …", style="dim"))
        state = f"{clock_text(moment.seconds)}   load {moment.load:.0%}   {moment.backlog_seconds:.1f} s behind"
        state += f"   {self.lost_seconds:.3g} s lost" if self.lost_seconds else ""
        lines = [Text(state, style="dim"), level_line(moment.level, width)]
        for number in np.argsort(-self._scores, kind="stable")[: self._top]:
            lines.append(
                score_line(self.heading.labels[number], self._scores[number], self.heading.limits[number], width)
            )
        now = [f"{label} ({moment.seconds - start:.0f} s)" for label, start in self._sounding().items()]
        lines.append(Text("now: " + (", ".join(now) or "–"), style="bold" if now else "dim"))
        lines += [Text(event_text(heard), style="dim") for heard in self._last]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    def _sounding(self) -> dict[str, float]:
        """Labels that sound, and since when: begun events, and what the last window names, of which none is decided."""
        loud = [self.heading.labels[number] for number in np.flatnonzero(self._scores >= self.heading.limits)]
        return dict.fromkeys(loud, self._window_start) | {event.label: event.start for event in self.moment.sounding}


def level_line(level: float, width: int) -> Text:
    """A meter from LOWEST_DB to full scale. level: RMS, full scale 1.

    >>> level_line(0.1, 12).plain
    'level                       ████████      -20 dB'
    """
    decibel = 20 * math.log10(level) if level > 0 else -math.inf
    filled = round(width * min(max(1 - decibel / LOWEST_DB, 0), 1))
    style = "red" if decibel > -3 else "green"
    line = Text(f"{'level':<{NAME_WIDTH}}")
    line.append("█" * filled, style)
    return line.append(" " * (width - filled) + (f"{decibel:6.0f} dB" if level > 0 else "   – dB"))


def score_line(label: str, score: float, limit: float, width: int) -> Text:
    """A label's score as a bar, its threshold marked.

    >>> score_line("owl", 0.75, 0.5, 12).plain
    'owl                         ██████│██     0.75'
    """
    filled, mark = round(width * float(score)), round(width * float(limit)) if limit <= 1 else -1
    cells = ["█" if place < filled else " " for place in range(width)]
    if 0 <= mark <= width:
        cells[min(mark, width - 1)] = "│"
    line = Text(f"{label[: NAME_WIDTH - 1]:<{NAME_WIDTH}}", style="bold" if score >= limit else "")
    line.append("".join(cells), "cyan" if score >= limit else "blue")
    return line.append(f"  {score:.2f}")


def event_text(heard: LiveEvent) -> str:
    """An event in a line: when it began, what, how long, how sure."""
    event = heard.event
    kept = f"  {heard.clip.path.name}" if heard.clip else ""
    when = datetime.fromtimestamp(heard.at)
    return f"{when:%H:%M:%S}  {event.label}  {event.end - event.start:.1f} s  {event.score:.2f}{kept}"


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock_text(3725.4), clock_text(90000)
    ('1:02:05', '1 day, 1:00:00')
    """
    return str(timedelta(seconds=int(seconds)))
