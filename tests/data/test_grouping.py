"""Groups from a column, from file names and from copies: what belongs together ends in one group."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data import Manifest
from earmark.data.grouping import PATTERNS, groups_by_column, groups_by_pattern, merge_groups, offer_patterns
from earmark.errors import ConfigError, ManifestError


def make(paths, **columns) -> Manifest:
    return Manifest.build(Path("root"), paths, [("dog",)] * len(paths), **columns)


def test_a_column_makes_groups_and_an_empty_cell_goes_with_its_file():
    manifest = make(["1.wav", "2.wav", "3.wav", "3.wav"], starts=[0, 0, 0, 5], extras={"site": ["a", "a", "", ""]})
    assert groups_by_column(manifest, "site").groups.tolist() == ["a", "a", "3.wav", "3.wav"]


def test_a_column_that_is_not_there_or_always_the_same_is_refused():
    manifest = make(["1.wav", "2.wav"], extras={"site": ["a", "a"], "speaker": ["x", "y"]})
    with pytest.raises(ManifestError, match=r"no column 'speker' \(did you mean 'speaker'\?\)"):
        groups_by_column(manifest, "speker")
    with pytest.raises(ManifestError, match="column 'site' puts every clip into one group, 'a', so that nothing"):
        groups_by_column(manifest, "site")


def test_a_pattern_takes_the_group_named_group_else_the_first(caplog):
    manifest = make(["x/spk1_a.wav", "x/spk2_b.wav", "y/other.wav"])
    with caplog.at_level(logging.WARNING, "earmark"):
        assert groups_by_pattern(manifest, r"(spk\d)_(\w)").groups.tolist() == ["spk1", "spk2", "y/other.wav"]
    assert "1 of 3 clips do not fit" in caplog.text
    assert groups_by_pattern(manifest, r"(\w)/.*(?P<group>a|b)\.wav").groups.tolist() == ["a", "b", "y/other.wav"]


@pytest.mark.parametrize(
    ("regex", "error", "message"),
    [
        ("(", ConfigError, r"'\(' is not a regular expression \(missing \), unterminated subpattern"),
        (r"spk\d", ConfigError, "has no parentheses around what makes the group"),
        (r"(take\d)", ManifestError, "fits none of the paths, the first being 'spk1.wav'"),
        (r"(spk)", ManifestError, "puts every clip into one group, 'spk'"),
    ],
)
def test_a_pattern_that_makes_no_groups_is_refused(regex, error, message):
    with pytest.raises(error, match=message):
        groups_by_pattern(make(["spk1.wav", "spk2.wav"]), regex)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40))
def test_merged_groups_are_the_finest_that_part_neither_groups_nor_clusters(rows):
    groups, clusters = map(np.array, zip(*rows, strict=True))
    names = [f"g{group}" if group else "" for group in groups]
    manifest = make([f"{number}.wav" for number in range(len(rows))], groups=names)
    merged = merge_groups(manifest, clusters).groups
    # Spread the smallest row number along groups and clusters until nothing changes.
    expected = np.arange(len(rows))
    for _ in rows:
        for labels in (manifest.groups, clusters):
            expected = np.array([expected[labels == label].min() for label in labels])
    for row in range(len(rows)):
        assert ((merged == merged[row]) == (expected == expected[row])).all()


def test_clusters_of_one_leave_groups_as_they_are():
    manifest = make(["1.wav", "2.wav"], groups=["g", ""])
    assert merge_groups(manifest, np.array([0, 1])) == manifest


NAMES = {
    "source recording (as in ESC-50)": (["1-100032-A-0.wav", "1-100032-B-0.wav", "5-2012-A-3.wav"], "100032"),
    "source recording (as in UrbanSound8K)": (["fold1/99-3-0-0.wav", "fold1/99-3-0-1.wav", "fold2/7-3-0-0.wav"], "99"),
    "speaker (as in Speech Commands)": (
        ["yes/0a7c2a8d_nohash_0.wav", "no/0a7c2a8d_nohash_1.wav", "yes/ffd2ba2f_nohash_0.wav"],
        "0a7c2a8d",
    ),
    "speaker (as in LibriSpeech)": (["19-198-0000.flac", "19-227-0001.flac", "26-495-0000.flac"], "19"),
    "speaker": (["spk03_take1.wav", "spk03_take2.wav", "spk04_take1.wav"], "spk03"),
    "site": (["a_site-1_x.wav", "b_site-1_y.wav", "b_site-2_y.wav"], "site-1"),
    "session": (["session1/a.wav", "session1/b.wav", "session2/c.wav"], "session1"),
    "recorder": (["SM4A_20240531_040000.wav", "SM4A_20240601_040000.wav", "SM4B_20240531_040000.wav"], "SM4A"),
    "recorder and day": (
        ["SM4A_20240531_040000.wav", "SM4A_20240531_050000.wav", "SM4A_20240601_040000.wav"],
        "SM4A_20240531",
    ),
    "day": (["20240531_040000.WAV", "20240531_050000.WAV", "20240601_040000.WAV"], "20240531"),
    "recording, of numbered pieces": (["dawn_chunk01.wav", "dawn_chunk02.wav", "dusk_chunk01.wav"], "dawn"),
    "folder of the file": (["dog/oak lane/a.wav", "cat/oak lane/b.wav", "dog/mill/c.wav"], "oak lane"),
    "first folder": (["oak lane/x/a.wav", "oak lane/y/b.wav", "mill/z/c.wav"], "oak lane"),
}


@pytest.mark.parametrize("kind", PATTERNS)
def test_each_pattern_is_offered_and_does_what_it_says(kind):
    paths, group = NAMES[kind]
    offers = {offer.kind: offer for offer in offer_patterns(paths)}
    offer = offers[kind]
    assert (offer.n_groups, offer.largest_files, offer.n_unmatched, offer.example) == (2, 2, 0, (paths[0], group))
    assert f"--group-regex '{offer.regex}'" in str(offer)
    assert groups_by_pattern(make(paths), offer.regex).groups.tolist().count(group) == 2


def test_useless_patterns_are_not_offered():
    assert offer_patterns(["dog/1.wav", "dog/2.wav", "cat/1.wav"], [("dog",), ("dog",), ("cat",)]) == []
    assert offer_patterns([f"spk{number}_x.wav" for number in range(9)]) == []
    assert offer_patterns(["spk1_a.wav", "spk1_b.wav"]) == []
    assert offer_patterns(["spk1_a.wav", "spk1_b.wav", "spk2_a.wav", "thunder.wav", "rain.wav", "wind.wav"]) == []


def test_files_that_fit_no_pattern_are_counted_and_equal_partitions_offered_once():
    paths = [f"s{speaker}/speaker_{speaker}_{take}.wav" for speaker in range(5) for take in "abcd"] + ["noise.wav"]
    offers = offer_patterns(paths)
    assert [(offer.kind, offer.n_groups, offer.n_unmatched) for offer in offers] == [("speaker", 5, 1)]
    assert "1 files fit none" in str(offers[0])


def test_patterns_can_stand_between_single_quotes_in_a_shell():
    assert not any("'" in regex for regex in PATTERNS.values())
    assert all(re.compile(regex).groups == 1 for regex in PATTERNS.values())
