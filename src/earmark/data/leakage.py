"""Leaks: sound that stands both in a training side and in the fold held out from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.audio.cache import content_hash
from earmark.data.manifest import Manifest
from earmark.errors import AudioError, ManifestError, summarise_rows

KINDS = {
    "group": "one group in several folds",
    "content": "the same sound in several folds",
    "overlap": "overlapping regions of one file in several folds",
}


@dataclass(frozen=True)
class Leak:
    """Clips that share sound and straddle folds.

    kind: a key of KINDS. what: the group or file they share. clip_ids, folds: the clips and each one's fold.
    """

    kind: str
    what: str
    clip_ids: tuple[str, ...]
    folds: tuple[int, ...]

    def __str__(self) -> str:
        clips = [f"{name} (fold {fold})" for name, fold in zip(self.clip_ids, self.folds, strict=True)]
        more = f" and {len(clips) - 4} more" if len(clips) > 4 else ""
        return f"{KINDS[self.kind]} ('{self.what}'): {', '.join(clips[:4])}{more}"


def find_leaks(manifest: Manifest, content_hashes: Mapping[str, str] | None = None) -> list[Leak]:
    """Everything that straddles the manifest's folds.

    Args:
        manifest: with folds.
        content_hashes: of files by the manifest's path (`hash_contents`), to find copies under other names.

    Returns:
        One Leak per group, then one per chain of overlapping regions of the same sound.
    """
    ids, folds = manifest.clip_ids, manifest.folds
    by_group = defaultdict(list)
    for row, group in enumerate(manifest.table["group"]):
        if group:
            by_group[group].append(row)
    leaks = [_leak("group", group, rows, ids, folds) for group, rows in by_group.items()]
    paths = manifest.table["path"].tolist()
    by_sound = defaultdict(list)
    for row, path in enumerate(paths):
        by_sound[(content_hashes or {}).get(path, path)].append(row)
    starts = manifest.table["start"].to_numpy()
    ends = np.nan_to_num(manifest.table["end"].to_numpy(), nan=np.inf)
    for rows in by_sound.values():
        for chain in _overlapping(rows, starts, ends):
            kind = "overlap" if len({paths[row] for row in chain}) == 1 else "content"
            leaks.append(_leak(kind, paths[chain[0]], chain, ids, folds))
    return [leak for leak in leaks if len(set(leak.folds)) > 1]


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Stop where scores would be too good.

    Raises:
        ManifestError: there are leaks; the text lists them.
    """
    if leaks:
        raise ManifestError(
            f"{len(leaks)} leaks: the same sound would be trained on and held out, and the score too good. "
            "Correct the folds or groups, or pass --allow-leak to go on and have the score marked.\n"
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


def _leak(kind: str, what: str, rows: Sequence[int], ids: np.ndarray, folds: np.ndarray) -> Leak:
    return Leak(kind, what, tuple(ids[row] for row in rows), tuple(int(folds[row]) for row in rows))


def _overlapping(rows: Sequence[int], starts: np.ndarray, ends: np.ndarray) -> list[list[int]]:
    """Chains of rows, all of one sound, in which each overlaps an earlier one; lone rows are left out."""
    chains, reach = [], -np.inf
    for row in sorted(rows, key=lambda row: starts[row]):
        if starts[row] < reach:
            chains[-1].append(row)
        else:
            chains.append([row])
        reach = max(reach, ends[row])
    return [chain for chain in chains if len(chain) > 1]
