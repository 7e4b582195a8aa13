"""Tables in Parquet files, every cell as text."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.errors import ManifestError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow.parquet

log = logging.getLogger(__name__)

SUFFIXES = (".parquet", ".pq")
BATCH_ROWS = 1 << 13
MOST_SHARED = 1 << 16  # cells that are kept to share them with later ones


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file, without reading them.

    Raises:
        ManifestError: it is none.
        MissingExtraError: pyarrow is not installed.
    """
    with _reading(path) as file:
        return file.schema_arrow.names


def read_columns(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the columns whose values can be written as text: missing ones empty, true and false 1 and 0.

    Lists become their values with a separator after each, which none of them contains. Equal cells are one object.

    Raises:
        ManifestError: it is no Parquet file, or each separator is in some value of a list.
        MissingExtraError: pyarrow is not installed.
    """
    with _reading(path) as file:
        fields = [(position, field.name, field.type) for position, field in enumerate(file.schema_arrow)]
        left_out = [f"'{name}' ({kind})" for _, name, kind in fields if not _is_text(kind)]
        fields = [field for field in fields if _is_text(field[2])]
        columns: list[list] = [[] for _ in fields]
        known: dict = {}
        for batch in file.iter_batches(
            BATCH_ROWS
        ):  # not all at once: texts of Python's and of pyarrow's side by side are big
            if len(known) > MOST_SHARED:
                known.clear()
            for column, (position, _, kind) in zip(columns, fields, strict=True):
                cells = _lists(batch.column(position)) if _is_list(kind) else _texts(batch.column(position), kind)
                column.extend(map(known.setdefault, cells, cells))
    if left_out:
        log.info("%s: columns that hold no text are left out: %s", path, ", ".join(left_out))
    for column, (_, name, kind) in zip(columns, fields, strict=True):
        if _is_list(kind):
            column[:] = _joined(column, f"{path} column '{name}'")
    return [name for _, name, _ in fields], columns


@contextmanager
def _reading(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """A Parquet file opened; pyarrow's errors become ours."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "read Parquet", "parquet") from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (OSError, pyarrow.ArrowException) as error:
        raise ManifestError(f"{path}: cannot be read as Parquet ({error}). Check the file, or pass a CSV.") from error


def _is_list(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind)


def _is_text(kind: pyarrow.DataType) -> bool:
    """Whether values of a type can be written as text."""
    from pyarrow import types

    kind = kind.value_type if _is_list(kind) else kind
    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _texts(column: pyarrow.Array, kind: pyarrow.DataType) -> list[str]:
    """Values as text."""
    from pyarrow import compute, types

    if types.is_boolean(kind):
        column = column.cast("int8")
    if types.is_floating(kind):
        column = compute.if_else(compute.is_nan(column), None, column)
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    return column.cast("string").fill_null("").to_pylist()


def _lists(column: pyarrow.Array) -> list[tuple[str, ...] | None]:
    """Lists of values as text, None for missing ones."""
    return [None if values is None else tuple(map(str, values)) for values in column.to_pylist()]


def _joined(lists: Sequence[tuple[str, ...] | None], where: str) -> list[str]:
    """Lists in one cell each: ("dog", "rain") is dog;rain;."""
    distinct = set(lists)
    texts = {text for values in distinct for text in values or ()}
    free = next((sign for sign in ";|," if not any(sign in text for text in texts)), None)
    if free is None:
        raise ManifestError(f"{where}: each of ; | and the comma is in some value of the lists. Rename one of them.")
    cells = {values: "" if values is None else free.join((*values, "")) or free for values in distinct}
    return [cells[values] for values in lists]
