"""The index finds what the exact search finds, is made once, and again when its file has changed."""

import os
import sys
import time

import numpy as np
import pytest

from earmark.errors import MissingExtraError
from earmark.tagger import Clip, vector_index
from earmark.tagger.embed import Embeddings
from earmark.tagger.nearest import nearest, similar
from earmark.tagger.vector_index import VectorIndex

N_ROWS, N_FEATURES = 6000, 24


def vectors(seed: int = 0, n_rows: int = N_ROWS) -> np.ndarray:
    """Points around a hundred centres, of many lengths."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((100, N_FEATURES))
    found = centres[generator.integers(0, 100, n_rows)] + 0.3 * generator.standard_normal((n_rows, N_FEATURES))
    return (found * generator.uniform(0.1, 10, (n_rows, 1))).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def faiss():
    return pytest.importorskip("faiss")


@pytest.fixture
def file(tmp_path):
    """What the vectors are said to be of."""
    (tmp_path / "made.npz").write_bytes(b"vectors")
    return tmp_path / "made.npz"


def table(rows: np.ndarray, per_clip: int, folder: str) -> Embeddings:
    """Vectors as those of clips with so many windows each."""
    n_clips = len(rows) // per_clip
    clips = tuple(Clip(f"{folder}/{number}.wav") for number in range(n_clips))
    times = np.arange(len(rows), dtype=np.float64)
    return Embeddings(clips, np.repeat(np.arange(n_clips), per_clip), times, times + 1, rows)


def test_its_neighbours_are_nearly_all_of_the_exact_ones(file):
    corpus, queries = table(vectors(), 1, "corpus"), table(vectors(1, 40), 1, "queries")
    index = VectorIndex(file, corpus.vectors)
    exact, found = (list(similar(queries, corpus, 10, which)) for which in (None, index))
    assert len(found) == len(exact) == 400
    assert len({pair[:2] for pair in exact} & {pair[:2] for pair in found}) > 390
    cosines = {pair[:2]: pair[2] for pair in exact}
    for *pair, cosine in found:
        assert cosine == pytest.approx(cosines.get(tuple(pair), cosine), abs=1e-5)


def test_the_querys_own_rows_are_left_out_however_many(file):
    corpus = table(vectors(), 500, "corpus")
    index = VectorIndex(file, corpus.vectors)
    own = Embeddings(corpus.clips[:1], np.zeros(3, np.int64), np.zeros(3), np.ones(3), corpus.vectors[:3])
    found = list(similar(own, corpus, 5, index))
    assert len(found) == 15
    assert min(row for _, row, _ in found) >= 500


@pytest.mark.parametrize("n_rows", [1, 3, 50])
def test_few_vectors_are_all_found(file, n_rows):
    few = vectors(2, n_rows)
    few[0] = 0
    index = VectorIndex(file, few)
    [rows] = index.search(few[-1:], 99)
    assert sorted(rows) == list(range(n_rows))
    assert nearest(few[-1:], few, 1)[0][0] == rows[0]


def test_it_is_made_once_and_anew_when_the_file_is_newer_or_the_index_damaged(file):
    first = VectorIndex(file, vectors())
    made = first.path.stat().st_mtime_ns
    VectorIndex(file, vectors())
    assert first.path.stat().st_mtime_ns == made
    VectorIndex(file, vectors(3, 100))  # of another number of rows
    assert first.path.stat().st_mtime_ns > made
    later = time.time() + 10
    os.utime(file, (later, later))
    before = first.path.read_bytes()
    VectorIndex(file, vectors(4, 100))
    assert first.path.read_bytes() != before
    os.utime(file, (1, 1))
    first.path.write_bytes(b"no index")
    [rows] = VectorIndex(file, vectors(3, 100)).search(vectors(3, 100)[:1], 1)
    assert rows == [0]


def test_a_file_replaced_by_one_of_the_same_size_and_time_gets_an_index_of_its_own(file):
    first = VectorIndex(file, vectors())
    status = file.stat()
    file.write_bytes(b"VECTORS")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    other = vectors(5)
    queries = other[:3]
    assert [rows[0] for rows in first.search(queries, 1)] != [0, 1, 2]
    assert [rows[0] for rows in VectorIndex(file, other).search(queries, 1)] == [0, 1, 2]
    os.utime(file, (1, 1))  # an older file is another one as well
    assert [rows[0] for rows in VectorIndex(file, vectors()).search(vectors()[:3], 1)] == [0, 1, 2]


def test_an_index_that_was_not_vouched_for_before_a_kill_is_made_anew(file, monkeypatch):
    VectorIndex(file, vectors())
    status = file.stat()
    file.write_bytes(b"VECTORS")
    monkeypatch.setattr(vector_index, "write_json", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        VectorIndex(file, vectors(5))
    monkeypatch.undo()
    file.write_bytes(b"vectors")  # the first one again
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [rows[0] for rows in VectorIndex(file, vectors()).search(vectors()[:3], 1)] == [0, 1, 2]


def test_of_a_large_file_pieces_are_hashed_the_last_among_them(file, monkeypatch):
    monkeypatch.setattr(vector_index, "SAMPLED_BYTES", 8)
    content = bytearray(100_000)
    for position, differs in ((0, True), (7, True), (99_999, True), (8, False)):
        file.write_bytes(content)
        os.utime(file, (1, 1))
        before = vector_index._fingerprint(file)
        changed = content.copy()
        changed[position] = 1
        file.write_bytes(changed)
        os.utime(file, (1, 1))
        assert (vector_index._fingerprint(file) != before) == differs


def test_it_needs_its_package(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"faiss-cpu is needed to make an index.*earmark\[index\]"):
        VectorIndex(file, vectors())
