"""Unpacking archives: inside the folder given, whole or not at all."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from earmark.errors import FetchError
from earmark.fetch.checksum import BLOCK
from earmark.fetch.split_zip import open_zip

ZIP = ".zip"
TARS = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)
KNOWN_PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
NOT_WANTED = "__MACOSX"  # what a Mac puts beside the files it packs


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive as a folder, which appears only when it is complete.

    An archive that holds one folder becomes that folder's content. A folder that is there already is left as it is.

    Args:
        archive: .zip (where it is split into .z01, .z02, …, .zip, the last), .tar, or a packed .tar.
        folder: what it shall become.

    Returns:
        `folder`.

    Raises:
        FetchError: the archive is damaged, incomplete, holds links or names that lead out of the folder, or does not
            fit on the disk.
    """
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f".{folder.name}.unpacking")
    try:
        if unfinished.exists():  # left by a run that was killed
            shutil.rmtree(unfinished)
        unfinished.mkdir(parents=True)
        try:
            is_zip = archive.name.lower().endswith(ZIP)
            for name, source in _zip_members(archive, folder) if is_zip else _tar_members(archive):
                target = unfinished / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "xb") as file:
                    shutil.copyfileobj(source, file, BLOCK)
            entries = list(unfinished.iterdir())
            if not entries:
                raise FetchError(f"{archive}: holds no files. Get it again.")
            alone = entries[0] if len(entries) == 1 and entries[0].is_dir() else unfinished
            os.replace(alone, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except DAMAGED as error:
        raise FetchError(f"{archive}: is a damaged archive ({error or type(error).__name__}). Get it again.") from error
    except OSError as error:
        raise FetchError(_disk_says(archive, folder, error)) from error
    return folder


def is_archive(name: str) -> bool:
    """Whether a file name is that of an archive that `unpack` takes, not of a part that belongs to one.

    >>> is_archive("sounds.tar.gz"), is_archive("sounds.z01")
    (True, False)
    """
    return name.lower().endswith((ZIP, *TARS))


def _zip_members(archive: Path, folder: Path) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
    """Name and bytes of each file of a zip; all of them are looked at before the first is given."""
    with open_zip(archive) as file, zipfile.ZipFile(file) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        for member in members:
            _refuse_unsafe(archive, member.filename, stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG))
            if member.flag_bits & 1 or member.compress_type not in KNOWN_PACKINGS:
                raise FetchError(
                    f"{archive}: is locked with a password, or packed in a way that is not known here. "
                    "Unpack it yourself, and pass the folder."
                )
        needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder.parent).free
        if needed > free:
            raise FetchError(f"{archive}: needs {needed / 1e9:.1f} GB, and {folder.parent} has {free / 1e9:.1f} free.")
        for member in members:
            name = PurePosixPath(member.filename)
            if name.parts[0] != NOT_WANTED:
                with opened.open(member) as source:
                    yield name, source


def _tar_members(archive: Path) -> Iterator[tuple[PurePosixPath, BinaryIO]]:
    """Name and bytes of each file of a tar, in one pass."""
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            if not member.isdir():
                _refuse_unsafe(archive, member.name, member.isreg())
                yield PurePosixPath(member.name), opened.extractfile(member)
        while opened.fileobj.read(BLOCK):  # to the end, where the checksum of a packed tar stands
            pass


def _refuse_unsafe(archive: Path, name: str, is_file: bool) -> None:
    """Refuse an archive with a member that is a link or a device, or that would be written outside the folder."""
    parts = name.replace("\\", "/").split("/")
    problem = ""
    if not parts[0] or ".." in parts or ":" in parts[0]:
        problem = "would be written outside the folder"
    elif not is_file:
        problem = "is a link or a device"
    if problem:
        raise FetchError(
            f"{archive}: is not unpacked, because '{name}' in it {problem}. Get the archive from its publisher."
        )


def _disk_says(archive: Path, folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder}: the disk is full. Make room and run the same again: it begins anew with {archive.name}."
    return f"{archive}: cannot be unpacked to {folder} ({error.strerror or error}). Check paths and permissions."
