"""check: copies, likenesses, contradictions between them, and sound on both sides of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.data import Manifest
from earmark.data.check import CheckResult, check, copies
from earmark.data.matches import LIKELY, SURE, Match

RATE = 16_000


def sound(seed: int, seconds: float = 4.0) -> np.ndarray:
    """Noise in bursts: no two alike."""
    generator = np.random.default_rng(seed)
    bursts = np.repeat(generator.uniform(0.02, 1.0, round(seconds * 8)), RATE // 8)
    return (0.2 * bursts * generator.standard_normal(len(bursts))).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for number in range(10):
        audio.write(tmp_path / f"{number}.wav", sound(number), RATE)
    return tmp_path


def table(folder: Path, labels: dict[str, str], **columns) -> Manifest:
    return Manifest.build(folder, list(labels), [tuple(text.split(",")) for text in labels.values()], **columns)


def told(result: CheckResult, *problems: str) -> list[tuple[str, str, str]]:
    return [(each.path, each.problem, each.detail) for each in result.findings if each.problem in problems]


COPIES = ("duplicate_content", "near_duplicate", "conflicting_labels")
TEN = {f"{number}.wav": "a" if number < 5 else "b" for number in range(10)}


def test_the_same_bytes_under_another_name_are_told_of_the_later_one(folder):
    (folder / "copy.wav").write_bytes((folder / "3.wav").read_bytes())
    result = check(table(folder, {**TEN, "copy.wav": "a"}))
    assert told(result, *COPIES) == [("copy.wav", "duplicate_content", "the same bytes as 3.wav")]
    [finding] = result.findings
    assert (list(finding.clips), list(finding.others)) == ([10], [3])


def test_copies_with_other_labels_contradict_each_other(folder):
    (folder / "copy.wav").write_bytes((folder / "3.wav").read_bytes())
    assert told(check(table(folder, {**TEN, "copy.wav": "b"})), *COPIES) == [
        ("copy.wav", "duplicate_content", "the same bytes as 3.wav"),
        ("copy.wav", "conflicting_labels", "labelled 'b', but 3.wav has the same bytes and is labelled 'a'"),
    ]


def test_copies_in_two_class_folders_contradict_each_other(tmp_path):
    for label in ("a", "b"):
        for number in range(5):
            audio.write(tmp_path / label / f"{number}.wav", sound(number + 100 * ord(label)), RATE)
    (tmp_path / "b" / "copy.wav").write_bytes((tmp_path / "a" / "0.wav").read_bytes())
    result = check(tmp_path)
    assert [finding[:2] for finding in told(result, *COPIES, "unlisted_file")] == [
        ("b/copy.wav", "duplicate_content"),
        ("b/copy.wav", "conflicting_labels"),
    ]


def test_a_quieter_re_encoded_shifted_copy_is_like_the_first(folder):
    copy = np.concatenate([sound(77, 0.5), 0.3 * sound(3)])
    soundfile.write(folder / "copy.ogg", copy, RATE, subtype="VORBIS")
    result = check(table(folder, {**TEN, "copy.ogg": "a"}))
    [(path, problem, detail)] = told(result, *COPIES)
    assert (path, problem) == ("copy.ogg", "near_duplicate")
    assert detail.startswith("like 3.wav (likeness 0.") and detail.endswith("begins 0.5 s earlier)")


def test_likenesses_without_a_label_in_common_contradict_each_other(folder):
    audio.write(folder / "copy.wav", 0.5 * sound(3), RATE)
    assert told(check(table(folder, {**TEN, "copy.wav": "b,c"})), "conflicting_labels") == [
        ("copy.wav", "conflicting_labels", "labelled 'b', 'c', but 3.wav is like it and is labelled 'a'")
    ]
    # A mixture may share the sound of the label that it shares.
    assert told(check(table(folder, {**TEN, "copy.wav": "b,a"})), "conflicting_labels") == []


def test_likenesses_within_a_group_are_only_counted(folder):
    audio.write(folder / "copy.wav", 0.5 * sound(3), RATE)
    result = check(table(folder, {**TEN, "copy.wav": "a"}, groups=[f"g{min(n, 3)}" for n in range(10)] + ["g3"]))
    assert told(result, *COPIES) == []
    assert result.summary["copies_within_groups"] == 1


def test_regions_of_one_file_are_no_copies_of_each_other(tmp_path):
    audio.write(tmp_path / "a.wav", np.tile(sound(1, 2.0), 2), RATE)
    result = check(Manifest.build(tmp_path, ["a.wav"] * 2, [("a",), ("b",)], starts=[0, 2], ends=[2, 4]))
    assert told(result, *COPIES) == []


def test_one_group_in_two_folds_leaks(folder):
    folds, groups = [n % 2 for n in range(10)], [f"g{max(n, 1)}" for n in range(10)]
    [(path, problem, detail)] = told(check(table(folder, TEN, folds=folds, groups=groups)), "leak", "possible_leak")
    assert (path, problem) == ("0.wav", "leak")
    assert "'g1'" in detail and "fold 0" in detail and "fold 1" in detail


def test_a_likeness_across_test_and_train_leaks(folder):
    audio.write(folder / "copy.wav", 0.5 * sound(3), RATE)
    splits = ["train"] * 10 + ["test"]
    result = check(table(folder, {**TEN, "copy.wav": "a"}, splits=splits))
    [(path, problem, detail)] = told(result, "leak", "possible_leak")
    assert (path, problem) == ("3.wav", "leak")
    assert "copy.wav (test)" in detail


def test_a_weaker_likeness_across_test_and_train_is_a_possible_leak_and_no_copy(folder, monkeypatch):
    doubtful = Match(3, 9, (LIKELY + SURE) / 2, 0.0, 1.0)

    def find(_, threshold: float = SURE) -> list[Match]:
        return [doubtful] if doubtful.score >= threshold else []

    monkeypatch.setattr(copies, "find_matches", find)
    result = check(table(folder, TEN, splits=["train"] * 9 + ["test"]))
    assert [finding[:2] for finding in told(result, *COPIES, "leak", "possible_leak")] == [("3.wav", "possible_leak")]
    assert "possible_leak" not in {finding.problem for finding in result.attention}


def test_a_result_counts_its_findings_by_problem(folder):
    (folder / "copy.wav").write_bytes((folder / "3.wav").read_bytes())
    (folder / "more.wav").write_bytes((folder / "3.wav").read_bytes())
    assert check(table(folder, {**TEN, "copy.wav": "a", "more.wav": "a"})).counts == {"duplicate_content": 2}
