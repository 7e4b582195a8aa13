"""Sounds decoded and resampled once, kept as memory-mapped float32 files named by content and rate.

Beside them stands what was computed of a sound and is slow to compute again, such as embeddings.

float32, bit for bit what `audio.load` gives: what is trained on is what a tagger will hear (docs/decisions/0014).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from earmark.audio import decode
from earmark.audio.probe import require_file
from earmark.errors import AudioError, ConfigError, RunError
from earmark.run import write_atomically

ENTRY_SUFFIX = ".v3.npy"  # raise the number when decoding changes
ENTRIES = "*.v*.npy"  # those of earlier versions too: nobody reads them, so they are the first to go
BLOCK_SECONDS = 10.0
SETTLED_SECONDS = 2.0  # a file changed more recently than this may change again without its time showing it


def default_folder() -> Path:
    """$EARMARK_CACHE, else `earmark` in the user's cache folder of the platform."""
    if chosen := os.environ.get("EARMARK_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "earmark"


def default_bytes() -> int:
    """$EARMARK_CACHE_GB in bytes, else 20 GB.

    Raises:
        ConfigError: the variable is no number.
    """
    given = os.environ.get("EARMARK_CACHE_GB", "20")
    try:
        return int(float(given) * 1e9)
    except ValueError as error:
        raise ConfigError(f"EARMARK_CACHE_GB: found '{given}', expected a number of gigabytes. Correct it.") from error


def content_hash(path: str | Path) -> str:
    """What a file holds, in 40 hexadecimal digits (BLAKE2b of its bytes).

    Raises:
        AudioError: the file cannot be read.
    """
    require_file(Path(path))
    digest = hashlib.blake2b(digest_size=20)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    return digest.hexdigest()


class Cache:
    """A folder of decoded sounds. Processes may share it: every file in it appears whole or not at all.

    Args:
        folder: default `default_folder()`; made when first written to.
        max_bytes: when the entries exceed this, those used longest ago go, but never one that this object
            has given out.
    """

    def __init__(self, folder: str | Path | None = None, max_bytes: int | None = None):
        self.folder = Path(folder) if folder else default_folder()
        self.max_bytes = default_bytes() if max_bytes is None else max_bytes
        self._bytes: int | None = None  # of all entries, once counted
        self._in_use: set[str] = set()
        self._known: dict[str, tuple[int, int, str]] | None = None  # path → size, mtime_ns, content hash

    def __repr__(self) -> str:
        return f"Cache({self.folder}, at most {self.max_bytes / 1e9:g} GB)"

    def waveform(self, path: str | Path, sample_rate: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
        """A sound at `sample_rate`, decoded only if the cache does not hold it.

        Args:
            path, sample_rate, start, end: as for `audio.load`; a region is a slice of the whole file's entry.

        Returns:
            Read-only memory map, float32 (samples,).

        Raises:
            AudioError: the file or the region cannot be read.
            ConfigError: the cache folder cannot be written to.
        """
        path = Path(path)
        entry = self._entry(path, str(sample_rate))
        self._use(entry)
        try:
            samples = np.load(entry, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # not there, or not what this module wrote
            self._fill(entry, lambda temporary: _write_sound(path, temporary, sample_rate))
            self._evict()
            samples = np.load(entry, mmap_mode="r")
        if not start and end is None:
            return samples
        first, stop = decode.region_samples(path, start, end, len(samples), sample_rate)
        return samples[first:stop]

    def blocks(
        self, path: str | Path, sample_rate: int, start: float = 0.0, end: float | None = None
    ) -> Iterator[np.ndarray]:
        """The blocks of `audio.blocks`, bit for bit: a whole file from the cache, a region from the file.

        (A region of the whole was resampled in its surroundings, not alone.)

        Raises:
            AudioError: the file or the region cannot be read.
            ConfigError: the cache folder cannot be written to.
        """
        if start or end is not None:
            yield from decode.blocks(path, sample_rate, start, end)
            return
        samples = self.waveform(path, sample_rate)
        longest = round(BLOCK_SECONDS * sample_rate)
        for first in range(0, len(samples), longest):
            yield np.asarray(samples[first : first + longest])

    def array(self, path: str | Path, kind: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What is computed of a file, computed only if the cache does not hold it.

        Args:
            path: the file, known by its content.
            kind: what is computed and by what, as part of a file name.
            make: computes it: an array without Python objects.

        Returns:
            In memory, what `make` gave now or earlier.

        Raises:
            AudioError: the file cannot be read.
            ConfigError: the cache folder cannot be written to.
        """
        entry = self._entry(Path(path), kind)
        try:
            kept = np.load(entry)
        except (OSError, ValueError, EOFError):  # not there, or not what this module wrote
            made = make()
            self._fill(entry, lambda temporary: _write_array(temporary, made))
            self._evict()
            return made
        with contextlib.suppress(OSError):  # a cache that may only be read
            os.utime(entry)
        return kept

    def prepare(
        self,
        paths: Iterable[str | Path],
        sample_rate: int,
        threads: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[tuple[Path, str]]:
        """Fill the cache with many sounds.

        Args:
            paths: sound files; repeated ones are read once.
            sample_rate: Hz.
            threads: how many decode at a time.
            progress: called with (done, total) after each file.

        Returns:
            Failures in the order of `paths`: the path and the reason it cannot be read.
        """
        unique = list(dict.fromkeys(Path(path) for path in paths))

        def fill(path: Path) -> str | None:
            try:
                entry = self._entry(path, str(sample_rate))
                self._use(entry)
                if not entry.exists():
                    self._fill(entry, lambda temporary: _write_sound(path, temporary, sample_rate))
            except AudioError as error:
                return str(error)
            return None

        failures = []
        with ThreadPoolExecutor(threads) as pool:
            for done, (path, reason) in enumerate(zip(unique, pool.map(fill, unique), strict=True), start=1):
                if reason is not None:
                    failures.append((path, reason))
                if progress:
                    progress(done, len(unique))
        self._evict()
        return failures

    def content_hash(self, path: str | Path) -> str:
        """As the function `content_hash`, but remembered while the file's size and time stay the same."""
        path = Path(path)
        status = require_file(path)
        if self._known is None:
            self._known = self._read_index()
        name = os.path.abspath(path)
        size, mtime, known = self._known.get(name, (0, 0, ""))
        if known and (size, mtime) == (status.st_size, status.st_mtime_ns):
            return known
        digest = content_hash(path)
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._known[name] = (status.st_size, status.st_mtime_ns, digest)
            line = json.dumps([name, *self._known[name]]) + "\n"
            # One write of one line in append mode: processes do not tear each other's lines. A cache that
            # may only be read forgets, and hashes again the next time.
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                with open(self._index, "ab", buffering=0) as file:
                    file.write(line.encode())
        return digest

    def n_bytes(self) -> int:
        """Size of all entries, in bytes."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> int:
        """Delete all entries, whoever uses them, and what is remembered; returns the bytes freed."""
        freed = 0
        for _, size, entry in self._entries():
            if _delete(entry):
                freed += size
        _delete(self._index)
        self._known, self._bytes = None, None
        self._in_use.clear()
        return freed

    @property
    def _index(self) -> Path:
        return self.folder / "content-hashes.jsonl"

    def _entry(self, path: Path, kind: str) -> Path:
        """Where the sound decoded at a rate, or another thing made of it, stands or will stand."""
        return self.folder / f"{self.content_hash(path)}-{kind}{ENTRY_SUFFIX}"

    def _entries(self) -> list[tuple[int, int, Path]]:
        """(time last used in ns, bytes, file) of each entry, the one used longest ago first."""
        found = []
        for entry in self.folder.glob(ENTRIES):
            with contextlib.suppress(FileNotFoundError):  # another process has deleted it
                status = entry.stat()
                found.append((status.st_mtime_ns, status.st_size, entry))
        return sorted(found)

    def _use(self, entry: Path) -> None:
        """Mark an entry as used lately and not to be evicted, once per object."""
        if entry.name not in self._in_use:
            with contextlib.suppress(OSError):  # not there yet, or a cache that may only be read
                os.utime(entry)
            self._in_use.add(entry.name)

    def _fill(self, entry: Path, write: Callable[[Path], int]) -> None:
        """Let `write` write the entry, whole or not at all; it returns the bytes written."""
        try:
            with write_atomically(entry) as temporary:
                written = write(temporary)
        except (OSError, RunError) as error:
            reason = getattr(error.__cause__ or error, "strerror", None) or error
            raise ConfigError(
                f"{self.folder}: the cache cannot be written to ({reason}). Set EARMARK_CACHE to a folder that can."
            ) from error
        if self._bytes is not None:
            self._bytes += written

    def _evict(self) -> None:
        """Delete entries used longest ago until the rest fits, with a tenth to spare."""
        if self._bytes is None:
            self._bytes = self.n_bytes()
        if self._bytes <= self.max_bytes:
            return
        entries = self._entries()
        self._bytes = sum(size for _, size, _ in entries)
        for _, size, entry in entries:
            if self._bytes <= 0.9 * self.max_bytes:
                return
            if entry.name not in self._in_use and _delete(entry):
                self._bytes -= size

    def _read_index(self) -> dict[str, tuple[int, int, str]]:
        """The remembered hashes; the last line about a path holds, and a damaged line counts for nothing."""
        known = {}
        try:
            lines = self._index.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return known
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                name, size, mtime, digest = json.loads(line)
                known[name] = (size, mtime, digest)
        return known


def _write_sound(path: Path, target: Path, sample_rate: int) -> int:
    """Decode `path` into a .npy file; returns its size in bytes."""
    with open(target, "wb") as file:
        _write_header(file, 0)
        n_samples = 0
        for block in decode.blocks(path, sample_rate):
            file.write(block.astype("<f4", copy=False).tobytes())
            n_samples += len(block)
        size = file.tell()
        file.seek(0)
        _write_header(file, n_samples)  # numpy leaves room in it for any length, so its size is the same
    return size


def _write_array(target: Path, array: np.ndarray) -> int:
    """Write a .npy file whatever its name; returns its size in bytes."""
    with open(target, "wb") as file:
        np.save(file, array, allow_pickle=False)
        return file.tell()


def _write_header(file, n_samples: int) -> None:
    """The .npy header of a row of samples."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n_samples,)})


def _delete(entry: Path) -> bool:
    """Delete a file; False where the platform forbids it because it is mapped, or it is gone."""
    try:
        entry.unlink()
    except OSError:
        return False
    return True
