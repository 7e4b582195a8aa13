"""Many recordings: scores in input order from several threads; what fails is a row, not an end."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from earmark import audio
from earmark.errors import AudioError
from earmark.predictions import Predictions, concatenate
from earmark.tagger.tagger import Clip, Tagger

AHEAD_PER_THREAD = 2  # clips begun before the oldest is handed out: work for every thread, memory for few
Heard = TypeVar("Heard")
LENGTH_TOLERANCE_SECONDS = 0.05  # a clip this much over clip_seconds_max is still of that length


@dataclass(frozen=True)
class TaggedClip:
    """A clip and its scores, or the error that stood in their way.

    predictions: of the level asked for; None if `error` says why not.
    warnings: what makes the scores less trustworthy.
    """

    clip: Clip
    predictions: Predictions | None
    error: str | None = None
    warnings: tuple[str, ...] = ()


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
        threads: clips heard at once; None is one per core.

    Yields:
        TaggedClip, in the order of `clips`; a sound that cannot be read is one with an error.

    Raises:
        TaggerFileError: the tagger has no labels, or its graph fails.
    """
    tagger.require_labels()
    return hear_files(partial(_tag, tagger, level), clips, threads)


def hear_files(
    hear: Callable[[Clip, Callable[[], bool]], Heard], clips: Iterable[Clip | Path | str], threads: int | None
) -> Iterator[Heard]:
    """What `hear` makes of each clip, in their order, several at once; left early, it is asked to stop.

    Args:
        hear: called with a clip, and with what tells whether nobody waits for the result any more.
        clips, threads: as for `tag_files`.
    """
    stopped = threading.Event()
    pending: deque[Future[Heard]] = deque()
    threads = threads or default_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="tag")
    try:
        for clip in clips:
            clip = clip if isinstance(clip, Clip) else Clip(Path(clip))
            pending.append(pool.submit(hear, clip, stopped.is_set))
            if len(pending) > threads * AHEAD_PER_THREAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Left early (Ctrl-C, a closed pipe): what has begun ends at its next windows, not with its long file.
        stopped.set()
        pool.shutdown(cancel_futures=True)


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
    tagger.require_labels()
    parts, failures = [], []
    for tagged in hear_files(partial(_score, tagger, level), clips, threads):
        if tagged.predictions is None:
            failures.append(tagged)
        else:
            parts.append(tagged.predictions)
    return concatenate(parts) if parts else _no_rows(tagger, level), failures


def _score(tagger: Tagger, level: str, clip: Clip, stop: Callable[[], bool]) -> TaggedClip:
    try:
        scores = tagger.score(clip, stop=stop)
    except AudioError as error:
        return TaggedClip(clip, None, str(error))
    return TaggedClip(clip, tagger.pool(scores) if level == "clip" else scores)


def _tag(tagger: Tagger, level: str, clip: Clip, stop: Callable[[], bool]) -> TaggedClip:
    try:
        warnings = sound_warnings(tagger, clip)
    except AudioError as error:
        return TaggedClip(clip, None, str(error))
    tagged = _score(tagger, level, clip, stop)
    scores = tagged.predictions
    if scores is not None and level == "clip":
        warnings += length_warnings(tagger, scores)
    return replace(tagged, warnings=warnings)


def length_warnings(tagger: Tagger, scores: Predictions) -> tuple[str, ...]:
    """Whether one clip's scores are of a longer clip than they were calibrated for."""
    longest = tagger.metadata.clip_seconds_max
    seconds = scores.ends.max() - scores.starts.min()
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
    return rate_warnings(tagger, audio.read_header(clip.path).sample_rate)


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
