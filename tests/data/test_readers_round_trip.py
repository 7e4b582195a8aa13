"""What a manifest writes, the readers read as an equal manifest; and a big one in little time and memory."""

from __future__ import annotations

import csv
import importlib.util
import math
import string
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from earmark.data import Manifest, read_manifest

SUFFIXES = [".csv", ".tsv", *([".parquet"] if importlib.util.find_spec("pyarrow") else [])]

words = st.text(st.sampled_from(string.ascii_letters + string.digits + " ,;'\"-?äßñ犬狗\t\n"), max_size=8).map(
    str.strip
)
labels = words.filter(bool)
seconds = st.floats(0, 1e5, allow_nan=False)


@st.composite
def manifests(draw) -> Manifest:
    """Manifests with any of the columns, each clip in at most one state for each label."""
    names = draw(st.lists(labels, min_size=1, max_size=4, unique=True))
    assume(not {",", ";", "|"} <= set("".join(names)))  # no table can hold such labels
    n_clips = draw(st.integers(1, 6))
    rows = [draw(st.lists(st.sampled_from("pnu-"), min_size=len(names), max_size=len(names))) for _ in range(n_clips)]
    rows[0][0] = "p"

    def said(state: str) -> list[tuple[str, ...]]:
        return [tuple(name for name, mark in zip(names, row, strict=True) if mark == state) for row in rows]

    def some(values: st.SearchStrategy) -> list | None:
        return draw(st.none() | st.lists(values, min_size=n_clips, max_size=n_clips))

    positive = said("p")
    starts = some(seconds)
    ends = None if starts is None else [start + 1 if start % 2 < 1 else math.nan for start in starts]
    strengths = [draw(st.tuples(*[st.floats(0.001, 1)] * len(found))) for found in positive]
    whole = draw(st.booleans())
    extras = draw(st.lists(st.sampled_from(["site", "date", "noisy", "target", "file", "Label", "犬"]), unique=True))
    return Manifest.build(
        Path("/sounds"),
        [f"{draw(st.sampled_from(['a', 'b c', 'ü,']))}/{clip}.wav" for clip in range(n_clips)],
        positive,
        starts=starts,
        ends=ends,
        folds=some(st.integers(-1, 4)),
        groups=some(words),
        strengths=None if whole else [() if set(found) <= {1.0} else found for found in strengths],
        negative=said("n"),
        unsure=said("u"),
        splits=some(st.sampled_from(["", "train", "validation", "test"])),
        subsets=some(st.sampled_from(["", "curated", "noisy"])),
        weights=some(st.floats(0, 100)),
        extras={name: draw(st.lists(words, min_size=n_clips, max_size=n_clips)) for name in extras},
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifest=manifests())
def test_what_is_written_is_read_back_equal(tmp_path, suffix, manifest):
    path = tmp_path / f"manifest{suffix}"
    manifest.write(path)
    again = read_manifest(path, look_for_files=False)
    assert again.table.columns.tolist() == manifest.table.columns.tolist() or set(again.table) == set(manifest.table)
    assert again == manifest
    for name in manifest.table:
        if name != "path":
            assert again.table[name].equals(manifest.table[name]), name


def test_a_big_table_is_read_in_little_time_and_memory(tmp_path):
    """A million rows take about ten times as much: 3 to 6 s, 250 to 460 MB beyond the libraries."""
    n_rows = 100_000
    with open(tmp_path / "big.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["fname", "labels", "fold", "group", "site"])
        for row in range(n_rows):
            names = f"class {row % 80};class {row % 7}" if row % 3 else f"class {row % 80}"
            writer.writerow([f"audio/{row // 1000}/clip_{row}.wav", names, row % 5, f"recording {row // 10}", row % 50])
    began = time.process_time()
    manifest = read_manifest(tmp_path / "big.csv", look_for_files=False)
    assert time.process_time() - began < 5
    tracemalloc.start()
    manifest = read_manifest(tmp_path / "big.csv", look_for_files=False)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest) == n_rows
    assert len({id(said) for said in manifest.table["labels"]}) == len(set(manifest.table["labels"]))
    assert held / n_rows < 300  # bytes: the path, and a dozen words
    assert peak / n_rows < 700
