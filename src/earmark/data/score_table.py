"""Scores that another tool has written, as clip rows: a column per label, a row per tag, or best labels in a cell."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from earmark.data.manifest import Manifest
from earmark.data.readers.table import COLUMNS, OTHER_COLUMNS, Table, load_table
from earmark.errors import ManifestError, summarise_rows
from earmark.predictions import Predictions

# Names of columns, the preferred first; compared without case.
NAMES = ("clip_id", *COLUMNS["path"], "id", "begin path", "begin file", "audio")
LABELS = (*COLUMNS["labels"], "tags", "tag", "common name", "common_name", "species", "scientific name")
SCORES = ("score", "confidence", "probability", "prob")
STARTS, ENDS = (*COLUMNS["start"], "start (s)"), (*COLUMNS["end"], "end (s)")
NO_CLASSES = {*NAMES, *STARTS, *ENDS, *OTHER_COLUMNS, *(name for names in COLUMNS.values() for name in names)}


@dataclass(frozen=True)
class ScoreTable:
    """What a table says of clips.

    predictions: clip rows in the order of the data, those of `missing` left out; its labels are the table's.
    no_chances: why scores are no numbers between 0 and 1 that mean a chance, so that only their order counts; "" if
        they are.
    missing: clips of the data that have no row. remarks: sentences on what was read.
    """

    predictions: Predictions
    no_chances: str
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Rows:
    """The table's rows that name clips: position of the clip, and number of the row, each (rows,)."""

    clips: np.ndarray
    rows: np.ndarray
    is_timed: bool


def read_scores(path: Path, manifest: Manifest, *, encoding: str | None = None, pool: str = "mean") -> ScoreTable:
    """Read a table of scores of a manifest's clips.

    Clips are named by id, path, file name, or file name without suffix, as far as that tells one from another; of
    several rows with times, those that overlap a clip are its windows. What a table of tags does not list scores 0.

    Args:
        pool: of the windows of a clip where there is a column per label, as `windows.pool` does it; in a table of tags
            the highest score counts.

    Raises:
        ManifestError: there is no column of names or scores, scores are no finite numbers, a clip stands in several
            rows without times, or no row names a clip.
    """
    table = load_table(path, encoding)
    columns = {name.casefold(): name for name in reversed(table.columns)}
    name = first_column(columns, NAMES)
    if name is None:
        raise ManifestError(
            f"{path}: no column names the clips (found: {', '.join(table.columns)}). Call it one of "
            f"{', '.join(NAMES[:6])}."
        )
    label, score = label_column(table, columns, manifest), first_column(columns, SCORES)
    classes = class_columns(table, label, score, manifest)
    if label and (score or not numeric_columns(table, classes, manifest)):
        rows = _rows_of(table, name, columns, manifest)
        return _from_tags(table, rows, label, score, manifest)
    numeric = numeric_columns(table, [*classes, *filter(None, (label, score))], manifest)
    if not numeric:
        raise ManifestError(
            f"{path}: holds no scores (found: {', '.join(table.columns)}). Give a column per label, or the columns "
            "label and score."
        )
    rows = _rows_of(table, name, columns, manifest)
    remarks = [each for each in classes if each not in numeric]
    found = _from_columns(table, rows, numeric, manifest, pool)
    if not remarks:
        return found
    said = f"{path.name}: columns without numbers are left out: {_some(remarks)}."
    return ScoreTable(found.predictions, found.no_chances, found.missing, (*found.remarks, said))


def first_column(columns: dict[str, str], names: Sequence[str]) -> str | None:
    """The column of the first of some names that there is; `columns` from names without case to those written."""
    return next((columns[name] for name in names if name in columns), None)


def class_columns(table: Table, label: str | None, score: str | None, manifest: Manifest) -> list[str]:
    """The columns that may be of a label each: those that have a label's name, or no other meaning."""
    return [
        each
        for each in table.columns
        if each in manifest.vocabulary or (each.casefold() not in NO_CLASSES and each not in (label, score))
    ]


def label_column(table: Table, columns: dict[str, str], manifest: Manifest) -> str | None:
    """The column that holds labels: the first with one of the data, else the first that has the name of one."""
    named = [columns[name] for name in LABELS if name in columns]
    known = [each for each in named if any(cell in manifest.vocabulary for cell in set(table.column(each)))]
    texts = [each for each in named if not all(map(_is_number, set(table.columns[each])))]
    return next(iter([*known, *texts]), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def numeric_columns(table: Table, classes: Sequence[str], manifest: Manifest) -> list[str]:
    """The columns that are scores: those with the name of a label, and any others that hold nothing but numbers."""
    return [each for each in classes if each in manifest.vocabulary or all(map(_is_number, set(table.columns[each])))]


def _from_columns(table: Table, rows: _Rows, labels: Sequence[str], manifest: Manifest, pool: str) -> ScoreTable:
    """A column per label."""
    scores = np.empty((len(rows.rows), len(labels)))
    faults: list[str] = []
    for number, label in enumerate(labels):
        scores[:, number] = read_numbers(table, label, rows.rows, faults)
    refuse(table, faults)
    if not rows.is_timed:
        counts = Counter(rows.clips.tolist())
        ids = manifest.clip_ids
        twice = [
            f"row {table.lines[row]}: clip '{ids[clip]}'"
            for clip, row in zip(rows.clips.tolist(), rows.rows.tolist(), strict=True)
            if counts[clip] > 1
        ]
        if twice:
            raise ManifestError(
                f"{table.path}: {len(twice)} rows share their clips and have no times. Leave one row of each clip.\n"
                f"{summarise_rows(twice)}"
            )
    low, high = float(scores.min()), float(scores.max())
    no_chances = "" if low >= 0 and high <= 1 else f"they run from {low:.3g} to {high:.3g}, not from 0 to 1"
    order = np.argsort(rows.clips, kind="stable")
    windows = _predictions(manifest, rows.clips[order], scores[order], labels, "window")
    found = sorted(set(rows.clips.tolist()))
    remarks = []
    if len(found) < len(order):
        windows, how = windows.to_clips(pool), pool
        remarks.append(f"{table.path.name}: {len(order):,} rows are the windows of {len(found):,} clips ({how}).")
    clips = _predictions(manifest, np.array(found), windows.scores, labels, "clip")
    present = set(found)
    missing = tuple(name for number, name in enumerate(manifest.clip_ids) if number not in present)
    return ScoreTable(clips, no_chances, missing, tuple(remarks))


def _from_tags(table: Table, rows: _Rows, label: str, score: str | None, manifest: Manifest) -> ScoreTable:
    """A row per tag, or the best labels of a clip in one cell."""
    cells = table.column(label)
    faults: list[str] = []
    values = read_numbers(table, score, rows.rows, faults) if score else np.ones(len(rows.rows))
    refuse(table, faults)
    tags = []
    for clip, row, value in zip(rows.clips.tolist(), rows.rows.tolist(), values.tolist(), strict=True):
        cell = cells[row]
        names = [cell] if score or cell in manifest.vocabulary else cell.split()
        tags += [(clip, name, value / rank) for rank, name in enumerate(names, start=1) if name]
    labels = sorted({name for _, name, _ in tags})
    column = {name: number for number, name in enumerate(labels)}
    low = min([0.0, *(value for *_, value in tags)])
    scores = np.full((len(manifest), len(labels)), low)
    for clip, name, value in tags:
        scores[clip, column[name]] = max(scores[clip, column[name]], value)
    high = float(scores.max(initial=0.0))
    no_chances = "" if score else "the table ranks labels and gives no scores"
    if low < 0 or high > 1:
        no_chances = f"they run from {low:.3g} to {high:.3g}, not from 0 to 1"
    n_silent = len(manifest) - len(set(rows.clips.tolist()))
    remarks = [f"{table.path.name}: a table of tags; what it does not list scores {low:.3g}."]
    if n_silent:
        remarks.append(f"{table.path.name}: {n_silent:,} of {len(manifest):,} clips have no tag at all.")
    clips = _predictions(manifest, np.arange(len(manifest)), scores, labels, "clip")
    return ScoreTable(clips, no_chances, (), tuple(remarks))


def _predictions(
    manifest: Manifest, clips: np.ndarray, scores: np.ndarray, labels: Sequence[str], level: str
) -> Predictions:
    """Scores of the clips at these positions."""
    known = manifest.table.iloc[clips]
    return Predictions(
        manifest.clip_ids[clips],
        known["start"].to_numpy(),
        known["end"].to_numpy(),
        scores.astype(np.float32),
        tuple(labels),
        level,
    )


def read_numbers(table: Table, name: str, rows: np.ndarray, faults: list[str]) -> np.ndarray:
    """The cells of some rows as numbers; those that are none, or too large for float32, become faults."""
    cells = np.array(table.columns[name], dtype=object)[rows]
    try:
        values = cells.astype(np.float64)
    except ValueError:
        values = np.array([float(cell) if _is_number(cell) else np.nan for cell in cells])
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(values.astype(np.float32))
    faults += [
        f"row {table.lines[row]}: '{name}' holds '{cell}'" for row, cell in zip(rows[wrong], cells[wrong], strict=True)
    ]
    return values


def refuse(table: Table, faults: Sequence[str]) -> None:
    """Refuse scores that are none."""
    if faults:
        raise ManifestError(
            f"{table.path}: {len(faults)} scores are not finite numbers. Look for the cause where they were made.\n"
            f"{summarise_rows(faults)}"
        )


def _rows_of(table: Table, name: str, columns: dict[str, str], manifest: Manifest) -> _Rows:
    """Which rows are of which clips."""
    keys = [plain_name(cell) for cell in table.column(name)]
    clips_of = find_clips(dict.fromkeys(keys), manifest)
    times = [first_column(columns, names) for names in (STARTS, ENDS)]
    faults: list[str] = []
    everything = np.arange(len(keys))
    starts, ends = (read_numbers(table, each, everything, faults) if each else None for each in times)
    refuse(table, faults)
    first, last = manifest.table["start"].to_numpy(), np.nan_to_num(manifest.table["end"].to_numpy(), nan=np.inf)
    is_timed = starts is not None and ends is not None
    clips, rows, unclear = [], [], []
    for row, key in enumerate(keys):
        own = clips_of.get(key, ())
        if is_timed:
            own = [clip for clip in own if starts[row] < last[clip] and ends[row] > first[clip]]
        elif len(own) > 1:
            unclear.append(f"row {table.lines[row]}: '{key}' is {len(own)} clips")
        clips += own
        rows += [row] * len(own)
    if unclear:
        raise ManifestError(
            f"{table.path}: {len(unclear)} rows name files that hold several clips. Name them by clip_id, or give "
            f"start and end.\n{summarise_rows(unclear)}"
        )
    if not clips:
        raise ManifestError(
            f"{table.path}: none of its {len(keys)} rows names a clip of the data (found '{keys[0]}', expected such as "
            f"'{manifest.clip_ids[0]}'). Correct the column '{name}'."
        )
    return _Rows(np.array(clips), np.array(rows), is_timed)


def plain_name(name: str) -> str:
    """A name as it is compared: one way to write each letter, and slashes."""
    return unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removeprefix("./")


def find_clips(keys: Sequence[str] | dict[str, None], manifest: Manifest) -> dict[str, list[int]]:
    """The clips of each name: by id, by path, or by a file name that is one file's alone on both sides."""
    by_id = {plain_name(name): [number] for number, name in enumerate(manifest.clip_ids)}
    by_path: dict[str, list[int]] = defaultdict(list)
    for number, path in enumerate(manifest.table["path"]):
        by_path[plain_name(path)].append(number)
    found = {key: by_id.get(key) or by_path.get(key, []) for key in keys}
    for part in ("name", "stem"):
        files = _by_part(by_path, part)
        others = _by_part((key for key in keys if not found[key]), part)
        for short, own in others.items():
            if len(own) == 1 and len(files.get(short, ())) == 1:
                found[own[0]] = by_path[files[short][0]]
    return {key: clips for key, clips in found.items() if clips}


def _by_part(paths, part: str) -> dict[str, list[str]]:
    """Paths by their file name or by that without suffix."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[getattr(PurePosixPath(path), part)].append(path)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
