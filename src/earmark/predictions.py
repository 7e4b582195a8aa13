"""Predictions: the waist of the house. Everything before makes scores; everything after reads this table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.errors import EarmarkError, summarise_rows
from earmark.run import write_atomically
from earmark.windows import pool

LEVELS = ("window", "clip")


def seconds_text(seconds: float) -> str:
    """Seconds to the microsecond, however long the recording, without needless zeros.

    >>> seconds_text(1.5), seconds_text(0.0), seconds_text(86399.123456)
    ('1.5', '0', '86399.123456')
    """
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def clip_id(path: str, start: float = 0.0, end: float | None = None) -> str:
    """The name of a clip: its path, with its region in seconds where it is not the whole file.

    >>> clip_id("a/dog.wav"), clip_id("a/dog.wav", 1.5, 3.0), clip_id("a/dog.wav", 1.5)
    ('a/dog.wav', 'a/dog.wav#1.5-3', 'a/dog.wav#1.5-')
    """
    if not start and end is None:
        return path
    return f"{path}#{seconds_text(start)}-" + ("" if end is None else seconds_text(end))


@dataclass(frozen=True)
class Predictions:
    """Scores of windows or of clips.

    clip_ids: (rows,) strings; the windows of one clip share its id and follow one another.
    starts, ends: (rows,) float64, seconds in the recording.
    scores: (rows, classes) float32 in [0, 1].
    labels: the class names of the columns.
    level: "window" (a row per window) or "clip" (a row per clip).
    """

    clip_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]
    level: str = "clip"

    def __post_init__(self):
        shape = (len(self.clip_ids), len(self.labels))
        if self.scores.shape != shape or len(self.starts) != shape[0] or len(self.ends) != shape[0]:
            raise EarmarkError(
                f"predictions: scores are {self.scores.shape}, "
                f"but there are {shape[0]} rows and {shape[1]} labels."
            )
        if self.level not in LEVELS:
            raise EarmarkError(f"predictions: level '{self.level}' is none of {', '.join(LEVELS)}.")

    def __len__(self) -> int:
        return len(self.clip_ids)

    def rows(self, index) -> Predictions:
        """The rows that a boolean mask or an array of positions selects, in its order."""
        return replace(
            self,
            clip_ids=self.clip_ids[index],
            starts=self.starts[index],
            ends=self.ends[index],
            scores=self.scores[index],
        )

    def to_clips(self, how: str) -> Predictions:
        """One row per clip, its windows pooled as `windows.pool` does it, clips in order of first appearance."""
        ids, first, inverse = np.unique(self.clip_ids, return_index=True, return_inverse=True)
        order = np.argsort(first)
        by_clip = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
        members = [by_clip[number] for number in order]
        return Predictions(
            clip_ids=ids[order],
            starts=np.array([self.starts[rows].min() for rows in members]),
            ends=np.array([self.ends[rows].max() for rows in members]),
            scores=np.stack([pool(self.scores[rows], how) for rows in members]).astype(np.float32),
            labels=self.labels,
            level="clip",
        )

    def align(self, clip_ids: Sequence[str]) -> Predictions:
        """Clip rows in the order of `clip_ids`.

        Raises:
            EarmarkError: an id has no row, or more than one.
        """
        position = {name: row for row, name in enumerate(self.clip_ids)}
        if len(position) != len(self):
            raise EarmarkError("predictions: a clip has several rows. Pool them to clips first (to_clips).")
        missing = [f"no scores for clip '{name}'" for name in clip_ids if name not in position]
        if missing:
            raise EarmarkError(f"predictions: {len(missing)} clips are missing.\n{summarise_rows(missing)}")
        return self.rows(np.array([position[name] for name in clip_ids], dtype=np.int64))

    def save(self, path: Path) -> None:
        """Write as .csv (columns clip_id, start, end, one per label) or .npz, by the name's ending."""
        with write_atomically(path) as temporary:
            if path.suffix == ".npz":
                with open(temporary, "wb") as file:
                    np.savez_compressed(
                        file,
                        clip_ids=self.clip_ids.astype(str),
                        starts=self.starts,
                        ends=self.ends,
                        scores=self.scores,
                        labels=np.array(self.labels),
                        level=self.level,
                    )
            else:
                with open(temporary, "w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file)
                    writer.writerow(["clip_id", "start", "end", *self.labels])
                    for name, start, end, scores in zip(
                        self.clip_ids, self.starts, self.ends, self.scores, strict=True
                    ):
                        writer.writerow(
                            [
                                name,
                                seconds_text(start),
                                seconds_text(end),
                                *(f"{score:.9g}" for score in scores),
                            ]
                        )

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote. A CSV holds clip rows if no clip id repeats, else window rows."""
        if path.suffix == ".npz":
            with np.load(path) as data:
                return cls(
                    data["clip_ids"].astype(object),
                    data["starts"],
                    data["ends"],
                    data["scores"],
                    tuple(data["labels"].tolist()),
                    str(data["level"]),
                )
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader)
            rows = list(reader)
        numbers = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), len(header) - 1)
        ids = np.array([row[0] for row in rows], dtype=object)
        level = "clip" if len(set(ids)) == len(ids) else "window"
        return cls(
            ids, numbers[:, 0], numbers[:, 1], numbers[:, 2:].astype(np.float32), tuple(header[3:]), level
        )


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, which must have the same labels and level."""
    first = parts[0]
    for part in parts:
        if part.labels != first.labels or part.level != first.level:
            raise EarmarkError("predictions: tables with different labels or levels cannot be joined.")
    return Predictions(
        np.concatenate([part.clip_ids for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.scores for part in parts]),
        first.labels,
        first.level,
    )
