"""Embeddings: what a tagger's last layer sees of each window, kept in the cache so that nothing is heard twice."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from earmark import predictions
from earmark.audio.cache import Cache, content_hash
from earmark.errors import AudioError, ConfigError, MissingExtraError, TaggerFileError
from earmark.predictions import seconds_text
from earmark.run import write_atomically
from earmark.tagger.tag_files import hear_files, sound_warnings
from earmark.tagger.tagger import Clip, Tagger

SUFFIXES = (".parquet", ".npz", ".csv")
DIGITS_OF_TAGGER = 16  # of its content hash, in the names of cache entries


@dataclass(frozen=True)
class Embeddings:
    """Vectors of windows, or of whole clips.

    clips: those that were heard. clip_of: (rows,) int64, which of them each row is of.
    starts, ends: (rows,) float64, seconds in the recording. vectors: (rows, features) float32.
    """

    clips: tuple[Clip, ...]
    clip_of: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray

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
    if tagger.path is None:
        raise TaggerFileError("tagger: was not opened from a file that its embeddings are known by. Use load_tagger.")
    digest = content_hash(tagger.path)[:DIGITS_OF_TAGGER]
    return hear_files(partial(_embed, tagger, digest, cache or Cache(), level), clips, threads)


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
    )


def check_suffix(path: Path) -> None:
    """Refuse, before anything is heard, a file that could not be written.

    Raises:
        ConfigError: its suffix is none of SUFFIXES.
        MissingExtraError: Parquet needs pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {path}: embeddings go into a file that ends in {', '.join(SUFFIXES)}. Rename it.")
    if path.suffix.lower() == ".parquet":
        _pyarrow()


def write_embeddings(
    embeddings: Embeddings, path: Path, facts: Mapping[str, Mapping[str, str | int]] | None = None
) -> None:
    """Write rows of clip_id, path, start, end, facts, vector; the format follows the suffix.

    .csv has a column per feature, e0, e1, …; .parquet one column of lists, `embedding`; .npz the array `embedding`
    (rows, features) beside the other columns (rows,).

    Args:
        facts: further columns: name → clip id → value.

    Raises:
        ConfigError, MissingExtraError: as `check_suffix`.
    """
    check_suffix(path)
    ids = [clip.clip_id for clip in embeddings.clips]
    columns: dict[str, Sequence] = {
        "clip_id": [ids[number] for number in embeddings.clip_of],
        "path": embeddings.paths,
        "start": embeddings.starts,
        "end": embeddings.ends,
    }
    for name, values in (facts or {}).items():
        columns[name] = [values[ids[number]] for number in embeddings.clip_of]
    write = {".csv": _write_csv, ".npz": _write_npz, ".parquet": _write_parquet}[path.suffix.lower()]
    with write_atomically(path) as temporary:
        write(columns, embeddings.vectors, temporary)


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
    return EmbeddedClip(clip, Embeddings((clip,), of_it, starts, ends, vectors), None, warnings)


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


def _write_csv(columns: Mapping[str, Sequence], vectors: np.ndarray, path: Path) -> None:
    names = list(columns)
    cells = columns | {name: list(map(seconds_text, columns[name])) for name in ("start", "end")}
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, *(f"e{number}" for number in range(vectors.shape[1]))])
        for *row, vector in zip(*cells.values(), vectors, strict=True):
            # Nine digits hold a float32 whole.
            writer.writerow([*row, *(f"{value:.9g}" for value in vector.tolist())])


def _write_npz(columns: Mapping[str, Sequence], vectors: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:  # not compressed: numbers like these hardly become smaller
        np.savez(file, embedding=vectors, **{name: np.array(values) for name, values in columns.items()})


def _write_parquet(columns: Mapping[str, Sequence], vectors: np.ndarray, path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    numbers = pyarrow.array(vectors.ravel())
    lists = pyarrow.FixedSizeListArray.from_arrays(numbers, max(vectors.shape[1], 1))
    # Parquet's text is UTF-8, which names of files need not be.
    text = {name: [cell.encode(errors="replace").decode() for cell in columns[name]] for name in ("clip_id", "path")}
    parquet.write_table(pyarrow.table({**columns, **text, "embedding": lists}), path)


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    """pyarrow and its Parquet writer.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "write Parquet", "parquet") from error
    return pyarrow, parquet
