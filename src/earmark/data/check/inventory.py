"""What there is to check: the rows of the manifest, what is wrong with others, and the sounds that no row names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.data.fraction import take_fraction
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.data.readers.paths import is_audio
from earmark.data.readers.problems import RowProblem
from earmark.data.readers.table import is_labelled
from earmark.errors import ManifestError


@dataclass(frozen=True)
class Inventory:
    """A data set before anything was heard.

    root: folder that the names of files are relative to.
    manifest: the rows to look at; None where the sounds have no labels, `no_labels` then says why.
    every_row: of which the manifest may be a share.
    row_problems: what is wrong with the other rows.
    unlisted: files that are named or begin like sounds and that no row names.
    n_hidden, n_others: files in the folder that were passed over, as hidden or as no sounds.
    from_table: whether a table says which files are data; else all that lie in the folder are meant to be.
    names_only: no file is to be opened.
    """

    root: Path
    manifest: Manifest | None
    every_row: Manifest | None
    row_problems: list[RowProblem] = field(default_factory=list)
    no_labels: str = ""
    unlisted: list[str] = field(default_factory=list)
    n_hidden: int = 0
    n_others: int = 0
    from_table: bool = True
    names_only: bool = False

    @property
    def n_data(self) -> int:
        """How many clips are data, the first ones: beside a table, what no row names is not."""
        rows = 0 if self.manifest is None else len(self.manifest)
        return rows if self.from_table else rows + len(self.unlisted)

    @property
    def n_files(self) -> int:
        """How many files are to be opened."""
        if self.names_only:
            return 0
        listed = 0 if self.manifest is None else self.manifest.table["path"].nunique()
        return int(listed) + len(self.unlisted)


def take_inventory(
    path: str | Path,
    *,
    audio_dir: str | Path | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    names_only: bool = False,
    fraction: float = 1.0,
    seed: int = 0,
) -> Inventory:
    """Read the rows and look through the folder.

    Args:
        path: a table, a folder with a folder per class, or any folder of sounds.
        audio_dir, encoding, folder_tricks, merge: as for `read_manifest`.
        names_only: take the paths as they are written; look for no file.
        fraction: only this share of the clips.
        seed: of the clips that are taken.

    Raises:
        ManifestError: there is no data; or the table as a whole is wrong.
    """
    path = Path(path)
    problems: list[RowProblem] = []
    from_table = not path.is_dir() or any(is_labelled(file) for file in path.glob("*"))
    try:
        manifest = read_manifest(
            path,
            audio_dir=audio_dir,
            encoding=encoding,
            folder_tricks=folder_tricks,
            merge=merge,
            problems=problems,
            look_for_files=not names_only,
        )
    except ManifestError as error:
        if from_table or audio_dir or encoding or folder_tricks or not any(map(is_audio, os.listdir(path))):
            raise
        inventory = Inventory(path, None, None, no_labels=str(error), from_table=False, names_only=names_only)
        return _take_share(_with_unlisted(inventory, path), fraction, seed)
    inventory = Inventory(manifest.root, manifest, manifest, problems, from_table=from_table, names_only=names_only)
    if not names_only:
        folder = path if path.is_dir() else _folder_of_sounds(manifest)
        inventory = _with_unlisted(inventory, folder)
    return _take_share(inventory, fraction, seed)


def _folder_of_sounds(manifest: Manifest) -> Path | None:
    """The folder that holds all sounds of a table below its root: what else lies in it may have been forgotten."""
    below = [os.path.dirname(path) for path in manifest.table["path"].unique() if not os.path.isabs(path)]
    below = [folder for folder in below if not folder.startswith("..")]
    return manifest.root / os.path.commonpath(below) if below and all(below) else manifest.root if below else None


def _with_unlisted(inventory: Inventory, folder: Path | None) -> Inventory:
    """The inventory with what lies in a folder beside the files that rows name."""
    if folder is None:
        return inventory
    manifest, root = inventory.manifest, Path(os.path.abspath(inventory.root))
    listed = set() if manifest is None else {os.path.abspath(root / path) for path in manifest.table["path"].unique()}
    listed |= {os.path.abspath(root / problem.path) for problem in inventory.row_problems if problem.path}
    unlisted, n_hidden, n_others = [], 0, 0
    for entry in _entries(Path(os.path.abspath(folder))):
        if entry.name.startswith("."):
            n_hidden += 1
        elif entry.path in listed:
            continue
        elif is_audio(entry.name) or (os.path.isfile(entry.path) and audio.is_sound(Path(entry.path))):
            unlisted.append(Path(os.path.relpath(entry.path, root)).as_posix())
        elif not entry.is_dir(follow_symlinks=False):
            n_others += 1
    return replace(inventory, unlisted=sorted(unlisted), n_hidden=n_hidden, n_others=n_others)


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    """Everything below a folder but what hidden folders hold; links to folders are not entered.

    Raises:
        ManifestError: a folder cannot be opened.
    """
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                found = list(entries)
        except OSError as error:
            raise ManifestError(
                f"{error.filename}: cannot be opened ({error.strerror}). Check its permissions."
            ) from error
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                pending.append(entry.path)


def _take_share(inventory: Inventory, fraction: float, seed: int) -> Inventory:
    """The inventory of a share of the clips; of files without a row the same share."""
    if fraction >= 1.0:
        return inventory
    manifest = None if inventory.manifest is None else take_fraction(inventory.manifest, fraction, seed)
    n_taken = int(np.ceil(fraction * len(inventory.unlisted)))
    taken = np.random.default_rng(seed).permutation(len(inventory.unlisted))[:n_taken]
    return replace(inventory, manifest=manifest, unlisted=[inventory.unlisted[position] for position in np.sort(taken)])
