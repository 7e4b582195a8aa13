"""The home folder: pretrained taggers that `earmark models get` has put there, found by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from earmark.errors import TaggerFileError
from earmark.lookup import did_you_mean, load
from earmark.run import TAGGER_SUFFIX

NAMES = "earmark.models.pretrained.weights:pretrained_names"  # of a higher floor, but it imports nothing heavy


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
    """Where the tagger of a pretrained network stands once it is there.

    >>> converted("mn04_as").name
    'mn04_as.tagger.onnx'
    """
    return home_folder() / "taggers" / f"{name}{TAGGER_SUFFIX}"


def find_tagger(tagger: Path | str) -> Path:
    """The file of a tagger that is given by path or, if it is a pretrained one, by name. A file goes before a name.

    Raises:
        TaggerFileError: a bare word that is neither; or the name of one that is not here yet.
    """
    path, name = Path(tagger), str(tagger)
    if path.exists() and not path.is_dir():
        return path
    names = load(NAMES)()
    if name in names:
        if converted(name).is_file():
            return converted(name)
        raise TaggerFileError(
            f"{name}: is not on this machine yet (expected {converted(name)}). `earmark models get {name}` brings it."
        )
    if path.parent == Path() and not path.suffix:
        raise TaggerFileError(
            f"{name}: is neither a file nor a pretrained tagger{did_you_mean(name, names)}. "
            "Check the path; `earmark models` lists the names."
        )
    return path
