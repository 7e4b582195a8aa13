"""A sound file opened by libsndfile: one part or several, read from front to back as one sound."""

from __future__ import annotations

import contextlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from earmark.audio.parts import Part, open_part
from earmark.audio.resample import ResampleStream
from earmark.errors import AudioError

READ_SAMPLES = 1 << 19  # samples over all channels in one read: 12 s of mono at 44.1 kHz, 2 MiB
READ_SECONDS = 100.0  # at most, too: at 100 Hz that many samples would become 671 MB at 32 kHz
LENGTH_TOLERANCE_SECONDS = 0.1  # MP3 headers miscount by a frame or two
_FINE_SAMPLES = 1 << 10  # in one read near damage


# Told how many samples (over all channels) were decoded, as decoding goes, skipped ones included; stops it by raising.
Watch = Callable[[int], None]


def watch_nothing(n_decoded: int) -> None:
    """Let everything be decoded."""


class CutOffError(AudioError):
    """A sound that stops before its end.

    readable_seconds: what is there, from the file's beginning. claimed_seconds: what the header says; None where
    it does not say.
    """

    def __init__(self, text: str, readable_seconds: float, claimed_seconds: float | None):
        super().__init__(text)
        self.readable_seconds = readable_seconds
        self.claimed_seconds = claimed_seconds


class SequentialFile(soundfile.SoundFile):
    """A part of a sound file, read from front to back.

    soundfile seeks to where it already is after every read: that disturbs MP3 decoding in the last bits, and
    fails at the end of a stream of unknown length. Not being "seekable" leaves that out; `seek` still works.
    """

    def __init__(self, path: Path, part: Part):
        self._bytes = None
        if part.is_file(os.path.getsize(path)):
            # Bytes on POSIX: a name that is not UTF-8 must open too.
            super().__init__(os.fspath(path) if sys.platform == "win32" else os.fsencode(path))
            return
        self._bytes = open_part(path, part)
        try:
            super().__init__(self._bytes)
        except soundfile.LibsndfileError:
            self._bytes.close()
            raise

    def close(self) -> None:
        """Close the file underneath too."""
        super().close()
        if self._bytes is not None:
            self._bytes.close()

    def seekable(self) -> bool:
        """Never: see above."""
        return False

    @property
    def n_samples(self) -> int | None:
        """Per channel; None for streams whose header does not say (FLAC written to a pipe)."""
        return self.frames if self.frames < 2**62 else None


class Sound(ABC):
    """A sound file, open.

    path: of the file. sample_rate: Hz. n_channels: count. n_samples: per channel; None if only reading to the end
    will tell. n_claimed: samples that the header says there are, None if it does not say. cut: whether the file
    is known to end within the sound. format, subtype: the decoder's words.
    """

    path: Path
    sample_rate: int
    n_channels: int
    n_samples: int | None
    n_claimed: int | None
    cut: bool
    format: str
    subtype: str

    @abstractmethod
    def frames(self, first: int, stop: int | None) -> Iterator[np.ndarray]:
        """Samples as float32 (samples, channels), in pieces of constant size. To be called once.

        Args:
            first: sample to begin with.
            stop: sample behind the last one; None or beyond the end is as far as the file can be read.

        Raises:
            CutOffError: the file is damaged.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class PartsSound(Sound):
    """What libsndfile reads.

    Args:
        path: of the file.
        parts: the sounds in it, at least one. Where their rates or numbers of channels differ, all become mono
            at the rate of the first.
        watch: told what is decoded.

    Raises:
        soundfile.LibsndfileError: libsndfile cannot read it.
        AudioError: libsndfile would not read it whole.
    """

    def __init__(self, path: Path, parts: Sequence[Part], watch: Watch = watch_nothing):
        self.path = path
        self._parts = parts
        self._watch = watch
        self._file = SequentialFile(path, parts[0])
        self.sample_rate, self.n_channels = self._file.samplerate, self._file.channels
        self.format, self.subtype = self._file.format, self._file.subtype
        lengths = [self._length(self._file, parts[0])]
        self._mixed = False
        for part in parts[1:]:
            watch(0)  # there may be very many
            with SequentialFile(path, part) as file:
                lengths.append(self._length(file, part))
                self._mixed |= (file.samplerate, file.channels) != (self.sample_rate, self.n_channels)
        self.cut = any(part.cut for part in parts)
        self.n_claimed = None if self.cut or None in lengths else sum(lengths)
        self.n_samples = self.n_claimed

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def frames(self, first: int, stop: int | None) -> Iterator[np.ndarray]:
        """As for any sound. MP3 and joined sounds are decoded from their beginning: after a seek, an MP3's first
        frames would be silence, because their bits lie in frames before."""
        if len(self._parts) > 1:
            yield from cut_out(self._joined(), first, stop)
        elif self.format == "MP3":
            yield from cut_out(self._read(self._file, self._parts[0], 0, None), first, stop)
        else:
            yield from self._read(self._file, self._parts[0], first, stop)

    def _length(self, file: SequentialFile, part: Part) -> int | None:
        """Samples that a part's header gives, at the rate of the first part."""
        if file.n_samples is None:
            return None
        if file.n_samples < part.least:
            file.close()
            raise AudioError(
                f"{self.path}: holds more sound than could be read (at least {part.least / file.samplerate:.2f} s, "
                f"of which {file.n_samples / file.samplerate:.2f} s). Convert it to WAV or FLAC."
            )
        return round(file.n_samples * part.claimed * self.sample_rate / file.samplerate)

    def _joined(self) -> Iterator[np.ndarray]:
        """All parts, one after the other, up to one that is shorter than it says."""
        position = 0
        for part in self._parts:
            begin = position
            with SequentialFile(self.path, part) as file:
                expected = self._length(file, part)
                for piece in self._converted(file, part, begin):
                    position += len(piece)
                    yield piece
            tolerance = LENGTH_TOLERANCE_SECONDS * self.sample_rate
            if part.cut or (expected is not None and begin + expected - position > tolerance):
                return

    def _converted(self, file: SequentialFile, part: Part, begin: int) -> Iterator[np.ndarray]:
        """A part in the form of all of them."""
        if not self._mixed:
            yield from self._read(file, part, 0, None, begin)
            return
        stream = ResampleStream(file.samplerate, self.sample_rate)
        for frames in self._read(file, part, 0, None, begin):
            yield stream.push(average(frames))[:, np.newaxis]
        yield stream.push(np.zeros(0, dtype=np.float32), last=True)[:, np.newaxis]

    def _read(
        self, file: SequentialFile, part: Part, first: int, stop: int | None, begin: int = 0
    ) -> Iterator[np.ndarray]:
        """Samples of a part that begins `begin` samples after the beginning of the sound."""
        at_once = read_samples(file.channels, file.samplerate)
        position = first
        try:
            if first:
                file.seek(first)
            while stop is None or position < stop:
                n_wanted = at_once if stop is None else min(at_once, stop - position)
                frames = file.read(n_wanted, dtype="float32", always_2d=True)
                if not len(frames):
                    return
                position += len(frames)
                self._watch(frames.size)
                yield frames
        except soundfile.LibsndfileError as error:
            for frames in self._read_finely(part, position, stop):
                position += len(frames)
                yield frames
            if stop is not None and position >= stop:
                return
            seconds = begin / self.sample_rate + position / file.samplerate
            reason = error.error_string.rstrip(".")
            raise CutOffError(
                f"{self.path}: is damaged at or after {seconds:.2f} s ({reason}). Fetch it again, or give a region "
                "before that.",
                seconds,
                self.n_claimed and self.n_claimed / self.sample_rate,
            ) from error

    def _read_finely(self, part: Part, first: int, stop: int | None) -> Iterator[np.ndarray]:
        """Samples of a damaged part up to the damage, which a longer read would lose."""
        with SequentialFile(self.path, part) as file, contextlib.suppress(soundfile.LibsndfileError):
            file.seek(first)
            while stop is None or first < stop:
                n_wanted = _FINE_SAMPLES if stop is None else min(_FINE_SAMPLES, stop - first)
                frames = file.read(n_wanted, dtype="float32", always_2d=True)
                if not len(frames):
                    return
                first += len(frames)
                yield frames


def read_samples(n_channels: int, sample_rate: int) -> int:
    """Samples of each channel that are read at once.

    >>> read_samples(2, 44_100), read_samples(1, 100)
    (262144, 10000)
    """
    return max(1, min(READ_SAMPLES // n_channels, round(READ_SECONDS * sample_rate)))


def cut_out(blocks: Iterator[np.ndarray], first: int, stop: int | None) -> Iterator[np.ndarray]:
    """Of a sound in pieces (samples, …), those from `first` to before `stop`."""
    position = 0
    for block in blocks:
        piece = block[max(0, first - position) : None if stop is None else max(0, stop - position)]
        position += len(block)
        if len(piece):
            yield piece
        if stop is not None and position >= stop:
            return


def average(frames: np.ndarray) -> np.ndarray:
    """Mean of the channels of float32 (samples, channels), the same bits however the samples were cut."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    total = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        total += frames[:, channel]
    total /= frames.shape[1]
    return total
