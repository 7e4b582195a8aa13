"""An index of very many vectors beside their file: neighbours without a look at each of them. Needs FAISS.

Source: M. Douze et al. The Faiss library. arXiv:2401.08281
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import ModuleType

import numpy as np

from earmark.errors import MissingExtraError
from earmark.run import write_atomically

log = logging.getLogger("earmark")

SUFFIX = ".faiss"
LISTS_PER_ROOT = 2  # lists of near vectors, for every √rows
TRAINED_ON = 40  # vectors for each list's centre; FAISS warns below 39
LISTS_SEARCHED = 32
ROWS_AT_ONCE = 65_536


class VectorIndex:
    """Vectors in lists of near ones, a byte a number, of which a search looks into a few. Mapped, not read into memory.

    Args:
        file: whose vectors they are; the index stands beside it, and is made when it is not there, or older.
        vectors: float32 (rows, features).

    Raises:
        MissingExtraError: FAISS is not installed.
    """

    def __init__(self, file: Path, vectors: np.ndarray):
        self._faiss = _faiss()
        self.path = file.with_name(file.name + SUFFIX)
        if not self._is_there(file, vectors):
            log.info("%s: making an index of %d vectors", self.path, len(vectors))
            with write_atomically(self.path) as temporary:
                self._faiss.write_index(self._build(vectors), os.fspath(temporary))
        self._index = self._open()
        self._index.nprobe = LISTS_SEARCHED

    def search(self, queries: np.ndarray, n_rows: int) -> list[np.ndarray]:
        """The rows that are probably nearest to each query by cosine, at most n_rows, best first."""
        _, found = self._index.search(_unit(queries), min(n_rows, self._index.ntotal))
        return [rows[rows >= 0] for rows in found]

    def _is_there(self, file: Path, vectors: np.ndarray) -> bool:
        """Whether the index that stands beside the file is whole and of it."""
        try:
            if self.path.stat().st_mtime_ns < file.stat().st_mtime_ns:
                return False
            index = self._open()
        except (OSError, RuntimeError):  # not there, or damaged
            return False
        return (index.ntotal, index.d) == vectors.shape

    def _open(self):
        return self._faiss.read_index(os.fspath(self.path), self._faiss.IO_FLAG_MMAP)

    def _build(self, vectors: np.ndarray):
        n_rows, n_features = vectors.shape
        n_lists = max(1, min(int(LISTS_PER_ROOT * n_rows**0.5), n_rows // TRAINED_ON))
        index = self._faiss.index_factory(n_features, f"IVF{n_lists},SQ8", self._faiss.METRIC_INNER_PRODUCT)
        rows = np.random.default_rng(0).choice(n_rows, min(n_rows, TRAINED_ON * n_lists), replace=False)
        index.train(_unit(vectors[np.sort(rows)]))
        for first in range(0, n_rows, ROWS_AT_ONCE):
            index.add(_unit(vectors[first : first + ROWS_AT_ONCE]))
        return index


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Each of length 1; zeros stay."""
    vectors = np.require(vectors, requirements="A")  # as in `nearest`
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _faiss() -> ModuleType:
    """FAISS.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise MissingExtraError("faiss-cpu", "make an index", "index") from error
    return faiss
