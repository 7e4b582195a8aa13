"""From a sound file to a mono float32 waveform at one rate, whole or in blocks of constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from earmark.audio.probe import SequentialFile, open_sound
from earmark.audio.resample import ResampleStream
from earmark.errors import AudioError

READ_SAMPLES = 1 << 19  # samples over all channels in one read: 12 s of mono at 44.1 kHz, 2 MiB
END_TOLERANCE_SECONDS = 0.01  # tables round their ends to 2 decimals
LENGTH_TOLERANCE_SECONDS = 0.1  # MP3 headers miscount by a frame or two


def load(path: str | Path, sample_rate: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Decode a sound file, or a region of it.

    Args:
        path: WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF or AU, of any rate and any number of channels.
        sample_rate: of the result, Hz.
        start, end: region in seconds of the file; None is the file's end.

    Returns:
        waveform: float32 (samples,), channels averaged, full scale ±1 (lossy codecs may go beyond).

    Raises:
        AudioError: the file or the region cannot be read.
    """
    pieces = list(_resampled(Path(path), sample_rate, start, end))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def blocks(
    path: str | Path,
    sample_rate: int,
    start: float = 0.0,
    end: float | None = None,
    block_seconds: float = 10.0,
) -> Iterator[np.ndarray]:
    """The samples of `load`, bit for bit, in pieces of at most `block_seconds`, in memory that does not grow.

    Args:
        path, sample_rate, start, end: as for `load`.
        block_seconds: the longest piece.

    Yields:
        float32 (samples,), never empty.

    Raises:
        AudioError: the file or the region cannot be read; with a damaged file perhaps only after some blocks.
    """
    longest = max(1, round(block_seconds * sample_rate))
    for piece in _resampled(Path(path), sample_rate, start, end):
        for first in range(0, len(piece), longest):
            yield piece[first : first + longest]


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
        raise AudioError(f"{path}: region {start:g} to {end} s is empty or negative. Give 0 <= start < end.")
    first = round(start * sample_rate)
    stop = None if end is None else max(first + 1, round(end * sample_rate))
    if n_samples is None:
        return first, stop
    seconds = n_samples / sample_rate
    if first >= n_samples:
        raise AudioError(
            f"{path}: start {start:g} s is not before its end at {seconds:.3f} s. Correct the start."
        )
    if end is not None and end > seconds + END_TOLERANCE_SECONDS:
        raise AudioError(f"{path}: end {end:g} s is beyond its length of {seconds:.3f} s. Correct the end.")
    return first, n_samples if stop is None else min(stop, n_samples)


def _resampled(path: Path, sample_rate: int, start: float, end: float | None) -> Iterator[np.ndarray]:
    """The region at `sample_rate`, in pieces as they come from the decoder; at least one sample in all."""
    with open_sound(path) as file:
        stream = ResampleStream(file.samplerate, sample_rate)
        n_ready = 0
        for mono in _mono(file, path, start, end):
            piece = stream.push(mono)
            n_ready += len(piece)
            if len(piece):
                yield piece
        piece = stream.push(np.zeros(0, dtype=np.float32), last=True)
        if len(piece):
            yield piece
        elif not n_ready:
            raise AudioError(f"{path}: is too short to leave a sample at {sample_rate} Hz. Leave it out.")


def _mono(file: SequentialFile, path: Path, start: float, end: float | None) -> Iterator[np.ndarray]:
    """The region at the file's own rate, channels averaged, in reads of constant size, each checked."""
    known = file.frames if file.length_is_known else None
    position, stop = region_samples(path, start, end, known, file.samplerate)
    first = position
    try:
        at_once = max(1, READ_SAMPLES // file.channels)
        _go_to(file, position, at_once)
        while stop is None or position < stop:
            wanted = at_once if stop is None else min(at_once, stop - position)
            frames = file.read(wanted, dtype="float32", always_2d=True)
            if not len(frames):
                break
            mono = _average(frames)
            if not np.isfinite(mono).all():
                second = (position + int(np.argmin(np.isfinite(mono)))) / file.samplerate
                raise AudioError(
                    f"{path}: holds a sample that is no number at {second:.3f} s. Mend or leave it out."
                )
            position += len(mono)
            yield mono
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise AudioError(
            f"{path}: is damaged at or after {position / file.samplerate:.2f} s ({reason}). Fetch it again."
        ) from error
    tolerance = LENGTH_TOLERANCE_SECONDS * file.samplerate
    if position == first or (stop is not None and stop - position > tolerance):
        expected = "sound" if stop is None else f"sound until {stop / file.samplerate:.2f} s"
        raise AudioError(
            f"{path}: stops at {position / file.samplerate:.2f} s (expected {expected}); it is cut off or "
            "damaged. Fetch it again, or give a region before that."
        )


def _go_to(file: SequentialFile, position: int, at_once: int) -> None:
    """Move to a frame. An MP3 is decoded up to there: after a seek its first frames would be silence, because
    their bits lie in frames before."""
    if file.format != "MP3":
        file.seek(position)
        return
    while position and (skipped := len(file.read(min(position, at_once), dtype="float32"))):
        position -= skipped


def _average(frames: np.ndarray) -> np.ndarray:
    """Mean of the channels of float32 (frames, channels), the same bits however the frames were cut."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    total = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        total += frames[:, channel]
    total /= frames.shape[1]
    return total
