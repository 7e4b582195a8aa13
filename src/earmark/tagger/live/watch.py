"""What someone who listens for days must be told: sound that is lost, a tagger that is too slow, a muted microphone."""

from __future__ import annotations

from earmark.tagger.live.listening import Moment
from earmark.tagger.live.source import BACKLOG_SECONDS

LATE_SECONDS = 5.0  # of backlog, from which on it is told
CAUGHT_UP_SECONDS = 1.0  # of backlog, under which it is told anew the next time
ZERO_SECONDS = 10.0  # of nothing but zeros, which no microphone that hears gives


class Watch:
    """Looks at moments; each worry is told once, until it is over."""

    def __init__(self):
        self._late = False
        self._zeros_since: float | None = None
        self._zeros_told = False

    def look(self, moment: Moment) -> list[str]:
        """What is to be told now, a sentence each."""
        told = [] if moment.loss is None else [moment.loss.reason]
        if moment.backlog_seconds < CAUGHT_UP_SECONDS:
            self._late = False
        elif not self._late and moment.backlog_seconds >= LATE_SECONDS and moment.load > 1:
            self._late = True
            told.append(
                f"{moment.backlog_seconds:.0f} s behind: a second of sound takes {moment.load:.2g} s to hear here, "
                f"and beyond {BACKLOG_SECONDS:g} s a microphone's is lost. Give it more cores (--threads), or a "
                "smaller tagger."
            )
        return told + self._zeros(moment)

    def _zeros(self, moment: Moment) -> list[str]:
        if moment.level != 0:  # of no block it is nan, which says nothing
            if moment.level > 0:
                self._zeros_since, self._zeros_told = None, False
            return []
        self._zeros_since = moment.seconds if self._zeros_since is None else self._zeros_since
        if self._zeros_told or moment.seconds - self._zeros_since < ZERO_SECONDS:
            return []
        self._zeros_told = True
        return [f"nothing but zeros for {ZERO_SECONDS:g} s: is it muted, or not allowed to record?"]
