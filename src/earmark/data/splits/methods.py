"""The ways to split: each is a function (manifest, shares, seed) -> side of each clip.

`shares` are those of the sides and together 1: five of 0.2 for five folds, (0.8, 0.2) for training and test.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from earmark.data.manifest import Manifest
from earmark.data.splits.dealing import count_by, deal, units_of
from earmark.errors import ManifestError, summarise_rows

# name → function (manifest, shares, seed) -> sides (clips,) int64
SPLITS = {
    "given": "earmark.data.splits.methods:given",
    "random": "earmark.data.splits.methods:random",
    "grouped": "earmark.data.splits.methods:grouped",
    "stratified": "earmark.data.splits.methods:stratified",
    "stratified_grouped": "earmark.data.splits.methods:stratified_grouped",
    "temporal": "earmark.data.splits.methods:temporal",
}
TIME_COLUMNS = ("datetime", "timestamp", "recorded_at", "recorded", "time", "date", "day", "year")
# The date, and perhaps the time, that a recorder puts into a file's name: 20240531_043000, 2024-05-31T04-30-00.
STAMP = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:[T_ -]?([01]\d|2[0-3])[-:]?([0-5]\d)[-:]?([0-5]\d)?)?(?!\d)"
)


def given(manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """The manifest's own folds, whatever their number.

    Raises:
        ManifestError: there is only one.
    """
    if len(manifest.fold_numbers) < 2:
        found = "no clip has a fold" if not manifest.has_folds else f"all are in fold {manifest.fold_numbers[0]}"
        raise ManifestError(
            f"{manifest.root}: {found}, so none can be held out in turn. Give two or more folds, or leave the "
            "column out."
        )
    return manifest.folds


def random(manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """Clips by lot, whatever their class and group. Pieces of one recording land on several sides."""
    return _deal_sizes(np.ones(len(manifest), dtype=np.int64), shares, seed)


def grouped(manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """Whole groups, so that sides have about their share of the clips, whatever the classes."""
    numbers = pd.factorize(manifest.groups)[0]
    return _deal_sizes(np.bincount(numbers), shares, seed)[numbers]


def stratified(manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """Each class spread evenly, clip by clip."""
    return _stratify(manifest, shares, seed, whole_groups=False)


def stratified_grouped(manifest: Manifest, shares: Sequence[float], seed: int) -> np.ndarray:
    """Each class spread evenly, as far as groups, which stay whole, allow."""
    return _stratify(manifest, shares, seed, whole_groups=True)


def temporal(manifest: Manifest, shares: Sequence[float], seed: int, column: str = "") -> np.ndarray:
    """Blocks in the order of time: the first side is the earliest, the last side the latest.

    Groups stay whole and stand where their first clip does; clips of the same time stay together.

    Args:
        column: that holds the time; "" looks for it: a column of dates, else the files' names.

    Raises:
        ManifestError: no time can be found, or there are fewer times than sides.
    """
    groups = pd.Series(pd.factorize(manifest.groups)[0])
    begins = pd.Series(recorded_at(manifest, column)).groupby(groups).transform("min").to_numpy()
    times, at, n_clips = np.unique(begins, return_inverse=True, return_counts=True)
    # A time goes to the side in whose part of the clips its middle lies.
    middles = (np.cumsum(n_clips) - n_clips / 2) / len(manifest)
    sides = np.searchsorted(np.cumsum(shares)[:-1], middles, side="right")
    if len(np.unique(sides)) < np.count_nonzero(shares):
        raise ManifestError(
            f"{manifest.root}: {len(times)} different times cannot be cut into {np.count_nonzero(shares)} blocks of "
            "the sizes wanted without parting a group or clips of one time. Take fewer or larger ones."
        )
    return sides[at]


def recorded_at(manifest: Manifest, column: str = "") -> np.ndarray:
    """When each clip was recorded, as far as their order is concerned (clips,) float64.

    Args:
        column: dates (2024-05-31), dates with times (2024-05-31T04:30:00+02:00), or numbers; "" takes the first of
            TIME_COLUMNS that the manifest has, else what stands in the files' names.

    Raises:
        ManifestError: a clip's time is missing or cannot be read.
    """
    names = {name.lower(): name for name in reversed(manifest.extras)}
    column = column or next((names[name] for name in TIME_COLUMNS if name in names), "")
    values = pd.Series(manifest.column(column) if column else manifest.table["path"], dtype=object)
    distinct = pd.Series(values.unique(), dtype=object)
    times = _read_times(distinct) if column else distinct.map(_stamp).astype(np.float64)
    wrong = distinct[times.isna()].tolist()
    if wrong and column:
        raise ManifestError(
            f"{manifest.root}: {len(wrong)} values of column '{column}' are no times (expected dates such as "
            "2024-05-31 or 2024-05-31T04:30, or numbers). Correct them, or take another column with "
            f"temporal:COLUMN.\n{summarise_rows([repr(value) for value in wrong])}"
        )
    if wrong:
        raise ManifestError(
            f"{manifest.root}: {len(wrong)} files have no date in their names and the table no column "
            f"{', '.join(TIME_COLUMNS)}. Add one, or name another with temporal:COLUMN.\n{summarise_rows(wrong)}"
        )
    return values.map(dict(zip(distinct, times, strict=True))).to_numpy(dtype=np.float64)


def _deal_sizes(sizes: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Sides of units (units,) that differ in nothing but their number of clips."""
    return deal(sparse.csr_array((len(sizes), 0), dtype=np.int64), sizes, shares, seed)


def _stratify(manifest: Manifest, shares: Sequence[float], seed: int, whole_groups: bool) -> np.ndarray:
    """Sides of clips, evenly by class; where part of them is noisy, the curated ones evenly, and the noisy ones."""
    units = units_of(manifest, whole_groups)
    noisy = manifest.column("subset") == "noisy"
    counts = units.counts
    if noisy.any() and not noisy.all():
        of_noisy = units_of(manifest.select(noisy), grouped=False).counts
        of_noisy = count_by(units.of_clips[noisy], of_noisy, counts.shape[0])
        counts = sparse.csr_array(sparse.hstack([counts - of_noisy, of_noisy]))
        counts.eliminate_zeros()
    return deal(counts, units.sizes, shares, seed)[units.of_clips]


def _read_times(values: pd.Series) -> pd.Series:
    """Numbers, or seconds since 1970 of ISO 8601 texts; nan where a value is neither. All must be of one kind."""
    numbers = pd.to_numeric(values, errors="coerce")
    if not numbers.isna().any():
        return numbers.astype(np.float64)
    moments = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    return (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def _stamp(path: str) -> float:
    """The date and time in a file's name as a number that grows with it, nan if there is none."""
    match = STAMP.search(path.rpartition("/")[2])
    if not match:
        return float("nan")
    year, _, month, day, *clock = match.groups(default="00")
    return float("".join([year, month, day, *clock]))
