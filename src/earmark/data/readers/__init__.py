"""Every way that labelled sounds arrive, into one Manifest."""

from __future__ import annotations

import logging
from pathlib import Path

from earmark.data.manifest import Manifest
from earmark.data.readers.folder import read_folder
from earmark.data.readers.table import is_labelled, read_table
from earmark.errors import ManifestError

log = logging.getLogger(__name__)


def read_manifest(path: str | Path, *, audio_dir: str | Path | None = None) -> Manifest:
    """Read labelled clips.

    Args:
        path: a folder with a folder per class, a table (CSV, TSV) with a row per clip, or a folder with one.
        audio_dir: where the sounds of a table lie, if not beside or below it.

    Raises:
        ManifestError: what is wrong, with all bad rows at once.
    """
    path = Path(path)
    folder = None if audio_dir is None else Path(audio_dir)
    if folder is not None and not folder.is_dir():
        raise ManifestError(f"{folder}: is no folder. Pass the folder of the sounds with --audio-dir.")
    if path.is_file():
        return read_table(path, folder)
    if not path.is_dir():
        raise ManifestError(f"{path}: does not exist. Pass a folder with a folder per class, or a CSV.")
    tables = [file for file in sorted(path.glob("*")) if is_labelled(file)]
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables)
        raise ManifestError(f"{path}: holds several tables of labelled files ({names}). Pass one of them.")
    if tables:
        log.info("%s: reading the table %s", path, tables[0].name)
        return read_table(tables[0], folder)
    if folder is not None:
        raise ManifestError(f"{path}: --audio-dir is for tables, and this folder holds none. Leave it out.")
    return read_folder(path)
