"""Where sound comes from while it is made: blocks in a queue, between the thread that takes them and who hears them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np

from earmark.errors import AudioError

BACKLOG_SECONDS = 30.0  # of sound that may wait to be heard
BLOCK_SECONDS = 1.0  # most that is handed out at once where some waits


@dataclass(frozen=True)
class Block:
    """A stretch of sound.

    samples: float32 (samples,), mono. came: when its last sample came, seconds since 1970.
    n_lost: how many samples were lost right before it.
    """

    samples: np.ndarray
    came: float
    n_lost: int = 0


class Source(Protocol):
    """What can be listened to.

    name: what lines and display call it. sample_rate: Hz of its blocks.
    """

    name: str
    sample_rate: int

    @property
    def backlog_seconds(self) -> float:
        """How much sound waits to be heard."""

    def blocks(self) -> Iterator[Block]:
        """What comes, until it ends or is stopped; an AudioError where it fails."""

    def stop(self) -> None:
        """No more is handed out, whatever waits. May be called by a signal handler or another thread."""

    def close(self) -> None:
        """Let go of the device."""


@dataclass(frozen=True)
class _End:
    """Nothing more comes; why, if something is wrong."""

    error: AudioError | None = None


class BlockQueue:
    """Blocks from one thread to another. Putting never waits, not even for a lock that the other thread holds.

    Args:
        sample_rate: Hz of the blocks.
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self.stopped = False
        self._waiting: SimpleQueue[Block | _End] = SimpleQueue()
        self._n_put = self._n_taken = 0  # samples; each is written by one of the two threads

    @property
    def backlog_seconds(self) -> float:
        """How much sound waits."""
        return max(self._n_put - self._n_taken, 0) / self.sample_rate

    def put(self, block: Block) -> None:
        """Add a block."""
        self._n_put += len(block.samples)
        self._waiting.put(block)

    def end(self, error: AudioError | None = None) -> None:
        """Say that nothing more comes."""
        self._waiting.put(_End(error))

    def stop(self) -> None:
        """Hand out no more."""
        self.stopped = True
        self._waiting.put(_End())

    def blocks(self, patience: float | None = None) -> Iterator[Block]:
        """Blocks until the end, several as one where they wait and none was lost between them.

        Args:
            patience: seconds without any after which the source is taken for dead; None = it may be silent for ever.

        Raises:
            AudioError: it ended with one, or nothing came for so long.
        """
        following = None
        while not self.stopped:
            try:
                first = following or self._waiting.get(timeout=patience)
            except Empty as empty:
                raise AudioError(
                    f"microphone: gave no sound for {patience:g} s. Check that it is plugged in, and start again."
                ) from empty
            if self.stopped:
                return
            if isinstance(first, _End):
                if first.error is not None:
                    raise first.error
                return
            some, following = self._gather(first)
            block = Block(np.concatenate([each.samples for each in some]), some[-1].came, first.n_lost)
            self._n_taken += len(block.samples)
            yield block

    def _gather(self, first: Block) -> tuple[list[Block], Block | _End | None]:
        """The blocks that go on where `first` ends and are there already; the one after them, if it was taken."""
        some, n_samples = [first], len(first.samples)
        while n_samples < BLOCK_SECONDS * self.sample_rate:
            try:
                following = self._waiting.get_nowait()
            except Empty:
                break
            if isinstance(following, _End) or following.n_lost:
                return some, following
            some.append(following)
            n_samples += len(following.samples)
        return some, None
