"""A folder with a folder per class."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from earmark.data.manifest import Manifest
from earmark.data.readers.paths import is_audio, walk
from earmark.errors import ManifestError

log = logging.getLogger(__name__)


def read_folder(folder: Path) -> Manifest:
    """One class per folder directly in `folder`, named like it; sounds at any depth below belong to it.

    Hidden files and files that are no sounds are passed over; how many, and empty class folders, are logged.

    Raises:
        ManifestError: there are no class folders, or no sounds in them.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ManifestError(
            f"{folder}: cannot be opened ({error.strerror}). Check its permissions."
        ) from error
    classes = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    loose = [entry.name for entry in entries if entry.is_file() and is_audio(entry.name)]
    paths, labels, n_others, empty, unnameable = [], [], 0, [], []
    for class_folder in classes:
        files = walk(class_folder)
        sounds = [file.relative_to(folder).as_posix() for file in files if is_audio(file.name)]
        n_others += len(files) - len(sounds)
        nameable = [path for path in sounds if _is_text(path)]
        unnameable += [path for path in sounds if not _is_text(path)]
        paths += nameable
        labels += [(class_folder.name.strip(),)] * len(nameable)
        if not sounds:
            empty.append(class_folder.name)
    if not paths:
        raise ManifestError(_nothing_found(folder, loose, empty, n_others))
    if loose:
        log.warning("%s: %d sounds in no class folder are left out (%s, …)", folder, len(loose), loose[0])
    if unnameable:
        log.warning("%s: names that are no UTF-8 cannot stand in a table, left out: %a", folder, unnameable)
    if empty:
        log.warning("%s: class folders without a sound are left out (%s)", folder, ", ".join(empty))
    if n_others:
        log.info("%s: %d files that are no sounds are passed over", folder, n_others)
    return Manifest.build(folder, paths, labels)


def _is_text(path: str) -> bool:
    """Whether a file's path can be written in a table."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _nothing_found(folder: Path, loose: list[str], classes: list[str], n_others: int) -> str:
    """Why a folder gives no clips, and what to do."""
    advice = (
        f"Put each class's sounds in a folder named like it ({folder.name}{os.sep}dog{os.sep}1.wav), "
        "or pass a CSV with the columns file and label."
    )
    if loose:
        return f"{folder}: {len(loose)} sounds ('{loose[0]}', …), but no folder tells their class. {advice}"
    found = f"{len(classes)} folders and {n_others} other files in them" if classes else "no folder"
    return f"{folder}: no sound found ({found}). {advice}"
