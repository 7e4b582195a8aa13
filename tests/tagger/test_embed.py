"""Embeddings: what the graph gives, once; kept by content; and their nearest neighbours."""

import shutil
import time

import numpy as np
import pytest

from earmark.audio.cache import Cache, content_hash
from earmark.errors import TaggerFileError
from earmark.tagger import Clip, Tagger
from earmark.tagger.embed import _embed, collect, embed_files
from earmark.tagger.nearest import CORPUS_ROWS, QUERY_ROWS, nearest, similar


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", max_bytes=10_000_000)


@pytest.fixture
def tagger(make_tagger):
    return make_tagger()


@pytest.fixture
def tones(make_tone):
    """Low, high, low then high; each of other length."""
    parts = {"low.wav": [(500, 1.0)], "high.wav": [(3000, 0.3)], "both.wav": [(500, 1.0), (3000, 1.0)]}
    return [make_tone(name, *tone) for name, tone in parts.items()]


@pytest.fixture
def deaf(tagger, monkeypatch):
    """From now on the tagger cannot hear."""

    def refuse():
        def run(windows):
            raise AssertionError("the graph was asked again")

        monkeypatch.setattr(tagger.backend, "run", run)

    return refuse


def test_a_row_per_window_is_what_the_tagger_gives(tagger, tones, cache):
    rows = collect(embed_files(tagger, tones, level="window", cache=cache))
    parts = [tagger.embed(path) for path in tones]
    np.testing.assert_array_equal(rows.vectors, np.concatenate([vectors for _, vectors in parts]))
    np.testing.assert_array_equal(rows.starts, np.concatenate([scores.starts for scores, _ in parts]))
    np.testing.assert_array_equal(rows.ends, np.concatenate([scores.ends for scores, _ in parts]))
    assert rows.paths == [
        path.as_posix() for path, (scores, _) in zip(tones, parts, strict=True) for _ in scores.starts
    ]
    assert rows.vectors.dtype == np.float32
    assert rows.tagger == f"fake {content_hash(tagger.path)[:16]}"


def test_a_row_per_clip_is_the_mean_of_its_windows(tagger, tones, cache):
    rows = collect(embed_files(tagger, tones, cache=cache))
    np.testing.assert_allclose(rows.vectors, [tagger.embed(path)[1].mean(axis=0) for path in tones], rtol=1e-6)
    assert rows.starts.tolist() == [0, 0, 0]
    np.testing.assert_allclose(rows.ends, [1.0, 0.3, 2.0])


@pytest.mark.parametrize("level", ["clip", "window"])
def test_the_second_time_nothing_is_heard(tagger, tones, cache, deaf, level):
    first = collect(embed_files(tagger, tones, level="window", cache=cache))
    deaf()
    again = collect(embed_files(tagger, tones, level=level, cache=Cache(cache.folder)))
    assert len(again) == (len(first) if level == "window" else 3)
    if level == "window":
        np.testing.assert_array_equal(first.vectors, again.vectors)
        np.testing.assert_array_equal(first.ends, again.ends)


def test_a_copy_under_another_name_is_not_heard(tagger, tones, cache, deaf, tmp_path):
    collect(embed_files(tagger, tones[:1], cache=cache))
    shutil.copy(tones[0], tmp_path / "copy.wav")
    deaf()
    rows = collect(embed_files(tagger, [tmp_path / "copy.wav"], cache=cache))
    assert rows.paths == [(tmp_path / "copy.wav").as_posix()]


def test_other_content_is_heard_again(tagger, make_tone, cache):
    before = collect(embed_files(tagger, [make_tone("a.wav", (500, 1.0))], cache=cache))
    after = collect(embed_files(tagger, [make_tone("a.wav", (3000, 1.0))], cache=cache))
    np.testing.assert_allclose(before.vectors, [[1, 0]], atol=1e-3)
    np.testing.assert_allclose(after.vectors, [[0, 1]], atol=1e-3)


def test_another_tagger_has_its_own_embeddings(make_tagger, tones, cache):
    two = collect(embed_files(make_tagger(), tones, cache=cache))
    three = collect(embed_files(make_tagger(labels=("low", "mid", "high")), tones, cache=cache))
    assert (two.vectors.shape, three.vectors.shape) == ((3, 2), (3, 3))


def test_regions_of_one_file_have_their_own_embeddings(tagger, tones, cache):
    both = tones[2]
    for _ in range(2):
        rows = collect(embed_files(tagger, [Clip(both, 0, 1), Clip(both, 1, 2), Clip(both)], cache=cache))
        np.testing.assert_allclose(rows.vectors[:2], [[1, 0], [0, 1]], atol=1e-3)
        assert rows.starts.tolist() == [0, 1, 0]
        assert rows.ends.tolist() == [1, 2, 2]
        assert 0.3 < rows.vectors[2, 0] < 0.7


def test_what_cannot_be_read_is_a_row_with_its_reason_and_is_tried_again(tagger, tones, cache, tmp_path, make_tone):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    clips = [tones[0], tmp_path / "broken.wav", tmp_path / "absent.wav", tones[1]]
    done = list(embed_files(tagger, clips, cache=cache))
    assert [one.clip.path for one in done] == clips
    assert [one.error is None for one in done] == [True, False, False, True]
    assert "broken.wav: is not a sound" in done[1].error
    assert collect(done).paths == [tones[0].as_posix(), tones[1].as_posix()]
    make_tone("broken.wav", (500, 1.0))
    assert next(embed_files(tagger, [tmp_path / "broken.wav"], cache=cache)).error is None


def test_of_nothing_heard_the_table_is_empty(tagger, cache, tmp_path):
    assert len(collect(embed_files(tagger, [tmp_path / "absent.wav"], cache=cache))) == 0


def test_a_recording_of_a_lower_rate_is_warned_of(tagger, make_tone, cache):
    path = make_tone("narrow.wav", (500, 1.0), rate=4000)
    for _ in range(2):  # from the cache, too
        assert "nothing above 2000 Hz" in next(embed_files(tagger, [path], cache=cache)).warnings[0]


def test_a_damaged_entry_is_made_again(tagger, tones, cache):
    first = collect(embed_files(tagger, tones, cache=cache))
    for entry in cache.folder.glob("*.npy"):
        entry.write_bytes(entry.read_bytes()[:-3])
    np.testing.assert_array_equal(collect(embed_files(tagger, tones, cache=cache)).vectors, first.vectors)


def test_the_cache_drops_what_was_used_longest_ago(tagger, tones, tmp_path):
    tiny = Cache(tmp_path / "tiny", max_bytes=1)
    collect(embed_files(tagger, tones, cache=tiny))
    assert tiny.n_bytes() == 0
    assert tiny.folder.is_dir()


def test_clearing_the_cache_frees_embeddings(tagger, tones, cache):
    collect(embed_files(tagger, tones, cache=cache))
    assert cache.clear() > 0
    assert cache.n_bytes() == 0


def test_a_clip_that_was_left_half_heard_is_not_kept(tagger, make_tone, cache, monkeypatch):
    short, long = make_tone("short.wav", (500, 0.5)), make_tone("long.wav", (500, 60.0))
    run = tagger.backend.run

    def run_slowly(windows):
        time.sleep(0.02)
        return run(windows)

    monkeypatch.setattr(tagger.backend, "run", run_slowly)
    embedded = embed_files(tagger, [short, long], cache=cache, threads=1)
    assert next(embedded).error is None
    embedded.close()
    assert len(list(cache.folder.glob("*.npy"))) == 1
    assert "long.wav: was not heard to its end" in _embed(tagger, "x", cache, "clip", Clip(long), lambda: True).error


def test_embeddings_must_be_a_finite_vector_per_window(tagger, tones, cache, monkeypatch):
    run = tagger.backend.run
    for wrong in (lambda vectors: vectors[:-1], lambda vectors: vectors * np.nan, lambda vectors: vectors[:, None]):
        monkeypatch.setattr(
            tagger.backend, "run", lambda windows, wrong=wrong: (run(windows)[0], wrong(run(windows)[1]))
        )
        with pytest.raises(TaggerFileError, match=r"embeddings of shape .* one per window"):
            list(embed_files(tagger, tones[:1], cache=cache))


def test_a_tagger_without_a_file_is_refused(tagger, tones, cache):
    loose = Tagger(tagger.backend, tagger.metadata)
    with pytest.raises(TaggerFileError, match="was not opened from a file"):
        embed_files(loose, tones, cache=cache)


@pytest.mark.parametrize("n_rows", [5, CORPUS_ROWS, 2 * CORPUS_ROWS + 7])
def test_neighbours_are_those_of_the_whole_product(n_rows):
    generator = np.random.default_rng(n_rows)
    corpus = generator.standard_normal((n_rows, 6), dtype=np.float32) * generator.uniform(0.1, 10, (n_rows, 1)).astype(
        "f4"
    )
    queries = generator.standard_normal((QUERY_ROWS + 3, 6), dtype=np.float32)
    cosines = (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (
        corpus / np.linalg.norm(corpus, axis=1)[:, None]
    ).T
    found = nearest(queries, corpus, 4)
    assert len(found) == len(queries)
    for (rows, similarities), expected in zip(found, cosines, strict=True):
        np.testing.assert_allclose(similarities, np.sort(expected)[::-1][:4], atol=1e-5)
        np.testing.assert_allclose(expected[rows], similarities, atol=1e-5)


def test_length_does_not_count_and_silence_is_similar_to_nothing():
    corpus = np.float32([[0, 0], [1, 1], [100, 100], [-1, -1]])
    [(rows, cosines), (_, none)] = nearest(np.float32([[3, 3], [0, 0]]), corpus, 9)
    assert rows.tolist()[2:] == [0, 3]
    np.testing.assert_allclose(cosines, [1, 1, 0, -1], atol=1e-6)
    assert none.tolist() == [0, 0, 0, 0]
    assert np.abs(cosines).max() <= 1


def test_what_is_part_of_the_same_is_left_out():
    corpus = np.float32([[1, 0], [1, 0.1], [0, 1]])
    [(rows, _)] = nearest(corpus[:1], corpus, 3, query_of=np.array([7]), corpus_of=np.array([7, 7, 8]))
    assert rows.tolist() == [2]


def test_a_query_is_not_its_own_neighbour_but_its_copy_is(tagger, tones, cache, tmp_path):
    shutil.copy(tones[0], tmp_path / "copy.wav")
    corpus = collect(embed_files(tagger, [*tones, tmp_path / "copy.wav"], level="window", cache=cache))
    queries = collect(embed_files(tagger, [tmp_path / "." / "low.wav"], level="window", cache=cache))
    best = [corpus.paths[row] for query, row, _ in similar(queries, corpus, 1)]
    assert len(best) == len(queries)
    assert tones[0].as_posix() not in {corpus.paths[row] for _, row, _ in similar(queries, corpus, 99)}
    assert set(best) <= {(tmp_path / "copy.wav").as_posix(), tones[2].as_posix()}
    assert list(similar(collect([]), corpus, 1)) == []
