"""Labels in the cells of a table: several in one cell, or one 0/1 column per class."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from earmark.errors import ManifestError

ADVICE = (
    "Write several labels in one cell with ';' or '|' between them, and that sign at the end of every cell "
    "if other signs belong to names"
)


def split_labels(cells: Sequence[str], where: str) -> tuple[list[tuple[str, ...]], bool]:
    """The labels of each cell.

    Args:
        cells: one per row.
        where: table and column, for the error text.

    Returns:
        Labels per row, each once, in the order written; and whether an empty row means that nothing is
        present (else a label was forgotten).

    Raises:
        ManifestError: it cannot be told which sign separates labels.

    >>> split_labels(["rain;dog", "dog"], "t.csv")
    ([('rain', 'dog'), ('dog',)], True)
    >>> split_labels(["Bark, dog;", ";"], "t.csv")
    ([('Bark, dog',), ()], True)
    """
    cells = [cell.strip() for cell in cells]
    separator = find_separator(cells, where)
    if separator is None:
        return [(cell,) if cell else () for cell in cells], False
    pieces = ([piece.strip() for piece in cell.split(separator)] for cell in cells)
    labels = [tuple(dict.fromkeys(piece for piece in row if piece)) for row in pieces]
    closed = all(cell.endswith(separator) for cell in cells)
    return labels, closed or any(len(row) > 1 for row in labels)


def find_separator(cells: Sequence[str], where: str) -> str | None:
    """The sign between the labels of a cell, None where each cell is one label.

    A sign that ends every cell is it. Else ; or |, if only one of them occurs. Else the comma: it separates
    if no space ever follows it, or if any two neighbours in a cell also occur apart, as the two halves of a
    name such as "Child speech, kid speaking" would not.

    Raises:
        ManifestError: two signs could be it, or commas could belong to names.
    """
    texts = sorted({cell for cell in cells if cell})
    for sign in ";|,":
        if texts and all(text.endswith(sign) for text in texts):
            return sign
    strong = [sign for sign in ";|" if any(sign in text for text in texts)]
    if len(strong) == 2:
        examples = " and ".join(repr(next(text for text in texts if sign in text)) for sign in strong)
        raise ManifestError(f"{where}: both ';' and '|' occur ({examples}), but one must separate. {ADVICE}.")
    if strong:
        return strong[0]
    if not any("," in text for text in texts):
        return None
    doubtful = _inseparable(texts) if any(re.search(r",\s", text) for text in texts) else None
    if doubtful is not None:
        raise ManifestError(
            f"{where}: it cannot be told whether the comma in '{doubtful}' separates labels or belongs to a "
            f"name. {ADVICE}."
        )
    return ","


def _inseparable(texts: Sequence[str]) -> str | None:
    """A text with two pieces beside each other that never occur apart."""
    pieces = {text: [piece.strip() for piece in text.split(",")] for text in texts}
    texts_of = defaultdict(set)
    for text, names in pieces.items():
        for name in names:
            texts_of[name].add(text)
    for text, names in pieces.items():
        if any(texts_of[a] == texts_of[b] for a, b in zip(names, names[1:], strict=False)):
            return text
    return None


def read_one_hot(columns: dict[str, list[str]]) -> tuple[list[tuple[str, ...]], list[list[str]]]:
    """Labels from 0/1 columns; a column at least half of which is 0 or 1 is taken for a class.

    Args:
        columns: cells by name of the columns that are nothing else.

    Returns:
        Labels per row, and per row what is wrong with it. Both are empty where fewer than two columns are
        classes.
    """
    states = {"0": False, "0.0": False, "1": True, "1.0": True}
    classes = {
        name: cells
        for name, cells in columns.items()
        if 2 * sum(cell in states for cell in cells) >= len(cells)
    }
    if len(classes) < 2:
        return [], []
    labels, problems = [], []
    for row in zip(*classes.values(), strict=True):
        labels.append(tuple(name for name, cell in zip(classes, row, strict=True) if states.get(cell)))
        problems.append(
            [
                f"'{cell}' in class column '{name}' is neither 0 nor 1"
                for name, cell in zip(classes, row, strict=True)
                if cell not in states
            ]
        )
    return labels, problems
