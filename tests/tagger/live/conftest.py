"""Sources for tests: blocks that are given, and a pipe that is written to."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from earmark.tagger.live import Block, Pipe


class Given:
    """A source of blocks that are known beforehand, and perhaps of an error after them."""

    name, backlog_seconds = "given", 0.0

    def __init__(self, blocks, sample_rate=8000, error=None):
        self.sample_rate, self._blocks, self._error = sample_rate, blocks, error

    def blocks(self):
        yield from self._blocks
        if self._error:
            raise self._error


@pytest.fixture
def given():
    """`given(waveform, ..., lost={2: 800})`: a source of blocks of 0.1 s, with samples lost before some of them; what
    is lost is left out of the waveform."""

    def make(waveform, *, sample_rate=8000, lost=None, came=None, error=None):
        size, blocks, first, number = sample_rate // 10, [], 0, 0
        while first < len(waveform):
            n_lost = (lost or {}).get(number, 0)
            first += n_lost
            samples = waveform[first : first + size]
            first += len(samples)
            when = came(first / sample_rate) if came else 1_000_000 + first / sample_rate
            blocks.append(Block(samples, when, n_lost))
            number += 1
        return Given(blocks, sample_rate, error)

    return make


@pytest.fixture
def piped():
    """`piped(bytes, rate, ..., chunk=n)`: a Pipe whose other end is written by a thread, n bytes at a time."""
    opened = []

    def make(content: bytes, sample_rate: int, *options, chunk: int = 4099) -> Pipe:
        read, write = os.pipe()

        def send():
            try:
                for first in range(0, len(content), chunk):
                    os.write(write, content[first : first + chunk])
            except BrokenPipeError:
                pass
            os.close(write)

        thread = threading.Thread(target=send)
        thread.start()
        pipe = Pipe(read, sample_rate, *options)
        opened.append((pipe, read, thread))
        return pipe

    yield make
    for pipe, read, thread in opened:
        pipe.close()
        time.sleep(0.05)  # for a reader that waits for room
        os.close(read)
        thread.join()


@pytest.fixture
def tones():
    """`tones((hertz, seconds), ...)`: a waveform at 8 kHz."""

    def make(*parts):
        pieces = [0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 8000)) / 8000) for hz, seconds in parts]
        return np.concatenate(pieces).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def bursts():
    """20 s at 8 kHz: 2 s of noise, 2 s of nothing, and so on. In the one the toy tagger of docs/tagger-file hears
    "tone, high", in the other "noise"."""
    noise = np.random.default_rng(0).normal(scale=0.25, size=160_000).clip(-1, 1)
    return (noise * (np.arange(160_000) // 16_000 % 2 == 0)).astype(np.float32)
