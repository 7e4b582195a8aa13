"""Raw samples from a pipe: `ffmpeg … -f f32le - | earmark listen TAGGER --pipe --rate 48000`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from threading import Event, Thread

import numpy as np

from earmark.audio.pcm import PCM_FORMATS, bytes_per_sample, decode_pcm
from earmark.audio.probe import HIGHEST_RATE, LOWEST_RATE
from earmark.errors import AudioError, ConfigError
from earmark.lookup import require_name
from earmark.tagger.live.source import BACKLOG_SECONDS, Block, BlockQueue

HEADERS = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3\x03": "MP3", b"ID3\x04": "MP3"}
READ_SECONDS = 0.1  # most that is read at once
LOUDEST = 1e4  # full scale is 1: no sound has this, and bytes of another format soon do
MOST_CHANNELS = 64
PAUSE_SECONDS = 0.02  # between looks whether there is room again


class Pipe:
    """Samples from an open file, read ahead by a thread of its own as far as BACKLOG_SECONDS; then the writer waits.

    Args:
        descriptor: of the file; it is left open.
        sample_rate: Hz. sample_format: a name of PCM_FORMATS. n_channels: interleaved, and averaged.
        name: what errors and lines call it.

    Raises:
        AudioError: there is no such rate.
        ConfigError: there is no such format, or number of channels.
    """

    def __init__(
        self,
        descriptor: int,
        sample_rate: int,
        sample_format: str = "f32le",
        n_channels: int = 1,
        name: str = "stdin",
    ):
        require_name(PCM_FORMATS, sample_format, "sample format")
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise AudioError(
                f"{name}: samples at {sample_rate} Hz (expected {LOWEST_RATE} to {HIGHEST_RATE}). "
                "Give the rate of what is piped."
            )
        if not 1 <= n_channels <= MOST_CHANNELS:
            raise ConfigError(f"{name}: {n_channels} channels (expected 1 to {MOST_CHANNELS}). Count them again.")
        self.name, self.sample_rate = name, sample_rate
        self._descriptor, self._sample_format, self._n_channels = descriptor, sample_format, n_channels
        self._queue = BlockQueue(sample_rate)
        self._closed = Event()
        self._n_frames = 0
        self._thread: Thread | None = None

    @property
    def backlog_seconds(self) -> float:
        """How much was read and not yet heard."""
        return self._queue.backlog_seconds

    def blocks(self) -> Iterator[Block]:
        """Blocks until the pipe is closed at its other end.

        Raises:
            AudioError: what comes are no such samples, or it ends within one. What came before was handed out.
        """
        # A daemon: nobody can wake it from a pipe to which nothing is written.
        self._thread = Thread(target=self._read, name="pipe", daemon=True)
        self._thread.start()
        yield from self._queue.blocks()

    def stop(self) -> None:
        """Hand out no more."""
        self._queue.stop()

    def close(self) -> None:
        """Read no more."""
        self._closed.set()

    def _read(self) -> None:
        """The thread: bytes into blocks."""
        try:
            self._read_on()
        except AudioError as error:
            self._queue.end(error)
        except OSError as error:
            self._queue.end(AudioError(f"{self.name}: cannot be read ({error.strerror}). Check what is piped."))
        else:
            self._queue.end()

    def _read_on(self) -> None:
        frame_bytes = bytes_per_sample(self._sample_format) * self._n_channels
        most = max(int(READ_SECONDS * self.sample_rate), 1) * frame_bytes
        rest, checked = b"", False
        while not self._closed.is_set():
            read = os.read(self._descriptor, most)
            came, rest = time.time(), rest + read
            if not read:
                break
            if not checked and len(rest) >= 4:
                self._check_header(rest[:4])
                checked = True
            whole = len(rest) - len(rest) % frame_bytes
            if whole:
                self._queue.put(Block(self._decode(rest[:whole]), came))
                rest = rest[whole:]
            while self.backlog_seconds >= BACKLOG_SECONDS and not self._closed.is_set():
                time.sleep(PAUSE_SECONDS)
        if rest and not self._closed.is_set():
            raise AudioError(
                f"{self.name}: ends within a sample ({len(rest)} bytes are left, a whole one has {frame_bytes}). "
                "What came before was heard. Check --format and --channels."
            )

    def _check_header(self, beginning: bytes) -> None:
        """Refuse files, which are no raw samples."""
        if beginning in HEADERS:
            raise AudioError(
                f"{self.name}: begins as a {HEADERS[beginning]} file (expected raw samples). "
                f"Convert it: ffmpeg -i FILE -f {self._sample_format} -ac 1 -ar {self.sample_rate} - | earmark listen …"
            )

    def _decode(self, some: bytes) -> np.ndarray:
        """Whole frames as mono, float32 (samples,)."""
        frames = decode_pcm(some, self._sample_format).reshape(-1, self._n_channels)
        bad = ~(np.abs(frames) <= LOUDEST).all(axis=1)  # nan is not
        if bad.any():
            row = int(bad.argmax())
            raise AudioError(
                f"{self.name}: {frames[row].max():g} at {(self._n_frames + row) / self.sample_rate:.3f} s is no sample "
                f"(expected {self._sample_format}, full scale ±1). Check --format, and what is piped."
            )
        self._n_frames += len(frames)
        return frames.mean(axis=1, dtype=np.float32) if self._n_channels > 1 else frames[:, 0]
