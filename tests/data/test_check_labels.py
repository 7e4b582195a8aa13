"""check: labels that are one in two spellings, counts, and which go together."""

from __future__ import annotations

import csv
import random
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from earmark.data import Manifest
from earmark.data.check.labels import class_counts, cooccurrence, label_findings, typos

LABELS = Path(__file__).parents[3] / "shared" / "data" / "weights" / "labels"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("Dog", "dog", "they differ in case"),
        ("dog", "dog ", "they differ in spaces, hyphens or underscores"),
        ("car horn", "car_horn", "they differ in spaces, hyphens or underscores"),
        ("Car horn", "car_horn", "they differ in case, spacing or the way their letters are encoded"),
        ("dog", "dogs", "one is the plural of the other"),
        ("bus", "buses", "one is the plural of the other"),
        ("café", unicodedata.normalize("NFD", "café"), "their letters are encoded in two ways"),
    ],
)
def test_spellings_of_one_word_are_told_however_frequent_they_are(first, second, reason):
    [(a, b, told)] = typos({first: 50, second: 60})
    assert {a, b} == {first, second}
    assert told.endswith(reason)


@pytest.mark.parametrize("rare", ["Brak", "Bakr", "bork", "Barkk", "Bar"])
def test_a_rare_label_a_letter_from_a_frequent_one_is_told(rare):
    assert [set(pair[:2]) for pair in typos({"Bark": 40, rare: 1})] == ([{"Bark", rare}] if len(rare) > 3 else [])


def test_two_letters_may_differ_in_a_long_word():
    assert [pair[2] for pair in typos({"helicopter": 90, "heliocpetr": 2, "helkcptre": 1})] == [
        "two letters apart, and one is rare"
    ]


@pytest.mark.parametrize(
    "counts",
    [
        {"cat": 30, "car": 30},
        {"cat": 300, "car": 1},  # too short for a typo
        {"three": 40, "tree": 40},
        {"three": 40, "tree": 4},  # one in ten is not rare
        {"speaker 10": 500, "speaker 11": 1},
        {"rain": 40, "dog": 1},
        {"laughing": 200, "crying": 1},
    ],
)
def test_words_of_their_own_are_not_told(counts):
    assert list(typos(counts)) == []


@pytest.mark.parametrize(
    "name",
    ["audioset_class_labels_indices_527.csv", "yamnet_class_map.csv", "fsd50k_class_labels_200.csv"],
)
def test_hundreds_of_real_class_names_hold_no_typo(name):
    if not (LABELS / name).is_file():
        pytest.skip("the label lists are not at ../shared/data")
    with open(LABELS / name, encoding="utf-8", newline="") as file:
        names = [row[-1] for row in csv.reader(file)][1:]
    counts = {label: 20 + 10 * (number % 30) for number, label in enumerate(names)}
    assert list(typos(counts)) == []


def test_thousands_of_labels_are_compared_in_seconds():
    counts = {f"speaker {number:05d}": 10 for number in range(3000)} | {"speekar": 1}
    begun = time.monotonic()
    assert list(typos(counts)) == []
    assert time.monotonic() - begun < 10


def manifest(*labels: tuple[str, ...], **columns) -> Manifest:
    return Manifest.build(Path(), [f"{number}.wav" for number in range(len(labels))], labels, **columns)


def test_labels_are_counted_alone_and_in_pairs():
    found = manifest(("a", "b"), ("b", "a", "c"), ("a",), ())
    assert class_counts(found) == {"a": 3, "b": 2, "c": 1}
    assert cooccurrence(found) == {("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 1}


def test_less_than_half_of_a_label_does_not_count():
    found = manifest(("a", "b"), ("a",), strengths=[(0.5, 0.4), ()])
    assert class_counts(found) == {"a": 2, "b": 0}
    assert cooccurrence(found) == {}


def test_rare_classes_and_typos_are_findings():
    found = manifest(*[("bark",)] * 20, ("brak",))
    details = Counter({finding.problem: finding.detail for finding in label_findings(found)})
    assert details == {
        "few_clips": "class 'brak' has 1 clip",
        "label_typo": "'brak' (1 clip) and 'bark' (20 clips): one letter apart, and one is rare",
    }


def test_labels_of_thousands_of_letters_are_compared_as_a_whole_alone():
    begun = time.perf_counter()
    assert [pair[2] for pair in typos({"l" * 5000: 90, "L" * 5000: 90, "l" * 4999: 1})] == ["they differ in case"]
    assert time.perf_counter() - begun < 1


def test_a_vocabulary_of_sentences_is_compared_in_seconds():
    draw = random.Random(0)
    counts = {"".join(draw.choices("abcdefgh ", k=40)): 1 for _ in range(20_000)}
    begun = time.perf_counter()
    assert list(typos({**counts, "helicopter": 40, "helicoptr": 1})) == [
        ("helicopter", "helicoptr", "one letter apart, and one is rare")
    ]
    assert time.perf_counter() - begun < 30
