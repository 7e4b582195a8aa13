"""An index of very many vectors beside their file: neighbours without a look at each of them. Needs FAISS.

Source: M. Douze et al. The Faiss library. arXiv:2401.08281
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from types import ModuleType

import numpy as np

from earmark.errors import MissingExtraError
from earmark.run import write_atomically, write_json

log = logging.getLogger("earmark")

SUFFIX = ".faiss"
LISTS_PER_ROOT = 2  # lists of near vectors, for every √rows
TRAINED_ON = 40  # vectors for each list's centre; FAISS warns below 39
LISTS_SEARCHED = 32
ROWS_AT_ONCE = 65_536
SAMPLED_PIECES, SAMPLED_BYTES = 64, 1 << 20  # of a file: to hash 1.5 GB whole takes seconds, a search does not


class VectorIndex:
    """Vectors in lists of near ones, a byte a number, of which a search looks into a few. Mapped, not read into memory.

    Args:
        file: whose vectors they are; the index stands beside it, with what it was made of, and is made when it is not
            there, or of other content.
        vectors: float32 (rows, features).

    Raises:
        MissingExtraError: FAISS is not installed.
    """

    def __init__(self, file: Path, vectors: np.ndarray):
        self._faiss = _faiss()
        self.path = file.with_name(file.name + SUFFIX)
        self._made_of = file.with_name(self.path.name + ".json")
        known = _fingerprint(file)
        if not self._is_there(known, vectors):
            log.info("%s: making an index of %d vectors", self.path, len(vectors))
            self._made_of.unlink(missing_ok=True)  # first: after a kill nothing vouches for a new index
            with write_atomically(self.path) as temporary:
                self._faiss.write_index(self._build(vectors), os.fspath(temporary))
            write_json(self._made_of, known)
        self._index = self._open()
        self._index.nprobe = LISTS_SEARCHED

    def search(self, queries: np.ndarray, n_rows: int) -> list[np.ndarray]:
        """The rows that are probably nearest to each query by cosine, at most n_rows, best first."""
        _, found = self._index.search(_unit(queries), min(n_rows, self._index.ntotal))
        return [rows[rows >= 0] for rows in found]

    def _is_there(self, known: dict[str, int | str], vectors: np.ndarray) -> bool:
        """Whether the index that stands beside the file is whole and of its content."""
        try:
            if json.loads(self._made_of.read_text(encoding="utf-8")) != known:
                return False
            index = self._open()
        except (OSError, ValueError, RuntimeError):  # not there, or damaged
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


def _fingerprint(file: Path) -> dict[str, int | str]:
    """What tells a file's content from another's: size, time, and a hash of pieces spread over it, first and last too.

    A small file is hashed whole; the last piece of an .npz holds the checksums of all its arrays.
    """
    status = file.stat()
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        for start in np.unique(np.linspace(0, max(0, status.st_size - SAMPLED_BYTES), SAMPLED_PIECES).astype(np.int64)):
            opened.seek(int(start))
            digest.update(opened.read(SAMPLED_BYTES))
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256_of_sample": digest.hexdigest()}


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
