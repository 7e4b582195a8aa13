"""How evenly a split came out: clips of each class on each side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from earmark.data.manifest import Manifest
from earmark.data.splits.dealing import count_by, label_counts

ORDER = {"train": 0, "fold": 1, "validation": 2, "test": 3}


@dataclass(frozen=True)
class Balance:
    """Clips per class and side.

    labels: the classes. sides: such as "train", "fold 0", "test". sizes: clips on each side (sides,).
    counts: clips of each class on each side, int64 (classes, sides).
    """

    labels: tuple[str, ...]
    sides: tuple[str, ...]
    sizes: np.ndarray
    counts: np.ndarray

    @property
    def deviations(self) -> np.ndarray:
        """Share of each class that is on each side, less the side's share of the clips (classes, sides)."""
        totals = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return np.where(self.counts.any(axis=1, keepdims=True), self.counts / totals - self.sizes / self.sizes.sum(), 0)

    @property
    def absent(self) -> list[tuple[str, str]]:
        """(label, side) where no clip has the class."""
        return [
            (self.labels[row], self.sides[column]) for row, column in zip(*np.nonzero(self.counts == 0), strict=True)
        ]

    def to_dict(self) -> dict:
        """As JSON: sides {side: clips}, classes {label: {side: clips}}, absent [[label, side]], and the deviations."""
        deviations = np.abs(self.deviations)
        return {
            "sides": dict(zip(self.sides, self.sizes.tolist(), strict=True)),
            "classes": {
                label: dict(zip(self.sides, row, strict=True))
                for label, row in zip(self.labels, self.counts.tolist(), strict=True)
            },
            "absent": [list(pair) for pair in self.absent],
            "mean_deviation": float(deviations.mean()),
            "max_deviation": float(deviations.max()),
        }


def class_balance(manifest: Manifest) -> Balance:
    """Count the clips of each class on each of the manifest's sides, unknown labels left out."""
    numbers, names = pd.factorize(manifest.sides)
    counts = count_by(numbers, label_counts(manifest), len(names)).toarray()[:, :-1]
    order = sorted(range(len(names)), key=lambda side: _place(names[side]))
    sizes = np.bincount(numbers, minlength=len(names))
    return Balance(manifest.vocabulary.labels, tuple(names[order]), sizes[order], counts[order].T)


def _place(side: str) -> tuple[int, int]:
    """Where a side stands among the others."""
    name, _, number = side.partition(" ")
    return ORDER[name], int(number or 0)
