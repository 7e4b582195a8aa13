"""Embeddings in three file formats: every format holds the same rows, and gives them back."""

import csv
import os
import shutil
import sys

import numpy as np
import pytest

from earmark.audio.cache import Cache
from earmark.errors import ConfigError, MissingExtraError
from earmark.tagger import Clip
from earmark.tagger.embed import Embeddings, collect, embed_files
from earmark.tagger.embedding_file import check_suffix, holds_embeddings, read_embeddings, write_embeddings

FORMATS = ("csv", "npz", "parquet")


@pytest.fixture(autouse=True)
def pyarrow():
    return pytest.importorskip("pyarrow")


@pytest.fixture
def rows(make_tagger, make_tone, tmp_path):
    """Windows of three recordings and of a region of one."""
    tones = {"low.wav": [(500, 1.0)], "high.wav": [(3000, 0.3)], "both.wav": [(500, 1.0), (3000, 1.0)]}
    paths = [make_tone(name, *parts) for name, parts in tones.items()]
    paths.append(paths.pop().rename(tmp_path / "named like a region#1-2"))
    clips = [*paths, Clip(paths[0], 0.25, 0.75, "low.wav#0.25-0.75"), Clip(paths[0], 0.5, None)]
    return collect(embed_files(make_tagger(), clips, level="window", cache=Cache(tmp_path / "cache")))


@pytest.fixture
def facts(rows):
    ids = [clip.clip_id for clip in rows.clips]
    return {"labels": {name: f"kind {number}" for number, name in enumerate(ids)}, "fold": dict.fromkeys(ids, 2)}


def test_every_format_holds_the_same_rows(rows, facts, tmp_path):
    from pyarrow import parquet

    for suffix in FORMATS:
        write_embeddings(rows, tmp_path / f"made.{suffix}", facts)
    with np.load(tmp_path / "made.npz") as archive:
        arrays = dict(archive)
    assert list(arrays["labels"]) == [f"kind {number}" for number in rows.clip_of]
    assert arrays["fold"].tolist() == [2] * len(rows)
    np.testing.assert_array_equal(arrays["embedding"], rows.vectors)
    table = parquet.read_table(tmp_path / "made.parquet").to_pydict()
    np.testing.assert_array_equal(np.float32(table.pop("embedding")), rows.vectors)
    with open(tmp_path / "made.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    np.testing.assert_array_equal(np.float32([[line["e0"], line["e1"]] for line in lines]), rows.vectors)
    for name in ("clip_id", "path", "labels", "tagger"):
        assert arrays[name].tolist() == table[name] == [line[name] for line in lines]
    for name in ("start", "end"):
        assert arrays[name].tolist() == table[name]
        np.testing.assert_allclose([float(line[name]) for line in lines], table[name], atol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_was_written_is_read_again(rows, facts, tmp_path, suffix):
    file = tmp_path / f"made.{suffix}"
    write_embeddings(rows, file, facts)
    assert holds_embeddings(file)
    again, known = read_embeddings(file)
    np.testing.assert_array_equal(again.vectors, rows.vectors)
    np.testing.assert_array_equal(again.clip_of, rows.clip_of)
    np.testing.assert_allclose(again.starts, rows.starts, atol=1e-6)
    np.testing.assert_allclose(again.ends, rows.ends, atol=1e-6)
    assert (again.clips, again.tagger) == (rows.clips, rows.tagger)
    assert known["labels"] == facts["labels"]
    assert set(known) == {"labels", "fold"}


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_of_nothing_heard_the_file_is_empty(tmp_path, suffix):
    write_embeddings(collect([]), tmp_path / f"made.{suffix}")
    again, known = read_embeddings(tmp_path / f"made.{suffix}")
    assert len(again) == 0
    assert known == {}


def test_vectors_of_an_npz_are_mapped_and_compressed_ones_are_read(rows, tmp_path):
    write_embeddings(rows, tmp_path / "made.npz")
    mapped = read_embeddings(tmp_path / "made.npz")[0].vectors
    assert isinstance(mapped, np.memmap)
    with np.load(tmp_path / "made.npz") as archive:
        np.savez_compressed(tmp_path / "small.npz", **archive)
        np.savez(tmp_path / "double.npz", **{**archive, "embedding": archive["embedding"].astype(np.float64)})
    for name in ("small", "double"):
        read = read_embeddings(tmp_path / f"{name}.npz")[0].vectors
        assert not isinstance(read, np.memmap)
        np.testing.assert_array_equal(read, mapped)


def test_tables_of_labelled_files_hold_no_embeddings(tmp_path, pyarrow):
    from pyarrow import parquet

    (tmp_path / "labels.csv").write_text("filename,label\na.wav,dog\n")
    parquet.write_table(pyarrow.table({"filename": ["a.wav"], "label": ["dog"]}), tmp_path / "labels.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    names = ("labels.csv", "labels.parquet", "broken.parquet", "absent.csv", "absent.parquet", "a.wav", "folder")
    assert not any(holds_embeddings(tmp_path / name) for name in names)


def test_what_is_no_file_of_embeddings_is_refused(rows, tmp_path):
    with pytest.raises(ConfigError, match=r"made\.txt: is not a file of embeddings \(expected \.parquet"):
        read_embeddings(tmp_path / "made.txt")
    for name, content in {
        "a.npz": b"x",
        "b.csv": b"clip_id,e0\n",
        "c.parquet": b"x",
        "d.csv": b"",
        "e.npz": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "f.npz", embedding=np.zeros(3), other=np.zeros(3))
    (tmp_path / "g.csv").write_text("clip_id,path,start,end,tagger,e0,e1\na,a,0,1,x 1,0.5\n")
    (tmp_path / "h.csv").write_text("clip_id,path,start,end,tagger,e0\na,a,0,one,x 1,0.5\n")
    for name in ("a.npz", "c.parquet", "d.csv", "e.npz", "g.csv", "h.csv", "absent.npz", "absent.parquet"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be read as embeddings"):
            read_embeddings(tmp_path / name)
    for name in ("b.csv", "f.npz"):
        with pytest.raises(ConfigError, match=r"is not what `earmark embed` writes \(no column .*path"):
            read_embeddings(tmp_path / name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_that_do_not_agree_are_refused(rows, tmp_path, suffix):
    two = Embeddings(rows.clips, rows.clip_of, rows.starts, rows.ends, rows.vectors)
    write_embeddings(two, tmp_path / f"made.{suffix}", {"tagger": {clip.clip_id: clip.clip_id for clip in rows.clips}})
    with pytest.raises(ConfigError, match="its rows do not agree"):
        read_embeddings(tmp_path / f"made.{suffix}")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode there")
@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_a_name_that_is_no_text_is_written_and_read(make_tagger, make_tone, tmp_path, suffix):
    odd = tmp_path / os.fsdecode(b"odd-\xff.wav")
    shutil.copy(make_tone("low.wav", (500, 1.0)), odd)
    write_embeddings(collect(embed_files(make_tagger(), [odd], cache=Cache(tmp_path / "c"))), tmp_path / f"m.{suffix}")
    [path] = read_embeddings(tmp_path / f"m.{suffix}")[0].paths
    assert path == (odd.as_posix() if suffix != "parquet" else odd.as_posix().encode(errors="replace").decode())


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"embeddings go into a file that ends in \.parquet, \.npz, \.csv"):
        check_suffix(tmp_path / "made.txt")


def test_parquet_needs_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pyarrow is needed to write Parquet.*earmark\[parquet\]"):
        check_suffix(tmp_path / "made.parquet")
    (tmp_path / "made.parquet").touch()
    with pytest.raises(MissingExtraError, match=r"pyarrow is needed to read Parquet.*earmark\[parquet\]"):
        holds_embeddings(tmp_path / "made.parquet")
