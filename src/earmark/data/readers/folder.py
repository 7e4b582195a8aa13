"""A folder with a folder per class."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from earmark import audio
from earmark.audio.cache import content_hash
from earmark.data.manifest import Manifest
from earmark.data.readers.merging import contradiction, join_states
from earmark.data.readers.paths import is_text, leads_back, walk
from earmark.data.readers.problems import RowProblem
from earmark.errors import AudioError, ManifestError, summarise_rows

log = logging.getLogger(__name__)

NO_CLASS = ("noise", "background", "other", "silence")
PEEKED_BYTES = 4096


def read_folder(
    folder: Path, *, tricks: bool = False, merge: bool = True, problems: list[RowProblem] | None = None
) -> Manifest:
    """One class per folder directly in `folder`, named like it; sounds at any depth below belong to it.

    Hidden files and files that are no sounds are passed over; how many, and empty class folders, are logged.

    Args:
        tricks: whether `a,b` is a folder of two labels, `-a` one of clips that are surely not `a`, and `noise`,
            `background`, `other` or `silence` one without a label.
        merge: whether the same sound in several class folders becomes one clip with all their labels; if not, that is
            an error.
        problems: gains a "bad_row" for each sound whose folders contradict each other, and folders that cannot be
            opened are passed over; None to raise all that.

    Raises:
        ManifestError: there are no class folders, or no sounds in them; or see above.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be opened ({error.strerror}). Check its permissions.") from error
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    loose = [entry.name for entry in entries if os.path.isfile(entry) and audio.is_sound(entry)]
    classes = [entry for entry in entries if os.path.isdir(entry)]
    loops = [entry.name for entry in classes if os.path.islink(entry) and leads_back(entry)]
    classes = [entry for entry in classes if entry.name not in loops]
    sounds, n_others, unnameable = {}, 0, []
    unopened: list[Path] | None = None if problems is None else []
    for class_folder in classes:
        files = walk(class_folder, unopened)
        paths = [file.relative_to(folder).as_posix() for file in files if audio.is_sound(file)]
        n_others += len(files) - len(paths)
        unnameable += [path for path in paths if not is_text(path)]
        sounds[class_folder.name] = [path for path in paths if is_text(path)]
    empty = [name for name, paths in sounds.items() if not paths]
    if len(empty) == len(classes):
        raise ManifestError(_nothing_found(folder, loose, empty, n_others))
    for text, names in (
        ("sounds in no class folder are left out", loose),
        ("names that are no UTF-8 cannot stand in a table, left out", unnameable),
        ("class folders without a sound are left out", empty),
        ("links that lead back here are not followed", loops),
        ("folders cannot be opened", list(map(str, unopened or ()))),
    ):
        if names:
            shown = ", ".join(map(_printable, names[:5])) + (", …" if len(names) > 5 else "")
            log.warning("%s: %d %s (%s)", folder, len(names), text, shown)
    if n_others:
        log.info("%s: %d files that are no sounds are passed over", folder, n_others)
    return _build(folder, {name: paths for name, paths in sounds.items() if paths}, tricks, merge, problems)


def read_class(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels that a folder's name gives its sounds, and those that they surely lack.

    >>> read_class("dog,rain"), read_class("-dog"), read_class("Background")
    ((('dog', 'rain'), ()), ((), ('dog',)), ((), ()))
    """
    pieces = list(dict.fromkeys(piece.strip() for piece in name.split(",")))
    present = (piece for piece in pieces if not piece.startswith("-") and piece.casefold() not in ("", *NO_CLASS))
    return tuple(present), tuple(piece[1:].strip() for piece in pieces if piece.startswith("-") and piece[1:].strip())


def _build(
    folder: Path, sounds: Mapping[str, list[str]], tricks: bool, merge: bool, problems: list[RowProblem] | None
) -> Manifest:
    """The manifest of sounds by class folder."""
    said = {name: read_class(name) if tricks else ((name.strip(),), ()) for name in sounds}
    if tricks and not any(present for present, _ in said.values()):
        raise ManifestError(
            f"{folder}: no folder names a class ({', '.join(sounds)}). Add one, or leave out the tricks."
        )
    hints = [name for name in sounds if not tricks and read_class(name) != ((name.strip(),), ())]
    if hints:
        log.info(
            "%s: folders are taken by their names. If some (%s) mean several labels, none, or 'surely not', pass "
            "--folder-tricks.",
            folder,
            ", ".join(hints[:5]),
        )
    rows = [(path, name) for name, paths in sounds.items() for path in paths]
    columns = {
        "paths": [path for path, _ in rows],
        "labels": [said[name][0] for _, name in rows],
        "negative": [said[name][1] for _, name in rows],
    }
    left_out = _join_copies(folder, columns, [name for _, name in rows], merge, problems)
    kept = [row for row in range(len(rows)) if row not in left_out]
    paths, labels, negative = ([column[row] for row in kept] for column in columns.values())
    return Manifest.build(folder, paths, labels, negative=negative)


def _join_copies(
    folder: Path, columns: dict[str, list], classes: Sequence[str], merge: bool, problems: list[RowProblem] | None
) -> set[int]:
    """Let the first of the same sounds in several class folders have the labels of all; gives the rows of the others.

    Raises:
        ManifestError: sounds are the same and `merge` is not allowed, or their folders contradict each other.
    """
    paths = columns["paths"]
    copies = _same_sounds(folder, paths, classes)
    together = [" and ".join(paths[row] for row in rows) for rows in copies]
    if copies and not merge:
        raise ManifestError(
            f"{folder}: {len(copies)} sounds are in several class folders, which --no-merge refuses. Leave it out to "
            f"give them the labels of all, or remove copies.\n{summarise_rows(together)}"
        )
    wrong = [(rows, contradiction(columns, rows)) for rows in copies]
    texts = [f"{' and '.join(paths[row] for row in rows)}: {text}" for rows, text in wrong if text]
    if texts and problems is None:
        raise ManifestError(
            f"{folder}: {len(texts)} sounds are in class folders that contradict each other. Remove copies.\n"
            f"{summarise_rows(texts)}"
        )
    left_out: set[int] = set()
    for rows, text in wrong:
        if text:
            problems.append(RowProblem(str(folder), paths[rows[0]], "bad_row", f"{text} in {paths[rows[1]]}"))
            left_out.add(rows[0])
        else:
            join_states(columns, rows)
        left_out.update(rows[1:])
    if len(copies) > len(texts):
        log.warning(
            "%s: %d sounds are in several class folders; each becomes one clip with all their labels (%s)",
            folder,
            len(copies) - len(texts),
            together[0],
        )
    return left_out


def _same_sounds(folder: Path, paths: Sequence[str], classes: Sequence[str]) -> list[list[int]]:
    """Rows of the same bytes in several class folders, in groups.

    Few files are read whole: those that have the size, and a piece of the middle, of one in another class folder.
    """
    groups = [list(range(len(paths)))]
    for key in (_size, _peek, _content):
        found = [_by_key(folder, paths, group, key) for group in groups]
        groups = [rows for rows in chain.from_iterable(found) if len({classes[row] for row in rows}) > 1]
    return sorted(groups)


def _by_key(folder: Path, paths: Sequence[str], rows: Sequence[int], key: Callable[[Path], Any]) -> list[list[int]]:
    """Rows whose files have the same key, in groups; without those that have none."""
    groups = defaultdict(list)
    for row in rows:
        groups[key(folder / paths[row])].append(row)
    return [group for value, group in groups.items() if value]


def _size(path: Path) -> int:
    """Bytes in a file; 0, which is no key, for empty ones: they are all the same, and no sound."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _peek(path: Path) -> bytes:
    """A piece of the middle, which headers do not reach; empty where the file cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(os.path.getsize(path) // 2)
            return file.read(PEEKED_BYTES)
    except OSError:
        return b""


def _content(path: Path) -> str:
    """The content hash, empty where the file cannot be read."""
    try:
        return content_hash(path)
    except AudioError:
        return ""


def _printable(name: str) -> str:
    """A name with what is no text in it written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _nothing_found(folder: Path, loose: list[str], classes: list[str], n_others: int) -> str:
    """Why a folder gives no clips, and what to do."""
    advice = (
        f"Put each class's sounds in a folder named like it ({folder.name}{os.sep}dog{os.sep}1.wav), "
        "or pass a CSV with the columns file and label."
    )
    if loose:
        return f"{folder}: {len(loose)} sounds ('{loose[0]}', …), but no folder tells their class. {advice}"
    found = f"{len(classes)} folders and {n_others} other files in them" if classes else "no folder"
    return f"{folder}: no sound found ({found}). {advice}"
