"""The ordered class names that the columns of targets and scores stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from earmark.errors import ManifestError
from earmark.lookup import did_you_mean


class Vocabulary(Sequence[str]):
    """Ordered, distinct labels.

    >>> vocabulary = Vocabulary(["dog", "rain"])
    >>> vocabulary.targets([("rain",), ("dog", "rain"), ()]).tolist()
    [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, labels: Iterable[str]):
        self.labels: tuple[str, ...] = tuple(labels)
        self._index = {label: index for index, label in enumerate(self.labels)}
        if len(self._index) != len(self.labels):
            repeated = sorted({label for label in self.labels if self.labels.count(label) > 1})
            raise ManifestError(f"vocabulary: labels stand more than once ({', '.join(repeated)}).")
        if not self.labels:
            raise ManifestError("vocabulary: there is no label. Give every clip's label in the table or folder name.")

    def __getitem__(self, index):
        return self.labels[index]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __contains__(self, label: object) -> bool:
        return label in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.labels == other.labels

    def __hash__(self) -> int:
        return hash(self.labels)

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:5]) + (", …" if len(self) > 5 else "")
        return f"Vocabulary({len(self)}: {shown})"

    def index(self, label: str) -> int:
        """Column of `label`.

        Raises:
            ManifestError: the label is not in the vocabulary.
        """
        if label not in self._index:
            raise ManifestError(f"label '{label}' is not in the vocabulary{did_you_mean(label, self.labels)}.")
        return self._index[label]

    def targets(self, label_sets: Iterable[Iterable[str]]) -> np.ndarray:
        """Multi-hot rows, float32 of shape (clips, classes), for one set of labels per clip."""
        rows = [[self.index(label) for label in labels] for labels in label_sets]
        targets = np.zeros((len(rows), len(self)), dtype=np.float32)
        for row, columns in enumerate(rows):
            targets[row, columns] = 1.0
        return targets
