"""Deal clips out to sides (folds; train and test), like cards: each class evenly, groups whole.

Units (clips, or groups of them) that hold the same are dealt out in equal numbers. Those left over go one by one,
those that are the largest part of some class first, each to the side that most lacks what it holds; then single
units move for as long as that evens the classes out further. For clips with several labels this is
the iterative stratification of Sechidis et al. 2011 with two differences: groups weigh in with how many clips of
each class they hold, and what is alike is not looked at one by one.

Source: Sechidis, Tsoumakas and Vlahavas 2011, On the stratification of multi-label data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from earmark.data.manifest import Manifest

BLOCK_CLIPS = 1 << 16  # labels are looked at this many clips at a time, so that memory does not grow with them
SIZE_WEIGHT = 2.0  # the number of clips counts as much as this many classes
N_SWEEPS = 10  # over the units, for moves and for swaps; usually the third finds none
MOST_SWAPPED = 500  # units: swaps take the square of them in time, and matter where there are few
FEW, N_MORE_STARTS = 100, 20  # units for which other orders are tried, too
LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Units:
    """What is dealt out as a whole: clips, or groups of them.

    of_clips: number of each clip's unit (clips,) int64.
    counts: clips of each class in each unit, and last those without any label: int64 (units, classes + 1).
    """

    of_clips: np.ndarray
    counts: sparse.csr_array

    @property
    def sizes(self) -> np.ndarray:
        """Clips in each unit (units,)."""
        return np.bincount(self.of_clips, minlength=self.counts.shape[0])

    @property
    def carriers(self) -> np.ndarray:
        """How many units have each class (classes,)."""
        return (self.counts > 0).sum(axis=0)[:-1]


def units_of(manifest: Manifest, grouped: bool) -> Units:
    """A manifest's groups, or its clips one by one, with what they hold. Labels that are unknown do not count."""
    counts = label_counts(manifest)
    if not grouped:
        return Units(np.arange(len(manifest)), counts)
    numbers, names = pd.factorize(manifest.groups)
    return Units(numbers, count_by(numbers, counts, len(names)))


def label_counts(manifest: Manifest) -> sparse.csr_array:
    """Which labels each clip has, and last whether none: int64 of 0 and 1 (clips, classes + 1)."""
    blocks = []
    for first in range(0, len(manifest), BLOCK_CLIPS):
        block = manifest.select(np.arange(first, min(first + BLOCK_CLIPS, len(manifest))))
        present = block.present() > 0
        if block.has_unknown:
            present &= block.label_weights() > 0
        blocks.append(sparse.csr_array(np.column_stack([present, ~present.any(axis=1)])))
    return sparse.csr_array(sparse.vstack(blocks), dtype=np.int64)


def count_by(numbers: np.ndarray, counts: sparse.csr_array, n_numbers: int) -> sparse.csr_array:
    """Sums of the rows of `counts` that have the same number, from 0: (n_numbers, columns)."""
    n_rows = counts.shape[0]
    ones = np.ones(n_rows, dtype=counts.dtype)
    member = sparse.csr_array((ones, (numbers, np.arange(n_rows))), shape=(n_numbers, n_rows))
    return sparse.csr_array(member @ counts)


def deal(counts: sparse.csr_array, sizes: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal units out so that each side gets its share of every class and of the clips.

    Args:
        counts: clips of each class in each unit, int64 (units, classes); no classes: only sizes are evened out.
        sizes: clips in each unit (units,).
        shares: of the sides, together 1; a side with share 0 gets nothing.
        seed: of the order among equals.

    Returns:
        The side of each unit (units,) int64.

    >>> counts = sparse.csr_array(np.array([[1, 0]] * 6 + [[0, 1]] * 4))
    >>> sides = deal(counts, np.ones(10), (0.5, 0.5), seed=0)
    >>> np.bincount(sides[:6]).tolist(), np.bincount(sides[6:]).tolist()
    ([3, 3], [2, 2])
    """
    generator = np.random.default_rng(seed)
    wanted = np.flatnonzero(shares)
    shares = np.asarray(shares)[wanted]
    held = sparse.csr_array(sparse.hstack([counts, sparse.csr_array(np.asarray(sizes, dtype=np.int64)[:, None])]))
    sides = _deal_equals(held, shares, generator)
    totals = held.sum(axis=0)
    scale = 1 / np.maximum(totals, 1)
    scale[-1] *= np.sqrt(SIZE_WEIGHT)
    held = sparse.csr_array(held.multiply(scale[None, :]))
    dealt = sides >= 0
    # How much too much each side has of each class, as a share of the class; below 0 where it lacks some.
    excess = count_by(sides[dealt], held[dealt], len(shares)).toarray() - np.outer(shares, totals * scale)
    excess += generator.uniform(0, 1e-9, excess.shape)  # ties fall to any side
    rest = generator.permutation(np.flatnonzero(~dealt))
    if len(rest):
        largest = held[rest][:, : counts.shape[1] or 1].max(axis=1).toarray().ravel()
        rest = rest[np.argsort(-largest, kind="stable")]
        starts = [rest] + [generator.permutation(rest) for _ in range(N_MORE_STARTS if len(rest) <= FEW else 0)]
        sides = min((_deal_rest(held, start, sides, excess) for start in starts), key=lambda found: found[1])[0]
    return wanted[sides]


def _deal_equals(held: sparse.csr_array, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Sides (units,) of units that hold the same, in equal parts; -1 for the few left over of each kind."""
    keys = held @ generator.integers(0, 2**63, held.shape[1], dtype=np.uint64)  # a hash: equal for equal rows
    kinds, n_units = np.unique(keys, return_inverse=True, return_counts=True)[1:]
    order = generator.permutation(len(keys))
    order = order[np.argsort(kinds[order], kind="stable")]
    firsts = np.cumsum(n_units) - n_units
    place = np.arange(len(keys)) - np.repeat(firsts, n_units)  # within its kind
    parts = np.floor(np.outer(shares, n_units) + 1e-9).astype(np.int64)
    sides = np.zeros(len(keys), dtype=np.int64)
    for edges in np.cumsum(parts, axis=0):
        sides[order] += place >= np.repeat(edges, n_units)
    return np.where(sides < len(shares), sides, -1)


def _deal_rest(
    held: sparse.csr_array, rest: np.ndarray, sides: np.ndarray, excess: np.ndarray
) -> tuple[np.ndarray, float]:
    """Give each unit of `rest` in turn to the side that needs it most, then move single ones, then swap pairs.

    Returns:
        The sides of all units, and the squared excess that is left over sides and classes.
    """
    sides, excess = sides.copy(), excess.copy()
    indptr, indices, data = held.indptr, held.indices, held.data
    for sweep in range(1 + N_SWEEPS):
        moved = False
        for unit in rest.tolist():
            span = slice(indptr[unit], indptr[unit + 1])
            columns, values = indices[span], data[span]
            before = sides[unit]
            if before >= 0:
                excess[before, columns] -= values
            # The squared excess grows least here: its other terms are the same everywhere.
            side = (excess[:, columns] @ values).argmin()
            excess[side, columns] += values
            if side != before:
                sides[unit] = side
                moved = True
        if sweep and not moved:
            break
    if len(rest) <= MOST_SWAPPED:
        _swap(held[rest].toarray(), rest, sides, excess)
    return sides, float((excess**2).sum())


def _swap(held: np.ndarray, rest: np.ndarray, sides: np.ndarray, excess: np.ndarray) -> None:
    """Swap pairs of the units `rest`, which hold `held` (rest, classes), while it helps; changes in place."""
    norms = (held**2).sum(axis=1)
    for _ in range(N_SWEEPS):
        swapped = False
        for first in range(len(rest)):
            at = sides[rest]
            # Half of what the squared excess grows by if this unit and each other one take each other's place.
            growth = ((excess[at[first]] - excess) @ (held - held[first]).T)[at, np.arange(len(rest))]
            growth += norms + norms[first] - 2 * held @ held[first]
            growth[at == at[first]] = 0.0
            second = int(growth.argmin())
            if growth[second] < -LEAST_GAIN:
                gained = held[second] - held[first]
                excess[at[first]] += gained
                excess[at[second]] -= gained
                sides[rest[[first, second]]] = at[[second, first]]
                swapped = True
        if not swapped:
            return
