"""The same clip in several rows: one row with all that they say of its labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from earmark.data.readers.problems import Faults

log = logging.getLogger(__name__)

STATES = ("labels", "negative", "unsure")
WORDS = {"labels": "present", "negative": "negative", "unsure": "unsure"}
ONE_PLACE = {"folds": "fold", "splits": "split", "groups": "group"}  # what all rows of a clip must agree on


def check_states(columns: Mapping[str, Any], faults: Faults) -> None:
    """Note rows that say two things of one label."""
    if not columns.keys() & {"negative", "unsure"}:
        return
    for row in range(len(columns["labels"])):
        wrong = contradiction(columns, (row,))
        if wrong:
            faults.note(row, "bad_row", wrong)


def contradiction(columns: Mapping[str, Any], rows: Sequence[int]) -> str:
    """What rows say against each other of a label, "" if nothing.

    >>> contradiction({"labels": [("dog",), ()], "negative": [(), ("dog",)]}, [0, 1])
    "'dog' is both present and negative"
    """
    said: dict[str, str] = {}
    for state in STATES:
        for row in rows if state in columns else ():
            for label in columns[state][row]:
                if said.setdefault(label, state) != state:
                    return f"'{label}' is both {WORDS[said[label]]} and {WORDS[state]}"
    return ""


def join_states(columns: dict[str, Any], rows: Sequence[int]) -> None:
    """Let the first of some rows say of labels what all of them say; the strongest counts."""
    strengths: dict[str, float] = {}
    for row in rows:
        given = columns["strengths"][row] if "strengths" in columns else ()
        for position, label in enumerate(columns["labels"][row]):
            strengths[label] = max(strengths.get(label, 0.0), given[position] if given else 1.0)
    for state in STATES:
        if state in columns:
            labels = [label for row in rows for label in columns[state][row]]
            columns[state][rows[0]] = tuple(dict.fromkeys(labels))
    if "strengths" in columns:
        whole = all(strength == 1 for strength in strengths.values())
        columns["strengths"][rows[0]] = () if whole else tuple(strengths.values())


def merge_repeated(columns: dict[str, Any], faults: Faults, merge: bool) -> Sequence[int]:
    """Join rows of the same clip that say different things of its labels; note those that repeat or contradict.

    Args:
        columns: lists by name, as for Manifest.build; joined rows are changed in the first of them.
        merge: whether to join; if not, such rows are faults.

    Returns:
        The rows that are clips of their own and without fault, in order.
    """
    clips: dict[tuple, list[int]] = {}
    for row in _repeated(columns):
        if row not in faults:
            place = (str(columns[name][row]) for name in ("starts", "ends") if name in columns)
            clips.setdefault((columns["paths"][row], *place), []).append(row)
    joined, left_out = [], set()
    for rows in clips.values():
        others = _joinable(columns, rows, faults, merge)
        if others:
            join_states(columns, [rows[0], *others])
            joined.append(columns["paths"][rows[0]])
            left_out.update(others)
    if joined:
        log.warning(
            "%s: %d clips stand in several rows with different labels; each becomes one row with all of them (%s%s)",
            faults.table,
            len(joined),
            ", ".join(joined[:3]),
            ", …" if len(joined) > 3 else "",
        )
    rows = range(len(columns["paths"]))
    if left_out or faults:
        rows = [row for row in rows if row not in left_out and row not in faults]
    return _distinctly_named(columns, rows, faults)


def select(columns: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """The same columns with some of the rows."""
    if not columns or len(next(iter(columns.values()))) == len(rows):
        return columns
    return {
        name: column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
        for name, column in columns.items()
    }


def _repeated(columns: Mapping[str, Any]) -> list[int]:
    """Rows whose file and region another row has, too."""
    # Numbers for the paths: pandas would copy a million texts otherwise.
    place = {"path": pd.factorize(np.array(columns["paths"], dtype=object))[0]}
    place |= {name: columns[name] for name in ("starts", "ends") if name in columns}
    return np.flatnonzero(pd.DataFrame(place).duplicated(keep=False)).tolist()


def _joinable(columns: Mapping[str, Any], rows: Sequence[int], faults: Faults, merge: bool) -> list[int]:
    """Which of the rows of one clip can join the first; notes the others."""
    first, *others = rows
    known: dict[tuple, int] = {_said(columns, first): first}
    joinable: list[int] = []
    for row in others:
        same = known.setdefault(_said(columns, row), row)
        if same != row:
            faults.note(row, "repeated_clip", f"the same clip as row {faults.lines[same]}")
            continue
        wrong = "with other labels, which --no-merge refuses" if not merge else _disagreement(columns, first, row)
        wrong = wrong or contradiction(columns, (first, *joinable, row))
        if wrong:
            problem = "bad_row" if merge else "repeated_clip"
            faults.note(row, problem, f"the same clip as row {faults.lines[first]}, but {wrong}")
        else:
            joinable.append(row)
    return joinable


def _said(columns: Mapping[str, Any], row: int) -> tuple:
    """What a row says of labels, whatever their order."""
    return tuple(frozenset(columns[state][row]) for state in STATES if state in columns)


def _disagreement(columns: Mapping[str, Any], first: int, row: int) -> str:
    """Where a clip stands according to two rows, if not in one place."""
    for name, word in ONE_PLACE.items():
        if name in columns and columns[name][first] != columns[name][row]:
            return f"in {word} '{columns[name][row]}' instead of '{columns[name][first]}'"
    return ""


def _distinctly_named(columns: Mapping[str, Any], rows: Sequence[int], faults: Faults) -> Sequence[int]:
    """The rows without those whose clip_id an earlier one has, which are noted."""
    if "clip_ids" not in columns:
        return rows
    names = pd.Series([columns["clip_ids"][row] for row in rows], dtype=object)
    if names.is_unique:
        return rows
    first: dict[str, int] = {}
    for row, name in zip(rows, names, strict=True):
        if first.setdefault(name, row) != row:
            faults.note(row, "bad_row", f"the same clip_id as row {faults.lines[first[name]]}")
    return [row for row in rows if row not in faults]
