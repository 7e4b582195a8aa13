"""check --write-clean: what is broken is left out and listed, what is left can be read and trained on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.data import read_manifest
from earmark.data.check import check, take_inventory, write_clean
from earmark.errors import ManifestError

RATE = 16_000


def noise(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE)).astype(np.float32)


@pytest.fixture
def table(tmp_path) -> Path:
    """Four good clips of two classes, a quieter copy, and one of each that is broken."""
    folder = tmp_path / "sounds"
    for seed in range(4):
        audio.write(folder / f"good{seed}.wav", noise(seed), RATE)
    audio.write(folder / "like.wav", 0.5 * noise(0), RATE)
    audio.write(folder / "silent.wav", np.zeros(RATE, dtype=np.float32), RATE)
    (folder / "copy.wav").write_bytes((folder / "good1.wav").read_bytes())
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "cut.wav").write_bytes((folder / "good2.wav").read_bytes()[:20_000])
    names = ["good0", "good1", "good2", "good3", "like", "silent", "copy", "broken", "cut", "missing"]
    rows = [f"{name}.wav,{'ab'[number % 2]},{number % 3}" for number, name in enumerate(names)]
    path = folder / "all.csv"
    path.write_text("\n".join(["path,label,fold", *rows]), encoding="utf-8")
    return path


def test_what_is_broken_is_left_out_and_told(table, tmp_path):
    result = check(take_inventory(table))
    n_kept, left_out = write_clean(result, tmp_path / "sounds" / "clean.csv")
    assert (n_kept, left_out) == (5, tmp_path / "sounds" / "clean.left-out.csv")
    with open(left_out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["path"], row["problem"]) for row in rows} == {
        ("silent.wav", "silent"),
        ("copy.wav", "duplicate_content"),
        ("broken.wav", "unreadable"),
        ("cut.wav", "truncated"),
        ("missing.wav", "missing_file"),
    }
    assert all(row["detail"] for row in rows)


@pytest.mark.parametrize("name", ["clean.csv", "clean.tsv", "elsewhere/clean.csv"])
def test_what_is_left_reads_back_equal_and_is_clean(table, tmp_path, name):
    result = check(table)
    path = tmp_path / name
    write_clean(result, path)
    back = read_manifest(path)
    assert back == result.inventory.manifest.keep(np.arange(5))
    assert not {"unreadable", "missing_file", "truncated", "silent", "duplicate_content"} & set(check(back).counts)


def test_all_rows_of_a_broken_file_are_left_out(tmp_path):
    audio.write(tmp_path / "good.wav", noise(1), RATE)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    rows = ["path,label,start,end", "good.wav,a,0,0.5", "bad.wav,a,0,0.5", "bad.wav,b,0.5,1", "good.wav,b,0.5,1"]
    (tmp_path / "all.csv").write_text("\n".join(rows), encoding="utf-8")
    n_kept, left_out = write_clean(check(tmp_path / "all.csv"), tmp_path / "clean.csv")
    assert n_kept == 2
    assert len(left_out.read_text(encoding="utf-8").splitlines()) == 2


def test_sounds_without_labels_cannot_be_written(tmp_path):
    audio.write(tmp_path / "1.wav", noise(1), RATE)
    with pytest.raises(ManifestError, match="has no labels to write"):
        write_clean(check(tmp_path), tmp_path / "clean.csv")


def test_nothing_left_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.wav").write_bytes(b"no sound")
    with pytest.raises(ManifestError, match="no row is left that can be used"):
        write_clean(check(tmp_path), tmp_path / "clean.csv")
