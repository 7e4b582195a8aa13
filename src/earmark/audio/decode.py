"""From a sound file to a mono float32 waveform at one rate, whole or in blocks of constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from earmark.audio.probe import open_sound
from earmark.audio.resample import ResampleStream
from earmark.audio.sound import LENGTH_TOLERANCE_SECONDS, CutOffError, Sound, Watch, average, watch_nothing
from earmark.errors import AudioError

END_TOLERANCE_SECONDS = 0.01  # tables round their ends to 2 decimals


def load(path: str | Path, sample_rate: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Decode a sound file, or a region of it.

    Args:
        path: WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, AU or CAF, of any rate and any number of channels; with PyAV
            installed also AAC, ALAC, WebM and what else it decodes.
        sample_rate: of the result, Hz.
        start, end: region in seconds of the file; None is the file's end.

    Returns:
        waveform: float32 (samples,), channels averaged, full scale ±1 (lossy codecs may go beyond).

    Raises:
        AudioError: the file or the region cannot be read.
        CutOffError: an AudioError: the file stops before its end; it knows how much is there.
    """
    pieces = list(_resampled(Path(path), sample_rate, start, end))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def blocks(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    end: float | None = None,
    block_seconds: float = 10.0,
    watch: Watch = watch_nothing,
) -> Iterator[np.ndarray]:
    """The samples of `load`, bit for bit, in pieces of at most `block_seconds`, in memory that does not grow.

    Args:
        path, sample_rate, start, end: as for `load`.
        block_seconds: the longest piece.
        watch: told how much is decoded, before it is resampled; by raising it stops a file that is too much.

    Yields:
        float32 (samples,), never empty.

    Raises:
        AudioError: the file or the region cannot be read; with a damaged file perhaps only after some blocks.
    """
    longest = max(1, round(block_seconds * sample_rate))
    for piece in _resampled(Path(path), sample_rate, start, end, watch):
        for first in range(0, len(piece), longest):
            yield piece[first : first + longest]


def read_frames(path: str | Path, start: float = 0.0, end: float | None = None) -> Iterator[np.ndarray]:
    """A sound as its file holds it: channels apart, at its own rate, whatever the samples are.

    Args:
        path, start, end: as for `load`.

    Yields:
        float32 (samples, channels), full scale ±1; NaN and infinity are passed on. Joined files whose parts differ
        in rate or channels come as mono.

    Raises:
        AudioError: the file or the region cannot be read; with a damaged file perhaps only after some pieces.
    """
    with open_sound(Path(path)) as sound:
        yield from _frames(sound, start, end)


def region_samples(
    path: Path, start: float, end: float | None, n_samples: int | None, sample_rate: int
) -> tuple[int, int | None]:
    """First sample of a region and the one after its last.

    Args:
        path: for the error text.
        start, end: seconds; end None is the end of the file.
        n_samples: the file's length, None if unknown.
        sample_rate: of the file, Hz.

    Raises:
        AudioError: the region is empty, negative, or reaches beyond the file.
    """
    if start < 0 or (end is not None and end <= start):
        until = "the end" if end is None else f"{end:g} s"
        raise AudioError(f"{path}: region {start:g} s to {until} is empty or negative. Give 0 <= start < end.")
    first = round(start * sample_rate)
    stop = None if end is None else max(first + 1, round(end * sample_rate))
    if n_samples is None:
        return first, stop
    seconds = n_samples / sample_rate
    if first >= n_samples:
        raise AudioError(f"{path}: start {start:g} s is not before its end at {seconds:.3f} s. Correct the start.")
    if end is not None and end > seconds + END_TOLERANCE_SECONDS:
        raise AudioError(f"{path}: end {end:g} s is beyond its length of {seconds:.3f} s. Correct the end.")
    return first, n_samples if stop is None else min(stop, n_samples)


def _resampled(
    path: Path, sample_rate: int, start: float, end: float | None, watch: Watch = watch_nothing
) -> Iterator[np.ndarray]:
    """The region at `sample_rate`, in pieces as they come from the decoder; at least one sample in all."""
    with open_sound(path, watch) as sound:
        stream = ResampleStream(sound.sample_rate, sample_rate)
        n_ready, beginning = 0, np.zeros(1, dtype=np.float32)
        for mono in _mono(sound, start, end):
            piece = stream.push(mono)
            n_ready += len(piece)
            if not n_ready:
                beginning = mono
            if len(piece):
                yield piece
        piece = stream.push(np.zeros(0, dtype=np.float32), last=True)
        if len(piece):
            yield piece
        elif not n_ready:  # shorter than half a sample at this rate
            yield beginning.mean(keepdims=True)


def _mono(sound: Sound, start: float, end: float | None) -> Iterator[np.ndarray]:
    """The region at the file's own rate, channels averaged, each sample checked."""
    position = round(start * sound.sample_rate)
    for frames in _frames(sound, start, end):
        mono = average(frames)
        if not np.isfinite(mono).all():
            second = (position + int(np.argmin(np.isfinite(mono)))) / sound.sample_rate
            raise AudioError(f"{sound.path}: holds a sample that is no number at {second:.3f} s. Mend or leave it out.")
        position += len(mono)
        yield mono


def _frames(sound: Sound, start: float, end: float | None) -> Iterator[np.ndarray]:
    """The region at the file's own rate, whole, or an error after what there is of it."""
    rate = sound.sample_rate
    first, stop = region_samples(sound.path, start, end, sound.n_samples, rate)
    position = first
    for frames in sound.frames(first, stop):
        position += len(frames)
        yield frames
    expected = sound.n_claimed if stop is None else stop
    if position == first or (expected is not None and expected - position > LENGTH_TOLERANCE_SECONDS * rate):
        wanted = "sound" if expected is None else f"sound until {expected / rate:.2f} s"
        raise CutOffError(
            f"{sound.path}: stops at {position / rate:.2f} s (expected {wanted}); it is cut off or "
            "damaged. Fetch it again, or give a region before that.",
            position / rate,
            sound.n_claimed and sound.n_claimed / rate,
        )
    if sound.cut and stop is None:
        raise CutOffError(
            f"{sound.path}: ends within a piece of sound at {position / rate:.2f} s; it is cut off. Fetch it "
            "again, or give a region before that.",
            position / rate,
            None,
        )
