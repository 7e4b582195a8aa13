"""A manifest in the formats that other tools read: the inverse of the readers."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from earmark.audio import probe
from earmark.data.manifest import OPTIONAL, Manifest
from earmark.data.manifest_file import relative_paths
from earmark.data.readers.dcase import HEADER
from earmark.errors import ManifestError, summarise_rows
from earmark.lookup import lookup
from earmark.predictions import seconds_text
from earmark.run import write_text
from earmark.tagger.formats import RAVEN_COLUMNS, SUFFIXES

log = logging.getLogger(__name__)

FORMATS = {
    "csv": "earmark.data.writers:write_table",
    "tsv": "earmark.data.writers:write_table",
    "parquet": "earmark.data.writers:write_table",
    "audacity": "earmark.data.writers:write_label_tracks",
    "raven": "earmark.data.writers:write_selection_tables",
    "dcase": "earmark.data.writers:write_event_table",
}
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}  # of tables that hold all of a manifest
Region = tuple[float, float, tuple[str, ...]]  # start, end, labels


def write_manifest(manifest: Manifest, path: str | Path, format: str | None = None) -> list[Path]:
    """Write a manifest so that `read_manifest` reads the same clips from what is written.

    Tables (csv, tsv, parquet) hold everything. Label tracks, selection tables (a folder with one for each recording,
    called as it and lying as it) and tables of events hold regions and labels: what they leave out is logged.

    Args:
        path: a file; for audacity and raven a folder.
        format: a name in FORMATS; None to choose csv, tsv or parquet by the file's ending.

    Returns:
        The files written.

    Raises:
        ManifestError: the ending is none of these, or a label cannot stand in the format.
        ConfigError: there is no such format.
        AudioError: the length of a recording is needed and cannot be read.
        MissingExtraError: Parquet needs pyarrow.
    """
    path = Path(path)
    if format is None and path.suffix.lower() not in ENDINGS:
        raise ManifestError(
            f"{path}: its ending names no table ({', '.join(ENDINGS)}). Choose one, or a format: {', '.join(FORMATS)}."
        )
    format = format or ENDINGS[path.suffix.lower()]
    write = lookup(FORMATS, format, "format")
    if format in ENDINGS.values() and ENDINGS.get(path.suffix.lower()) != format:
        raise ManifestError(f"{path}: a {format} file's name ends in .{format}. Rename it.")
    if format in SUFFIXES and path.exists() and not path.is_dir():
        raise ManifestError(f"{path}: is a file, and {format} makes one for each recording. Give a folder.")
    return write(manifest, path)


def write_table(manifest: Manifest, path: Path) -> list[Path]:
    """Write all of a manifest as CSV, TSV or Parquet."""
    manifest.write(path)
    return [path]


def write_label_tracks(manifest: Manifest, folder: Path) -> list[Path]:
    """Write an Audacity label track for each recording: start, end and label of each region."""
    return [
        _write_lines(
            folder / _name(recording, "audacity"),
            [[seconds_text(start), seconds_text(end), label] for start, end, labels in regions for label in labels],
        )
        for recording, regions in _recordings(manifest, "label tracks")
    ]


def write_selection_tables(manifest: Manifest, folder: Path) -> list[Path]:
    """Write a Raven selection table for each recording; its selections are of the whole band."""
    header, written = list(RAVEN_COLUMNS[: RAVEN_COLUMNS.index("Label") + 1]), []
    for recording, regions in _recordings(manifest, "selection tables"):
        highest = seconds_text(probe(manifest.root / recording).sample_rate / 2)
        events = [(start, end, label) for start, end, labels in regions for label in labels]
        rows = [
            [str(number), "Spectrogram 1", "1", seconds_text(start), seconds_text(end), "0", highest, label]
            for number, (start, end, label) in enumerate(events, start=1)
        ]
        written.append(_write_lines(folder / _name(recording, "raven"), [header, *rows]))
    return written


def write_event_table(manifest: Manifest, path: Path) -> list[Path]:
    """Write a DCASE table of events; a recording without any has a row with its name alone."""
    names = dict(zip(manifest.table["path"], relative_paths(manifest, path.parent), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(HEADER)
    for recording, regions in _recordings(manifest, "tables of events"):
        events = [[seconds_text(start), seconds_text(end), label] for start, end, labels in regions for label in labels]
        writer.writerows([names[recording], *cells] for cells in events or [["", "", ""]])
    write_text(path, text.getvalue())
    return [path]


def _recordings(manifest: Manifest, what: str) -> Iterator[tuple[str, list[Region]]]:
    """Path and regions of each recording, in the order of the manifest; a clip to the end of its file ends there.

    Args:
        what: is written, for texts.

    Raises:
        ManifestError: labels cannot stand in a line.
    """
    broken = [label for label in manifest.vocabulary if label != label.strip() or set(label) & set("\t\n\r")]
    if broken:
        raise ManifestError(
            f"{manifest.root}: {len(broken)} labels hold tabs or line breaks, or blanks at their ends, which {what} "
            f"cannot. Rename them.\n{summarise_rows([repr(label) for label in broken])}"
        )
    _tell_losses(manifest, what)
    table = manifest.table
    rows_of: dict[str, list[Region]] = {}
    for path, *region in zip(table["path"], table["start"], table["end"], table["labels"], strict=True):
        rows_of.setdefault(path, []).append(tuple(region))
    for path, regions in rows_of.items():
        if any(np.isnan(end) for _, end, _ in regions):
            seconds = probe(manifest.root / path).seconds
            regions = [(start, seconds if np.isnan(end) else end, labels) for start, end, labels in regions]
        yield path, regions


def _tell_losses(manifest: Manifest, what: str) -> None:
    """Log what a manifest says that regions and labels do not."""
    lost = [name for name in (*OPTIONAL, *manifest.extras) if name in manifest.table]
    lost += ["fold"] if manifest.has_folds else []
    unlabelled = int((manifest.table["labels"].map(len) == 0).sum())
    if lost:
        log.warning("%s: %s hold no %s: left out", manifest.root, what, ", ".join(lost))
    if unlabelled:
        log.warning("%s: %d clips without a label are left out, as background", manifest.root, unlabelled)


def _name(recording: str, format: str) -> Path:
    """Where the file of a recording lies in the folder of all: as the recording, absolute ones as below the root."""
    parts = PurePosixPath(recording).parts
    return Path(*parts[PurePosixPath(recording).is_absolute() :]).with_name(parts[-1] + SUFFIXES[format])


def _write_lines(path: Path, rows: list[list[str]]) -> Path:
    """Write rows of cells separated by tabs."""
    write_text(path, "".join("\t".join(cells) + "\n" for cells in rows))
    return path
