"""Manifest: the one table of labelled clips that every reader ends in and everything after reads."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from earmark.errors import ManifestError, summarise_rows
from earmark.predictions import clip_id
from earmark.run import to_json, write_atomically
from earmark.vocabulary import Vocabulary

if TYPE_CHECKING:
    from earmark.tagger import Clip

SEPARATORS = (";", "|", ",")


@dataclass(frozen=True, eq=False)
class Manifest:
    """Labelled clips.

    table: one row per clip. clip_id: distinct names; path: posix, relative to `root` where below it, else
        absolute; start, end: seconds in the file (end nan = to its end); labels: tuple of str; fold: int
        (-1 = none); group: str ("" = none).
    vocabulary: the class names in the order of the columns of `targets`.
    multi_label: whether a clip may have none or several of them.
    root: the folder that paths are relative to.
    """

    table: pd.DataFrame
    vocabulary: Vocabulary
    multi_label: bool
    root: Path

    @classmethod
    def build(
        cls,
        root: Path,
        paths: Sequence[str],
        labels: Sequence[tuple[str, ...]],
        *,
        starts: Sequence[float] | None = None,
        ends: Sequence[float] | None = None,
        folds: Sequence[int] | None = None,
        groups: Sequence[str] | None = None,
        clip_ids: Sequence[str] | None = None,
    ) -> Manifest:
        """A manifest from columns: vocabulary sorted, multi-label if a clip has none or several labels.

        >>> manifest = Manifest.build(Path("sounds"), ["a.wav", "b.wav"], [("rain",), ("dog",)])
        >>> len(manifest), manifest.multi_label, manifest.targets().tolist()
        (2, False, [[0.0, 1.0], [1.0, 0.0]])
        """
        n_clips = len(paths)
        starts = np.zeros(n_clips) if starts is None else np.asarray(starts, dtype=np.float64)
        ends = np.full(n_clips, np.nan) if ends is None else np.asarray(ends, dtype=np.float64)
        if clip_ids is None:
            clip_ids = [
                clip_id(path, start, None if np.isnan(end) else end)
                for path, start, end in zip(paths, starts.tolist(), ends.tolist(), strict=True)
            ]
        table = pd.DataFrame(
            {
                "clip_id": pd.Series(clip_ids, dtype=object),
                "path": pd.Series(paths, dtype=object),
                "start": starts,
                "end": ends,
                "labels": pd.Series(list(labels), dtype=object),
                "fold": np.full(n_clips, -1) if folds is None else np.asarray(folds, dtype=np.int64),
                "group": pd.Series([""] * n_clips if groups is None else groups, dtype=object),
            }
        )
        vocabulary = Vocabulary(sorted({label for names in labels for label in names}))
        return cls(table, vocabulary, any(len(names) != 1 for names in labels), root)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind = "multi-label" if self.multi_label else "single-label"
        return f"Manifest({len(self)} clips, {len(self.vocabulary)} classes, {kind}, root '{self.root}')"

    def __eq__(self, other: object) -> bool:
        """The same clips of the same files, in the same order, with the same labels, folds and groups."""
        if not isinstance(other, Manifest):
            return NotImplemented
        mine, theirs = self.table.drop(columns="path"), other.table.drop(columns="path")
        return (
            self.vocabulary == other.vocabulary
            and self.multi_label == other.multi_label
            and list(map(os.path.abspath, self.files)) == list(map(os.path.abspath, other.files))
            and mine.equals(theirs)
        )

    @property
    def files(self) -> list[Path]:
        """The audio file of each clip."""
        return [self.root / path for path in self.table["path"]]

    @property
    def clip_ids(self) -> np.ndarray:
        return self.table["clip_id"].to_numpy(dtype=object)

    @property
    def folds(self) -> np.ndarray:
        """(clips,) int64, -1 = none."""
        return self.table["fold"].to_numpy()

    @property
    def has_folds(self) -> bool:
        return bool((self.folds >= 0).all())

    @property
    def groups(self) -> np.ndarray:
        """(clips,) str: what must not straddle folds. A clip without a group goes with those of its file."""
        groups = self.table["group"].to_numpy(dtype=object)
        return np.where(groups == "", self.table["path"].to_numpy(dtype=object), groups)

    @property
    def has_groups(self) -> bool:
        """Whether some group holds several clips or groups were given."""
        return bool((self.table["group"] != "").any() or self.table["path"].duplicated().any())

    def targets(self) -> np.ndarray:
        """Multi-hot labels, float32 of shape (clips, classes)."""
        return self.vocabulary.targets(self.table["labels"])

    def clips(self) -> list[Clip]:
        """What the tagger tags: each clip's file, region and id."""
        from earmark.tagger import Clip

        ends = [None if np.isnan(end) else end for end in self.table["end"].tolist()]
        return [
            Clip(path, start, end, name)
            for path, start, end, name in zip(
                self.files, self.table["start"].tolist(), ends, self.clip_ids, strict=True
            )
        ]

    def select(self, rows: np.ndarray) -> Manifest:
        """The clips that positions or a boolean mask select, in that order, with the whole vocabulary."""
        rows = np.asarray(rows)
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(self, table=self.table.iloc[positions].reset_index(drop=True))

    def keep(self, rows: np.ndarray) -> Manifest:
        """The clips that positions or a mask select, as a data set of their own: its labels are those that are left."""
        table = self.select(rows).table
        return Manifest.build(
            self.root,
            table["path"].tolist(),
            table["labels"].tolist(),
            starts=table["start"],
            ends=table["end"],
            folds=table["fold"],
            groups=table["group"].tolist(),
            clip_ids=table["clip_id"].tolist(),
        )

    def with_folds(self, folds: np.ndarray) -> Manifest:
        """The same clips in the folds (clips,) int."""
        return replace(self, table=self.table.assign(fold=np.asarray(folds, dtype=np.int64)))

    def with_vocabulary(self, labels: Sequence[str]) -> Manifest:
        """The same clips with the target columns of other labels, such as those of a tagger.

        Raises:
            ManifestError: a clip has a label that is not among them.
        """
        vocabulary = Vocabulary(labels)
        counts = Counter(label for names in self.table["labels"] for label in names)
        unknown = [f"'{label}' ({n} clips)" for label, n in counts.items() if label not in vocabulary]
        if unknown:
            raise ManifestError(
                f"{self.root}: {len(unknown)} labels are not among the {len(vocabulary)} expected "
                f"({', '.join(vocabulary.labels[:5])}, …). Rename or leave out their clips.\n"
                f"{summarise_rows(unknown)}"
            )
        return replace(self, vocabulary=vocabulary)

    def content_hash(self, file_hashes: Mapping[str, str]) -> str:
        """Hex digest of which sounds have which labels, whatever their names, order, folds and groups.

        Args:
            file_hashes: content hash of each file by the manifest's path (`leakage.hash_contents`).
        """
        columns = (self.table[name].tolist() for name in ("path", "start", "end", "labels"))
        rows = [
            to_json([file_hashes.get(path, path), start, end, sorted(labels)])
            for path, start, end, labels in zip(*columns, strict=True)
        ]
        return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write a CSV from which `read_manifest` reads an equal manifest.

        Files below the CSV's folder are written relative to it, others with their whole path.

        Raises:
            ManifestError: the labels contain every one of the separators ; | and comma.
        """
        optional = {
            "start": bool(self.table["start"].any()),
            "end": not self.table["end"].isna().all(),
            "fold": self.has_folds,
            "group": bool((self.table["group"] != "").any()),
        }
        names = ["clip_id", "path", "labels", *(name for name, present in optional.items() if present)]
        columns = {
            **{name: self.table[name].tolist() for name in ("clip_id", "group", "fold")},
            "start": [repr(start) for start in self.table["start"].tolist()],
            "end": ["" if math.isnan(end) else repr(end) for end in self.table["end"].tolist()],
            "path": [_path_from(file, path.parent) for file in self.files],
            "labels": self._label_cells(),
        }
        with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(zip(*(columns[name] for name in names), strict=True))

    def _label_cells(self) -> list[str]:
        """Each clip's labels in one cell, joined so that the reader cannot mistake a name for two."""
        text = "".join(self.vocabulary)
        free = [separator for separator in SEPARATORS if separator not in text]
        if not free:
            raise ManifestError(
                f"the labels contain each of {' '.join(SEPARATORS)}, so a cell cannot list them. Rename one."
            )
        cells = [free[0].join(labels) for labels in self.table["labels"]]
        several = any(len(labels) > 1 for labels in self.table["labels"])
        if len(free) < len(SEPARATORS) or (self.multi_label and not several):
            # A separator at the end of every cell tells the reader which one it is (readers/cells.py).
            cells = [cell + free[0] for cell in cells]
        return cells


def _path_from(file: Path, folder: Path) -> str:
    """`file` relative to `folder` where below it, else absolute; posix."""
    whole = Path(os.path.abspath(file))
    folder = Path(os.path.abspath(folder))
    return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()
