"""Parquet: the same table as its CSV, whatever the types of its columns."""

from __future__ import annotations

import datetime
import logging
import sys
from pathlib import Path

import pytest

from earmark.data import read_manifest
from earmark.errors import ManifestError, MissingExtraError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def table(root: Path, name: str = "t.parquet", **columns) -> Path:
    for number in range(1, 4):
        (root / f"{number}.wav").touch()
    parquet.write_table(pyarrow.table({"file": ["1.wav", "2.wav", "3.wav"], **columns}), root / name)
    return root / name


def test_typed_columns_read_as_in_a_csv(tmp_path):
    path = table(
        tmp_path,
        label=pyarrow.array(["dog", "cat", "dog"]).dictionary_encode(),
        fold=[0, 1, 2],
        start=[0.0, 0.1, None],
        weight=pyarrow.array([1.0, float("nan"), 0.5], pyarrow.float32()),
        manually_verified=[True, False, None],
        date=[datetime.date(2024, 1, 5), None, datetime.date(2024, 2, 1)],
        count=pyarrow.array([1, None, 3], pyarrow.int8()),
    )
    manifest = read_manifest(path)
    (tmp_path / "t.csv").write_text(
        "file,label,fold,start,weight,manually_verified,date,count\n"
        "1.wav,dog,0,0,1,1,2024-01-05,1\n2.wav,cat,1,0.1,,0,,\n3.wav,dog,2,,0.5,,2024-02-01,3\n"
    )
    assert manifest == read_manifest(tmp_path / "t.csv")
    assert manifest.table["subset"].tolist() == ["curated", "noisy", ""]
    assert manifest.column("count").tolist() == ["1", "", "3"]


def test_lists_of_labels_are_several_labels_even_with_commas_in_them(tmp_path):
    labels = [["Bark, dog", "rain"], [], ["rain"]]
    manifest = read_manifest(table(tmp_path, labels=labels, strengths=[[0.5, 1.0], [], None]))
    assert manifest.table["labels"].tolist() == [("Bark, dog", "rain"), (), ("rain",)]
    assert manifest.column("strengths").tolist() == [(0.5, 1.0), (), ()]


def test_a_missing_list_is_a_missing_label(tmp_path):
    problems = []
    assert len(read_manifest(table(tmp_path, labels=[["dog"], None, ["cat"]]), problems=problems)) == 2
    assert [(found.where[-5:], found.problem) for found in problems] == [("row 2", "no_label")]


def test_class_columns_may_be_yes_or_no(tmp_path):
    manifest = read_manifest(table(tmp_path, dog=[True, False, None], cat=[False, True, True]))
    assert manifest.table["labels"].tolist() == [("dog",), ("cat",), ("cat",)]
    assert manifest.column("unsure").tolist() == [(), (), ("dog",)]


def test_columns_that_hold_no_text_are_left_out_and_said(tmp_path, caplog):
    sound = [{"bytes": b"RIFF", "path": "1.wav"}] * 3
    with caplog.at_level(logging.INFO):
        manifest = read_manifest(table(tmp_path, label=["dog", "cat", "dog"], audio=sound, raw=[b"\xff"] * 3))
    assert manifest.extras == []
    assert "columns that hold no text are left out: 'audio' (struct" in caplog.text


def test_a_folder_with_a_parquet_table_is_read_by_it(tmp_path):
    table(tmp_path, label=["dog", "cat", "dog"])
    assert len(read_manifest(tmp_path)) == 3


def test_lists_that_hold_every_separator_are_refused(tmp_path):
    path = table(tmp_path, labels=[["a;b"], ["c|d"], ["e,f"]])
    with pytest.raises(ManifestError, match="column 'labels': each of ; . and the comma is in some value of the lists"):
        read_manifest(path)


@pytest.mark.parametrize("content", [b"", b"file,label\n1.wav,dog\n", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ManifestError, match="t.parquet: cannot be read as Parquet"):
        read_manifest(tmp_path / "t.parquet")


def test_parquet_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied")

    path = table(tmp_path, label=["dog", "cat", "dog"])
    monkeypatch.setattr(parquet, "ParquetFile", deny)
    with pytest.raises(ManifestError, match="cannot be read as Parquet .*Permission denied"):
        read_manifest(path)


def test_a_table_without_rows_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"file": [], "label": []}), tmp_path / "t.parquet")
    with pytest.raises(ManifestError, match="has a header but no rows"):
        read_manifest(tmp_path / "t.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch, caplog):
    path = table(tmp_path, label=["dog", "cat", "dog"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'earmark\[parquet\]'"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="no folder tells their class"):
        read_manifest(tmp_path)
    assert "pip install 'earmark[parquet]' It is passed over." in caplog.text
