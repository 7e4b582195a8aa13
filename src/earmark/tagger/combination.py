"""How the scores of an ensemble become one: documents that a folder of taggers carries, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from earmark.errors import TaggerFileError
from earmark.windows import SCORE_MARGIN

COMBINATIONS = ("mean", "geometric", "rank", "stack")
STACK_SHIFT = 1.6  # a score of so much is one half


def combine(scores: np.ndarray, combination: Mapping[str, Any], multi_label: bool) -> np.ndarray:
    """Members' scores (rows, members, classes) as one (rows, classes) float32 in [0, 1].

    Args:
        combination: one of these.
            {"kind": "mean", "weights"}: (members, classes), of each class adding up to 1.
            {"kind": "geometric"}: the geometric mean, shared out among the labels where one holds at a time.
            {"kind": "rank", "scores", "ranks"}: the mean of ranks, which stand in a table of each member: scores
                (members, entries) rising, ranks (entries,) rising from 0 to 1, straight between them.
            {"kind": "stack", "mean_weights", "weights", "layer"}: the weighted mean (as above) joins the members as one
                more; weights (members + 1, classes) add them up, layer (classes, classes) mixes the labels, and
                (tanh(x - 1.6) + 1) / 2 brings the result into [0, 1].
        multi_label: several labels can hold at once.

    >>> scores = np.array([[[0.2, 0.4], [0.8, 0.4]]])
    >>> combine(scores, {"kind": "mean", "weights": [[0.5, 1.0], [0.5, 0.0]]}, True).round(3).tolist()
    [[0.5, 0.4000000059604645]]
    """
    scores = np.asarray(scores, dtype=np.float64)
    kind = combination["kind"]
    if kind == "mean":
        found = weighted(scores, combination["weights"])
    elif kind == "geometric":
        found = np.exp(np.log(np.clip(scores, SCORE_MARGIN, 1.0)).mean(axis=1))
        found = found if multi_label else found / found.sum(axis=1, keepdims=True)
    elif kind == "rank":
        tables = combination["scores"]
        ranks = [np.interp(scores[:, member], table, combination["ranks"]) for member, table in enumerate(tables)]
        found = np.mean(ranks, axis=0)
    else:
        mean = weighted(scores, combination["mean_weights"])
        added = weighted(np.concatenate([scores, mean[:, None]], axis=1), combination["weights"])
        found = (np.tanh(added @ np.array(combination["layer"]) - STACK_SHIFT) + 1) / 2
    return np.clip(found, 0.0, 1.0).astype(np.float32)


def weighted(scores: np.ndarray, weights: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Scores (rows, members, classes) added up with weights (members, classes): (rows, classes)."""
    return (scores * np.asarray(weights, dtype=np.float64)).sum(axis=1)


def on_rows(
    starts: np.ndarray, ends: np.ndarray, its_starts: np.ndarray, its_ends: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """A member's values (windows, …) on the rows of an ensemble (rows, …), whose windows lie otherwise.

    Each of its windows belongs to the row whose middle is nearest, of two the earlier; a row has the mean of its
    windows, or those of the window with the nearest middle where it has none. Equal windows stay as they are.

    Args:
        starts, ends: of the rows, seconds. its_starts, its_ends: of the member's windows.

    >>> on_rows(np.array([0.0, 2.0]), np.array([4.0, 6.0]), np.arange(6.0), np.arange(6.0) + 1, np.arange(6.0)).tolist()
    [1.0, 4.0]
    """
    middles, its_middles = starts + ends, its_starts + its_ends
    row_of = _nearest(its_middles, middles)
    counts = np.bincount(row_of, minlength=len(middles))
    found = np.zeros((len(middles), *values.shape[1:]))
    np.add.at(found, row_of, values)
    found /= np.maximum(counts, 1).reshape(-1, *[1] * (values.ndim - 1))
    alone = counts == 0
    found[alone] = values[_nearest(middles[alone], its_middles)]
    return found.astype(values.dtype)


def _nearest(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which of `among` is nearest to each point, of two the lower, of equal ones the first."""
    values, first = np.unique(among, return_index=True)
    after = np.searchsorted(values, points).clip(max=len(values) - 1)
    before = (after - 1).clip(min=0)
    return first[np.where(points - values[before] <= values[after] - points, before, after)]


def check_combination(combination: Any, n_members: int, n_classes: int) -> None:
    """Refuse a combination that this version does not know, or whose numbers do not fit.

    Raises:
        TaggerFileError: what is wrong.
    """
    kind = combination.get("kind") if isinstance(combination, Mapping) else combination
    if kind not in COMBINATIONS:
        raise TaggerFileError(f"combination: kind is {kind!r} (expected {', '.join(COMBINATIONS)}). {_MEND}")
    shapes = {
        "mean": {"weights": (n_members, n_classes)},
        "geometric": {},
        "rank": {"scores": (n_members, None), "ranks": (None,)},
        "stack": {
            "mean_weights": (n_members, n_classes),
            "weights": (n_members + 1, n_classes),
            "layer": (n_classes, n_classes),
        },
    }[kind]
    for name, shape in shapes.items():
        values = _numbers(combination.get(name))
        fits = len(values.shape) == len(shape) and all(
            length in (wanted, values.shape[-1] if wanted is None else wanted)
            for length, wanted in zip(values.shape, shape, strict=True)
        )
        if not fits or not np.isfinite(values).all():
            raise TaggerFileError(
                f"combination: {name} of shape {values.shape} does not fit {n_members} members and {n_classes} "
                f"labels. {_MEND}"
            )
    if kind == "rank":
        tables = np.vstack([_numbers(combination["scores"]), _numbers(combination["ranks"])[None]])
        if tables.shape[1] < 2 or not (np.diff(tables, axis=1) > 0).all():
            raise TaggerFileError(f"combination: its tables of ranks do not rise. {_MEND}")


_MEND = "The manifest is damaged or not made by Earmark: export it again."


def _numbers(values: Any) -> np.ndarray:
    """Nested lists of numbers as an array; an empty one of anything else."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError):
        return np.zeros((0, 0, 0))
