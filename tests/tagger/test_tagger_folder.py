"""Folders of taggers: opened like one file, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.errors import TaggerFileError
from earmark.tagger import load_tagger, score_files
from earmark.tagger.combination import combine, on_rows
from earmark.tagger.embed import collect, embed_files
from earmark.tagger.tagger_folder import write_folder

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"
TABLE = {"scores": [[0.0, 0.5, 1.0], [0.0, 0.2, 1.0]], "ranks": [0.0, 0.9, 1.0]}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the folder among the vectors."""
    return Path(shutil.copytree(VECTORS / "together.tagger", tmp_path / "together.tagger"))


@pytest.fixture
def edit(folder):
    """`edit(**fields)`: change fields of the manifest; the folder."""

    def change(**fields) -> Path:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return folder

    return change


def test_its_scores_are_those_of_its_members_combined(folder):
    tagger = load_tagger(folder)
    sound = VECTORS / "long.wav"
    rows, other = (load_tagger(folder / f"{name}.tagger.onnx").score(sound) for name in ("calibrated", "lengths"))
    there = on_rows(rows.starts, rows.ends, other.starts, other.ends, other.scores)
    expected = combine(np.stack([rows.scores, there], axis=1), tagger.combination, True)
    np.testing.assert_allclose(tagger.score(sound).scores, expected, atol=1e-6)
    assert tagger.embed(sound)[1].shape == (len(rows), 24)


def test_files_are_tagged_and_embedded_by_a_folder_as_by_a_file(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    sounds = [VECTORS / "short.wav", VECTORS / "long.wav"]
    tagger = load_tagger(folder / "manifest.json")
    found, failures = score_files(tagger, sounds)
    assert (len(found), failures) == (2, [])
    assert {tag.label for tag in tagger.tag(sounds[1])} <= set(tagger.labels)
    assert collect(embed_files(tagger, sounds)).vectors.shape == (2, 24)
    assert "together" in repr(tagger)


def test_a_folder_is_found_in_the_folder_of_its_ensemble(folder, tmp_path):
    inside = tmp_path / "both"
    inside.mkdir()
    shutil.copytree(folder, inside / "both.tagger")
    assert load_tagger(inside).metadata.name == "together"


def test_written_folders_hold_what_they_are_given_and_nothing_else(folder, tmp_path):
    tagger = load_tagger(folder)
    (tmp_path / "new.tagger").mkdir()
    (tmp_path / "new.tagger" / "stray.onnx").write_bytes(b"")
    files = {"a.tagger.onnx": folder / "calibrated.tagger.onnx", "b.tagger.onnx": folder / "lengths.tagger.onnx"}
    write_folder(tmp_path / "new.tagger", files, 1, {"kind": "geometric"}, tagger.metadata)
    assert {path.name for path in (tmp_path / "new.tagger").iterdir()} == {*files, "manifest.json"}
    again = load_tagger(tmp_path / "new.tagger")
    assert (again.rows, again.combination) == (1, {"kind": "geometric"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, 'is not an object with "format": "earmark-tagger-folder"'),
        ({"format_version": 4}, "is a folder of format version 4, and this Earmark reads up to 3"),
        ({"format_version": None}, "is a folder of format version None"),
        ({"tagger": {}}, "manifest.json: metadata: is not an object"),
        ({"rows": 2}, "rows is 2 .expected the number of a member"),
        ({"members": [{"file": "x"}]}, "members is no list of file and sha256"),
        ({"members": []}, "members is empty"),
        ({"members": [{"file": "../x.tagger.onnx", "sha256": ""}]}, "is not a name in the folder. It is not opened"),
        ({"members": [{"file": "x.tagger.onnx", "sha256": ""}]}, "'x.tagger.onnx' is missing or was changed"),
        ({"combination": {"kind": "median"}}, "combination: kind is 'median' .expected mean, geometric, rank, stack"),
        ({"combination": None}, "combination: kind is None"),
        ({"combination": {"kind": "mean", "weights": [[1.0]]}}, "weights of shape .1, 1. does not fit 2 members and 3"),
        ({"combination": {"kind": "mean", "weights": [["a"] * 3] * 2}}, "weights of shape .* does not fit"),
        ({"combination": {"kind": "rank", **TABLE, "ranks": [0.0, 0.0, 1.0]}}, "its tables of ranks do not rise"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_its_words(edit, fields, message):
    with pytest.raises(TaggerFileError, match=message):
        load_tagger(edit(**fields))


def test_a_manifest_that_is_no_json_is_refused(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(TaggerFileError, match="is no manifest that can be read"):
        load_tagger(folder)


def test_a_member_with_other_labels_or_changed_bytes_is_refused(folder, edit):
    document = json.loads((folder / "manifest.json").read_text())
    known = document["tagger"] | {"labels": ["x", "y", "z"]}
    with pytest.raises(TaggerFileError, match="gives other labels than its folder"):
        load_tagger(edit(tagger=known))
    with open(folder / "lengths.tagger.onnx", "ab") as file:
        file.write(b"more")
    with pytest.raises(TaggerFileError, match="is missing or was changed. Copy the folder again"):
        load_tagger(folder)


def test_views_belong_to_the_members(folder):
    with pytest.raises(TaggerFileError, match="the views are those of its members"):
        load_tagger(folder).with_views("ends")


@given(st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12))
def test_combinations_stay_within_0_and_1_and_members_that_agree_are_followed(values):
    scores = np.array(values, dtype=np.float32).reshape(2, 2, 3)
    alike = np.repeat(scores[:, :1], 2, axis=1)
    equal = {"kind": "mean", "weights": [[0.5] * 3] * 2}
    stack = {"kind": "stack", "mean_weights": equal["weights"], "weights": [[3.0] * 3] * 3, "layer": np.eye(3).tolist()}
    for combination in (equal, {"kind": "geometric"}, {"kind": "rank", **TABLE}, stack):
        found = combine(scores, combination, True)
        assert found.dtype == np.float32
        assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(combine(alike, equal, True), alike[:, 0], atol=1e-6)
    np.testing.assert_allclose(combine(alike, {"kind": "geometric"}, True), alike[:, 0], atol=1e-6)


def test_of_labels_of_which_one_holds_the_geometric_mean_is_shared_out():
    scores = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 3))
    np.testing.assert_allclose(combine(scores, {"kind": "geometric"}, False).sum(axis=1), 1, atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.1, 3), st.floats(0.1, 3))
def test_windows_on_rows_keep_equal_framings_and_lie_within_what_they_are_of(n_rows, n_windows, hop, its_hop):
    starts, its = np.arange(n_rows) * hop, np.arange(n_windows) * its_hop
    values = np.random.default_rng(n_rows).random((n_windows, 2)).astype(np.float32)
    found = on_rows(starts, starts + 1, its, its + 1, values)
    assert found.shape == (n_rows, 2)
    assert (found >= values.min(axis=0) - 1e-6).all() and (found <= values.max(axis=0) + 1e-6).all()
    np.testing.assert_array_equal(on_rows(its, its + 1, its, its + 1, values), values)


def test_every_window_of_a_finer_member_counts_once():
    values = np.arange(8, dtype=np.float32)
    starts = np.array([0.0, 4.0])
    found = on_rows(starts, starts + 4, np.arange(8.0), np.arange(8.0) + 1, values)
    assert found.tolist() == [1.5, 5.5]
