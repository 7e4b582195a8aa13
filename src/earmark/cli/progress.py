"""Bars on stderr, where it is a terminal, for what is heard: recordings by number, or by their seconds of sound."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from earmark.errors import AudioError

if TYPE_CHECKING:
    from earmark.tagger.tag_files import TaggedClip

N_OPENED = 100  # recordings whose headers tell how long they are; the others go by their bytes
Heard = TypeVar("Heard")


def count(heard: Iterator[Heard], total: int, doing: str) -> Iterator[Heard]:
    """Pass `total` recordings on, with a bar of how many are done."""
    if not sys.stderr.isatty():
        return heard
    from rich.console import Console
    from rich.progress import track

    return iter(track(heard, doing, total=total, console=Console(stderr=True)))


def watch(parts: Iterator[TaggedClip], recordings: Sequence[Path], doing: str) -> Iterator[TaggedClip]:
    """Pass parts on, with a bar of the seconds of sound that are done, how fast that goes, and the time left."""
    if not sys.stderr.isatty():
        yield from parts
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    lengths = guess_seconds(recordings)
    total, before, at = sum(lengths.values()), 0.0, 0.0  # at: how far the recording in work is
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[pace]}")
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(doing, total=total, pace="")
        for part in parts:
            if part.predictions is not None:
                at = float(part.predictions.ends.max())
            if not part.more:
                total += at - lengths.pop(part.clip.path, at)  # by now it is known
                before, at = before + at, 0.0
            speed = progress.tasks[0].speed
            pace = f"{speed:.0f} × realtime" if speed else ""
            progress.update(task, completed=before + at, total=total, pace=pace)
            yield part


def guess_seconds(recordings: Sequence[Path]) -> dict[Path, float]:
    """How long recordings are, those that can be found: some by their headers, the others by their bytes.

    >>> guess_seconds([Path("absent.wav")])
    {}
    """
    from earmark.audio.probe import open_sound

    n_bytes, seconds = {}, {}
    for recording in recordings:
        with suppress(OSError):
            n_bytes[recording] = os.stat(recording).st_size
    for recording in list(n_bytes)[:: len(n_bytes) // N_OPENED + 1]:
        with suppress(AudioError), open_sound(recording) as sound:
            if sound.n_claimed is not None:
                seconds[recording] = sound.n_claimed / sound.sample_rate
    rate = sum(seconds.values()) / max(sum(n_bytes[recording] for recording in seconds), 1)
    return {recording: seconds.get(recording, size * rate) for recording, size in n_bytes.items()}
