"""Finding the audio files that a table names."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from earmark.audio.probe import CONVERTIBLE, SUFFIXES
from earmark.errors import ManifestError

# Sounds that need conversion first are to be reported as unreadable, not passed over.
AUDIO_SUFFIXES = frozenset((*SUFFIXES, *CONVERTIBLE))


def is_audio(name: str) -> bool:
    """Whether a file name is that of a sound: not hidden, and with a suffix of a sound format."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def walk(folder: Path) -> list[Path]:
    """All regular files below a folder, sorted: no hidden ones, and none behind links to other folders.

    Raises:
        ManifestError: a folder cannot be opened.
    """

    def refuse(error: OSError) -> None:
        raise ManifestError(
            f"{error.filename}: cannot be opened ({error.strerror}). Check its permissions."
        ) from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


class FileFinder:
    """Finds files by what a table calls them: below `root` under just that path, or anywhere, if once.

    Names are compared with as many of their folders as both sides have: `dog/1.wav` is never found as
    `cat/1.wav`. A name without a suffix is also found as that of one sound with a suffix.
    """

    def __init__(self, root: Path):
        self.root = root

    def find(self, name: str) -> str:
        """The path of the file, posix, relative to `root` where it is below it.

        Raises:
            ManifestError: there is no such file, or several.
        """
        for exact in (name, name.strip()):  # spaces around a cell are seldom meant, but names may have them
            if os.path.isfile(self.root / exact):
                return self._from_root(exact)
        wanted = PurePosixPath(name.strip().replace("\\", "/")).parts
        matches = [path for path in self._by_name.get(wanted[-1], []) if _same_tail(path.parts, wanted)]
        if not matches and not is_audio(name):
            stems = self._by_stem.get(wanted[-1], [])
            matches = [path for path in stems if _same_tail(path.parts[:-1], wanted[:-1])]
        if len(matches) > 1:
            shown = " and ".join(f"'{path}'" for path in matches[:2])
            raise ManifestError(f"'{name}' stands for {len(matches)} files ({shown})")
        if not matches:
            raise ManifestError(f"file '{name}' is missing")
        return matches[0].as_posix()

    def _from_root(self, name: str) -> str:
        """The path of a file that exists, without detours."""
        whole, root = os.path.normpath(self.root / name), os.path.normpath(self.root)
        below = Path(whole).is_relative_to(root)
        return Path(os.path.relpath(whole, root) if below else os.path.abspath(whole)).as_posix()

    @cached_property
    def _files(self) -> list[PurePosixPath]:
        return [PurePosixPath(path.relative_to(self.root).as_posix()) for path in walk(self.root)]

    @cached_property
    def _by_name(self) -> dict[str, list[PurePosixPath]]:
        index = defaultdict(list)
        for path in self._files:
            index[path.name].append(path)
        return index

    @cached_property
    def _by_stem(self) -> dict[str, list[PurePosixPath]]:
        index = defaultdict(list)
        for path in self._files:
            if is_audio(path.name):
                index[path.stem].append(path)
        return index


def _same_tail(path: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether one path is the tail of the other."""
    return all(mine == theirs for mine, theirs in zip(reversed(path), reversed(wanted), strict=False))
