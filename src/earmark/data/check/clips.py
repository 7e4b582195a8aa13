"""The clips that a check has heard: one for each row, then one for each file without a row."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earmark.data.check.inventory import Inventory
from earmark.data.check.listen import HeardClip, HeardFile, Region, listen_to_all


@dataclass(frozen=True)
class CheckedClip:
    """One clip and what was heard of it.

    path: of its file, as the data names it. file: where that is. start, end: seconds; end None is the file's end.
    labels: it was given; None for a file without a row. group: it must not be parted from.
    whole: what was heard of its file. heard: of itself.
    """

    path: str
    file: Path
    start: float
    end: float | None
    labels: tuple[str, ...] | None
    group: str
    whole: HeardFile
    heard: HeardClip

    @property
    def region(self) -> str:
        """Where in its file it is, as the beginning of a detail; "" for a whole file.

        >>> nothing = HeardFile(())
        >>> CheckedClip("a.wav", Path("a.wav"), 1.5, None, (), "", nothing, HeardClip()).region
        '1.5 s to the end: '
        """
        if not self.start and self.end is None:
            return ""
        return f"{self.start:g} s to {'the end' if self.end is None else f'{self.end:g} s'}: "


def hear_clips(
    inventory: Inventory, threads: int, progress: Callable[[int, int], None] | None = None
) -> list[CheckedClip]:
    """Decode every file once.

    Args:
        threads: how many files to decode at a time.
        progress: called with how many files are done, of how many.

    Returns:
        a clip for each row of the manifest, in its order, then one for each unlisted file.
    """
    waiting = _unheard(inventory)
    by_file: dict[Path, list[int]] = defaultdict(list)
    for position, clip in enumerate(waiting):
        by_file[clip.file].append(position)
    work: list[tuple[Path, Sequence[Region]]] = [
        (file, [(waiting[position].start, waiting[position].end) for position in positions])
        for file, positions in by_file.items()
    ]
    for done, (whole, positions) in enumerate(
        zip(listen_to_all(work, threads), by_file.values(), strict=True), start=1
    ):
        for position, heard in zip(positions, whole.clips, strict=True):
            waiting[position] = replace(waiting[position], whole=replace(whole, clips=()), heard=heard)
        if progress:
            progress(done, len(work))
    return waiting


def _unheard(inventory: Inventory) -> list[CheckedClip]:
    nothing, manifest = HeardFile(()), inventory.manifest
    clips = []
    if manifest is not None:
        columns = (manifest.table["path"], manifest.clips(), manifest.table["labels"], manifest.groups)
        clips = [
            CheckedClip(path, clip.path, clip.start, clip.end, labels, group, nothing, HeardClip())
            for path, clip, labels, group in zip(*columns, strict=True)
        ]
    for path in inventory.unlisted:
        name = _shown(path)
        clips.append(CheckedClip(name, inventory.root / path, 0.0, None, None, name, nothing, HeardClip()))
    return clips


def _shown(path: str) -> str:
    """A path as text that can be printed, also where the file's name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
