"""Leaks across folds are found by group, by content and by overlap, and stop the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earmark.data import Manifest, find_leaks, read_manifest, refuse_leaks
from earmark.data.leakage import hash_contents
from earmark.errors import ManifestError

REAL = Path("../shared/data")
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")


def make(paths, folds, **columns) -> Manifest:
    return Manifest.build(Path("root"), paths, [("dog",)] * len(paths), folds=folds, **columns)


def test_group_in_two_folds():
    leaks = find_leaks(make(["1.wav", "2.wav", "3.wav", "4.wav"], [0, 1, 1, 0], groups=["g", "g", "h", ""]))
    assert [(leak.kind, leak.what, leak.clip_ids, leak.folds) for leak in leaks] == [
        ("group", "g", ("1.wav", "2.wav"), (0, 1))
    ]


def test_overlapping_regions_in_two_folds_but_not_neighbours():
    manifest = make(["1.wav"] * 4, [0, 1, 0, 1], starts=[0, 2, 4, 5], ends=[2, 4, 6, np.nan])
    leaks = find_leaks(manifest)
    assert [(leak.kind, leak.clip_ids) for leak in leaks] == [("overlap", ("1.wav#4-6", "1.wav#5-"))]


def test_long_region_overlaps_beyond_its_neighbour():
    manifest = make(["1.wav"] * 3, [0, 0, 1], starts=[0, 1, 8], ends=[10, 2, 9])
    assert [leak.folds for leak in find_leaks(manifest)] == [(0, 0, 1)]


def test_copies_under_other_names_are_found_by_content(tmp_path):
    for name, content in {"1.wav": b"x", "2.wav": b"y", "3.wav": b"x", "4.wav": b"y"}.items():
        (tmp_path / name).write_bytes(content)
    paths = ["1.wav", "2.wav", "3.wav", "4.wav", "gone.wav"]
    manifest = Manifest.build(tmp_path, paths, [("dog",)] * 5, folds=[0, 0, 1, 0, 1])
    assert find_leaks(manifest) == []
    hashes = hash_contents(manifest, threads=2)
    assert set(hashes) == set(paths[:4])
    assert [(leak.kind, leak.clip_ids) for leak in find_leaks(manifest, hashes)] == [
        ("content", ("1.wav", "3.wav"))
    ]


def test_leaks_are_refused_with_their_rows():
    manifest = make([f"{number}.wav" for number in range(6)], range(6), groups=["g"] * 6)
    with pytest.raises(ManifestError, match=r"1 leaks.*--allow-leak(?s:.*)0.wav \(fold 0\), .* and 2 more"):
        refuse_leaks(find_leaks(manifest))
    refuse_leaks([])


@real
def test_folds_of_esc10_are_clean_and_random_ones_are_not():
    manifest = read_manifest(REAL / "esc10")
    assert find_leaks(manifest) == []
    shuffled = manifest.with_folds(np.random.default_rng(0).permutation(manifest.folds))
    assert len(find_leaks(shuffled)) > 50
