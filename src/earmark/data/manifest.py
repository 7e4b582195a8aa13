"""Manifest: the one table of labelled clips that every reader ends in and everything after reads."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from earmark.data.manifest_file import write_table
from earmark.errors import ManifestError, summarise_rows
from earmark.lookup import did_you_mean
from earmark.predictions import clip_id
from earmark.run import to_json
from earmark.vocabulary import Vocabulary

if TYPE_CHECKING:
    from earmark.tagger import Clip

REQUIRED = ("clip_id", "path", "start", "end", "labels", "fold", "group")
# Columns that a manifest has only if some row differs from the default.
OPTIONAL = {"strengths": (), "negative": (), "unsure": (), "split": "", "subset": "", "weight": 1.0}
SPLITS = ("train", "validation", "test")
SUBSETS = ("curated", "noisy")
PRESENT = 0.5  # a soft label of at least this counts as present wherever a yes or no is needed


@dataclass(frozen=True, eq=False)
class Manifest:
    """Labelled clips.

    table: one row per clip. clip_id: distinct names; path: posix, relative to `root` where below it, else
        absolute; start, end: seconds in the file (end nan = to its end); labels: tuple of str; fold: int
        (-1 = never held out); group: str ("" = none).
        Where some row differs from the default, also strengths: how much of each of the labels is there, tuple
        of floats in (0, 1] (() = all of them whole); negative: labels that are surely absent; unsure: labels
        that may be there or not; split: "train", "validation", "test" ("" = none); subset: "curated", "noisy"
        ("" = unsaid); weight: of the clip in losses.
        Any further column is an extra: text about the clip, under its own name (site, date, speaker).
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
        strengths: Sequence[tuple[float, ...]] | None = None,
        negative: Sequence[tuple[str, ...]] | None = None,
        unsure: Sequence[tuple[str, ...]] | None = None,
        splits: Sequence[str] | None = None,
        subsets: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
        extras: Mapping[str, Sequence[str]] | None = None,
        multi_label: bool | None = None,
    ) -> Manifest:
        """A manifest from columns.

        The vocabulary is the sorted labels; what is only ever negative or unsure is none. `multi_label` is, if
        not given, whether a clip has none or several labels, a negative or unsure one, or a fraction of one.

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
        columns = {
            "clip_id": _objects(clip_ids),
            "path": _objects(paths),
            "start": starts,
            "end": ends,
            "labels": _shared(labels),
            "fold": np.full(n_clips, -1) if folds is None else np.asarray(folds, dtype=np.int64),
            "group": _shared([""] * n_clips if groups is None else groups),
        }
        given = {"strengths": strengths, "negative": negative, "unsure": unsure, "split": splits, "subset": subsets}
        for name, values in given.items():
            if values is not None and any(values):
                columns[name] = _shared(values)
        if weights is not None and any(weight != 1.0 for weight in weights):
            columns["weight"] = np.asarray(weights, dtype=np.float64)
        for name, values in (extras or {}).items():
            columns[name] = _shared(values)
        return cls._of(root, pd.DataFrame(columns), multi_label)

    @classmethod
    def _of(cls, root: Path, table: pd.DataFrame, multi_label: bool | None = None) -> Manifest:
        """The manifest of a whole table, its labels those of its rows."""
        distinct = set(table["labels"])
        if multi_label is None:
            multi_label = any(len(labels) != 1 for labels in distinct) or any(
                name in table and any(values for values in set(table[name]) if set(values) != {1.0})
                for name in ("strengths", "negative", "unsure")
            )
        vocabulary = Vocabulary(sorted({label for labels in distinct for label in labels}))
        return cls(table, vocabulary, multi_label, root)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind = "multi-label" if self.multi_label else "single-label"
        return f"Manifest({len(self)} clips, {len(self.vocabulary)} classes, {kind}, root '{self.root}')"

    def __eq__(self, other: object) -> bool:
        """The same clips of the same files, in the same order, and the same said about each."""
        if not isinstance(other, Manifest):
            return NotImplemented
        mine, theirs = self.table.drop(columns="path"), other.table.drop(columns="path")
        return (
            self.vocabulary == other.vocabulary
            and self.multi_label == other.multi_label
            and list(map(os.path.abspath, self.files)) == list(map(os.path.abspath, other.files))
            and set(mine) == set(theirs)
            and mine.equals(theirs[list(mine)])
        )

    @property
    def files(self) -> list[Path]:
        """The audio file of each clip."""
        return [self.root / path for path in self.table["path"]]

    @property
    def clip_ids(self) -> np.ndarray:
        return self.table["clip_id"].to_numpy(dtype=object)

    @property
    def extras(self) -> list[str]:
        """Names of the columns that have no meaning of their own here, such as site or date."""
        return [name for name in self.table if name not in REQUIRED and name not in OPTIONAL]

    def column(self, name: str) -> np.ndarray:
        """Any column of the table (clips,), with its default where no row differs from it.

        Raises:
            ManifestError: there is none of that name.
        """
        if name in self.table:
            return self.table[name].to_numpy()
        if name not in OPTIONAL:
            raise ManifestError(
                f"{self.root}: there is no column '{name}'{did_you_mean(name, list(self.table))}. "
                f"Take one of: {', '.join(self.table)}."
            )
        values = np.empty(len(self), dtype=np.float64 if name == "weight" else object)
        values.fill(OPTIONAL[name])
        return values

    @property
    def folds(self) -> np.ndarray:
        """(clips,) int64, -1 = never held out."""
        return self.table["fold"].to_numpy()

    @property
    def has_folds(self) -> bool:
        return bool((self.folds >= 0).any())

    @property
    def fold_numbers(self) -> list[int]:
        """The folds that are held out in turn, ascending."""
        return [fold for fold in np.unique(self.folds).tolist() if fold >= 0]

    @property
    def scored(self) -> np.ndarray:
        """(clips,) bool: whom a cross-validation scores. Held out in some fold, and not of the noisy subset if there is
        another: labels that may be wrong are to be learnt from, not measured by."""
        held_out, noisy = self.folds >= 0, self.column("subset") == "noisy"
        return held_out if noisy[held_out].all() else held_out & ~noisy

    @property
    def splits(self) -> np.ndarray:
        """(clips,) "train", "validation", "test" or ""."""
        return self.column("split")

    @property
    def sides(self) -> np.ndarray:
        """(clips,) where each clip stands: "test", "validation", "fold 3", else "train". No sound may be on two."""
        splits, folds = self.splits, self.folds
        sides = np.array([f"fold {fold}" if fold >= 0 else "train" for fold in range(-1, int(folds.max()) + 1)], object)
        return np.where(np.isin(splits, ["test", "validation"]), splits, sides[folds + 1])

    @property
    def weights(self) -> np.ndarray:
        """(clips,) float64: how much each clip counts in a loss. Metrics do not look at them."""
        return self.column("weight")

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
        """How much of each label each clip has, float32 of shape (clips, classes) in [0, 1]."""
        targets = self._named("labels")
        if "strengths" in self.table:
            strengths = self.table["strengths"].tolist()
            labels = self.table["labels"].tolist()
            for row in [row for row, values in enumerate(strengths) if values]:
                targets[row, [self.vocabulary.index(label) for label in labels[row]]] = strengths[row]
        return targets

    def present(self) -> np.ndarray:
        """Which labels each clip has, float32 of 0 and 1 (clips, classes): what metrics, splits and counts read.

        A fraction counts as present from 0.5 on.
        """
        return (self.targets() >= PRESENT).astype(np.float32)

    def label_weights(self) -> np.ndarray:
        """Which labels of each clip are known, float32 of 0 and 1 (clips, classes).

        A clip that names a surely absent label says all it knows: labels that it does not name are unknown. In
        every other clip what is not named is absent. What a clip is unsure of is unknown.
        """
        weights = np.ones((len(self), len(self.vocabulary)), dtype=np.float32)
        if "negative" in self.table:
            open_world = self.table["negative"].map(bool).to_numpy(dtype=bool)
            known = np.maximum(self._named("labels"), self._named("negative"))
            weights[open_world] = known[open_world]
        if "unsure" in self.table:
            weights[self._named("unsure") > 0] = 0.0
        return weights

    @property
    def has_unknown(self) -> bool:
        """Whether some label of some clip may not count as present nor as absent."""
        return "negative" in self.table or "unsure" in self.table

    def _named(self, column: str) -> np.ndarray:
        """Multi-hot labels of a column of tuples, float32 (clips, classes), what is no class left out."""
        values = self.table[column].tolist()
        distinct = {labels: row for row, labels in enumerate(dict.fromkeys(values))}
        rows = self.vocabulary.targets([[label for label in labels if label in self.vocabulary] for labels in distinct])
        return rows[[distinct[labels] for labels in values]]

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
        plain = [name for name, default in OPTIONAL.items() if name in table and set(table[name]) <= {default}]
        return Manifest._of(self.root, table.drop(columns=plain))

    def with_folds(self, folds: np.ndarray) -> Manifest:
        """The same clips in the folds (clips,) int."""
        return replace(self, table=self.table.assign(fold=np.asarray(folds, dtype=np.int64)))

    def with_groups(self, groups: Iterable[str]) -> Manifest:
        """The same clips in the groups (clips,) str, "" = none."""
        return replace(self, table=self.table.assign(group=_shared(list(groups))))

    def with_splits(self, splits: Iterable[str]) -> Manifest:
        """The same clips in the splits (clips,): "train", "validation", "test" or "".

        Raises:
            ManifestError: there is another word among them.
        """
        splits = list(splits)
        unknown = sorted(set(splits) - {"", *SPLITS})
        if unknown:
            raise ManifestError(f"split '{unknown[0]}' is none. Take one of {', '.join(SPLITS)}.")
        table = self.table.drop(columns="split", errors="ignore")
        return replace(self, table=table.assign(split=_shared(splits)) if any(splits) else table)

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

    def without_labels(self, left_out: Collection[str]) -> Manifest:
        """The same clips with what is left of their labels; where one label holds, clips that have none go."""
        keep = [[label not in left_out for label in labels] for labels in self.table["labels"]]
        columns = {
            name: _shared([tuple(compress(values, kept)) for values, kept in zip(self.table[name], keep, strict=True)])
            for name in ("labels", "strengths")
            if name in self.table
        }
        table = self.table.assign(**columns)
        if not self.multi_label:
            table = table[table["labels"].map(bool)].reset_index(drop=True)
        vocabulary = Vocabulary(label for label in self.vocabulary if label not in left_out)
        return replace(self, table=table, vocabulary=vocabulary)

    def content_hash(self, file_hashes: Mapping[str, str]) -> str:
        """Hex digest of which sounds have which labels, whatever their names, order, folds and groups.

        Args:
            file_hashes: content hash of each file by the manifest's path (`leakage.hash_contents`).
        """
        names = ("strengths", "negative", "unsure", "weight")
        said = [self.table[name].tolist() for name in names if name in self.table]
        columns = (self.table[name].tolist() for name in ("path", "start", "end", "labels"))
        rows = [
            to_json([file_hashes.get(path, path), start, end, sorted(labels), *more])
            for path, start, end, labels, *more in zip(*columns, *said, strict=True)
        ]
        return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write a table from which `read_manifest` reads an equal manifest: CSV, or by suffix TSV or Parquet.

        Files below the table's folder are written relative to it, others with their whole path.

        Raises:
            ManifestError: the labels contain every one of the separators ; | and comma.
            MissingExtraError: Parquet needs pyarrow.
        """
        write_table(self, path)


def _objects(values: Sequence[str]) -> pd.Series:
    return pd.Series(values, dtype=object)


def _shared(values: Sequence[object]) -> pd.Series:
    """An object column in which equal values are one object: a million rows have few distinct labels."""
    known: dict[object, object] = {}
    return pd.Series([known.setdefault(value, value) for value in values], dtype=object)
