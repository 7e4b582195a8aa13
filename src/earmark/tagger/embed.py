"""Embeddings: what a tagger's last layer sees of each window, kept in the cache so that nothing is heard twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from earmark import predictions
from earmark.audio.cache import Cache
from earmark.errors import AudioError, TaggerFileError
from earmark.tagger.tag_files import hear_files, sound_warnings
from earmark.tagger.tagger import Clip, Tagger


@dataclass(frozen=True)
class Embeddings:
    """Vectors of windows, or of whole clips.

    clips: those that were heard. clip_of: (rows,) int64, which of them each row is of.
    starts, ends: (rows,) float64, seconds in the recording. vectors: (rows, features) float32.
    tagger: what made them: its name and the beginning of its content hash.
    """

    clips: tuple[Clip, ...]
    clip_of: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    tagger: str = ""

    def __len__(self) -> int:
        return len(self.clip_of)

    @property
    def paths(self) -> list[str]:
        """The recording of each row."""
        return [self.clips[number].path.as_posix() for number in self.clip_of]


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip and its embeddings, or the error that stood in their way.

    warnings: what makes the embeddings less trustworthy.
    """

    clip: Clip
    embeddings: Embeddings | None
    error: str | None = None
    warnings: tuple[str, ...] = ()


def embed_files(
    tagger: Tagger,
    clips: Iterable[Clip | Path | str],
    *,
    level: str = "clip",
    threads: int | None = None,
    cache: Cache | None = None,
) -> Iterator[EmbeddedClip]:
    """Embed clips, a few at a time; what the cache holds, by the content of recording and tagger, is not heard.

    Each clip is kept as soon as it is done, so that after a kill the same call goes on where it was.

    Args:
        clips: read lazily, so that there can be any number.
        level: "clip" (a row per clip, the mean over its windows) or "window" (a row per window).
        threads: clips heard at once; None is one per core.
        cache: default one in the user's cache folder.

    Yields:
        EmbeddedClip, in the order of `clips`; a sound that cannot be read is one with an error.

    Raises:
        TaggerFileError: the tagger was not opened from a file, or its graph fails.
        ConfigError: the cache cannot be written to.
    """
    return hear_files(partial(_embed, tagger, tagger.digest, cache or Cache(), level), clips, threads)


def collect(embedded: Iterable[EmbeddedClip]) -> Embeddings:
    """The rows of all clips that could be heard as one table, in their order."""
    parts = [one.embeddings for one in embedded if one.embeddings is not None]
    if not parts:
        none = np.zeros(0)
        return Embeddings((), none.astype(np.int64), none, none, np.zeros((0, 0), dtype=np.float32))
    return Embeddings(
        tuple(part.clips[0] for part in parts),
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        parts[0].tagger,
    )


def _embed(tagger: Tagger, digest: str, cache: Cache, level: str, clip: Clip, stop: Callable[[], bool]) -> EmbeddedClip:
    try:
        warnings = sound_warnings(tagger, clip)
        kind = predictions.clip_id(digest, clip.start, clip.end)
        rows = cache.array(clip.path, kind, partial(_hear, tagger, clip, stop))
    except AudioError as error:
        return EmbeddedClip(clip, None, str(error))
    starts, ends, vectors = rows["start"], rows["end"], rows["vector"]
    if level == "clip":
        starts, ends, vectors = starts[:1], ends.max(keepdims=True), vectors.mean(axis=0, keepdims=True)
    of_it = np.zeros(len(starts), dtype=np.int64)
    return EmbeddedClip(clip, Embeddings((clip,), of_it, starts, ends, vectors, tagger.identity), None, warnings)


def _hear(tagger: Tagger, clip: Clip, stop: Callable[[], bool]) -> np.ndarray:
    """The windows of a clip as records of start, end (s) and vector.

    Raises:
        AudioError: the sound cannot be read, or nobody waits for it any more: half of it must not be kept.
        TaggerFileError: the graph gives anything but one finite vector per window.
    """
    windows, vectors = tagger.embed(clip, stop=stop)
    if stop():
        raise AudioError(f"{clip.path}: was not heard to its end. Run the command again.")
    if vectors.ndim != 2 or len(vectors) != len(windows) or not np.isfinite(vectors).all():
        raise TaggerFileError(
            f"{tagger.path}: its graph gives embeddings of shape {vectors.shape} that must be "
            f"{len(windows)} finite vectors, one per window. Export it again."
        )
    kind = [("start", "<f8"), ("end", "<f8"), ("vector", "<f4", vectors.shape[1:])]
    rows = np.empty(len(windows), dtype=kind)
    rows["start"], rows["end"], rows["vector"] = windows.starts, windows.ends, vectors
    return rows
