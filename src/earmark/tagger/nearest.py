"""Nearest neighbours by cosine: exact, a matrix product in blocks, or those among the candidates of an index."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from earmark.tagger.embed import Embeddings
from earmark.tagger.vector_index import VectorIndex

CORPUS_ROWS = 4096  # of a block: faster than larger ones, as it stays in the processor's cache
QUERY_ROWS = 256
CANDIDATES = 8  # asked of an index for each neighbour wanted: those it misjudges are put in order by their cosine


def similar(
    queries: Embeddings, corpus: Embeddings, top: int, index: VectorIndex | None = None
) -> Iterator[tuple[int, int, float]]:
    """The rows of a corpus most similar to each row of the queries, without rows of the same clip of the same file.

    Args:
        top: at most so many for each.
        index: of the corpus: nearly the same rows, without a look at all of them.

    Yields:
        Row of the queries, row of the corpus, cosine; query by query, best first.
    """
    clips: dict[tuple[str, float, float | None], int] = {}  # one number for each clip, whatever it is called

    def clip_of(embeddings: Embeddings) -> np.ndarray:
        keys = [(os.path.realpath(clip.path), clip.start, clip.end) for clip in embeddings.clips]
        return np.array([clips.setdefault(key, len(clips)) for key in keys], dtype=np.int64)[embeddings.clip_of]

    if not len(queries) or not len(corpus):
        return
    query_of, corpus_of = clip_of(queries), clip_of(corpus)
    if index is None:
        found = nearest(queries.vectors, corpus.vectors, top, query_of=query_of, corpus_of=corpus_of)
    else:
        found = _nearest_of_candidates(queries.vectors, corpus.vectors, top, query_of, corpus_of, index)
    for query, (rows, cosines) in enumerate(found):
        for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True):
            yield query, row, cosine


def nearest(
    queries: np.ndarray,
    corpus: np.ndarray,
    top: int,
    *,
    query_of: np.ndarray | None = None,
    corpus_of: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows of a corpus most similar to each query, best first.

    Args:
        queries: float32 (queries, features). corpus: float32 (rows, features).
        top: at most so many for each query.
        query_of, corpus_of: ints (queries,), (rows,), of what each is a part; those of one are not compared.

    Returns:
        For each query the positions of its neighbours in the corpus, and their cosines in [-1, 1]. A vector of
        zeros is similar to nothing: 0.

    >>> [(rows, cosines)] = nearest(np.eye(2, dtype=np.float32)[:1], np.float32([[0, 1], [3, 4], [5, 0]]), 2)
    >>> rows.tolist(), (10 * cosines).round().tolist()
    ([2, 1], [10.0, 6.0])
    """
    found = []
    for first in range(0, len(queries), QUERY_ROWS):
        some = slice(first, first + QUERY_ROWS)
        unit = queries[some] / _lengths(queries[some])[:, None]
        found += _nearest(unit, corpus, top, None if query_of is None else query_of[some], corpus_of)
    return found


def _nearest(
    queries: np.ndarray, corpus: np.ndarray, top: int, query_of: np.ndarray | None, corpus_of: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `nearest`, of so few queries of length 1 that a block's similarities fit into memory."""
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    cosines = np.zeros((len(queries), 0), dtype=np.float32)
    for first in range(0, len(corpus), CORPUS_ROWS):
        some = slice(first, first + CORPUS_ROWS)
        block = np.require(corpus[some], requirements="A")  # mapped from a file it may lie askew: slow to compute with
        cosine = queries @ block.T / _lengths(block)
        if query_of is not None and corpus_of is not None:
            cosine[query_of[:, None] == corpus_of[None, some]] = -np.inf
        best = _best(cosine, top)
        rows = np.hstack([rows, first + best])
        cosines = np.hstack([cosines, np.take_along_axis(cosine, best, axis=1)])
        kept = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
        rows, cosines = np.take_along_axis(rows, kept, axis=1), np.take_along_axis(cosines, kept, axis=1)
    return [
        (some_rows[some > -np.inf], np.clip(some[some > -np.inf], -1, 1))
        for some_rows, some in zip(rows, cosines, strict=True)
    ]


def _nearest_of_candidates(
    queries: np.ndarray, corpus: np.ndarray, top: int, query_of: np.ndarray, corpus_of: np.ndarray, index: VectorIndex
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `nearest`, of the rows that an index thinks near; no more of the corpus is read."""
    own = np.bincount(corpus_of, minlength=query_of.max() + 1)[query_of].max()  # rows that will be left out
    found = []
    for query, part, rows in zip(queries, query_of, index.search(queries, CANDIDATES * top + int(own)), strict=True):
        rows = np.sort(rows[corpus_of[rows] != part])
        [(order, cosines)] = nearest(query[None], np.asarray(corpus[rows]), top)
        found.append((rows[order], cosines))
    return found


def _best(cosines: np.ndarray, top: int) -> np.ndarray:
    """Columns of the `top` highest of each row, ascending."""
    n_columns = cosines.shape[1]
    if top >= n_columns:
        return np.broadcast_to(np.arange(n_columns), cosines.shape)
    return np.sort(np.argpartition(cosines, n_columns - top, axis=1)[:, n_columns - top :], axis=1)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Of each row (rows,); 1 of zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.where(lengths > 0, lengths, 1)
