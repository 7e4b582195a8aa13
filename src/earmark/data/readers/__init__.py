"""Every way that labelled sounds arrive, into one Manifest."""

from __future__ import annotations

import logging
from pathlib import Path

from earmark.data.manifest import Manifest
from earmark.data.readers.annotations import find_annotations, is_annotation, read_annotations
from earmark.data.readers.encodings import repair
from earmark.data.readers.folder import read_folder
from earmark.data.readers.problems import RowProblem
from earmark.data.readers.rows import read_table
from earmark.data.readers.table import is_labelled
from earmark.errors import ManifestError

log = logging.getLogger(__name__)


def read_manifest(
    path: str | Path,
    *,
    audio_dir: str | Path | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    problems: list[RowProblem] | None = None,
    look_for_files: bool = True,
    events: bool = False,
) -> Manifest:
    """Read labelled clips.

    Args:
        path: a folder with a folder per class, a table (CSV, TSV, Parquet) with a row per clip, or a folder with one;
            an annotation file, or a folder of recordings with annotation files beside them (`read_annotations`).
        audio_dir: where the sounds of a table or annotation file lie, if not beside or below it.
        encoding: of a table's or annotation file's text; None to find it.
        folder_tricks: whether `a,b/` is a folder of two labels, `-a/` one of clips that are surely not `a`, and
            `noise/`, `background/`, `other/` or `silence/` one without a label.
        merge: whether the same clip in several rows, or the same sound in several class folders, becomes one clip with
            all their labels; if not, that is an error.
        problems: gains a RowProblem for each fault of a row, which is left out; None to raise all of them at once.
        look_for_files: whether a table's files must exist; if not, its paths are taken as written.
        events: whether rows are events: one may be a point in time, and one without a label names a recording.

    Raises:
        ManifestError: what is wrong, with all bad rows at once.
        MissingExtraError: Parquet needs pyarrow.
    """
    path = Path(path)
    folder = None if audio_dir is None else Path(audio_dir)
    if folder is not None and not folder.is_dir():
        raise ManifestError(f"{folder}: is no folder. Pass the folder of the sounds with --audio-dir.")
    require_data(path)
    table = table_of(path, encoding)
    if table not in (None, path):
        log.info("%s: reading the table %s", path, table.name)
    annotated = is_annotation(path) if path.is_file() else table is None and bool(find_annotations(path, folder))
    for_tables = {"--audio-dir": audio_dir, "--encoding": encoding}
    misplaced = [option for option, value in for_tables.items() if value is not None]
    if misplaced and table is None and not annotated:
        raise ManifestError(f"{path}: {misplaced[0]} is for tables, and this folder holds none. Leave it out.")
    if folder_tricks and (table is not None or annotated):
        raise ManifestError(f"{path}: --folder-tricks is for a folder per class, and this is none. Leave it out.")
    if annotated:
        manifest = read_annotations(path, audio_dir=folder, encoding=encoding, problems=problems, events=events)
    elif table is None:
        manifest = read_folder(path, tricks=folder_tricks, merge=merge, problems=problems)
    else:
        manifest = read_table(
            table,
            folder,
            encoding=encoding,
            merge=merge,
            problems=problems,
            look_for_files=look_for_files,
            events=events,
        )
    _find_mojibake(path, manifest, problems)
    return manifest


def require_data(path: Path) -> None:
    """Refuse a path at which there is nothing to read.

    Raises:
        ManifestError: there is neither a file nor a folder.
    """
    if not path.is_file() and not path.is_dir():
        raise ManifestError(f"{path}: does not exist. Pass a folder with a folder per class, or a CSV.")


def table_of(path: Path, encoding: str | None = None) -> Path | None:
    """The table that `read_manifest` reads: a file, or the one table of labelled files directly in a folder.

    Raises:
        ManifestError: a folder holds several.
    """
    return path if path.is_file() else _table_in(path, encoding)


def _table_in(folder: Path, encoding: str | None) -> Path | None:
    """The one table of labelled files directly in a folder, None where there is none."""
    tables = [file for file in sorted(folder.glob("*")) if is_labelled(file, encoding)]
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables)
        raise ManifestError(f"{folder}: holds several tables of labelled files ({names}). Pass one of them.")
    if not tables:
        return None
    return tables[0]


def _find_mojibake(path: Path, manifest: Manifest, problems: list[RowProblem] | None) -> None:
    """Tell labels that were read in a wrong encoding before they came here, each once."""
    columns = [name for name in ("labels", "negative", "unsure") if name in manifest.table]
    said = {name: set(manifest.table[name]) for name in columns}
    labels = {label for groups in said.values() for group in groups for label in group if not label.isascii()}
    for label in sorted(labels):
        fixed = repair(label)
        if fixed == label and "\ufffd" not in label:
            continue
        detail = f"label '{label}' should read '{fixed}'" if fixed != label else f"label '{label}' has lost characters"
        if problems is None:
            log.warning("%s: %s. Mend it in the table, or read that with its true --encoding.", path, detail)
        else:
            has_it = manifest.table[columns].map(lambda group, label=label: label in group).any(axis=1)
            problems.append(RowProblem(str(path), manifest.table["path"][has_it.idxmax()], "mojibake_label", detail))
