"""Who is served at once: requests in a queue without favourites, streams, and how a stop lets them finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import Request

from earmark.server.limits import Limits
from earmark.server.meter import Meter
from earmark.server.refusals import Refusal

Result = TypeVar("Result")


class Places:
    """Places for uploads, for work and for streams. Belongs to one event loop.

    n_open: requests and streams that are not over. n_taken: those of them that were let in.
    stopping: set once nothing new is taken.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.n_open = self.n_taken = 0
        self.stopping = asyncio.Event()
        self._n_receiving = self._n_waiting = self._n_streams = 0
        self._work = asyncio.Semaphore(limits.at_work)  # which serves in order
        # Of streams too: none can keep a request from its thread, nor the other way round.
        self._threads = ThreadPoolExecutor(limits.at_work, thread_name_prefix="work")
        self._stream_threads = ThreadPoolExecutor(max(1, limits.streams), thread_name_prefix="stream")

    def close(self) -> None:
        """End the threads; what they have begun is waited for."""
        for threads in (self._threads, self._stream_threads):
            threads.shutdown(cancel_futures=True)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """A place to send an upload from: slow ones are counted here alone, and hold up nobody at work.

        Raises:
            Refusal: all are taken, or nothing could be done with the upload.
        """
        if self._n_receiving >= self.limits.receiving:
            raise _busy(f"{self._n_receiving} uploads are being received")
        self._require_queue()
        self._n_receiving += 1
        try:
            yield
        finally:
            self._n_receiving -= 1

    async def work(self, request: Request, meter: Callable[[], Meter], job: Callable[[Meter], Result]) -> Result:
        """Run a job in a thread when its turn comes; when the client leaves, the job is told.

        Args:
            request: whose body has been read.
            meter: makes what the job is measured by, when it begins.
            job: takes it.

        Raises:
            Refusal: too many are waiting.
        """
        self._require_queue()
        self._n_waiting += 1
        try:
            await self._work.acquire()
        finally:
            self._n_waiting -= 1
        try:
            made = meter()
            working = asyncio.get_running_loop().run_in_executor(self._threads, job, made)
            leaving = asyncio.ensure_future(_has_left(request))
            try:
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    made.give_up()
                return await working
            finally:
                made.give_up()  # if this is left before it is done, by a stop that waits no longer
                leaving.cancel()
                request.state.audio_seconds = made.heard_seconds
        finally:
            self._work.release()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """A place for a stream.

        Raises:
            Refusal: all are taken.
        """
        if self._n_streams >= self.limits.streams:
            raise _busy(f"{self._n_streams} streams are open")
        self._n_streams += 1
        try:
            yield
        finally:
            self._n_streams -= 1

    async def run_stream(self, job: Callable[..., Result], *arguments: object) -> Result:
        """Run a stream's next piece of work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._stream_threads, job, *arguments)

    def _require_queue(self) -> None:
        if self._work.locked() and self._n_waiting >= self.limits.waiting:
            raise _busy(f"{self._n_waiting} requests wait already")


async def _has_left(request: Request) -> None:
    """Returns when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _busy(why: str) -> Refusal:
    return Refusal("busy", f"server: {why}, which is the most. Try again in a moment.")
