"""One graph for many callers: windows that wait go together, and no more calls run at once than there are cores."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from earmark.errors import TaggerFileError
from earmark.tagger.backend import Backend
from earmark.tagger.tag_files import default_threads
from earmark.tagger.tagger import WINDOWS_PER_CALL


class SharedBackend:
    """A backend in front of another.

    A caller has one call here at a time and joins the queue anew for its next windows: however long its recording, the
    others' turns come first. There is no thread of its own: whoever is first makes the call, for those that go with it.

    Args:
        backend: what computes.
        at_once: calls that run at the same time; None is one per core.
        windows_per_call: windows of one length that go together: as many as a tagger itself sends at once. On a CPU no
            other number is faster (benchmarks/results/serving.md).
    """

    def __init__(self, backend: Backend, at_once: int | None = None, windows_per_call: int = WINDOWS_PER_CALL):
        self.metadata_json = backend.metadata_json
        self.input_samples = backend.input_samples
        self.n_classes = backend.n_classes
        self._backend = backend
        self._free = at_once or default_threads()
        self._windows_per_call = windows_per_call
        self._queue: deque[_Asked] = deque()
        self._changed = threading.Condition()

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As of any backend. Blocks until the turn comes."""
        asked = _Asked(windows)
        with self._changed:
            self._queue.append(asked)
            self._changed.wait_for(lambda: asked.done or self._is_next(asked))
            together = [] if asked.done else self._take()
        if together:
            try:
                self._answer(together)
            finally:
                with self._changed:
                    self._free += 1
                    # After a bug, those that are left each see for themselves.
                    self._queue.extendleft(other for other in together[1:] if not other.done)
                    self._changed.notify_all()
        if asked.error is not None:
            raise asked.error
        return asked.answer

    def run_steps(self, windows: np.ndarray) -> np.ndarray:
        """As of any backend, out of turn."""
        return self._backend.run_steps(windows)

    def _is_next(self, asked: _Asked) -> bool:
        """Whether the next call is for this caller to make; not where its windows have gone with others."""
        return bool(self._free and self._queue and self._queue[0] is asked)

    def _take(self) -> list[_Asked]:
        """The first in the queue, and those of the same length behind it for which there is room: they are one call."""
        self._free -= 1
        first = self._queue.popleft()
        together, n_windows = [first], len(first.windows)
        for other in list(self._queue):
            fits = n_windows + len(other.windows) <= self._windows_per_call
            if fits and other.windows.shape[1] == first.windows.shape[1]:
                self._queue.remove(other)
                together.append(other)
                n_windows += len(other.windows)
        self._changed.notify_all()  # another is the first now
        return together

    def _answer(self, together: list[_Asked]) -> None:
        """Make the call, and hand out what is of each."""
        windows = np.concatenate([asked.windows for asked in together]) if together[1:] else together[0].windows
        try:
            scores, embedding = self._backend.run(windows)
        except TaggerFileError as error:
            if together[1:]:  # nobody fails for another's sound
                for asked in together:
                    self._answer([asked])
                return
            together[0].fail(error)
            return
        first = 0
        for asked in together:
            stop = first + len(asked.windows)
            asked.succeed(scores[first:stop], embedding[first:stop])
            first = stop


class _Asked:
    """Windows of one caller; compared by identity."""

    def __init__(self, windows: np.ndarray):
        self.windows = windows
        self.answer: tuple[np.ndarray, np.ndarray] | None = None
        self.error: TaggerFileError | None = None

    @property
    def done(self) -> bool:
        return self.answer is not None or self.error is not None

    def succeed(self, scores: np.ndarray, embedding: np.ndarray) -> None:
        """Its part of a call."""
        self.answer = scores, embedding

    def fail(self, error: TaggerFileError) -> None:
        """The graph failed on it."""
        self.error = error
