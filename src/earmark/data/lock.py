"""Lock: a test split is written once, and every look at it is counted.

Beside the table NAME stand NAME.lock.json, what the test split held when it was written, and NAME.looks.jsonl, a line
for each evaluation on it. Choosing between taggers by their test scores uses the test up, a little with each look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from earmark.data.leakage import hash_contents
from earmark.data.manifest import Manifest
from earmark.errors import ManifestError, RunError
from earmark.run import to_json, write_json

SAID = ("strengths", "negative", "unsure")  # what else than labels decides a score


@dataclass(frozen=True)
class Lock:
    """What a test split was when it was written.

    sha256: of its rows, see `digest_of_test`. n_clips: in it. method, seed: of the split. date: ISO 8601, UTC.
    """

    sha256: str
    n_clips: int
    method: str
    seed: int
    date: str


@dataclass(frozen=True)
class Look:
    """One evaluation on a table's locked test split: when (ISO 8601, UTC), of which tagger file, and what it scored."""

    when: str
    table: str
    tagger: str
    tagger_sha256: str
    metric: str
    value: float


def lock_path(table: Path) -> Path:
    """Where the lock of a table stands."""
    return table.with_name(f"{table.name}.lock.json")


def looks_path(table: Path) -> Path:
    """Where the looks at a table's test split are counted."""
    return table.with_name(f"{table.name}.looks.jsonl")


def digest_of_test(manifest: Manifest, content_hashes: Mapping[str, str]) -> str:
    """Hex SHA-256 of the test rows, whatever their order: clip ids, regions, labels and what the files hold.

    Args:
        content_hashes: of the test rows' files by the manifest's path (`leakage.hash_contents`).
    """
    test = _test_rows(manifest)
    names = ["clip_id", "path", "start", "end", "labels", *(name for name in SAID if name in test.table)]
    rows = [
        to_json([name, content_hashes.get(path, ""), start, end, sorted(labels), *(value for value in said if value)])
        for name, path, start, end, labels, *said in zip(*(test.table[name].tolist() for name in names), strict=True)
    ]
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def make_lock(table: Path, manifest: Manifest, method: str, seed: int, threads: int = 1) -> Lock | None:
    """The lock of a table that is about to be written, None if it has no test split.

    Args:
        method, seed: that the split was made by.
        threads: how many files to read at a time.

    Raises:
        ManifestError: the table is locked with other test rows.
    """
    before = read_lock(table)
    n_clips = int((manifest.splits == "test").sum())
    if not before and not n_clips:
        return None
    digest = _digest(manifest, threads)
    if not before:
        return Lock(digest, n_clips, method, seed, datetime.now(UTC).isoformat(timespec="seconds"))
    if before.sha256 != digest:
        raise ManifestError(
            f"{table}: has a test split of {before.n_clips} clips, locked on {before.date[:10]} ({before.method}, "
            f"seed {before.seed}), which this would change: its scores could no longer be compared. Choose "
            f"another name with --out, or delete {lock_path(table).name} to begin anew."
        )
    return before


def write_lock(table: Path, lock: Lock) -> None:
    """Write a lock beside its table, whole or not at all."""
    write_json(lock_path(table), asdict(lock))


def read_lock(table: Path) -> Lock | None:
    """The lock of a table, None if it has none.

    Raises:
        ManifestError: the lock's file is damaged.
    """
    path = lock_path(table)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Lock(**{field.name: document[field.name] for field in fields(Lock)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path}: is not the lock of a test split ({error!r}). Restore it, or delete it to lock anew."
        ) from error


def verify(table: Path, manifest: Manifest, threads: int = 1) -> Lock | None:
    """Hold a manifest, read from a table, against the table's lock.

    Returns:
        The lock, None if the table has none.

    Raises:
        ManifestError: test rows were added, taken away or changed since: their ids, regions, labels or sounds.
    """
    lock = read_lock(table)
    if lock and lock.sha256 != _digest(manifest, threads):
        n_clips = int((manifest.splits == "test").sum())
        raise ManifestError(
            f"{table}: its test split was changed after it was locked on {lock.date[:10]} ({lock.n_clips} clips then, "
            f"{n_clips} now; ids, regions, labels or sounds differ), so scores on it cannot be compared with earlier "
            f"ones. Restore the rows and files, or make a new split under another name."
        )
    return lock


def count_look(table: Path, tagger: Path, metric: str, value: float) -> tuple[Look, int]:
    """Count an evaluation on a table's test split, beside the table; the look, and how many there are now.

    Args:
        tagger: the file that was scored.
        metric, value: what came out.

    Raises:
        RunError: the look cannot be written down.
    """
    digest = hashlib.sha256(tagger.read_bytes()).hexdigest()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    look = Look(when, table.name, str(tagger), digest, metric, float(value))
    add_look(looks_path(table), look)
    return look, len(read_looks(looks_path(table)))


def add_look(path: Path, look: Look) -> None:
    """Append a look to a file of looks, a line of JSON each.

    Raises:
        RunError: it cannot be written.
    """
    # One write of one line in append mode: processes do not tear each other's lines.
    try:
        with open(path, "ab", buffering=0) as file:
            file.write((to_json(asdict(look)) + "\n").encode())
    except OSError as error:
        raise RunError(
            f"{path}: the look at the test split cannot be counted ({error.strerror}). Make the folder writable."
        ) from error


def read_looks(path: Path) -> list[Look]:
    """The looks in a file, the first one first. A line that a kill cut short counts for none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Look(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def _test_rows(manifest: Manifest) -> Manifest:
    return manifest.select(np.flatnonzero(manifest.splits == "test"))


def _digest(manifest: Manifest, threads: int) -> str:
    return digest_of_test(manifest, hash_contents(_test_rows(manifest), threads))
