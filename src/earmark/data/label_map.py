"""What one side calls a label and the other otherwise: a table that gives scores the names of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from earmark.data.readers.table import load_table
from earmark.errors import ManifestError, summarise_rows
from earmark.lookup import did_you_mean

FROM, TO = "from", "to"


def read_label_map(path: Path, encoding: str | None = None) -> dict[str, str]:
    """Label of the scores → label of the data, "" for one that is to be left out.

    Args:
        path: a table with the columns `from` and `to`; several may go to one.

    Raises:
        ManifestError: it has other columns, or says two things of one label.
    """
    table = load_table(path, encoding)
    if not {FROM, TO} <= set(table.columns):
        raise ManifestError(
            f"{path}: a map of labels has the columns '{FROM}' (as the scores call it) and '{TO}' (as the data does); "
            f"found: {', '.join(table.columns)}. Rename them."
        )
    found: dict[str, str] = {}
    twice = []
    for line, name, target in zip(table.lines, table.column(FROM), table.column(TO), strict=True):
        if found.setdefault(name, target) != target:
            twice.append(f"row {line}: '{name}' goes to '{target}', and before to '{found[name]}'")
    if twice:
        raise ManifestError(f"{path}: {len(twice)} labels go to two. Leave one of each.\n{summarise_rows(twice)}")
    return found


def map_labels(labels: Sequence[str], mapping: Mapping[str, str], where: Path) -> dict[str, list[int]]:
    """New labels in their order → the columns that each is the highest of. What the map does not name keeps its name.

    Raises:
        ManifestError: it names labels that there are not.

    >>> map_labels(["Dog", "Bark", "Rain"], {"Dog": "dog", "Bark": "dog", "Rain": ""}, Path("map.csv"))
    {'dog': [0, 1]}
    """
    unknown = [f"'{name}'{did_you_mean(name, labels)}" for name in mapping if name not in labels]
    if unknown:
        raise ManifestError(
            f"{where}: {len(unknown)} names in '{FROM}' are no labels of the scores. Correct them.\n"
            f"{summarise_rows(unknown)}"
        )
    found: dict[str, list[int]] = {}
    for column, label in enumerate(labels):
        name = mapping.get(label, label)
        if name:
            found.setdefault(name, []).append(column)
    return found


def merge_columns(values: np.ndarray, columns: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Scores or tags (clips, labels) under their new labels: the highest, or any, of those that became one."""
    merged = [values[:, own].max(axis=1) for own in columns.values()]
    return np.stack(merged, axis=1) if merged else values[:, :0]
