"""A test split is locked once: changes are noticed, and looks at it are counted."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from earmark.data import Manifest, read_manifest
from earmark.data.lock import (
    Lock,
    count_look,
    lock_path,
    looks_path,
    make_lock,
    read_lock,
    read_looks,
    verify,
    write_lock,
)
from earmark.errors import ManifestError, RunError


@pytest.fixture
def table(tmp_path) -> Path:
    """A table of six files, of which two are for testing, written and locked."""
    for number in range(6):
        (tmp_path / f"{number}.wav").write_bytes(b"sound %d" % number)
    manifest = make(tmp_path)
    path = tmp_path / "split.csv"
    manifest.write(path)
    write_lock(path, make_lock(path, manifest, "stratified", 3))
    return path


def make(root: Path, **columns) -> Manifest:
    paths = [f"{number}.wav" for number in range(6)]
    labels = [("dog",), ("cat",)] * 3
    return Manifest.build(root, paths, labels, splits=["train"] * 4 + ["test"] * 2, **columns)


def test_a_lock_says_what_it_locked_and_holds_after_reading_the_table(table):
    lock = read_lock(table)
    assert (lock.n_clips, lock.method, lock.seed) == (2, "stratified", 3)
    assert lock.date.endswith("+00:00")
    assert verify(table, read_manifest(table), threads=2) == lock
    assert verify(table, read_manifest(table).select(np.arange(6)[::-1])) == lock


def test_training_rows_folds_and_groups_may_change(table):
    manifest = make(table.parent, folds=[0, 1, 0, 1, -1, -1], groups=list("abcdef")).select(np.arange(1, 6))
    assert verify(table, manifest) == read_lock(table)
    assert make_lock(table, manifest, "grouped", 9) == read_lock(table)


@pytest.mark.parametrize("change", ["row more", "row less", "label", "region", "unsure", "content", "file gone"])
def test_changed_test_rows_are_refused(table, change):
    manifest = make(table.parent)
    if change == "row more":
        manifest = manifest.with_splits(["test", *manifest.splits[1:]])
    elif change == "row less":
        manifest = manifest.select(np.arange(5))
    elif change == "label":
        labels = [("dog",), ("cat",), ("dog",), ("cat",), ("cat",), ("cat",)]
        manifest = Manifest.build(table.parent, manifest.table["path"], labels, splits=manifest.splits)
    elif change == "region":
        manifest = make(table.parent, clip_ids=manifest.clip_ids, ends=[np.nan] * 5 + [1.0])
    elif change == "unsure":
        manifest = make(table.parent, unsure=[()] * 5 + [("dog",)])
    elif change == "content":
        (table.parent / "5.wav").write_bytes(b"another sound")
    else:
        (table.parent / "5.wav").unlink()
    with pytest.raises(ManifestError, match=r"its test split was changed after it was locked on 20\d\d-"):
        verify(table, manifest)
    with pytest.raises(ManifestError, match=r"has a test split of 2 clips, locked on .* \(stratified, seed 3\)"):
        make_lock(table, manifest, "stratified", 3)


def test_without_a_test_split_there_is_no_lock(tmp_path):
    manifest = make(tmp_path).with_splits(["train"] * 6)
    assert make_lock(tmp_path / "split.csv", manifest, "stratified", 0) is None
    assert verify(tmp_path / "split.csv", manifest) is None
    assert read_lock(tmp_path / "split.csv") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": "0"}', "\0"])
def test_a_damaged_lock_is_said(table, text):
    lock_path(table).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match="is not the lock of a test split"):
        read_lock(table)


def test_looks_are_counted_with_the_tagger_and_its_score(table):
    assert read_looks(looks_path(table)) == []
    tagger = table.parent / "a.tagger.onnx"
    tagger.write_bytes(b"weights")
    assert count_look(table, tagger, "accuracy", np.float32(0.5))[1] == 1
    tagger.write_bytes(b"other weights")
    assert count_look(table, tagger, "accuracy", 0.75)[1] == 2
    first, second = read_looks(looks_path(table))
    assert (first.tagger, first.metric, first.value, second.value) == (str(tagger), "accuracy", 0.5, 0.75)
    assert first.tagger_sha256 != second.tagger_sha256
    assert first.when.endswith("+00:00")


def test_many_processes_looking_at_once_are_all_counted_and_a_torn_line_is_not(table):
    tagger = table.parent / "a.tagger.onnx"
    tagger.write_bytes(b"weights")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda value: count_look(table, tagger, "accuracy", value), range(40)))
    assert sorted(look.value for look in read_looks(looks_path(table))) == list(range(40))
    with open(looks_path(table), "ab") as file:
        file.write(b'{"when": "2026-')
    assert len(read_looks(looks_path(table))) == 40


def test_a_look_that_cannot_be_counted_is_refused(table):
    tagger = table.parent / "a.tagger.onnx"
    tagger.write_bytes(b"weights")
    looks_path(table).mkdir()
    with pytest.raises(RunError, match="the look at the test split cannot be counted"):
        count_look(table, tagger, "accuracy", 0.5)


def test_a_lock_is_written_whole_beside_its_table(table):
    write_lock(table, Lock("0" * 64, 1, "random", 0, "2026-01-01T00:00:00+00:00"))
    assert json.loads(lock_path(table).read_text(encoding="utf-8"))["sha256"] == "0" * 64
    assert sorted(os.listdir(table.parent))[-2:] == ["split.csv", "split.csv.lock.json"]
