"""The sound of events, kept: a ring of what was heard last, and clips cut out of it into FLAC files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from earmark.audio import encode
from earmark.errors import ConfigError, RunError
from earmark.run import write_json
from earmark.tagger.events import Event
from earmark.tagger.live.lines import Origin, event_line

LONGEST_SECONDS = 300.0  # of an event in a clip; of a longer one its end is kept
LABEL_CHARACTERS = 60  # of a label in a name
_STEPS = 32767  # of 16 bits, from 0 to full scale


@dataclass(frozen=True)
class Clip:
    """A file that was written. start, end: seconds since listening began. cut: it lacks the event's beginning."""

    path: Path
    start: float
    end: float
    cut: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is said against it."""
        return (f"the clip holds the last {LONGEST_SECONDS:g} s of a longer event.",) if self.cut else ()


class ClipKeeper:
    """What was heard last, and a folder for what of it is worth keeping.

    Holds 16 bits a sample of LONGEST_SECONDS and as much more as an event may be known late: 29 MB of 48 kHz, once and
    for all.

    Args:
        folder: made if it is not there.
        sample_rate: Hz of what is pushed.
        origin: what stands in the JSON file beside each clip.
        around: seconds kept before and after an event.
        delay: seconds from the end of an event until it is known, at most.

    Raises:
        ConfigError: events may be known later than sound is held.
        RunError: the folder cannot be made.
    """

    def __init__(self, folder: Path, sample_rate: int, origin: Origin, around: float = 1.0, delay: float = 0.0):
        if delay > LONGEST_SECONDS:
            raise ConfigError(
                f"--save-events: an event is known up to {delay:g} s after its end, and sound is held "
                f"{LONGEST_SECONDS:g} s. Give less of --join-seconds."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)  # said now, not when the first event has sounded
        except OSError as error:
            raise RunError(
                f"--save-events {folder}: cannot be made ({error.strerror}). Choose another folder."
            ) from error
        self.folder, self.sample_rate, self.around = folder, sample_rate, around
        self.n_samples = 0  # since listening began, lost ones included
        self._origin = origin
        seconds = LONGEST_SECONDS + 2 * around + delay
        self._ring = np.zeros(int(seconds * sample_rate) + 1, dtype=np.int16)

    @property
    def seconds(self) -> float:
        """How much was pushed."""
        return self.n_samples / self.sample_rate

    def push(self, samples: np.ndarray) -> None:
        """Take what was heard next, float32 (samples,); what is louder than full scale is clipped."""
        self._write(np.rint(np.clip(samples, -1, 1) * _STEPS).astype(np.int16))

    def skip(self, n_samples: int) -> None:
        """So many samples were lost: they are silence."""
        length = min(n_samples, len(self._ring))
        self.n_samples += n_samples - length
        self._write(np.zeros(length, dtype=np.int16))

    def save(self, event: Event, at: float) -> Clip:
        """Write the clip of an event, and beside it a JSON file: its line, and where the clip begins and ends.

        Args:
            event: in seconds since listening began. at: when it began, seconds since 1970.

        Raises:
            RunError: the folder cannot be written to, or the disk is full.
        """
        start = max(event.start, event.end - LONGEST_SECONDS)
        first = max(round((start - self.around) * self.sample_rate), self.n_samples - len(self._ring), 0)
        stop = min(round((event.end + self.around) * self.sample_rate), self.n_samples)
        samples = self._ring[np.arange(first, stop) % len(self._ring)].astype(np.float32) / _STEPS
        path = self._free_path(clip_name(event.label, at))
        clip = Clip(path, first / self.sample_rate, stop / self.sample_rate, start > event.start)
        encode.write(path, samples, self.sample_rate)
        facts = {"clip": path.name, "clip_start": clip.start, "clip_end": clip.end, "clip_cut": clip.cut}
        # The JSON comes last: where it stands, all is there.
        write_json(path.with_suffix(".json"), event_line(self._origin, event, at) | facts)
        return clip

    def _write(self, samples: np.ndarray) -> None:
        length = len(self._ring)
        self.n_samples += max(len(samples) - length, 0)
        samples = samples[-length:]
        place = self.n_samples % length
        before = min(length - place, len(samples))
        self._ring[place : place + before] = samples[:before]
        self._ring[: len(samples) - before] = samples[before:]
        self.n_samples += len(samples)

    def _free_path(self, name: str) -> Path:
        """Where nothing stands yet: labels may differ only in what a name cannot hold."""
        path, number = self.folder / f"{name}.flac", 1
        while path.exists():
            number += 1
            path = self.folder / f"{name}_{number}.flac"
        return path


def clip_name(label: str, at: float) -> str:
    """A file's name by time (UTC, to the millisecond) and label: names sort as their times do, on any system.

    >>> clip_name("Music, sad/slow", 1764500000.25)
    '20251130T105320.250Z_Music-sad-slow'
    """
    when = datetime.fromtimestamp(at, UTC)
    words = re.sub(r"\W+", "-", label).strip("-")[:LABEL_CHARACTERS].rstrip("-")
    return f"{when:%Y%m%dT%H%M%S}.{when.microsecond // 1000:03d}Z_{words or 'event'}"
