"""Leaks across sides are found by group, by content, by overlap and by fingerprint, and stop the run."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data import Manifest, find_leaks, read_manifest, refuse_leaks
from earmark.data.leakage import KINDS, hash_contents
from earmark.data.matches import LIKELY, SURE, Match
from earmark.errors import ManifestError

REAL = Path("../shared/data")
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")


def make(paths, folds, **columns) -> Manifest:
    return Manifest.build(Path("root"), paths, [("dog",)] * len(paths), folds=folds, **columns)


def match(first: int, second: int, score: float = SURE) -> Match:
    return Match(first, second, score, 0.0, 2.0)


def test_group_in_two_folds():
    leaks = find_leaks(make(["1.wav", "2.wav", "3.wav", "4.wav"], [0, 1, 1, 0], groups=["g", "g", "h", ""]))
    assert [(leak.kind, leak.what, leak.clip_ids, leak.sides) for leak in leaks] == [
        ("group", "g", ("1.wav", "2.wav"), ("fold 0", "fold 1"))
    ]
    assert str(leaks[0]) == "one group on several sides ('g'): 1.wav (fold 0), 2.wav (fold 1)"


def test_test_validation_and_clips_that_are_always_trained_on_are_sides_too():
    paths = [f"{number}.wav" for number in range(6)]
    manifest = make(paths, [-1, 0, -1, -1, -1, -1], groups=["a", "a", "b", "b", "c", "c"])
    manifest = manifest.with_splits(["", "", "", "test", "validation", "validation"])
    assert [(leak.what, leak.sides) for leak in find_leaks(manifest)] == [
        ("a", ("train", "fold 0")),
        ("b", ("train", "test")),
    ]


def test_overlapping_regions_in_two_folds_but_not_neighbours():
    manifest = make(["1.wav"] * 4, [0, 1, 0, 1], starts=[0, 2, 4, 5], ends=[2, 4, 6, np.nan])
    leaks = find_leaks(manifest)
    assert [(leak.kind, leak.clip_ids) for leak in leaks] == [("overlap", ("1.wav#4-6", "1.wav#5-"))]


def test_long_region_overlaps_beyond_its_neighbour():
    manifest = make(["1.wav"] * 3, [0, 0, 1], starts=[0, 1, 8], ends=[10, 2, 9])
    assert [leak.sides for leak in find_leaks(manifest)] == [("fold 0", "fold 0", "fold 1")]


def test_regions_of_copies_leak_where_they_overlap_in_time():
    manifest = make(["1.wav", "copy.wav", "copy.wav"], [0, 1, 1], starts=[0, 3, 6], ends=[5, 6, 9])
    assert find_leaks(manifest) == []
    leaks = find_leaks(manifest, {"1.wav": "same", "copy.wav": "same"})
    assert [(leak.kind, leak.clip_ids) for leak in leaks] == [("content", ("1.wav#0-5", "copy.wav#3-6"))]


def test_copies_under_other_names_are_found_by_content(tmp_path):
    for name, content in {"1.wav": b"x", "2.wav": b"y", "3.wav": b"x", "4.wav": b"y"}.items():
        (tmp_path / name).write_bytes(content)
    paths = ["1.wav", "2.wav", "3.wav", "4.wav", "gone.wav"]
    manifest = Manifest.build(tmp_path, paths, [("dog",)] * 5, folds=[0, 0, 1, 0, 1])
    assert find_leaks(manifest) == []
    hashes = hash_contents(manifest, threads=2)
    assert set(hashes) == set(paths[:4])
    assert [(leak.kind, leak.clip_ids) for leak in find_leaks(manifest, hashes)] == [("content", ("1.wav", "3.wav"))]


def test_matching_recordings_leak_as_clusters_and_likely_ones_only_warn():
    manifest = make([f"{number}.wav" for number in range(7)], [0, 0, 1, 0, 1, 0, 1])
    # 0–1–2 straddles as a whole; 3 is like 4, and 5 like itself in its own fold.
    matches = [match(0, 1), match(1, 2), match(3, 4, LIKELY), match(3, 5, LIKELY)]
    leaks = find_leaks(manifest, {}, matches)
    assert [(leak.kind, leak.certain, leak.clip_ids) for leak in leaks] == [
        ("recording", True, ("0.wav", "1.wav", "2.wav")),
        ("likeness", False, ("3.wav", "4.wav")),
    ]
    refuse_leaks(leaks[1:])
    with pytest.raises(ManifestError, match=r"1 leak: the same sound would be trained on and held out(?s:.*)0\.wav"):
        refuse_leaks(leaks)


def test_what_one_leak_lists_whole_no_later_one_repeats():
    manifest = make([f"{number}.wav" for number in range(4)], [0, 1, 0, 1], groups=["g", "g", "", ""])
    hashes = dict.fromkeys(["2.wav", "3.wav"], "same")
    matches = [match(0, 1), match(0, 1, LIKELY), match(2, 3, LIKELY)]
    assert [leak.kind for leak in find_leaks(manifest, hashes, matches)] == ["group", "content"]
    # What reaches beyond a known leak is told whole.
    leaks = find_leaks(manifest, hashes, [match(1, 2)])
    assert [(leak.kind, leak.clip_ids) for leak in leaks[2:]] == [("recording", ("1.wav", "2.wav"))]
    assert [leak.kind for leak in find_leaks(manifest, {}, [match(0, 1), match(1, 2, LIKELY)])] == ["group", "likeness"]


def test_leaks_are_refused_with_their_rows():
    manifest = make([f"{number}.wav" for number in range(6)], range(6), groups=["g"] * 6)
    told = r"1 leak: .*--method stratified_grouped.*--allow-leak(?s:.*)0.wav \(fold 0\), .* and 2 more"
    with pytest.raises(ManifestError, match=told):
        refuse_leaks(find_leaks(manifest))
    refuse_leaks([])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(1, 4), st.integers(-1, 1)), min_size=1))
@settings(max_examples=150, deadline=None)
def test_an_overlap_leaks_exactly_if_two_overlapping_regions_are_on_two_sides(rows):
    rows = list(dict.fromkeys(rows))
    files, starts, lengths, folds = map(list, zip(*rows, strict=True))
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    ids = [str(number) for number in range(len(rows))]
    manifest = make([f"{file}.wav" for file in files], folds, starts=starts, ends=ends, clip_ids=ids)
    listed = {name for leak in find_leaks(manifest) for name in leak.clip_ids}
    for one in range(len(rows)):
        for other in range(one):
            overlap = starts[one] < ends[other] and starts[other] < ends[one]
            if files[one] == files[other] and overlap and folds[one] != folds[other]:
                assert {ids[one], ids[other]} <= listed
    for leak in find_leaks(manifest):
        assert leak.kind in KINDS
        assert len(set(leak.sides)) > 1


def test_two_hundred_thousand_clips_are_audited_in_seconds():
    n_clips = 200_000
    files = np.arange(n_clips) // 4
    groups = [f"g{number // 10}" for number in files]
    paths = [f"{number}.wav" for number in files]
    folds = files // 10 % 5
    folds[0] = 4  # one piece of the first file, and so of its group
    starts = np.arange(n_clips) % 4 * 0.9
    manifest = make(paths, folds, starts=starts, ends=starts + 1, groups=groups)
    began = time.perf_counter()
    leaks = find_leaks(manifest, {path: f"hash{path}" for path in paths})
    assert time.perf_counter() - began < 10
    assert [(leak.kind, len(leak.clip_ids)) for leak in leaks] == [("group", 40), ("overlap", 4)]


@real
def test_folds_of_esc10_are_clean_and_random_ones_are_not():
    manifest = read_manifest(REAL / "esc10")
    assert find_leaks(manifest) == []
    shuffled = manifest.with_folds(np.random.default_rng(0).permutation(manifest.folds))
    assert len(find_leaks(shuffled)) > 50
