"""The home folder: taggers that `earmark models get` has put there, found by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from earmark.errors import NotHereError, TaggerFileError
from earmark.lookup import did_you_mean, load
from earmark.run import TAGGER_SUFFIX, Run

NAMES = "earmark.models.pretrained.weights:pretrained_names"  # of a higher floor, but it imports nothing heavy

TAGGERS = "taggers"
FOLDER_SUFFIX = ".tagger"
FOLDER_MANIFEST = "manifest.json"  # of a folder of taggers


def home_folder() -> Path:
    """$EARMARK_HOME, else `earmark` in the user's data folder of the platform."""
    if chosen := os.environ.get("EARMARK_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "earmark"


def weights_folder() -> Path:
    """Where files of weights and labels are kept as published."""
    return home_folder() / "weights"


def converted(name: str) -> Path:
    """Where the tagger of a name stands once it is there.

    >>> converted("mn04_as").name
    'mn04_as.tagger.onnx'
    """
    return home_folder() / TAGGERS / f"{name}{TAGGER_SUFFIX}"


def present() -> list[str]:
    """Names of the taggers that are there, in alphabetical order."""
    files = (home_folder() / TAGGERS).glob(f"[!.]*{TAGGER_SUFFIX}")
    return sorted(file.name.removesuffix(TAGGER_SUFFIX) for file in files)


def find_tagger(tagger: Path | str) -> Path:
    """The file of a tagger that is given by its path, its name in the home folder, or the folder of the run it is of.

    Of a folder NAME.tagger/ it is the manifest. A file goes before a name, and a name before a folder.

    Raises:
        NotHereError: the name of one that is not here yet.
        TaggerFileError: a bare word that is none of these; a folder without.
    """
    path, name = Path(tagger), str(tagger)
    if path.exists() and not path.is_dir():
        return path
    is_word = path.parent == Path() and bool(name.strip("."))
    if is_word and converted(name).is_file():
        return converted(name)
    names = load(NAMES)()
    if name in names:
        raise NotHereError(
            f"{name}: is not on this machine yet (expected {converted(name)}). `earmark models get {name}` brings it."
        )
    if path.is_dir():
        run = Run(path)
        for found in (path / FOLDER_MANIFEST, run.tagger, path / f"{run.name}{FOLDER_SUFFIX}" / FOLDER_MANIFEST):
            if found.is_file():
                return found
        raise TaggerFileError(
            f"{path}: is a folder without a tagger (expected {Run(path).tagger}). Give the folder of a finished run."
        )
    if is_word and not path.suffix:
        raise TaggerFileError(
            f"{name}: is neither a file nor a pretrained tagger{did_you_mean(name, [*names, *present()])}. "
            "Check the path; `earmark models` lists the names."
        )
    return path
