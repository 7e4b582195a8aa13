"""Manifest: its columns, and that what it writes reads back equal."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data import Manifest, read_manifest
from earmark.errors import ManifestError

LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(
    lambda text: text == text.strip() and not all(separator in text for separator in ";|,")
)
SIGNS = st.sampled_from(["Child speech, kid speaking", "a;b", "a|b", "NA", "on", "001", "Größe", "犬"])
SECONDS = st.floats(0.0, 1e5, allow_nan=False)


@st.composite
def columns(draw) -> dict:
    """Columns of a manifest that can be written: distinct clips of files f0, f1, …"""
    n_clips = draw(st.integers(2, 8))
    names = draw(st.lists(st.one_of(LABELS, SIGNS), min_size=1, max_size=5, unique=True))
    one = st.tuples(st.sampled_from(names))
    several = st.lists(st.sampled_from(names), max_size=3, unique=True).map(tuple)
    labels = draw(st.lists(draw(st.sampled_from([one, several])), min_size=n_clips, max_size=n_clips))
    starts = draw(st.lists(SECONDS, min_size=n_clips, max_size=n_clips))
    lengths = draw(st.lists(st.none() | st.floats(0.01, 100.0), min_size=n_clips, max_size=n_clips))
    folds = draw(st.none() | st.lists(st.integers(0, 9), min_size=n_clips, max_size=n_clips))
    groups = draw(st.none() | st.lists(st.sampled_from(["", "a, b", "ü"]), min_size=n_clips, max_size=n_clips))
    return {
        "paths": [f"sub,dir/ f{number} .wav " for number in range(n_clips)],
        "labels": labels,
        "starts": starts,
        "ends": [math.nan if n is None else start + n for start, n in zip(starts, lengths, strict=True)],
        "folds": folds,
        "groups": groups,
    }


@given(columns())
@settings(max_examples=150, deadline=None)
def test_what_is_written_reads_back_equal(columns):
    everything = "".join(label for labels in columns["labels"] for label in labels)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "sounds")
        (root / "sub,dir").mkdir(parents=True)
        for path in columns["paths"]:
            (root / path).touch()
        if not everything:
            return
        manifest = Manifest.build(root, **columns)
        if all(separator in everything for separator in ";|,"):
            with pytest.raises(ManifestError, match="cannot list them"):
                manifest.write(root / "table.csv")
            return
        for table in (root / "table.csv", Path(folder, "elsewhere", "table.csv")):
            manifest.write(table)
            assert read_manifest(table) == manifest


def _manifest(**changes) -> Manifest:
    columns = {
        "paths": ["a.wav", "a.wav", "b.wav"],
        "labels": [("x",), ("y",), ("x", "y")],
        "starts": [0, 2, 0],
    }
    return Manifest.build(Path("root"), **{**columns, "ends": [1, 3, math.nan], **changes})


def test_clips_have_file_region_and_id():
    clips = _manifest().clips()
    assert [clip.path for clip in clips] == [Path("root/a.wav"), Path("root/a.wav"), Path("root/b.wav")]
    assert [(clip.start, clip.end) for clip in clips] == [(0, 1), (2, 3), (0, None)]
    assert [clip.clip_id for clip in clips] == ["a.wav#0-1", "a.wav#2-3", "b.wav"]


def test_clips_of_one_file_are_one_group_unless_groups_are_given():
    assert _manifest().groups.tolist() == ["a.wav", "a.wav", "b.wav"]
    assert _manifest().has_groups
    assert _manifest(groups=["p", "q", ""]).groups.tolist() == ["p", "q", "b.wav"]
    assert not _manifest(paths=["a.wav", "b.wav", "c.wav"]).has_groups


def test_select_keeps_order_and_vocabulary_and_takes_masks():
    manifest = _manifest()
    assert manifest.select(np.array([2, 0])).clip_ids.tolist() == ["b.wav", "a.wav#0-1"]
    first = manifest.select(np.array([True, False, False]))
    assert first.targets().tolist() == [[1.0, 0.0]]
    assert first.multi_label


def test_content_hash_follows_sounds_labels_and_regions_but_not_names_order_folds_or_root():
    manifest = _manifest()
    hashes = {path: f"content of {path}" for path in manifest.table["path"]}
    same = Manifest.build(
        Path("moved"),
        manifest.table["path"],
        manifest.table["labels"],
        starts=[0, 2, 0],
        ends=[1, 3, math.nan],
    )
    found = manifest.content_hash(hashes)
    assert manifest.with_folds(np.arange(3)).content_hash(hashes) == found == same.content_hash(hashes)
    assert manifest.select(np.array([2, 0, 1])).content_hash(hashes) == found
    assert _manifest(labels=[("x",), ("y",), ("x",)]).content_hash(hashes) != found
    assert _manifest(ends=[1.5, 3, math.nan]).content_hash(hashes) != found
    assert manifest.content_hash({**hashes, manifest.table["path"][0]: "other sound"}) != found


def test_manifests_that_differ_in_any_column_are_not_equal():
    assert _manifest() == _manifest()
    assert _manifest() != _manifest(groups=["p", "p", ""])
    assert _manifest() != _manifest(folds=[0, 1, 2])
    assert _manifest() != _manifest(ends=[1, 4, math.nan])
    assert _manifest() != _manifest(paths=["a.wav", "a.wav", "c.wav"], clip_ids=_manifest().clip_ids)


def test_vocabulary_of_a_tagger_orders_the_columns():
    manifest = _manifest().with_vocabulary(["y", "z", "x"])
    assert manifest.targets().tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 1]]


def test_labels_the_tagger_does_not_know_are_listed():
    with pytest.raises(ManifestError, match=r"1 labels are not among.*(?s:.*)'y' \(2 clips\)"):
        _manifest().with_vocabulary(["x", "z"])


def test_labels_with_every_separator_cannot_be_written(tmp_path):
    with pytest.raises(ManifestError, match="so a cell cannot list them"):
        _manifest(labels=[("a;b",), ("c|d",), ("e,f",)]).write(tmp_path / "table.csv")


def test_kept_rows_are_a_data_set_of_their_own(tmp_path):
    manifest = Manifest.build(
        tmp_path, ["a.wav", "b.wav", "c.wav"], [("rain",), ("dog", "rain"), ("cat",)], ends=[np.nan, 2.0, np.nan]
    )
    kept = manifest.keep(np.array([0, 2]))
    assert kept.vocabulary.labels == ("cat", "rain")
    assert not kept.multi_label
    assert kept.clip_ids.tolist() == ["a.wav", "c.wav"]
    assert manifest.keep(np.array([0, 1, 2])) == manifest


def test_soft_labels_keep_their_fraction_and_count_as_present_from_one_half_on():
    manifest = _manifest(strengths=[(0.5,), (0.4,), ()])
    assert manifest.targets().tolist() == [[0.5, 0], [0, pytest.approx(0.4)], [1, 1]]
    assert manifest.present().tolist() == [[1, 0], [0, 0], [1, 1]]


def test_a_clip_that_names_an_absent_label_knows_no_others():
    manifest = Manifest.build(
        Path("root"),
        ["a.wav", "b.wav", "c.wav", "d.wav"],
        [("dog",), (), ("cat",), ("cat", "rain")],
        negative=[(), ("dog",), ("rain", "no class"), ()],
        unsure=[(), (), (), ("dog", "cat")],
    )
    assert manifest.vocabulary.labels == ("cat", "dog", "rain")
    assert manifest.multi_label and manifest.has_unknown
    assert manifest.label_weights().tolist() == [[1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert manifest.targets().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_without_negative_or_unsure_labels_everything_is_known():
    assert not _manifest().has_unknown
    assert _manifest().label_weights().min() == 1


def test_optional_columns_are_there_only_where_a_row_differs():
    plain = _manifest(strengths=[()] * 3, unsure=[()] * 3, splits=[""] * 3, subsets=[""] * 3, weights=[1.0] * 3)
    assert plain == _manifest()
    assert list(plain.table) == list(_manifest().table)
    weighted = _manifest(weights=[1.0, 2.0, 1.0])
    assert weighted.weights.tolist() == [1, 2, 1]
    assert "weight" not in weighted.keep(np.array([0, 2])).table
    assert plain.weights.tolist() == [1, 1, 1]


def test_extra_columns_stay_with_their_clips_and_unknown_ones_are_told():
    manifest = _manifest(extras={"site": ["p", "q", "q"]})
    assert manifest.extras == ["site"]
    assert manifest.select(np.array([2, 0])).column("site").tolist() == ["q", "p"]
    with pytest.raises(ManifestError, match="there is no column 'sit' .did you mean 'site'"):
        manifest.column("sit")


def test_sides_are_the_split_or_the_fold():
    manifest = _manifest(splits=["test", "train", ""], folds=[-1, -1, 4])
    assert manifest.sides.tolist() == ["test", "train", "fold 4"]
    assert manifest.with_splits(["validation", "", ""]).sides.tolist() == ["validation", "train", "fold 4"]
    assert manifest.with_splits(["", "", ""]).splits.tolist() == ["", "", ""]
    with pytest.raises(ManifestError, match="split 'testing' is none"):
        manifest.with_splits(["testing", "", ""])


def test_noisy_clips_are_not_scored_where_there_are_others():
    folds = [0, 1, 1]
    assert _manifest(folds=[0, -1, 1]).scored.tolist() == [True, False, True]
    assert _manifest(folds=folds, subsets=["curated", "noisy", ""]).scored.tolist() == [True, False, True]
    assert _manifest(folds=folds, subsets=["noisy"] * 3).scored.all()
    assert _manifest(folds=[0, -1, 1]).fold_numbers == [0, 1]


def test_equal_values_are_one_object_in_a_large_manifest():
    labels = [(f"label {row % 3}",) for row in range(1000)]
    manifest = Manifest.build(Path("root"), [f"{row}.wav" for row in range(1000)], labels)
    assert len({id(value) for value in manifest.table["labels"]}) == 3
    assert manifest.table["clip_id"][7] is manifest.table["path"][7]


def test_what_is_said_about_labels_changes_the_content_hash():
    hashes = {path: path for path in _manifest().table["path"]}
    found = _manifest().content_hash(hashes)
    for changes in ({"unsure": [("x",), (), ()]}, {"strengths": [(0.5,), (), ()]}, {"weights": [1.0, 1.0, 0.5]}):
        assert _manifest(**changes).content_hash(hashes) != found
