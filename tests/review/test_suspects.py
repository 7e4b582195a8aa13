"""Suspects: the worst first, what they would be instead, copies that contradict each other, and their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earmark.data import Manifest
from earmark.data.fingerprint import Fingerprint
from earmark.data.matches import Match
from earmark.errors import RunError
from earmark.review.suspects import find_suspects, read_suspects, whole_copies, write_suspects


def single() -> tuple[Manifest, np.ndarray]:
    labels = [("cat",), ("dog",), ("cat",), ("dog",)]
    manifest = Manifest.build(Path(), [f"{n}.wav" for n in range(4)], labels)
    return manifest, np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9]], dtype=np.float32)


def several() -> tuple[Manifest, np.ndarray]:
    labels = [("cat", "dog"), ("rain",), (), ("cat",), ("dog",)]
    manifest = Manifest.build(Path(), [f"{n}.wav" for n in range(5)], labels)
    scores = np.array(
        [[0.9, 0.1, 0.1], [0.1, 0.1, 0.9], [0.1, 0.9, 0.2], [0.8, 0.2, 0.1], [0.1, 0.9, 0.2]], dtype=np.float32
    )
    return manifest, scores


def fingerprint(seconds: float) -> Fingerprint:
    none = np.zeros(0, np.int64)
    return Fingerprint(none, none, none, none, seconds)


def test_of_one_label_the_likelier_one_is_suggested():
    (suspect,) = find_suspects(*single())
    assert (suspect.kind, suspect.clip_id, suspect.label, suspect.suggested) == ("given", "2.wav", "cat", ("dog",))


def test_of_several_labels_what_is_wrong_is_left_out_and_what_is_missing_is_put_in():
    found = {(each.kind, each.clip_id, each.label): each.suggested for each in find_suspects(*several())}
    assert found[("given", "0.wav", "dog")] == ("cat",)
    assert found[("missing", "2.wav", "dog")] == ("dog",)


def test_so_many_as_are_asked_for_are_listed_worst_first():
    found = find_suspects(*several(), most=6)
    assert len(found) == 6
    assert [each.quality for each in found] == sorted(each.quality for each in found)


def test_copies_with_other_labels_come_first_and_are_told_once():
    manifest, scores = single()
    found = find_suspects(manifest, scores, [Match(1, 2, 0.9, 0.0, 4.0), Match(1, 3, 0.9, 0.0, 4.0)])
    assert [(each.kind, each.clip_id, each.like, each.suggested) for each in found] == [
        ("copy", "2.wav", "1.wav", ("dog",)),
        ("copy", "1.wav", "2.wav", ("cat",)),
    ]


def test_of_copies_with_several_labels_each_that_differs_is_asked_about_on_both():
    manifest, scores = several()
    found = [each for each in find_suspects(manifest, scores, [Match(0, 3, 0.9, 0.0, 4.0)]) if each.kind == "copy"]
    assert {(each.clip_id, each.label, each.suggested) for each in found} == {
        ("0.wav", "dog", ("cat",)),
        ("3.wav", "dog", ("cat", "dog")),
    }


def test_what_shares_a_part_is_a_copy_where_clips_have_one_label_alone():
    prints = [fingerprint(4), fingerprint(4)]
    matches = [Match(0, 1, 0.9, 0.0, 2.5)]
    assert whole_copies(matches, prints, multi_label=False) == matches
    assert whole_copies(matches, prints, multi_label=True) == []
    assert whole_copies([Match(0, 1, 0.9, 0.0, 30.0)], [fingerprint(90)] * 2, multi_label=True)


def test_the_table_reads_back(tmp_path):
    manifest, scores = several()
    found = find_suspects(manifest, scores, [Match(0, 3, 0.9, 0.0, 4.0)], most=4)
    write_suspects(found, tmp_path / "suspects.csv")
    back = read_suspects(tmp_path / "suspects.csv")
    assert [(each.kind, each.clip_id, each.label, each.suggested, each.like) for each in back] == [
        (each.kind, each.clip_id, each.label, each.suggested, each.like) for each in found
    ]
    assert [each.quality for each in back] == pytest.approx([each.quality for each in found], rel=1e-5)


def test_another_table_is_refused(tmp_path):
    (tmp_path / "suspects.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(RunError, match="is no table of suspects"):
        read_suspects(tmp_path / "suspects.csv")
