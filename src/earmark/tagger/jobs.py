"""Jobs on all cores, of many recordings or of one long one: results in order, few of them waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")
Job = Callable[[], Result]
LINES_PER_THREAD = 2  # begun before the first is at its end: work for every thread, memory for few
_NO_MORE = object()  # what a line gives after its last job


def run_jobs(
    lines: Iterable[Iterator[Job[Result]]], threads: int, stopped: threading.Event, room: int = 0
) -> Iterator[Result]:
    """What the jobs of each line give, line by line, in the order in which they were made.

    A line makes its jobs one after the other, which is the reading; they are done side by side, as those of several
    lines are. So all threads work on many short lines as on one long one.

    Args:
        lines: taken only a few ahead.
        threads: that make and do jobs.
        stopped: set when the result is left early (Ctrl-C, a closed pipe): what has begun should end soon.
        room: results that may wait for those of an earlier line to be taken, beyond one for each line.
    """
    work = _Work(threads, stopped, room)
    try:
        yield from work.results(iter(lines))
    finally:
        work.stop()


class _Line(Generic[Result]):
    """A line at work.

    futures: of its jobs, made or being made, not yet taken. busy: whether one is being made, or there are no more.
    """

    def __init__(self, jobs: Iterator[Job[Result]]):
        self.jobs = jobs
        self.futures: deque[Future[Result]] = deque()
        self.busy = False


class _Work(Generic[Result]):
    """Lines that are open, the first of them the one whose results are taken."""

    def __init__(self, threads: int, stopped: threading.Event, room: int):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tag")
        self._threads, self._stopped, self._room = threads, stopped, room
        self._lock = threading.Lock()
        self._open: deque[_Line[Result]] = deque()

    def results(self, lines: Iterator[Iterator[Job[Result]]]) -> Iterator[Result]:
        """As `run_jobs`."""
        left = True
        while True:
            while left and len(self._open) <= self._threads * LINES_PER_THREAD:
                jobs = next(lines, None)
                left = jobs is not None
                if left:
                    with self._lock:
                        self._open.append(_Line(jobs))
                        self._feed()
            if not self._open:
                return
            # The next job is asked for before the last one is done, so there is one as long as the line goes on.
            result = self._open[0].futures[0].result()
            with self._lock:
                self._open[0].futures.popleft()
                if result is _NO_MORE:
                    self._open.popleft()
                self._feed()
            if result is not _NO_MORE:
                yield result

    def stop(self) -> None:
        """Let go of everything, when what has begun has ended."""
        with self._lock:
            self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        for line in self._open:
            if isinstance(line.jobs, Generator):
                line.jobs.close()

    def _feed(self) -> None:
        """Ask for the next job of each line that has room for its result; under the lock."""
        if self._stopped.is_set():
            return
        n_waiting = sum(len(line.futures) for line in self._open)
        for place, line in enumerate(self._open):
            own = len(line.futures)
            first = place == 0 and own <= self._threads * LINES_PER_THREAD
            if not line.busy and (not own or first or n_waiting < self._room):
                line.busy = True
                n_waiting += 1
                line.futures.append(self._pool.submit(self._step, line))

    def _step(self, line: _Line[Result]) -> Result:
        """Make a job, let another thread make the next, and do it."""
        job = next(line.jobs, None)
        if job is None or self._stopped.is_set():
            return _NO_MORE
        with self._lock:
            line.busy = False
            self._feed()
        return job()
