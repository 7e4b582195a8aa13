"""Embeddings in files: Parquet, NumPy's .npz and CSV, written by `earmark embed` and read by `earmark similar`.

One row per vector: clip_id, path, start, end, tagger, facts (such as labels), and the vector.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from earmark.errors import ConfigError
from earmark.predictions import seconds_text
from earmark.run import write_atomically
from earmark.tagger.embed import Embeddings
from earmark.tagger.parquet import import_pyarrow, utf8
from earmark.tagger.tagger import Clip

SUFFIXES = (".parquet", ".npz", ".csv")
COLUMNS = ("clip_id", "path", "start", "end", "tagger")
VECTOR = "embedding"  # .parquet: a column of lists; .npz: an array (rows, features)
CSV_FIRST = "e0"  # .csv: the first of a column per feature
REGION = re.compile(r"#(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)?$")  # as `predictions.clip_id` writes it

Columns = dict[str, Sequence]


def check_suffix(path: Path) -> None:
    """Refuse, before anything is heard, a file that could not be written.

    Raises:
        ConfigError: its suffix is none of SUFFIXES.
        MissingExtraError: Parquet needs pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {path}: embeddings go into a file that ends in {', '.join(SUFFIXES)}. Rename it.")
    if path.suffix.lower() == ".parquet":
        import_pyarrow("write")


def write_embeddings(
    embeddings: Embeddings, path: Path, facts: Mapping[str, Mapping[str, str | int]] | None = None
) -> None:
    """Write rows of clip_id, path, start, end, tagger, facts, vector; the format follows the suffix.

    .csv has a column per feature, e0, e1, …; .parquet one column of lists, `embedding`; .npz the array `embedding`
    (rows, features) beside the other columns (rows,).

    Args:
        facts: further columns: name → clip id → value.

    Raises:
        ConfigError, MissingExtraError: as `check_suffix`.
    """
    check_suffix(path)
    ids = [clip.clip_id for clip in embeddings.clips]
    columns: Columns = {
        "clip_id": [ids[number] for number in embeddings.clip_of],
        "path": embeddings.paths,
        "start": embeddings.starts,
        "end": embeddings.ends,
        "tagger": [embeddings.tagger] * len(embeddings),
    }
    for name, values in (facts or {}).items():
        columns[name] = [values[ids[number]] for number in embeddings.clip_of]
    write = {".csv": _write_csv, ".npz": _write_npz, ".parquet": _write_parquet}[path.suffix.lower()]
    with write_atomically(path) as temporary:
        write(columns, embeddings.vectors, temporary)


def holds_embeddings(path: Path) -> bool:
    """Whether a file is one of embeddings, as far as its name and header tell.

    Raises:
        MissingExtraError: Parquet needs pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet" and path.is_file():
        pyarrow, parquet = import_pyarrow("read")
        try:
            return VECTOR in parquet.read_schema(path).names
        except pyarrow.ArrowInvalid:
            return False
    if suffix == ".csv" and path.is_file():
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            header = file.readline(1 << 16).rstrip("\r\n").split(",")
        return {CSV_FIRST, *COLUMNS} <= set(header)
    return suffix == ".npz"


def read_embeddings(path: Path) -> tuple[Embeddings, dict[str, dict[str, str]]]:
    """What `write_embeddings` wrote: embeddings, and of further columns name → clip id → value (as text).

    The vectors of an .npz stay in the file, mapped into memory: they may be more than fit into it.

    Raises:
        ConfigError: the file cannot be read, or was not written by it.
        MissingExtraError: Parquet needs pyarrow.
    """
    readers: dict[str, Callable] = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise ConfigError(f"{path}: is not a file of embeddings (expected {', '.join(SUFFIXES)}). Run `earmark embed`.")
    try:
        columns, vectors = readers[path.suffix.lower()](path)
        times = {name: np.asarray(columns[name], np.float64) for name in ("start", "end") if name in columns}
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as embeddings ({error}). Run `earmark embed` again.") from error
    lengths = {len(columns[name]) for name in columns} | {len(vectors)}
    missing = [name for name in COLUMNS if name not in columns]
    if missing or len(lengths) > 1 or vectors.ndim != 2 or len(set(columns["tagger"])) > 1:
        wrong = f"no column {', '.join(missing)}" if missing else "its rows do not agree"
        raise ConfigError(f"{path}: is not what `earmark embed` writes ({wrong}). Run it again.")
    return _embeddings(columns | times, vectors), _facts(columns)


def _embeddings(columns: Columns, vectors: np.ndarray) -> Embeddings:
    numbers: dict[str, int] = {}
    clip_of = np.array([numbers.setdefault(name, len(numbers)) for name in columns["clip_id"]], dtype=np.int64)
    path_of = dict(zip(columns["clip_id"], columns["path"], strict=True))
    clips = tuple(_clip(name, path_of[name]) for name in numbers)
    tagger = str(columns["tagger"][0]) if len(vectors) else ""
    return Embeddings(clips, clip_of, columns["start"], columns["end"], vectors, tagger)


def _clip(clip_id: str, path: str) -> Clip:
    """The clip of a row; its id ends in its region, unless it is the name of the file that does."""
    region = None if PurePosixPath(clip_id).name == PurePosixPath(path).name else REGION.search(clip_id)
    start, end = region.groups() if region else ("0", None)
    return Clip(Path(path), float(start), float(end) if end else None, clip_id)


def _facts(columns: Columns) -> dict[str, dict[str, str]]:
    return {
        name: dict(zip(columns["clip_id"], map(str, columns[name]), strict=True))
        for name in columns
        if name not in COLUMNS
    }


def _write_csv(columns: Columns, vectors: np.ndarray, path: Path) -> None:
    names = list(columns)
    cells = columns | {name: list(map(seconds_text, columns[name])) for name in ("start", "end")}
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, *(f"e{number}" for number in range(vectors.shape[1]))])
        for *row, vector in zip(*cells.values(), vectors, strict=True):
            # Nine digits hold a float32 whole.
            writer.writerow([*row, *(f"{value:.9g}" for value in vector.tolist())])


def _read_csv(path: Path) -> tuple[Columns, np.ndarray]:
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        first = header.index(CSV_FIRST)
        cells, vectors = [], []
        for row in rows:
            cells.append(row[:first])
            vectors.append(np.array(row[first:], dtype=np.float32))
    columns = zip(*cells, strict=True) if cells else [()] * first
    width = len(header) - first
    return dict(zip(header[:first], columns, strict=True)), np.array(vectors, np.float32).reshape(len(cells), width)


def _write_npz(columns: Columns, vectors: np.ndarray, path: Path) -> None:
    with open(path, "wb") as file:  # not compressed: numbers like these hardly become smaller, and can be mapped
        np.savez(file, **{VECTOR: vectors}, **{name: np.array(values) for name, values in columns.items()})


def _read_npz(path: Path) -> tuple[Columns, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        columns = {name: archive[name].tolist() for name in archive.files if name != VECTOR}
        mapped = _map_member(path, f"{VECTOR}.npy")
        return columns, archive[VECTOR] if mapped is None else mapped


def _map_member(path: Path, name: str) -> np.ndarray | None:
    """An array of an .npz mapped into memory where it lies; None where it cannot be (compressed, or empty)."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        file.seek(member.header_offset)
        header = file.read(30)  # of a zip member; its last two numbers are the lengths of name and extra field
        file.seek(member.header_offset + 30 + sum(np.frombuffer(header[26:30], "<u2").tolist()))
        np.lib.format.read_magic(file)
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        if by_column or 0 in shape or dtype != np.float32:
            return None
        return np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape)


def _write_parquet(columns: Columns, vectors: np.ndarray, path: Path) -> None:
    pyarrow, parquet = import_pyarrow("write")
    numbers = pyarrow.array(vectors.ravel())
    lists = pyarrow.FixedSizeListArray.from_arrays(numbers, max(vectors.shape[1], 1))
    text = {name: [utf8(cell) for cell in columns[name]] for name in ("clip_id", "path")}
    parquet.write_table(pyarrow.table({**columns, **text, VECTOR: lists}), path)


def _read_parquet(path: Path) -> tuple[Columns, np.ndarray]:
    _, parquet = import_pyarrow("read")
    table = parquet.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != VECTOR}
    lists = table[VECTOR].combine_chunks()
    vectors = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return columns, vectors.reshape(len(lists), -1) if len(lists) else np.zeros((0, 0), np.float32)
