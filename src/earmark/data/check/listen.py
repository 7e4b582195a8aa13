"""Every file of a data set decoded once, in threads: statistics and a fingerprint of each of its clips."""

from __future__ import annotations

import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.audio.cache import content_hash
from earmark.audio.decode import region_samples
from earmark.audio.probe import open_sound
from earmark.audio.sound import LENGTH_TOLERANCE_SECONDS, CutOffError, Sound, average
from earmark.data.fingerprint import Fingerprint, FingerprintStream
from earmark.data.statistics import ClipStatistics, StatisticsStream
from earmark.errors import AudioError

AHEAD_PER_THREAD = 4  # files begun before the oldest is handed out

Region = tuple[float, float | None]  # seconds; None is the file's end


@dataclass(frozen=True)
class HeardClip:
    """statistics, fingerprint: of a region; None where nothing was heard, and then `error` may say why."""

    statistics: ClipStatistics | None = None
    fingerprint: Fingerprint | None = None
    error: str = ""


@dataclass(frozen=True)
class HeardFile:
    """A file once it was read to its end.

    clips: one for each region that was asked for. digest: of its bytes, "" if they could not be read.
    format: libsndfile's word, "" if it did not open.
    problem, detail: a key of PROBLEMS and what was found, "" if the whole file was heard.
    """

    clips: tuple[HeardClip, ...]
    digest: str = ""
    format: str = ""
    problem: str = ""
    detail: str = ""


def listen_to_all(work: Sequence[tuple[Path, Sequence[Region]]], threads: int) -> Iterator[HeardFile]:
    """`listen` to each file, a few at a time, in order."""
    stopped = threading.Event()
    pending: deque[Future[HeardFile]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="listen")
    try:
        for path, regions in work:
            pending.append(pool.submit(listen, path, regions, stopped))
            if len(pending) > threads * AHEAD_PER_THREAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Left early (Ctrl-C): what has begun ends at its next block, not with its long file.
        stopped.set()
        pool.shutdown(cancel_futures=True)


def listen(path: Path, regions: Sequence[Region], stopped: threading.Event | None = None) -> HeardFile:
    """Decode a file from front to back, in memory that its length does not change, its fingerprint aside.

    Args:
        regions: of its clips; they may overlap.
        stopped: ends the work early when set.
    """
    nothing = tuple(HeardClip() for _ in regions)
    digest = ""
    try:
        digest = content_hash(path)
        with open_sound(path) as sound:
            taps, n_read, reason = _pour(sound, regions, stopped or threading.Event())
    except AudioError as error:
        return HeardFile(nothing, digest, problem=_name(path, error), detail=_without(path, error))
    if not n_read:
        problem = "truncated" if sound.cut or reason else "empty"
        return HeardFile(nothing, digest, sound.format, problem, reason or "nothing in it can be decoded")
    clips = tuple(tap.finish(n_read) for tap in taps)
    missing = (sound.n_claimed or 0) - n_read > LENGTH_TOLERANCE_SECONDS * sound.sample_rate
    if reason or missing or sound.cut:
        there = f"{n_read / sound.sample_rate:.2f} s"
        there += f" of {sound.n_claimed / sound.sample_rate:.2f} s are there" if missing else " can be read"
        detail = f"{there}; {reason or 'the file ends within the sound'}"
        return HeardFile(clips, digest, sound.format, "truncated", detail)
    return HeardFile(clips, digest, sound.format)


class _Tap:
    """Takes the blocks of one region out of those of the whole file."""

    def __init__(self, path: Path, region: Region, sound: Sound, n_channels: int):
        self._path, self._region, self._sample_rate = path, region, sound.sample_rate
        self._first, self._stop = round(region[0] * sound.sample_rate), None
        if region[1] is not None:
            self._stop = max(self._first + 1, round(region[1] * sound.sample_rate))
        self._statistics = StatisticsStream(sound.sample_rate, n_channels, sound.subtype)
        self._fingerprint = FingerprintStream(sound.sample_rate)

    def take(self, position: int, frames: np.ndarray, mono: np.ndarray) -> None:
        """What of the block that begins at sample `position` belongs to the region."""
        first = max(0, self._first - position)
        stop = len(frames) if self._stop is None else min(len(frames), self._stop - position)
        if first < stop:
            self._statistics.push(frames[first:stop])
            self._fingerprint.push(mono[first:stop])

    def finish(self, n_read: int) -> HeardClip:
        """The clip, once the whole file is read and its length in samples known."""
        try:
            region_samples(self._path, *self._region, n_read, self._sample_rate)
        except AudioError as error:
            return HeardClip(error=_without(self._path, error))
        return HeardClip(self._statistics.finish(), self._fingerprint.finish())


def _pour(sound: Sound, regions: Sequence[Region], stopped: threading.Event) -> tuple[list[_Tap], int, str]:
    """Read to the end. The regions, how many samples there were, and why not more ("" at the end of the file)."""
    taps: list[_Tap] = []
    position = 0
    try:
        for frames in sound.frames(0, None):
            # The blocks know best how many channels they have: joined files may have come together as mono.
            taps = taps or [_Tap(sound.path, region, sound, frames.shape[1]) for region in regions]
            mono = average(frames)
            for tap in taps:
                tap.take(position, frames, mono)
            position += len(frames)
            if stopped.is_set():
                break
    except CutOffError as error:
        return taps, position, _without(sound.path, error)
    return taps, position, ""


def _name(path: Path, error: AudioError) -> str:
    """The problem that stands behind an error on opening a file."""
    try:
        status = path.stat()
    except OSError:
        return "missing_file"
    if (stat.S_ISREG(status.st_mode) and not status.st_size) or "0 samples" in str(error):
        return "empty"
    return "needs_media" if "earmark[media]" in str(error) else "unreadable"


def _without(path: Path, error: AudioError) -> str:
    """An error's text without the file's name, which stands beside it."""
    return str(error).removeprefix(f"{path}: ")
