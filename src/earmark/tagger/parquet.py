"""Tags as Parquet, which needs the extra [parquet]; pyarrow itself loads pandas where that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO

from earmark.errors import MissingExtraError
from earmark.tagger.formats import table_columns, table_rows, unnamed_file
from earmark.tagger.rows import Rows, Selection
from earmark.tagger.tag_files import TaggedClip
from earmark.tagger.tagger import Tagger

ROWS_PER_GROUP = 1 << 16  # in memory until they are written
CELLS_PER_GROUP = 1 << 22  # at most, where a table is wide
CELLS_AT_ONCE = 1 << 18  # that become an Arrow batch


class ParquetWriter:
    """The rows and columns of `CsvWriter`: text, times as float64, scores as float32; null where a cell is empty.

    The rows of a recording that is not whole are put by as for `TextWriter`, as Arrow batches.
    """

    def __init__(self, file: BinaryIO, tagger: Tagger, selection: Selection, beside: Path | None = None):
        self.rows = Rows(tagger, selection)
        self._beside = beside
        self._pyarrow, parquet = import_pyarrow("write")
        text, time, score = self._pyarrow.string(), self._pyarrow.float64(), self._pyarrow.float32()
        columns = table_columns(tagger, selection)
        kinds = [score] * len(columns) if selection.all_scores else [text, time, time, text, score, score, text]
        kinds[:3] = text, time, time
        self._schema = self._pyarrow.schema(list(zip(columns, kinds[: len(columns)], strict=True)))
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._n_at_once = min(ROWS_PER_GROUP, CELLS_AT_ONCE // len(columns) + 1)
        self._n_per_group = min(ROWS_PER_GROUP, CELLS_PER_GROUP // len(columns) + 1)
        self._batches: list[Any] = []  # of whole recordings
        self._whole: list[Sequence] = []  # rows after those
        self._part: list[Sequence] = []  # rows of the recording that comes, after those that are put by
        self._put_by: tuple[IO[bytes], Any] | None = None  # a file without a name, and what writes batches into it

    def write(self, tagged: TaggedClip) -> None:
        """Take a part of a clip. Of one that fails, what came before counts no more."""
        if tagged.predictions is None:
            self._clear()
        for row in table_rows(self.rows, tagged):
            self._part.append([utf8(cell) if isinstance(cell, str) else cell for cell in row])
            if tagged.more and len(self._part) == self._n_at_once:
                self._put()
        if not tagged.more:
            self._keep()

    def close(self) -> None:
        """Write what is held back, and the end of the file; the rows of a recording that has not ended are gone."""
        self._clear()
        self._gather()
        self._write_groups(1)
        self._writer.close()

    def _put(self) -> None:
        """Put the rows by that have come."""
        if self._put_by is None:
            file = unnamed_file(self._beside, mode="w+b")
            self._put_by = file, self._pyarrow.ipc.new_stream(file, self._schema)
        self._put_by[1].write_batch(self._batch(self._part))
        self._part = []

    def _keep(self) -> None:
        """The recording is whole: its rows count."""
        if self._put_by is not None:
            file, stream = self._put_by
            stream.close()
            file.seek(0)
            self._gather()
            for batch in self._pyarrow.ipc.open_stream(file):
                self._batches.append(batch)
                self._write_groups(self._n_per_group)
        self._whole += self._part
        self._clear()
        if len(self._whole) >= self._n_at_once:
            self._gather()

    def _clear(self) -> None:
        self._part = []
        if self._put_by is not None:
            self._put_by[0].close()
            self._put_by = None

    def _gather(self) -> None:
        """Rows of whole recordings to a batch, and full groups of those into the file."""
        if self._whole:
            self._batches.append(self._batch(self._whole))
            self._whole = []
        self._write_groups(self._n_per_group)

    def _write_groups(self, n_least: int) -> None:
        """Write groups of rows as long as there are so many."""
        if sum(batch.num_rows for batch in self._batches) < n_least:
            return
        table = self._pyarrow.Table.from_batches(self._batches)
        first = 0
        while table.num_rows - first >= n_least:
            # In one piece each, for pages of the file end where pieces do.
            self._writer.write_table(table.slice(first, self._n_per_group).combine_chunks())
            first = min(first + self._n_per_group, table.num_rows)
        self._batches = table.slice(first).to_batches()

    def _batch(self, rows: Sequence[Sequence]) -> Any:
        cells = zip(*rows, strict=True)
        arrays = [self._pyarrow.array(column, kind) for column, kind in zip(cells, self._schema.types, strict=True)]
        return self._pyarrow.record_batch(arrays, schema=self._schema)


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
