"""Tags as Parquet, which needs the extra [parquet]; pyarrow itself loads pandas where that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import BinaryIO

from earmark.errors import MissingExtraError
from earmark.tagger.formats import Selection, table_columns, table_rows
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tagger

ROWS_PER_GROUP = 1 << 16  # in memory until they are written


class ParquetWriter:
    """The rows and columns of `CsvWriter`: text, times as float64, scores as float32; null where a cell is empty."""

    def __init__(self, file: BinaryIO, tagger: Tagger, selection: Selection):
        self.tagger, self.selection = tagger, selection
        self._pyarrow, parquet = import_pyarrow("write")
        text, time, score = self._pyarrow.string(), self._pyarrow.float64(), self._pyarrow.float32()
        columns = table_columns(tagger, selection)
        kinds = [score] * len(columns) if selection.all_scores else [text, time, time, text, score, score, text]
        kinds[:3] = text, time, time
        self._schema = self._pyarrow.schema(list(zip(columns, kinds[: len(columns)], strict=True)))
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._held: list[Sequence] = []

    def write(self, tagged: TaggedClip) -> None:
        """Append the rows of one clip."""
        for row in table_rows(self.tagger, self.selection, tagged):
            self._held.append([utf8(cell) if isinstance(cell, str) else cell for cell in row])
            if len(self._held) == ROWS_PER_GROUP:
                self._write_group()

    def close(self) -> None:
        """Write what is held back, and the end of the file."""
        if self._held:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        cells = zip(*self._held, strict=True)
        arrays = [self._pyarrow.array(column, kind) for column, kind in zip(cells, self._schema.types, strict=True)]
        self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))
        self._held = []


def utf8(text: str) -> str:
    """Text as Parquet takes it: UTF-8, which names of files need not be.

    >>> utf8("caf\\udce9.wav")
    'caf?.wav'
    """
    return text.encode(errors="replace").decode()


def import_pyarrow(doing: str) -> tuple[ModuleType, ModuleType]:
    """pyarrow and its Parquet reader and writer.

    Args:
        doing: what it is needed for, "read" or "write".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", f"{doing} Parquet", "parquet") from error
    return pyarrow, parquet
