"""Getting a public data set: downloaded or found here, checked, and its manifest written."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from earmark.data.corpora.corpus import Archive, Corpus, verify
from earmark.data.lock import make_lock, write_lock
from earmark.data.manifest import Manifest
from earmark.errors import FetchError, ManifestError
from earmark.fetch import fetch, is_archive, unpack
from earmark.fetch import verify as verify_file

log = logging.getLogger(__name__)

DOWNLOADS = "archives"  # folder of what is not unpacked yet, and of checksums noted


def get(
    corpus: Corpus, root: Path, *, local: Path | None = None, progress: Callable[[int], None] | None = None
) -> Path:
    """Have a public data set below `root`, and its manifest there.

    What is there already is not fetched again; what a broken run left is gone on with. Archives that were downloaded
    are removed as soon as they are unpacked.

    Args:
        corpus: which.
        root: folder for data sets; the sounds go to its folder `corpus.folder`.
        local: a copy of this machine: a folder with the data set, which is read where it is; or a folder with its
            archives, or its one archive, which are unpacked below `root`.
        progress: told bytes downloaded.

    Returns:
        The manifest, `root`/NAME.csv, with the official folds or splits and groups; a test split is locked.

    Raises:
        FetchError: an archive cannot be had, or is not the one published.
        ManifestError: files, rows or classes are missing.
    """
    home = root / corpus.folder
    if local is None:
        _download(corpus, home, progress or (lambda done: None))
    else:
        home = _adopt(corpus, home, local)
    manifest = read(corpus, home)
    table = root / f"{corpus.name}.csv"
    lock = make_lock(table, manifest, "published", seed=0)
    manifest.write(table)
    if lock:
        write_lock(table, lock)
    log.info("%s: %d clips, %d classes → %s", corpus.title, len(manifest), len(manifest.vocabulary), table)
    return table


def read(corpus: Corpus, root: Path) -> Manifest:
    """The clips of a public data set that lies in `root`, or up to two folders below.

    Raises:
        ManifestError: it is not there, or files, rows or classes are missing.
    """
    rows = corpus.read(root)
    verify(corpus, rows)
    return Manifest.build(
        rows.home,
        rows.paths,
        rows.labels,
        folds=rows.folds or None,
        groups=rows.groups,
        splits=rows.splits,
        subsets=rows.subsets,
        extras={name: texts for name, texts in rows.extras.items() if any(texts)},
    )


def _units(corpus: Corpus) -> Iterator[tuple[str, list[Archive], Archive]]:
    """Archives that belong together: the folder they become, all of them, and the one to unpack."""
    for folder, archives in groupby(corpus.archives, lambda archive: archive.folder):
        parts = list(archives)
        yield folder, parts, next(archive for archive in parts if is_archive(archive.name))


def _download(corpus: Corpus, home: Path, progress: Callable[[int], None]) -> None:
    """Fetch and unpack what is not there yet."""
    done = 0
    for folder, parts, opening in _units(corpus):
        if (home / folder).is_dir():
            done += sum(archive.n_bytes or 0 for archive in parts)
        else:
            _refuse_full_disk(corpus, home, corpus.n_bytes - done)
            for archive in parts:
                done += _fetch(archive, home, lambda now, before=done: progress(before + now))
            log.info("unpacking %s", opening.name)
            unpack(home / DOWNLOADS / opening.name, home / folder)
        for archive in parts:
            (home / DOWNLOADS / archive.name).unlink(missing_ok=True)


def _fetch(archive: Archive, home: Path, progress: Callable[[int], None]) -> int:
    """Fetch one archive; its length in bytes."""
    log.info("fetching %s", archive.url)
    path = fetch(
        archive.url,
        home / DOWNLOADS / archive.name,
        sha256=archive.sha256,
        md5=archive.md5,
        n_bytes=archive.n_bytes,
        progress=lambda done, _: progress(done),
    )
    n_bytes = path.stat().st_size
    progress(n_bytes)
    return n_bytes


def _refuse_full_disk(corpus: Corpus, home: Path, needed: int) -> None:
    """Say early that what is still to come will not fit."""
    there = next(folder for folder in (home, *home.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise FetchError(
            f"{home}: {corpus.title} needs {needed / 1e9:.1f} GB more and some to unpack it, and the disk has "
            f"{free / 1e9:.1f} GB free. Make room, or choose another --root."
        )


def _adopt(corpus: Corpus, home: Path, local: Path) -> Path:
    """The folder of a copy of this machine, unpacked to `home` if it is archives."""
    if local.is_dir():
        present = [archive for archive in corpus.archives if (local / archive.name).is_file()]
        try:
            return corpus.read(local).home
        except ManifestError:
            if not present:
                raise
        missing = [archive.name for archive in corpus.archives if archive not in present]
        if missing:
            raise ManifestError(
                f"{local}: holds archives of {corpus.title}, but not {', '.join(missing)}. Put them there too."
            )
        paths = {archive.name: local / archive.name for archive in corpus.archives}
    elif local.is_file() and len(corpus.archives) == 1:
        paths = {corpus.archives[0].name: local}
    elif local.is_file():
        raise ManifestError(
            f"{local}: is one file, but {corpus.title} comes in {len(corpus.archives)} archives. Pass their folder."
        )
    else:
        raise ManifestError(f"{local}: does not exist. Pass the folder of a copy of {corpus.title}.")
    for folder, parts, opening in _units(corpus):
        if not (home / folder).is_dir():
            for archive in parts:
                log.info("checking %s", paths[archive.name])
                verify_file(paths[archive.name], sha256=archive.sha256, md5=archive.md5, n_bytes=archive.n_bytes)
            unpack(paths[opening.name], home / folder)
    return home
