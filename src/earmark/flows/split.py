"""The story of `earmark split`: groups, a test split that is locked, folds, how even they are, and who straddles."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from earmark import audio
from earmark.audio.cache import Cache, content_hash
from earmark.data.corpora.official import own_leaks
from earmark.data.fingerprint import RATE, Fingerprint, FingerprintStream
from earmark.data.grouping import Offer, groups_by_column, groups_by_pattern, merge_groups, offer_patterns
from earmark.data.leakage import Leak, find_leaks, same_sound
from earmark.data.lock import Lock, make_lock, write_lock
from earmark.data.manifest import Manifest
from earmark.data.matches import LIKELY, SURE, Match, clusters, find_matches
from earmark.data.splits import choose_folds, split_test
from earmark.errors import AudioError, ConfigError, ManifestError

log = logging.getLogger("earmark")

Progress = Callable[[int, int], None]
# (file, second) → sample rate of what follows, and its blocks from that second on
Read = Callable[[Path, float], tuple[int, Iterator[np.ndarray]]]


@dataclass(frozen=True)
class Heard:
    """What one pass over all files gave.

    hashes: content hash of each file by the manifest's path. fingerprints: of each clip, None where it cannot be read.
    unread: (path, reason) of what cannot.
    """

    hashes: dict[str, str]
    fingerprints: list[Fingerprint | None]
    unread: list[tuple[str, str]]


@dataclass(frozen=True)
class Audit:
    """Leaks among a manifest's sides, and (path, reason) of files that could not be listened to."""

    leaks: list[Leak]
    unread: list[tuple[str, str]]

    @property
    def certain(self) -> list[Leak]:
        """Those that must be mended."""
        return [leak for leak in self.leaks if leak.certain]


@dataclass(frozen=True)
class Grouping:
    """Where groups come from, next to those that the table names.

    column: of the table. regex: on the path. duplicates: clips with the same sound belong together.
    """

    column: str = ""
    regex: str = ""
    duplicates: bool = True


@dataclass(frozen=True)
class Shares:
    """What is wanted: shares of the clips for test and validation, and the number of folds of the rest (0 = none)."""

    test: float = 0.0
    validation: float = 0.0
    n_folds: int = 5


@dataclass(frozen=True)
class Split:
    """A finished split.

    manifest: with split, folds and groups. done: sentences that say what was done. offers: patterns in file names,
    where there are no groups. unread: (path, reason) of files that could not be listened to. lock: of the test split.
    """

    manifest: Manifest
    done: list[str]
    offers: list[Offer]
    unread: list[tuple[str, str]]
    lock: Lock | None


def split(
    manifest: Manifest,
    shares: Shares,
    *,
    out: Path | None = None,
    method: str | None = None,
    grouping: Grouping | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Split:
    """Split a data set, and write it as a table with columns split, fold and group; the test split is locked.

    Args:
        out: the table; None writes nothing.
        method: a key of SPLITS for the test split and the folds; None keeps what the manifest has, and else takes
            stratified, grouped if there are groups.
        threads: how many files to read at a time.
        progress: called with (done, total) clips while they are listened to for duplicates.

    Raises:
        ManifestError: it cannot be split so, or `out` is locked with another test split.
    """
    manifest, unread = regroup(manifest, grouping or Grouping(), threads, progress)
    done, test_method = [], "given"
    if shares.test or shares.validation:
        manifest, test_method = split_test(manifest, shares.test, seed, method, shares.validation)
    if (manifest.splits != "").any():
        done.append(_describe_splits(manifest, test_method))
    if shares.n_folds:
        manifest, fold_method, how = choose_folds(manifest, shares.n_folds, seed, method)
        done.append(how)
        done += _describe_leaks(manifest) if fold_method == "given" else []
    lock = write(manifest, out, test_method, seed, threads) if out else None
    named = (manifest.column("group") != "").any()
    offers = [] if named else offer_patterns(manifest.table["path"], manifest.table["labels"])
    return Split(manifest, done, offers, unread, lock)


def regroup(
    manifest: Manifest, grouping: Grouping, threads: int = 1, progress: Progress | None = None
) -> tuple[Manifest, list[tuple[str, str]]]:
    """The manifest in the groups that are wanted, and (path, reason) of files that could not be listened to.

    Raises:
        ConfigError: a column and a pattern are given. ManifestError: they make no groups.
    """
    if grouping.column and grouping.regex:
        raise ConfigError("groups come from a column or from a pattern, and both were given. Take one.")
    if grouping.column:
        manifest = groups_by_column(manifest, grouping.column)
    if grouping.regex:
        manifest = groups_by_pattern(manifest, grouping.regex)
    if not grouping.duplicates:
        return manifest, []
    heard = listen(manifest, threads, progress)
    matches = find_matches(heard.fingerprints, SURE, threads=threads)
    return group_duplicates(manifest, heard.hashes, matches), heard.unread


def group_duplicates(manifest: Manifest, hashes: Mapping[str, str], matches: Sequence[Match]) -> Manifest:
    """The manifest with the groups joined that share a sound: overlapping regions of one content, or by fingerprint
    surely a recording. Clips without a group are joined by their file's content, whatever the region.

    Args:
        hashes: content hash of each file by the manifest's path.
        matches: of the clips' fingerprints.
    """
    contents = manifest.table["path"].map(lambda path: hashes.get(path, path))
    ungrouped = contents.where(manifest.table["group"] == "", manifest.table["clip_id"])
    merged = merge_groups(manifest, pd.factorize(ungrouped)[0])
    merged = merge_groups(merged, same_sound(manifest, hashes))
    merged = merge_groups(merged, clusters(len(manifest), [match for match in matches if match.score >= SURE]))
    n_before, n_after = (len(set(one.groups)) for one in (manifest, merged))
    if n_after < n_before:
        log.info("copies of one recording are one group: %d groups (or single files) became %d", n_before, n_after)
    return merged


def audit(manifest: Manifest, threads: int = 1, progress: Progress | None = None) -> Audit:
    """Everything that straddles a manifest's folds and splits: groups, copies, overlaps, recordings, likeness.

    Args:
        threads: how many files to read at a time.
        progress: called with (done, total) clips.

    Raises:
        ManifestError: all clips are on one side.
    """
    if len(set(manifest.sides)) < 2:
        raise ManifestError(
            f"{manifest.root}: has no folds and no test split, so nothing can straddle them. Give a table with a "
            "column 'fold' or 'split', or split it without --audit."
        )
    heard = listen(manifest, threads, progress)
    matches = find_matches(heard.fingerprints, LIKELY, threads=threads)
    return Audit(find_leaks(manifest, heard.hashes, matches), heard.unread)


def listen(
    manifest: Manifest,
    threads: int = 1,
    progress: Progress | None = None,
    hash_file: Callable[[Path], str] = content_hash,
    read: Read | None = None,
) -> Heard:
    """Hash every file and fingerprint every clip, each file being decoded once.

    Args:
        threads: how many files to read at a time.
        progress: called with (done, total) clips.
        hash_file: `Cache.content_hash` spares reading what the cache has hashed before.
        read: sample rate and blocks of a file from a second on; None = decoded at the file's own rate.
    """
    rows_of = defaultdict(list)
    for row, path in enumerate(manifest.table["path"].tolist()):
        rows_of[path].append(row)
    starts = manifest.table["start"].to_numpy()
    ends = np.nan_to_num(manifest.table["end"].to_numpy(), nan=np.inf)

    def hear(path: str) -> tuple[str | None, list[Fingerprint | None], str]:
        rows = rows_of[path]
        found: list[Fingerprint | None] = [None] * len(rows)
        digest = None
        try:
            digest = hash_file(manifest.root / path)
            regions = [(starts[row], ends[row]) for row in rows]
            for number, fingerprint in _fingerprints(manifest.root / path, regions, read or _decoded):
                found[number] = fingerprint
        except AudioError as error:
            return digest, found, str(error)
        return digest, found, ""

    hashes, unread, done = {}, [], 0
    fingerprints: list[Fingerprint | None] = [None] * len(manifest)
    pool = ThreadPoolExecutor(threads)
    try:
        for path, (digest, found, reason) in zip(rows_of, pool.map(hear, rows_of), strict=True):
            if digest:
                hashes[path] = digest
            if reason:
                unread.append((path, reason))
            for row, fingerprint in zip(rows_of[path], found, strict=True):
                fingerprints[row] = fingerprint
            done += len(found)
            if progress:
                progress(done, len(manifest))
    finally:
        pool.shutdown(cancel_futures=True)  # left early (Ctrl-C), it does not go on with all other files
    return Heard(hashes, fingerprints, unread)


def kept(cache: Cache, sample_rate: int) -> Read | None:
    """How `listen` reads sounds that a cache keeps at a rate; None where that is too low for fingerprints."""

    def read(path: Path, start: float) -> tuple[int, Iterator[np.ndarray]]:
        return sample_rate, cache.blocks(path, sample_rate, start)

    return read if sample_rate >= RATE else None


def write(manifest: Manifest, out: Path, method: str, seed: int, threads: int = 1) -> Lock | None:
    """Write the table, and lock its test split if it has one.

    Raises:
        ManifestError: it is locked with another test split.
    """
    lock = make_lock(out, manifest, method, seed, threads)
    manifest.write(out)
    if lock:
        write_lock(out, lock)
    return lock


def _decoded(path: Path, start: float) -> tuple[int, Iterator[np.ndarray]]:
    rate = audio.probe(path).sample_rate
    return rate, audio.blocks(path, rate, start)


def _fingerprints(
    path: Path, regions: Sequence[tuple[float, float]], read: Read
) -> Iterator[tuple[int, Fingerprint]]:
    """(number of the region, its fingerprint) for regions in seconds, of one pass over the file.

    Raises:
        AudioError: the file is damaged; what ends before the damage has been yielded.
    """
    waiting = sorted(range(len(regions)), key=lambda number: regions[number][0], reverse=True)
    streams: dict[int, FingerprintStream] = {}
    first = min(start for start, _ in regions)
    rate, blocks = read(path, first)
    position = round(first * rate)
    for block in blocks:
        stop = position + len(block)
        while waiting and regions[waiting[-1]][0] * rate < stop:
            streams[waiting.pop()] = FingerprintStream(rate)
        for number, stream in list(streams.items()):
            start, end = (edge * rate for edge in regions[number])
            stream.push(block[max(0, round(start) - position) : None if end > stop else round(end) - position])
            if end <= stop:
                yield number, streams.pop(number).finish()
        position = stop
        if not waiting and not streams:
            return
    yield from ((number, stream.finish()) for number, stream in streams.items())


def _describe_leaks(manifest: Manifest) -> list[str]:
    """What groups that folds given in the data tear apart mean for training, and the way out; nothing without any."""
    leaks = find_leaks(manifest)
    if not leaks:
        return []
    told = f"{len(leaks)} leak{'s' if len(leaks) > 1 else ''} in these folds, such as {leaks[0]}."
    if own_leaks(manifest, leaks):
        return [f"{told} `earmark train` will refuse them: --method stratified_grouped draws folds without."]
    return [f"{told} They are a publisher's and kept; --method stratified_grouped draws folds without."]


def _describe_splits(manifest: Manifest, method: str) -> str:
    """The sentence for the log: how many clips each split has, and how it was made."""
    splits = manifest.splits
    names = [name for name in ("train", "validation", "test") if (splits == name).any()]
    sizes = ", ".join(f"{name} {(splits == name).sum()} clips ({(splits == name).mean():.1%})" for name in names)
    n_groups = f", {len(set(manifest.groups))} groups kept whole" if method.endswith(("grouped", "temporal")) else ""
    how = "given in the data" if method == "given" else method.replace("_", " ")
    return f"{sizes}; {how}{n_groups}."
