"""Labels: how often each is given, which go together, and which look like typos of one another."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from earmark.data.check.problems import Finding, counted
from earmark.data.manifest import PRESENT, Manifest

FEWEST_CLIPS = 5  # one for each of the usual folds
RARE_SHARE = 0.05  # a typo is at most so frequent as what was meant
LONGEST = 80  # letters of a label that is compared letter by letter: the ways to leave two out grow with the square
MOST_LETTERS = 4_000_000  # of all labels, squared within each: with more, only one letter is left out, or none
LETTERS_PER_EDIT = 4  # a typo may change one letter in four, and two at most


def class_counts(manifest: Manifest) -> dict[str, int]:
    """How many clips have each label."""
    counts = dict.fromkeys(manifest.vocabulary, 0)
    for labels, n_clips in label_sets(manifest).items():
        for label in labels:
            counts[label] += n_clips
    return counts


def label_sets(manifest: Manifest) -> Counter[tuple[str, ...]]:
    """How many clips have each set of labels, those of less than half a strength left out."""
    labels = manifest.table["labels"]
    if "strengths" not in manifest.table:
        return Counter(labels)
    return Counter(
        tuple(
            label
            for label, strength in zip(names, strengths or (1.0,) * len(names), strict=True)
            if strength >= PRESENT
        )
        for names, strengths in zip(labels, manifest.table["strengths"], strict=True)
    )


def cooccurrence(manifest: Manifest) -> dict[tuple[str, str], int]:
    """How many clips have both labels of a pair, the most frequent pairs first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for labels, n_clips in label_sets(manifest).items():
        for pair in combinations(sorted(set(labels)), 2):
            pairs[pair] += n_clips
    return dict(pairs.most_common())


def label_findings(manifest: Manifest) -> Iterator[Finding]:
    """Classes with few clips, and labels that may be one."""
    counts = class_counts(manifest)
    for label, n_clips in counts.items():
        if n_clips < FEWEST_CLIPS:
            yield Finding("", "few_clips", f"class '{label}' has {counted(n_clips, 'clip')}")
    for first, second, reason in typos(counts):
        rare, frequent = sorted((first, second), key=lambda label: counts[label])
        named = " and ".join(f"'{label}' ({counted(counts[label], 'clip')})" for label in (rare, frequent))
        yield Finding("", "label_typo", f"{named}: {reason}")


def typos(counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Pairs of labels that look like one, with how they differ.

    Labels that differ in case, spacing, plural or the way their letters are encoded always do. Those that differ by
    a letter or two do if they are long enough for that and one is rare beside the other.

    >>> list(typos({"Bark": 40, "Brak": 1, "cat": 30, "car": 30}))
    [('Bark', 'Brak', 'one letter apart, and one is rare')]
    """
    alike = defaultdict(list)
    for label in counts:
        alike[_normal(label)].append(label)
    for labels in alike.values():
        for first, second in combinations(labels, 2):
            yield first, second, _difference(first, second)
    plain = {normal: max(labels, key=lambda label: counts[label]) for normal, labels in alike.items()}
    for first, second in sorted(_neighbours(plain)):
        rare, frequent = sorted((counts[plain[first]], counts[plain[second]]))
        if _plural(first, second):
            yield plain[first], plain[second], "one is the plural of the other"
        elif rare <= RARE_SHARE * frequent and (edits := _edits(first, second)):
            number = "one letter" if edits == 1 else "two letters"
            yield plain[first], plain[second], f"{number} apart, and one is rare"


def _normal(label: str) -> str:
    """What is left of a label without case, spacing, and other ways to write the same letters."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    return re.sub(r"[\s_\-]+", " ", folded).strip()


def _difference(first: str, second: str) -> str:
    """How two labels differ that are alike once normal."""
    if unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second):
        return "they look the same, but their letters are encoded in two ways"
    if first.casefold() == second.casefold():
        return "they differ in case"
    if re.sub(r"[\s_\-]+", "", first) == re.sub(r"[\s_\-]+", "", second):
        return "they differ in spaces, hyphens or underscores"
    return "they differ in case, spacing or the way their letters are encoded"


def _plural(first: str, second: str) -> bool:
    short, long = sorted((first, second), key=len)
    return len(short) > 2 and long in (f"{short}s", f"{short}es")


def _allowed(label: str) -> int:
    """How many letters a typo of this label may change."""
    return min(2, len(label) // LETTERS_PER_EDIT)


def _neighbours(labels: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs that may be two edits apart: those that are one once up to two letters of each are left out.

    Numbers must be the same: class 10 is no typo of class 11. Labels of more than LONGEST letters have no pair,
    and tens of thousands of labels only those that a letter or two tell apart.
    """
    shortened = defaultdict(set)
    labels = [label for label in labels if len(label) <= LONGEST]
    most_left_out = sum(sum(len(label) ** power for label in labels) <= MOST_LETTERS for power in (1, 2))
    for label in labels:
        numbers = tuple(re.findall(r"\d+", label))
        for n_left_out in range(min(most_left_out, len(label) // 2) + 1):
            for places in combinations(range(len(label)), n_left_out):
                rest = "".join(letter for place, letter in enumerate(label) if place not in places)
                shortened[numbers, rest].add(label)
    return {pair for group in shortened.values() for pair in combinations(sorted(group), 2)}


def _edits(first: str, second: str) -> int:
    """Letters to insert, leave out, replace or swap with their neighbour; 0 if that is more than is allowed.

    Source: Damerau 1964, Levenshtein 1966 (optimal string alignment).
    """
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, last, row = row, before, [i]
        for j, b in enumerate(second, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1] if row[-1] <= min(_allowed(first), _allowed(second)) else 0
