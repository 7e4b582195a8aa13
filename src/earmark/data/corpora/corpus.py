"""What is known of a public data set, and what its readers share."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from earmark.errors import ManifestError, summarise_rows

DEPTH = 2  # folders below the one given in which a data set is looked for


@dataclass(frozen=True)
class Archive:
    """A file to download.

    name: as published. url: where from. n_bytes, md5, sha256: as published; None where nobody says.
    """

    name: str
    url: str
    n_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def folder(self) -> str:
        """The folder that it is unpacked to.

        >>> Archive("UrbanSound8K.tar.gz", "").folder, Archive("FSD50K.dev_audio.z01", "").folder
        ('UrbanSound8K', 'FSD50K.dev_audio')
        """
        return self.name.removesuffix(".gz").rpartition(".")[0]


@dataclass(frozen=True)
class Rows:
    """A data set's clips as its own tables tell them, a list entry per clip.

    home: folder that paths are relative to. paths: posix, "" where there is no such file. names: what the tables
    call the files. folds: empty where the data set has none; splits, subsets, groups: "" where unsaid. extras: what
    else the tables say, by name.
    """

    home: Path
    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    subsets: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    extras: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self,
        name: str,
        path: str,
        labels: Sequence[str],
        *,
        fold: str | None = None,
        split: str = "",
        subset: str = "",
        group: str = "",
        **extras: str,
    ) -> None:
        """Append a clip; a fold that is no number becomes -1."""
        self.names.append(name)
        self.paths.append(path)
        self.labels.append(tuple(labels))
        if fold is not None:
            self.folds.append(int(fold) if fold.isdecimal() else -1)
        self.splits.append(split)
        self.subsets.append(subset)
        self.groups.append(group)
        for extra, text in extras.items():
            self.extras[extra].append(text)

    def parts(self) -> list[str]:
        """The part that each clip belongs to: "fold 1", "train, noisy", "test"."""
        if self.folds:
            return [f"fold {fold}" for fold in self.folds]
        return [
            f"{split}, {subset}" if subset else split for split, subset in zip(self.splits, self.subsets, strict=True)
        ]


@dataclass(frozen=True)
class Corpus:
    """A public data set.

    name: what it is called here. title: what its authors call it. licence: short name; obliges: what that asks of
    whoever uses it. citation: of the paper. archives: what to download. n_bytes: of all of them, about where they do
    not say. hours: of sound. n_classes: labels. n_clips: by part (see `Rows.parts`). folder: that it is unpacked to.
    read: its clips, from a folder that holds it or that it was unpacked to.
    """

    name: str
    title: str
    homepage: str
    licence: str
    obliges: str
    citation: str
    archives: tuple[Archive, ...]
    n_bytes: int
    hours: float
    n_classes: int
    n_clips: Mapping[str, int]
    folder: str
    read: Callable[[Path], Rows]


def find_home(root: Path, title: str, *tables: str) -> tuple[Path, str]:
    """The folder that holds a data set's table, and which table: `root`, or one at most DEPTH folders below it.

    Args:
        tables: posix paths by which the data set is known, any of them.

    Raises:
        ManifestError: there is none.
    """
    level = [root]
    for _ in range(DEPTH + 1):
        for folder in level:
            for table in tables:
                if (folder / table).is_file():
                    return folder, table
        level = [below for folder in level for below in _folders(folder)]
    raise ManifestError(
        f"{root}: is no copy of {title} (expected {' or '.join(tables)} in it, or up to {DEPTH} folders below). "
        "Check the path."
    )


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, PermissionError):
        return []


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a data set's CSV.

    Args:
        columns: those that it must have.

    Raises:
        ManifestError: it is missing or damaged, or lacks a column.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: this table of the data set is missing. Get it whole.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        lacking = [name for name in columns if name not in (reader.fieldnames or [])]
        if lacking:
            raise ManifestError(
                f"{path}: has no column {', '.join(lacking)} (found: {', '.join(reader.fieldnames or [])}). "
                "It is not the data set's own table: get it again."
            )
        for row in reader:
            if None in row or None in row.values():
                raise ManifestError(f"{path} row {reader.line_num}: has too few or too many cells. Get it again.")
            yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read as a table ({error}). Get it again.") from error


class Sounds:
    """The sounds of a folder by what a table calls them; a copy may have another format, and so another suffix."""

    def __init__(self, home: Path, folder: str):
        self._prefix = PurePosixPath(folder)
        found = sorted(os.listdir(home / folder)) if (home / folder).is_dir() else []
        self._names = {name for name in found if not name.startswith(".")}
        self._by_stem = {PurePosixPath(name).stem: name for name in reversed(found) if name in self._names}

    def find(self, name: str) -> str:
        """The path of a file, posix, relative to `home`; "" if there is none."""
        found = name if name in self._names else self._by_stem.get(PurePosixPath(name).stem)
        return str(self._prefix / found) if found else ""


def verify(corpus: Corpus, rows: Rows) -> None:
    """Hold what was read against what the data set is published to hold.

    Raises:
        ManifestError: files, rows or classes are missing or too many; all of it is told at once.
    """
    problems = []
    missing = [name for name, path in zip(rows.names, rows.paths, strict=True) if not path]
    if missing:
        problems.append(
            f"{len(missing)} of {len(rows.names)} files are missing: {', '.join(missing[:5])}"
            + " …" * (len(missing) > 5)
        )
    found = Counter(rows.parts())
    for part in sorted({*found, *corpus.n_clips}):
        if found[part] != corpus.n_clips.get(part, 0):
            problems.append(f"{part}: {found[part]} rows (expected {corpus.n_clips.get(part, 0)})")
    n_classes = len({label for labels in rows.labels for label in labels})
    if n_classes != corpus.n_classes:
        problems.append(f"{n_classes} classes (expected {corpus.n_classes})")
    if problems:
        raise ManifestError(
            f"{rows.home}: is not the whole of {corpus.title}. Get what is missing, or read it as a data set of "
            f"your own.\n{summarise_rows(problems, shown=20)}"
        )
