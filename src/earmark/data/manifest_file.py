"""A manifest as a table on disk: CSV, TSV or Parquet, every cell text, which the readers read back equal."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.errors import ManifestError, MissingExtraError
from earmark.run import write_atomically

if TYPE_CHECKING:
    from earmark.data.manifest import Manifest

SEPARATORS = (";", "|", ",")


def write_table(manifest: Manifest, path: Path) -> None:
    """Write all rows; the format follows the suffix (.tsv, .parquet, else CSV).

    Raises:
        ManifestError: the labels contain every one of the separators.
        MissingExtraError: Parquet needs pyarrow.
    """
    columns = cells(manifest, path.parent)
    if path.suffix.lower() == ".parquet":
        _write_parquet(columns, path)
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def cells(manifest: Manifest, folder: Path) -> dict[str, list[str]]:
    """Columns of text by name, in the order in which they are written; files relative to `folder` where below it."""
    table = manifest.table
    separator = free_separator(manifest)
    columns = {
        "clip_id": table["clip_id"].tolist(),
        "path": relative_paths(manifest, folder),
        "labels": _label_cells(manifest, separator),
    }
    if table["start"].any():
        columns["start"] = [repr(start) for start in table["start"].tolist()]
    if not table["end"].isna().all():
        columns["end"] = ["" if math.isnan(end) else repr(end) for end in table["end"].tolist()]
    if manifest.has_folds:
        columns["fold"] = ["" if fold < 0 else str(fold) for fold in table["fold"].tolist()]
    if (table["group"] != "").any():
        columns["group"] = table["group"].tolist()
    if "strengths" in table:
        columns["strengths"] = [
            closed([repr(float(strength)) for strength in strengths], separator) for strengths in table["strengths"]
        ]
    for name in ("negative", "unsure"):
        if name in table:
            columns[name] = [closed(labels, separator) for labels in table[name]]
    for name in ("split", "subset", *manifest.extras):
        if name in table:
            columns[name] = table[name].tolist()
    if "weight" in table:
        columns["weight"] = [repr(weight) for weight in table["weight"].tolist()]
    return columns


def closed(pieces: Sequence[str], separator: str) -> str:
    """Several pieces in one cell, the separator after each, so that the reader knows it; "" for none."""
    return "".join(piece + separator for piece in pieces)


def free_separator(manifest: Manifest) -> str:
    """The first separator that is in no label.

    Raises:
        ManifestError: each is.
    """
    text = _all_names(manifest)
    free = [separator for separator in SEPARATORS if separator not in text]
    if not free:
        raise ManifestError(
            f"the labels contain each of {' '.join(SEPARATORS)}, so a cell cannot list them. Rename one."
        )
    return free[0]


def _all_names(manifest: Manifest) -> str:
    """Everything that is called a label, in one text."""
    names = set(manifest.vocabulary)
    for column in ("negative", "unsure"):
        if column in manifest.table:
            names.update(label for labels in set(manifest.table[column]) for label in labels)
    return "".join(names)


def _label_cells(manifest: Manifest, separator: str) -> list[str]:
    """Each clip's labels in one cell, joined so that the reader cannot mistake a name for two."""
    distinct = set(manifest.table["labels"])
    text = _all_names(manifest)
    several = any(len(labels) > 1 for labels in distinct)
    if any(other in text for other in SEPARATORS) or (manifest.multi_label and not several):
        # A separator at the end of every cell tells the reader which one it is (readers/cells.py).
        texts = {labels: separator.join(labels) + separator for labels in distinct}
    else:
        texts = {labels: separator.join(labels) for labels in distinct}
    return [texts[labels] for labels in manifest.table["labels"]]


def relative_paths(manifest: Manifest, folder: Path) -> list[str]:
    """Each clip's file relative to `folder` where below it, else absolute; posix."""
    folder, root = Path(os.path.abspath(folder)), Path(os.path.abspath(manifest.root))
    prefix = (root.relative_to(folder) if root.is_relative_to(folder) else root).as_posix()
    prefix = "" if prefix == "." else f"{prefix.rstrip('/')}/"

    def relative(path: str) -> str:
        if not os.path.isabs(path) and ".." not in path:
            return prefix + path  # by far the most, and a million of them must not take a minute
        whole = Path(os.path.abspath(root / path))
        return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()

    return [relative(path) for path in manifest.table["path"]]


def _write_parquet(columns: dict[str, list[str]], path: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "write Parquet", "parquet") from error
    with write_atomically(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)
