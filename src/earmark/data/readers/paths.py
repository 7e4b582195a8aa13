"""The sound files below a folder, and which of them a table names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from earmark import audio
from earmark.audio.probe import CONVERTIBLE, SUFFIXES
from earmark.errors import ManifestError

# Sounds that need conversion first are to be reported as unreadable, not passed over.
AUDIO_SUFFIXES = frozenset((*SUFFIXES, *CONVERTIBLE))


def is_audio(name: str) -> bool:
    """Whether a file name is that of a sound: not hidden, and with a suffix of a sound format."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    sounds, others, hidden: files, sorted. unreachable: (path, why) of folders that cannot be opened, links that are
        not followed or lead nowhere, pipes and devices, and names that no table can hold.
    """

    sounds: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    unreachable: list[tuple[Path, str]] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """Everything below a folder by what it is.

    Hidden folders are not entered, and links to folders only if they stand directly in `folder`, as a class folder
    may, and do not lead back to it.
    """
    listing = Listing()

    def note(error: OSError) -> None:
        listing.unreachable.append((Path(error.filename), f"cannot be opened ({error.strerror})"))

    pending = [folder]
    while pending:
        top = pending.pop()
        for parent, folders, names in os.walk(top, onerror=note):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for link in filter(os.path.islink, (Path(parent, name) for name in folders)):
                if parent == str(folder) and not leads_back(link):
                    pending.append(link)
                else:
                    listing.unreachable.append((link, "is a link to a folder, which is not followed"))
            for name in names:
                _sort_in(listing, Path(parent, name))
    for files in (listing.sounds, listing.others, listing.hidden, listing.unreachable):
        files.sort()
    return listing


def leads_back(link: Path) -> bool:
    """Whether a link leads to a folder that it stands in."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def _sort_in(listing: Listing, path: Path) -> None:
    """Add a path that is no folder to the list that it belongs to."""
    reason = "" if path.name.startswith(".") else _unreachable(path)
    if path.name.startswith("."):
        listing.hidden.append(path)
    elif reason:
        listing.unreachable.append((path, reason))
    else:
        (listing.sounds if audio.is_sound(path) else listing.others).append(path)


def _unreachable(path: Path) -> str:
    """Why a path that is no folder cannot be a clip's, "" if it can."""
    if not os.path.isfile(path):
        return "is a link that leads nowhere" if os.path.islink(path) else "is a pipe or device"
    return "" if is_text(str(path)) else "has a name that is no UTF-8, so it cannot stand in a table"


def is_text(path: str) -> bool:
    """Whether a file's path can be written in a table."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def walk(folder: Path, unopened: list[Path] | None = None) -> list[Path]:
    """All regular files below a folder, sorted: no hidden ones, and none behind links to other folders.

    Args:
        unopened: gains the folders that cannot be opened; None to raise the first.

    Raises:
        ManifestError: a folder cannot be opened.
    """

    def note(error: OSError) -> None:
        if unopened is None:
            raise ManifestError(
                f"{error.filename}: cannot be opened ({error.strerror}). Check its permissions."
            ) from error
        unopened.append(Path(error.filename))

    found = []
    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if os.path.isfile(path))


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
                return self.as_written(exact)
        wanted = PurePosixPath(name.strip().replace("\\", "/")).parts or ("",)
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

    def as_written(self, name: str) -> str:
        """The path that a name means, whether or not there is a file: without detours, relative to `root` if below."""
        if not os.path.isabs(name) and "./" not in name and "//" not in name:
            return name  # by far the most, and a million of them must not take a minute
        whole, root = os.path.normpath(self.root / name), os.path.normpath(self.root)
        below = Path(whole).is_relative_to(root)
        return Path(os.path.relpath(whole, root) if below else os.path.abspath(whole)).as_posix()

    def file_names(self) -> Iterator[str]:
        """Names of the files below `root`, with and without suffix."""
        for path in self._files:
            yield path.name
            yield path.stem

    @cached_property
    def _files(self) -> list[PurePosixPath]:
        return [PurePosixPath(path.relative_to(self.root).as_posix()) for path in walk(self.root, unopened=[])]

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
