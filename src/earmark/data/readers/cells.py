"""Labels in the cells of a table: several in one cell, or one column per class."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from earmark.errors import ManifestError

ADVICE = (
    "Write several labels in one cell with ';' or '|' between them, and that sign at the end of every cell "
    "if other signs belong to names"
)


Labels = list[tuple[str, ...]]  # of each row


def split_labels(cells: Sequence[str], where: str, *more: Sequence[str]) -> tuple[list[Labels], bool]:
    """The labels of each cell.

    Args:
        cells: one per row.
        where: table and column, for the error text.
        more: other columns of labels, which the same sign separates.

    Returns:
        Labels per row, each once, in the order written, of each column; and whether an empty row of the first means
        that nothing is present (else a label was forgotten).

    Raises:
        ManifestError: it cannot be told which sign separates labels.

    >>> split_labels(["rain;dog", "dog"], "t.csv")
    ([[('rain', 'dog'), ('dog',)]], True)
    >>> split_labels(["Bark, dog;", ";"], "t.csv")
    ([[('Bark, dog',), ()]], True)
    """
    distinct = [{cell: cell.strip() for cell in dict.fromkeys(column)} for column in (cells, *more)]
    texts_of = [[text for text in texts.values() if text] for texts in distinct]
    closing = [_closing(texts) for texts in texts_of]
    separator = next(filter(None, closing), None) or find_separator(
        [text for texts in texts_of for text in texts], where
    )
    labels = [{cell: split_cell(text, separator) for cell, text in texts.items()} for texts in distinct]
    closed = separator is not None and all(text.endswith(separator) for text in distinct[0].values())
    several = any(len(names) > 1 for names in labels[0].values())
    return [[by_cell[cell] for cell in column] for by_cell, column in zip(labels, (cells, *more), strict=True)], (
        closed or several
    )


def split_cell(cell: str, separator: str | None) -> tuple[str, ...]:
    """The labels of one cell, each once.

    >>> split_cell("rain; dog;rain", ";"), split_cell("", None)
    (('rain', 'dog'), ())
    """
    pieces = [cell.strip()] if separator is None else [piece.strip() for piece in cell.split(separator)]
    return tuple(dict.fromkeys(piece for piece in pieces if piece))


def find_separator(cells: Sequence[str], where: str) -> str | None:
    """The sign between the labels of a cell, None where each cell is one label.

    A sign that ends every cell is it. Else ; or |, if only one of them occurs. Else the comma: it separates
    if no space ever follows it, or if any two neighbours in a cell also occur apart, as the two halves of a
    name such as "Child speech, kid speaking" would not.

    Raises:
        ManifestError: two signs could be it, or commas could belong to names.
    """
    texts = sorted({cell for cell in cells if cell})
    if closing := _closing(texts):
        return closing
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


def _closing(texts: Sequence[str]) -> str | None:
    """The sign that ends every text."""
    return next((sign for sign in ";|," if texts and all(text.endswith(sign) for text in texts)), None)


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


@dataclass(frozen=True)
class OneHot:
    """What class columns say.

    classes: names of the columns. labels, strengths, unsure: per row, as in a Manifest. wrong: what is wrong with a
        row, by its position.
    """

    classes: tuple[str, ...] = ()
    labels: list[tuple[str, ...]] = field(default_factory=list)
    strengths: list[tuple[float, ...]] = field(default_factory=list)
    unsure: list[tuple[str, ...]] = field(default_factory=list)
    wrong: dict[int, list[str]] = field(default_factory=dict)


def read_one_hot(columns: Mapping[str, Sequence[str]]) -> OneHot:
    """Labels from a column per class: 1 present, 0 absent, between them how much of it, empty or '?' unsure.

    A column is one of a class if at least half of what is written there are such numbers and some is 0 or 1; where
    no columns are like that, if all are such numbers.

    Args:
        columns: cells by name of the columns that are nothing else.

    Returns:
        Nothing where fewer than two columns are classes.

    >>> read_one_hot({"dog": ["1", "0", "?"], "rain": ["0.4", "1", "0"]})
    OneHot(classes=('dog', 'rain'), labels=[('dog', 'rain'), ('rain',), ()], strengths=[(1.0, 0.4), (), ()],
           unsure=[(), (), ('dog',)], wrong={})
    """
    states = {name: {cell: _state(cell) for cell in set(cells)} for name, cells in columns.items()}
    classes = [name for name, cells in columns.items() if _is_class(cells, states[name])]
    if not classes:
        classes = [name for name in columns if columns[name] and None not in states[name].values()]
        classes = [name for name in classes if not all(map(math.isnan, states[name].values()))]
    if len(classes) < 2:
        return OneHot()
    known: dict[tuple[str, ...], tuple] = {}
    found = OneHot(tuple(classes))
    for row, cells in enumerate(zip(*(columns[name] for name in classes), strict=True)):
        if cells not in known:
            known[cells] = _read_states(
                classes, cells, [states[name][cell] for name, cell in zip(classes, cells, strict=True)]
            )
        labels, strengths, unsure, wrong = known[cells]
        found.labels.append(labels)
        found.strengths.append(strengths)
        found.unsure.append(unsure)
        if wrong:
            found.wrong[row] = wrong
    return found


def _state(cell: str) -> float | None:
    """How much of a class is there: 0 to 1, nan where unsure, None where the cell says nothing of the kind."""
    if cell in ("", "?"):
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _is_class(cells: Sequence[str], states: Mapping[str, float | None]) -> bool:
    """Whether a column is that of a class: see `read_one_hot`."""
    written = [states[cell] for cell in cells if cell]
    n_states = len(written) - written.count(None)
    return 0 < len(written) <= 2 * n_states and (0.0 in written or 1.0 in written)


def _read_states(classes: Sequence[str], cells: Sequence[str], states: Sequence[float | None]) -> tuple:
    """Labels, strengths, unsure labels and faults of one row."""
    present = [(name, state) for name, state in zip(classes, states, strict=True) if state is not None and state > 0]
    strengths = tuple(state for _, state in present)
    return (
        tuple(name for name, _ in present),
        () if all(strength == 1 for strength in strengths) else strengths,
        tuple(name for name, state in zip(classes, states, strict=True) if state is not None and math.isnan(state)),
        [
            f"'{cell}' in class column '{name}' is neither 0 nor 1 nor between them"
            for name, cell, state in zip(classes, cells, states, strict=True)
            if state is None
        ],
    )
