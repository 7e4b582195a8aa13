"""Whether clips stand where a public data set's authors put them, which their file names show."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from earmark.data.leakage import Leak
from earmark.data.manifest import Manifest

# name in CORPORA → the end of every path; `fold` is the number of its fold, `test` matches where it is a test clip.
SIDES = {
    "esc50": r"(?:^|/)(?P<fold>\d)-\d+-[A-Z]-\d+\.\w+$",
    "urbansound8k": r"(?:^|/)fold(?P<fold>\d+)/\d+-\d+-\d+-\d+\.\w+$",
    "fsdkaggle2018": r"(?:^|/)FSDKaggle2018\.audio_(?:train|(?P<test>test))/[0-9a-f]+\.\w+$",
    "fsdkaggle2019": r"(?:^|/)FSDKaggle2019\.audio_(?:train_curated|train_noisy|(?P<test>test))/[0-9a-f]+\.\w+$",
    "fsd50k": r"(?:^|/)FSD50K\.(?:dev|(?P<test>eval))_audio/\d+\.\w+$",
}


def recognise(manifest: Manifest) -> str | None:
    """The public data set whose own folds, or test split, these are; None for any others. Clips of its folds that a
    test or validation split of one's own set aside are in none, and change nothing about the rest.

    >>> from pathlib import Path
    >>> names = ["audio/1-100032-A-0.wav", "audio/2-114280-A-0.wav"]
    >>> manifest = Manifest.build(Path(), names, [("dog",)] * 2, folds=[1, 2])
    >>> recognise(manifest), recognise(manifest.with_folds([2, 1]))
    ('esc50', None)
    """
    folds, in_test = manifest.folds.tolist(), (manifest.splits == "test").tolist()
    aside = np.isin(manifest.splits, ["test", "validation"]).tolist()
    for name, pattern in SIDES.items():
        by_fold = "<fold>" in pattern
        if not (manifest.has_folds if by_fold else np.any(in_test)):
            continue
        found = (re.search(pattern, path) for path in manifest.table["path"])
        if by_fold:
            official = all(
                match and (int(match["fold"]) == fold or (fold < 0 and out))
                for match, fold, out in zip(found, folds, aside, strict=True)
            )
        else:
            official = all(match and bool(match["test"]) == test for match, test in zip(found, in_test, strict=True))
        if official:
            return name
    return None


def own_leaks(manifest: Manifest, leaks: Iterable[Leak]) -> list[Leak]:
    """The leaks that are not a publisher's: between sides that the authors of a public data set did not draw."""
    name = recognise(manifest)
    if name is None:
        return list(leaks)
    by_fold = "<fold>" in SIDES[name]
    return [leak for leak in leaks if by_fold and not all(side.startswith("fold ") for side in leak.sides)]
