"""What FFmpeg decodes and libsndfile does not: AAC, ALAC, WebM, WavPack, WMA, AC-3, the sound of videos, …

FFmpeg comes inside PyAV, the extra [media], imported when the first such file is opened.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from earmark.audio.parts import Part, open_part
from earmark.audio.sound import CutOffError, Sound, Watch, average, cut_out, read_samples, watch_nothing
from earmark.errors import AudioError

# Containers whose header knows how long the sound is; elsewhere FFmpeg guesses it from the bit rate.
_COUNTING = {"mov", "matroska", "asf", "wv", "ape", "tta", "wav", "caf"}
_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}


def is_available() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def open_media(path: Path, watch: Watch = watch_nothing) -> MediaSound | None:
    """Open a file that libsndfile does not read; None if FFmpeg does not either, or is not there.

    Args:
        path: of the file.
        watch: told what is decoded.

    Raises:
        AudioError: it holds no sound, or several at the same time.
    """
    if not is_available():
        return None
    av = importlib.import_module("av")
    # A file object: names may be anything, and FFmpeg would take some for addresses.
    file = open_part(path, Part(((0, os.path.getsize(path)),)))
    try:
        container = av.open(file, mode="r", io_open=_refuse, metadata_errors="ignore")
    except (av.FFmpegError, OSError):
        file.close()
        return None
    try:
        return MediaSound(path, file, container, watch)
    except AudioError as error:
        container.close()
        file.close()
        if isinstance(error, CutOffError):  # not a sample could be decoded
            return None
        raise


def _refuse(url: str, flags: int, options: dict) -> None:
    """A file must not name others to be read in its place."""
    raise PermissionError(f"{url} is not the file that was to be read")


class MediaSound(Sound):
    """What FFmpeg reads, always decoded from its beginning.

    An encoder's delay is cut off where FFmpeg does it, else it stays: AAC becomes about 0.02 s longer.

    Args:
        path, file, container: the file, open.
        watch: told what is decoded.

    Raises:
        AudioError: it holds no sound, or several at the same time.
        CutOffError: its first samples cannot be decoded.
    """

    def __init__(self, path: Path, file: BinaryIO, container: Any, watch: Watch = watch_nothing):
        self._watch = watch
        self.path, self._file, self._container = path, file, container
        streams = container.streams.audio
        if len(streams) > 1:
            raise AudioError(
                f"{path}: holds {len(streams)} sounds at the same time. Write the one that is meant to a file of its "
                "own (for example with ffmpeg -map 0:a:0)."
            )
        self.n_samples = self.n_claimed = None
        self._coming = container.decode(streams[0]) if streams else iter(())
        self._first = self._next(0, 1)
        if self._first is None:
            raise AudioError(f"{path}: is a film or picture without sound, or cut off before it. Leave it out.")
        self.sample_rate, self.n_channels = self._first.sample_rate, self._first.layout.nb_channels
        self.format = container.format.name.split(",")[0].upper()
        self.subtype = streams[0].codec_context.name.upper()
        self.cut = False
        seconds = None
        if _COUNTING.intersection(container.format.name.split(",")):
            if streams[0].duration:
                seconds = float(streams[0].duration * streams[0].time_base)
            elif container.duration and len(container.streams) == 1:
                seconds = container.duration / 1e6
        if seconds is not None:
            self.n_claimed = round(seconds * self.sample_rate)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def frames(self, first: int, stop: int | None) -> Iterator[np.ndarray]:
        """As for any sound."""
        return cut_out(self._decoded(), first, stop)

    def _decoded(self) -> Iterator[np.ndarray]:
        """All samples, many frames of the codec at a time."""
        frame, position, gathered, n_gathered = self._first, 0, [], 0
        damage = None
        while frame is not None:
            gathered.append(self._samples(frame, position))
            position += frame.samples
            n_gathered += frame.samples
            try:
                frame = self._next(position, self.sample_rate)
            except CutOffError as error:
                frame, damage = None, error
            if frame is None or n_gathered >= read_samples(self.n_channels, self.sample_rate):
                self._watch(n_gathered * self.n_channels)
                yield np.concatenate(gathered)
                gathered, n_gathered = [], 0
        if damage:
            raise damage

    def _next(self, position: int, sample_rate: int) -> Any:
        """The codec's next frame; None at the end."""
        try:
            return next(self._coming, None)
        except importlib.import_module("av").FFmpegError as error:
            seconds = position / sample_rate
            raise CutOffError(
                f"{self.path}: is damaged at or after {seconds:.2f} s ({error.strerror}). Fetch it again, or give a "
                "region before that.",
                seconds,
                self.n_claimed and self.n_claimed / sample_rate,
            ) from error

    def _samples(self, frame: Any, position: int) -> np.ndarray:
        """A codec's frame as float32 (samples, channels)."""
        if frame.sample_rate != self.sample_rate:
            raise AudioError(
                f"{self.path}: changes its sample rate at {position / self.sample_rate:.2f} s (from "
                f"{self.sample_rate} to {frame.sample_rate} Hz). Convert it to WAV or FLAC."
            )
        kind = frame.format.packed.name
        if kind == "s64":  # which PyAV makes no array of; no decoder gives it in planes
            samples = np.frombuffer(frame.planes[0], np.int64, frame.samples * frame.layout.nb_channels)
        else:
            samples = frame.to_ndarray()
        samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
        if kind == "u8":
            samples = samples.astype(np.float32) - 128
        samples = (samples / np.float32(_FULL_SCALE[kind])).astype(np.float32)
        if samples.shape[1] != self.n_channels:  # their mean stays what it is
            return np.repeat(average(samples)[:, np.newaxis], self.n_channels, axis=1)
        return samples
