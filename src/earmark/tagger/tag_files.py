"""Many recordings: scores in input order from several threads; what fails is a row, not an end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from earmark.audio.probe import open_sound
from earmark.errors import AudioError
from earmark.predictions import Predictions, concatenate
from earmark.tagger.jobs import Job, run_jobs
from earmark.tagger.tagger import WINDOWS_PER_PART, Clip, Tagger, as_clip
from earmark.windows import RunningPool

WAITING_BYTES = 1 << 25  # of parts that were heard while those of an earlier recording were awaited
PART_BYTES = 1 << 12  # of a part, but for its scores
LENGTH_TOLERANCE_SECONDS = 0.05  # a clip this much over clip_seconds_max is still of that length
Heard = TypeVar("Heard")
# Scores of the first windows of a clip that need not be heard again, in parts as `Tagger.score_parts` makes them.
Known = Callable[[Clip], Iterator[Predictions]]


@dataclass(frozen=True)
class TaggedClip:
    """A clip and its scores, or the error that stood in their way; or a part of its windows.

    predictions: of the level asked for; None if `error` says why not.
    warnings: what makes the scores less trustworthy.
    more: whether further windows of the clip follow, or an error by which these count no more.
    """

    clip: Clip
    predictions: Predictions | None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    more: bool = False


def default_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tag_files(
    tagger: Tagger, clips: Iterable[Clip | Path | str], *, level: str = "clip", threads: int | None = None
) -> Iterator[TaggedClip]:
    """Score clips, a few at a time.

    Args:
        clips: read lazily, so that there can be any number.
        level: "clip" (a row per clip, pooled and calibrated) or "window" (a row per window).
        threads: that read and hear, several clips at once or one long one; None is one per core.

    Yields:
        TaggedClip, whole, in the order of `clips`; a sound that cannot be read is one with an error.

    Raises:
        TaggerFileError: the tagger has no labels, or its graph fails.
    """
    parts = tag_parts(tagger, clips, threads=threads)
    return pool_parts(tagger, parts) if level == "clip" else join_parts(parts)


def tag_parts(
    tagger: Tagger,
    clips: Iterable[Clip | Path | str],
    *,
    threads: int | None = None,
    known: Known = lambda clip: iter(()),
    warn: bool = True,
) -> Iterator[TaggedClip]:
    """Scores of the windows of clips in parts, in memory that does not grow with their length.

    Args:
        clips, threads: as for `tag_files`. known: as of a run that was cut off. warn: whether to look for warnings.

    Yields:
        TaggedClip of level "window", the parts of each clip one after the other, as for `tag_files`.

    Raises:
        TaggerFileError: as for `tag_files`.
    """
    tagger.require_labels()
    stopped = threading.Event()
    lines = (_jobs(tagger, as_clip(clip), stopped.is_set, known, warn) for clip in clips)
    room = WAITING_BYTES // (PART_BYTES + 4 * WINDOWS_PER_PART * tagger.rows_per_window * len(tagger.labels))
    return run_jobs(lines, threads or default_threads(), stopped, room)


def join_parts(parts: Iterable[TaggedClip]) -> Iterator[TaggedClip]:
    """The parts of each clip as one."""
    held: list[Predictions] = []
    for part in parts:
        if part.predictions is not None:
            held.append(part.predictions)
        if not part.more:
            yield part if part.predictions is None else replace(part, predictions=concatenate(held))
            held = []


def pool_parts(tagger: Tagger, parts: Iterable[TaggedClip]) -> Iterator[TaggedClip]:
    """The parts of each clip as its one row of level "clip", as `Tagger.pool` makes it of all of them."""
    running, start, end = None, np.inf, -np.inf
    for part in parts:
        windows = part.predictions
        if windows is not None:
            running = running or RunningPool(tagger.metadata.pool)
            running.add(windows.scores)
            start, end = min(start, windows.starts.min()), max(end, windows.ends.max())
        if part.more:
            continue
        if windows is None:
            yield part
        else:
            scores = running.result()[None].astype(np.float32)
            row = Predictions(windows.clip_ids[:1], np.array([start]), np.array([end]), scores, tagger.labels)
            said = part.warnings + length_warnings(tagger, end - start)
            yield replace(part, predictions=tagger.calibrate(row), warnings=said)
        running, start, end = None, np.inf, -np.inf


def hear_files(
    hear: Callable[[Clip, Callable[[], bool]], Heard], clips: Iterable[Clip | Path | str], threads: int | None
) -> Iterator[Heard]:
    """What `hear` makes of each clip, in their order, several at once; left early, it is asked to stop.

    Args:
        hear: called with a clip, and with what tells whether nobody waits for the result any more.
        clips, threads: as for `tag_files`; `hear` gets a thread for each clip.
    """
    stopped = threading.Event()
    lines = (iter([partial(hear, as_clip(clip), stopped.is_set)]) for clip in clips)
    return run_jobs(lines, threads or default_threads(), stopped)


def score_files(
    tagger: Tagger,
    clips: Iterable[Clip | Path | str],
    *,
    level: str = "clip",
    threads: int | None = None,
) -> tuple[Predictions, list[TaggedClip]]:
    """Score clips into one table, without the warnings of `tag_files`.

    Args:
        clips, level, threads: as for `tag_files`.

    Returns:
        The rows of all clips that could be heard, in the order of `clips`; the clips that could not.
    """
    parts = tag_parts(tagger, clips, threads=threads, warn=False)
    heard, failures = [], []
    for tagged in pool_parts(tagger, parts) if level == "clip" else join_parts(parts):
        if tagged.predictions is None:
            failures.append(tagged)
        else:
            heard.append(tagged.predictions)
    return concatenate(heard) if heard else _no_rows(tagger, level), failures


def _jobs(
    tagger: Tagger, clip: Clip, stop: Callable[[], bool], known: Known, warn: bool
) -> Iterator[Job[TaggedClip]]:
    """What there is to do for a clip, part by part; each is made once the next is, which tells whether more follows."""
    warnings: tuple[str, ...] = ()
    try:
        warnings = sound_warnings(tagger, clip) if warn else ()
        n_known = 0
        for part in known(clip):
            n_known += len(part)
            yield partial(TaggedClip, clip, part, None, warnings, True)
        before = None
        for score in tagger.score_parts(clip, n_done=n_known, stop=stop):
            if before is not None:
                yield partial(_tagged, clip, before, warnings, True)
            before = score
        yield partial(_tagged, clip, before, warnings, False)
    except AudioError as error:
        yield partial(TaggedClip, clip, None, str(error), warnings)


def _tagged(clip: Clip, score: Callable[[], Predictions], warnings: tuple[str, ...], more: bool) -> TaggedClip:
    try:
        return TaggedClip(clip, score(), None, warnings, more)
    except AudioError as error:
        return TaggedClip(clip, None, str(error), warnings)


def length_warnings(tagger: Tagger, seconds: float) -> tuple[str, ...]:
    """Whether a clip is longer than those that its clip scores were calibrated on."""
    longest = tagger.metadata.clip_seconds_max
    if longest is None or seconds <= longest + LENGTH_TOLERANCE_SECONDS:
        return ()
    return (
        f"{seconds:.1f} s long, tagger's clip scores were calibrated up to {longest:g} s: "
        "they and the thresholds are uncalibrated here. Take the timeline.",
    )


def sound_warnings(tagger: Tagger, clip: Clip) -> tuple[str, ...]:
    """Whether the recording lacks the upper part of what the tagger hears.

    Raises:
        AudioError: it cannot be read.
    """
    with open_sound(clip.path) as sound:
        return rate_warnings(tagger, sound.sample_rate)


def rate_warnings(tagger: Tagger, rate: int) -> tuple[str, ...]:
    """Whether sound of a rate (Hz) lacks the upper part of what the tagger hears."""
    if rate >= tagger.sample_rate:
        return ()
    return (
        f"{rate} Hz recording, tagger hears up to {tagger.sample_rate / 2:g} Hz: "
        f"nothing above {rate / 2:g} Hz is there to hear, scores may be off.",
    )


def gather_warnings(warnings: Iterable[tuple[Path, str]]) -> list[str]:
    """Each warning once, of however many recordings it is.

    Args:
        warnings: (recording, what is said of it).

    >>> gather_warnings([(Path("a.wav"), "is short."), (Path("b.wav"), "is short."), (Path("c.wav"), "is long.")])
    ['2 recordings, such as a.wav: is short.', 'c.wav: is long.']
    """
    said: dict[str, list[Path]] = {}
    for path, warning in warnings:
        said.setdefault(warning, []).append(path)
    return [
        f"{f'{len(paths)} recordings, such as ' if len(paths) > 1 else ''}{paths[0]}: {warning}"
        for warning, paths in said.items()
    ]


def _no_rows(tagger: Tagger, level: str) -> Predictions:
    none = np.zeros(0)
    scores = np.zeros((0, len(tagger.labels)), dtype=np.float32)
    return Predictions(none.astype(object), none, none, scores, tagger.labels, level)

