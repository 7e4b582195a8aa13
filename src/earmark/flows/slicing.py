"""By what clips are parted: a column of their table, how long they are, how loud."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from earmark import audio
from earmark.data.manifest import Manifest
from earmark.errors import AudioError
from earmark.evaluation.slices import MOST_VALUES, UNKNOWN, bins_of
from earmark.tagger.tagger import Clip

SILENT_DB = -100.0
LABEL_SEPARATOR = " + "


def require_parts(manifest: Manifest, by: Sequence[str]) -> None:
    """Refuse what clips cannot be parted by, before anything is heard.

    Raises:
        ManifestError: there is no such column.
    """
    for each in by:
        if each not in HEARD:
            manifest.column(each)


def part_names(manifest: Manifest, by: str) -> list[str]:
    """The name of the part that each clip is in.

    Args:
        by: "clip_seconds", "loudness" (dB of full scale, RMS), or a column of the manifest; of numbers that are many,
            parts are bins.

    Raises:
        ManifestError: there is no such column.
    """
    if by in HEARD and by not in manifest.table:
        measure, unit = HEARD[by]
        return bins_of([_of_sound(measure, clip) for clip in manifest.clips()], unit)
    if by == "group":
        return [str(name) for name in manifest.groups]
    column = manifest.column(by)
    texts = [LABEL_SEPARATOR.join(map(str, each)) if isinstance(each, tuple) else str(each) for each in column]
    numbers = _numbers(texts)
    if numbers is not None and len(set(numbers)) > MOST_VALUES and by != "fold":
        return bins_of(numbers)
    return [text or UNKNOWN for text in texts]


def _numbers(texts: list[str]) -> list[float] | None:
    """The texts as numbers, "" being none; None if another is no number."""
    try:
        return [float(text) if text else np.nan for text in texts]
    except ValueError:
        return None


def _of_sound(measure: Callable[[Clip], float], clip: Clip) -> float:
    """What is measured of a clip, nan where it cannot be read."""
    try:
        return measure(clip)
    except AudioError:
        return np.nan


def _seconds(clip: Clip) -> float:
    end = audio.probe(clip.path).seconds if clip.end is None else clip.end
    return round(end - clip.start, 1)


def _loudness(clip: Clip) -> float:
    power, n_samples = 0.0, 0
    for frames in _frames(clip):
        power += float(np.square(frames, dtype=np.float64).sum())
        n_samples += frames.size
    return max(SILENT_DB, 10 * np.log10(max(power / max(n_samples, 1), 1e-12)))


def _frames(clip: Clip) -> Iterator[np.ndarray]:
    return audio.read_frames(clip.path, clip.start, clip.end)


HEARD = {"clip_seconds": (_seconds, " s"), "loudness": (_loudness, " dB")}
