"""From what a user names (files, folders, patterns) to the recordings to tag."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from earmark.audio.probe import SUFFIXES, is_sound
from earmark.errors import AudioError

WILDCARDS = "*?["


def find_recordings(names: Sequence[str]) -> list[Path]:
    """Recordings, each once, in the order named; those of a folder or pattern sorted.

    A file named outright is taken whatever it is, even if absent: it will be heard, or fail with its reason.
    Folders are searched to the bottom; there, and with patterns ("field/**/*.wav"), only sound files (by
    suffix or, without one, first bytes) that are not hidden count. Links to folders are not followed.

    Raises:
        AudioError: nothing is there to tag, or a folder cannot be listed.
    """
    found: dict[Path, None] = {}
    absent: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= dict.fromkeys(_in_folder(path))
        elif not os.path.lexists(path) and any(sign in name for sign in WILDCARDS):
            found |= dict.fromkeys(_in_pattern(name))
        else:
            found[path] = None
            absent += [] if os.path.lexists(path) else [name]
    if len(found) > len(set(absent)):
        return list(found)
    if absent:
        raise AudioError(f"{absent[0]}: there is no such file or folder. Check the path.")
    where = ", ".join(names[:3]) or "the list on stdin"
    raise AudioError(f"{where}: there are no sound files ({' '.join(SUFFIXES)}). Check the path.")


def root_of(names: Sequence[str]) -> Path:
    """The folder that holds all that was named, whatever is in it by now: absolute.

    >>> root_of(["/field/north", "/field/**/*.wav"]).as_posix()
    '/field'
    """
    return Path(os.path.commonpath([os.path.abspath(_named_folder(name)) for name in names]))


def _named_folder(name: str) -> Path:
    """The folder that is named, or that a pattern or a file lies in."""
    path = Path(name)
    if path.is_dir():
        return path
    if not os.path.lexists(path):
        for number, part in enumerate(path.parts):
            if any(sign in part for sign in WILDCARDS):
                return Path(*path.parts[:number])
    return path.parent


def _in_folder(folder: Path) -> Iterator[Path]:
    """The sound files at or below a folder, sorted folder by folder."""

    def refuse(error: OSError) -> None:
        raise AudioError(
            f"{error.filename}: cannot be listed ({error.strerror}). Check its permissions."
        ) from error

    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (path for name in sorted(files) if _is_recording(path := Path(parent, name)))


def _in_pattern(pattern: str) -> Iterator[Path]:
    """The sound files that match a pattern, and those in matching folders."""
    path = Path(pattern)
    try:
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except ValueError as error:
        raise AudioError(
            f"{pattern}: is not a pattern ({error}). Use * and **/ as in 'field/**/*.wav'."
        ) from error
    for match in matches:
        if match.is_dir() and not match.is_symlink():
            yield from _in_folder(match)
        elif _is_recording(match):
            yield match


def _is_recording(path: Path) -> bool:
    """Whether a file that was found is to be heard: no pipe, no device; but a broken link, so as to fail."""
    return not path.name.startswith(".") and (path.is_file() or path.is_symlink()) and is_sound(path)
