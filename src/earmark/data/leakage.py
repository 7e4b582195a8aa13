"""Leaks: sound that stands on two sides of a split, in training and in what is held out from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from earmark.audio.cache import content_hash
from earmark.data.manifest import Manifest
from earmark.data.matches import SURE, Match, clusters
from earmark.errors import AudioError, ManifestError, summarise_rows

# kind → what it means. Other programs read the kinds: keep them.
KINDS = {
    "group": "one group on several sides",
    "file": "one file on several sides",
    "content": "copies of one file on several sides",
    "overlap": "overlapping regions of one file on several sides",
    "recording": "one recording, encoded or cut differently, on several sides",
    "likeness": "perhaps one recording on several sides",
}
UNCERTAIN = ("likeness",)


@dataclass(frozen=True)
class Leak:
    """Clips that share sound and straddle sides.

    kind: a key of KINDS. what: the group or file they share. clip_ids, sides: the clips and where each stands, such
    as "fold 3" (`Manifest.sides`).
    """

    kind: str
    what: str
    clip_ids: tuple[str, ...]
    sides: tuple[str, ...]

    @property
    def certain(self) -> bool:
        """Whether it must stop a run; the others only warn."""
        return self.kind not in UNCERTAIN

    def __str__(self) -> str:
        clips = [f"{name} ({side})" for name, side in zip(self.clip_ids, self.sides, strict=True)]
        more = f" and {len(clips) - 4} more" if len(clips) > 4 else ""
        return f"{KINDS[self.kind]} ('{self.what}'): {', '.join(clips[:4])}{more}"


def find_leaks(
    manifest: Manifest, content_hashes: Mapping[str, str] | None = None, matches: Sequence[Match] = ()
) -> list[Leak]:
    """Everything that straddles the manifest's sides: its folds, its validation and test split.

    Args:
        manifest: with folds or splits.
        content_hashes: of files by the manifest's path (`hash_contents`), to find copies under other names.
        matches: of the clips' fingerprints, by their positions in the manifest (`find_matches`), to find copies that
            are encoded or cut differently.

    Returns:
        One Leak per group, then per chain of overlapping regions of the same sound, then per recording, then per
        pair that is only alike. What one leak has listed whole, a later one does not repeat.
    """
    sides = pd.factorize(manifest.sides)[0]
    groups = manifest.column("group")
    paths = manifest.table["path"]
    content = paths if content_hashes is None else paths.map(lambda path: content_hashes.get(path, path))
    found = [("group", groups[rows[0]], rows) for rows in _rows_by(pd.factorize(groups)[0], sides) if groups[rows[0]]]
    for chain in _overlapping(manifest, pd.factorize(content)[0], sides):
        found.append((_kind_of(manifest, chain), paths.iloc[chain[0]], chain))
    known = [set(rows) for _, _, rows in found]
    sure = [match for match in matches if match.score >= SURE]
    for rows in _rows_by(clusters(len(manifest), sure), sides) if sure else ():
        found.append(("recording", paths.iloc[rows[0]], rows))
    for match in matches:
        if match.score < SURE and sides[match.first] != sides[match.second]:
            found.append(("likeness", paths.iloc[match.first], [match.first, match.second]))
    fresh = [*found[: len(known)], *_unlisted(found[len(known) :], known)]
    ids, names = manifest.clip_ids, manifest.sides
    return [Leak(kind, what, tuple(ids[rows]), tuple(names[rows])) for kind, what, rows in fresh]


def _kind_of(manifest: Manifest, chain: Sequence[int]) -> str:
    """What rows are that overlap in one sound: one file (or the same region of it), regions of it, or copies."""
    table = manifest.table.iloc[list(chain)]
    if table["path"].nunique() > 1:
        return "content"
    return "file" if len(table[["start", "end"]].drop_duplicates()) == 1 else "overlap"


def same_sound(manifest: Manifest, content_hashes: Mapping[str, str]) -> np.ndarray:
    """Number of each clip's cluster (clips,) int: those that hold overlapping regions of the same content."""
    content = manifest.table["path"].map(lambda path: content_hashes.get(path, path))
    numbers = np.arange(len(manifest))
    for chain in _overlapping(manifest, pd.factorize(content)[0], np.arange(len(manifest))):
        numbers[chain] = chain[0]
    return numbers


def refuse_leaks(leaks: Iterable[Leak]) -> None:
    """Stop where scores would surely be too good.

    Raises:
        ManifestError: there are certain leaks; the text lists them.
    """
    leaks = [leak for leak in leaks if leak.certain]
    if leaks:
        raise ManifestError(
            f"{len(leaks)} leak{'s' if len(leaks) > 1 else ''}: the same sound would be trained on and held out, "
            "and the score too good. Draw folds that keep copies together (`earmark split DATA --method "
            "stratified_grouped --out NEW.csv`), correct yours, or pass --allow-leak to go on and have the score "
            "marked.\n"
            f"{summarise_rows([str(leak) for leak in leaks])}"
        )


def hash_contents(
    manifest: Manifest, threads: int = 1, hash_file: Callable[[Path], str] = content_hash
) -> dict[str, str]:
    """Content hash of each file by the manifest's path; files that cannot be read are left out.

    Args:
        hash_file: `Cache.content_hash` spares reading what the cache has hashed before.
    """

    def hash_or_none(path: str) -> str | None:
        try:
            return hash_file(manifest.root / path)
        except AudioError:
            return None

    paths = manifest.table["path"].unique().tolist()
    with ThreadPoolExecutor(threads) as pool:
        digests = list(pool.map(hash_or_none, paths))
    return {path: digest for path, digest in zip(paths, digests, strict=True) if digest}


def _rows_by(numbers: np.ndarray, sides: np.ndarray) -> list[list[int]]:
    """The rows (ascending) of each number that has rows on several sides, in the order in which they begin."""
    order = np.argsort(numbers, kind="stable")
    firsts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    low, high = np.minimum.reduceat(sides[order], firsts), np.maximum.reduceat(sides[order], firsts)
    stops = np.append(firsts[1:], len(order))
    straddling = [order[firsts[run] : stops[run]].tolist() for run in np.flatnonzero(low != high)]
    return sorted(straddling, key=lambda rows: rows[0])


def _overlapping(manifest: Manifest, sounds: np.ndarray, sides: np.ndarray) -> Iterator[list[int]]:
    """Chains of rows on several sides, all of one sound, in which each overlaps an earlier one."""
    starts = manifest.table["start"].to_numpy()
    ends = np.nan_to_num(manifest.table["end"].to_numpy(), nan=np.inf)
    for rows in _rows_by(sounds, sides):
        chain, reach = [], -np.inf
        for row in [*sorted(rows, key=lambda row: starts[row]), None]:
            if row is None or starts[row] >= reach:
                if len(set(sides[chain])) > 1:
                    yield chain
                chain = []
            if row is not None:
                chain.append(row)
                reach = max(reach, ends[row])


def _unlisted(found: list[tuple[str, str, list[int]]], known: list[set[int]]) -> list[tuple[str, str, list[int]]]:
    """Those leaks whose rows no one of the known ones, nor one before, holds all."""
    holders: dict[int, list[int]] = {}
    lists = list(known)
    for number, rows in enumerate(lists):
        for row in rows:
            holders.setdefault(row, []).append(number)
    fresh = []
    for kind, what, rows in found:
        if not any(lists[number].issuperset(rows) for number in holders.get(rows[0], ())):
            fresh.append((kind, what, rows))
            for row in rows:
                holders.setdefault(row, []).append(len(lists))
            lists.append(set(rows))
    return fresh
