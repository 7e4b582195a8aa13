"""NAME.tagger/: taggers that hear at different rates or in different windows, opened like one file.

docs/tagger-file.md specifies the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.errors import TaggerFileError
from earmark.predictions import Predictions
from earmark.run import to_json, write_atomically, write_text
from earmark.tagger.backend import Backend
from earmark.tagger.combination import check_combination, combine, on_rows
from earmark.tagger.home import FOLDER_MANIFEST
from earmark.tagger.metadata import FORMAT_VERSION, TaggerMetadata
from earmark.tagger.tagger import Clip, Read, Tagger

FOLDER_FORMAT = "earmark-tagger-folder"
FOLDER_VERSION = 2  # the first that defines it


@dataclass(frozen=True)
class MemberFile:
    """One tagger file of a folder: its name there, and the SHA-256 of its bytes."""

    file: str
    sha256: str


class TaggerFolder(Tagger):
    """Several taggers that give the same labels, as one.

    Args:
        members: the opened files. rows: which of them lays the windows that the scores are of.
        combination: how scores become one (`combination.combine`).
        metadata: of the whole. path: its manifest.
    """

    def __init__(
        self,
        members: Sequence[Tagger],
        rows: int,
        combination: Mapping[str, Any],
        metadata: TaggerMetadata,
        path: Path,
    ):
        super().__init__(members[rows].backend, metadata, path)
        self.members = tuple(members)
        self.rows = rows
        self.combination = combination
        self.n_bytes += sum(member.n_bytes for member in members)

    @property
    def flows(self) -> bool:
        """Never: its members hear in different windows."""
        return False

    def with_views(self, views: str, view_seconds: Sequence[float] = (), pool: str | None = None) -> Tagger:
        """Not of a folder.

        Raises:
            TaggerFileError: always: each of its members has its own.
        """
        raise TaggerFileError(f"{self.path}: the views are those of its members. Evaluate these one by one.")

    def with_steps(self) -> Tagger:
        """Not of a folder.

        Raises:
            TaggerFileError: always: its members hear in different windows.
        """
        raise TaggerFileError(f"{self.path}: the steps are those of its members. Take these one by one.")

    def with_parts(
        self, *, backend: Callable[[Backend], Backend] | None = None, read: Read | None = None
    ) -> Tagger:
        """As of any tagger."""
        changed = super().with_parts(read=read)
        changed.members = tuple(member.with_parts(backend=backend, read=read) for member in self.members)
        changed.backend = changed.members[self.rows].backend
        return changed

    def _hear(self, clip: Clip, stop: Callable[[], bool], *, embeds: bool) -> tuple[Predictions, np.ndarray]:
        """Scores and embeddings of the members, side by side, on the rows of one of them."""
        heard = [member._hear(clip, stop, embeds=embeds) for member in self.members]
        rows = heard[self.rows][0]
        on = [
            [on_rows(rows.starts, rows.ends, its.starts, its.ends, values) for values in (its.scores, features)]
            for its, features in heard
        ]
        scores = np.stack([each for each, _ in on], axis=1)
        joined = Predictions(
            rows.clip_ids,
            rows.starts,
            rows.ends,
            combine(scores, self.combination, self.metadata.multi_label),
            self.labels,
            "window",
        )
        return joined, np.concatenate([features for _, features in on], axis=1)


def read_folder(path: Path, open_member: Callable[[Path], Tagger]) -> TaggerFolder:
    """Open a folder by its manifest.

    Args:
        open_member: opens one of its files.

    Raises:
        TaggerFileError: the manifest or a member is missing, damaged, of a newer format, or they contradict each other.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TaggerFileError(f"{path}: is no manifest that can be read ({error}). Copy the folder again.") from error
    if not isinstance(document, dict) or document.get("format") != FOLDER_FORMAT:
        raise TaggerFileError(f'{path}: is not an object with "format": "{FOLDER_FORMAT}". Copy the folder again.')
    version = document.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise TaggerFileError(
            f"{path}: is a folder of format version {version}, and this Earmark reads up to {FORMAT_VERSION}. "
            "pip install --upgrade earmark"
        )
    try:
        metadata = TaggerMetadata.from_json(to_json(document.get("tagger")))
        members = _members(path, document.get("members"))
        check_combination(document.get("combination"), len(members), len(metadata.labels))
    except TaggerFileError as error:
        raise TaggerFileError(f"{path}: {error}") from error
    rows = document.get("rows")
    if type(rows) is not int or not 0 <= rows < len(members):
        raise TaggerFileError(f"{path}: rows is {rows!r} (expected the number of a member). Copy the folder again.")
    opened = [open_member(path.parent / member.file) for member in members]
    for member in opened:
        if member.labels != metadata.labels:
            raise TaggerFileError(f"{member.path}: gives other labels than its folder. Copy the folder again.")
    return TaggerFolder(opened, rows, document["combination"], metadata, path)


def write_folder(
    folder: Path, files: Mapping[str, Path], rows: int, combination: Mapping[str, Any], metadata: TaggerMetadata
) -> Path:
    """Write a folder; the manifest last, so that it is there whole or not at all. The path of the manifest.

    Args:
        files: name in the folder → tagger file to copy.
        rows, combination, metadata: as for `TaggerFolder`.
    """
    manifest = folder / FOLDER_MANIFEST
    manifest.unlink(missing_ok=True)
    members = []
    for name, source in files.items():
        content = source.read_bytes()
        with write_atomically(folder / name) as temporary:
            temporary.write_bytes(content)
        members.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
    for stray in folder.iterdir():
        if stray.name not in files:
            stray.unlink()
    document = {
        "format": FOLDER_FORMAT,
        "format_version": FOLDER_VERSION,
        "tagger": json.loads(metadata.to_json()),
        "members": members,
        "rows": rows,
        "combination": dict(combination),
    }
    write_text(manifest, to_json(document) + "\n")
    return manifest


def _members(path: Path, listed: Any) -> list[MemberFile]:
    """The members of a manifest, their files there and as they were written.

    Raises:
        TaggerFileError: they are not.
    """
    try:
        members = [MemberFile(str(each["file"]), str(each["sha256"])) for each in listed]
    except (TypeError, KeyError) as error:
        raise TaggerFileError(f"members is no list of file and sha256 ({error}). Copy the folder again.") from error
    if not members:
        raise TaggerFileError("members is empty. Copy the folder again.")
    for member in members:
        if Path(member.file).name != member.file:
            raise TaggerFileError(f"member '{member.file}' is not a name in the folder. It is not opened.")
        file = path.parent / member.file
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != member.sha256:
            raise TaggerFileError(f"member '{member.file}' is missing or was changed. Copy the folder again.")
    return members
