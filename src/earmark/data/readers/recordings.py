"""Finding the recordings that annotation files are about, by the names of the files or by what they say."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath

from earmark.data.readers.paths import FileFinder, is_audio, list_folder
from earmark.errors import ManifestError


class Recordings:
    """The sounds that annotation files may be about.

    root: the folder that their paths are relative to. sounds: those paths. others: the files beside that are no
    sounds, but perhaps annotations.
    """

    def __init__(self, folder: Path, audio_dir: Path | None, deep: bool = True):
        """Args:
        folder: of the annotation files. audio_dir: of the sounds, if not the same.
        deep: whether annotation files, and their recordings beside them, lie below the folder, too.
        """
        self.folder = folder
        self.root = audio_dir or folder
        if deep:
            listing = list_folder(folder)
            sounds, self.others = listing.sounds, listing.others
        else:
            sounds, self.others = [file for file in sorted(folder.glob("*")) if is_audio(file.name)], []
        if audio_dir is not None:
            sounds = list_folder(audio_dir).sounds
        self.sounds = [PurePosixPath(sound.relative_to(self.root).as_posix()) for sound in sounds]
        self._anywhere = audio_dir is not None
        self._finder = FileFinder(self.root)
        self._named: dict[tuple[str, Path], str] = {}
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        for sound in self.sounds:
            for name in {sound.name, sound.stem}:
                self._by_name[name].append(sound)

    def called_as(self, file: Path) -> list[PurePosixPath]:
        """The recordings that an annotation file is named after: in its folder, else below `audio_dir`.

        Of a.b.txt the name is a.b, or if there is no such recording a.
        """
        here, name = self._folder_of(file), file.name
        while "." in name:
            name = name.rpartition(".")[0]
            named = self._by_name.get(name, [])
            found = [sound for sound in named if sound.parent == here] or (named if self._anywhere else [])
            if found:
                return found
        return []

    def beside(self, file: Path) -> str:
        """The recording that an annotation file is named after, posix, relative to `root`.

        Raises:
            ManifestError: there is none, or several.
        """
        found = self.called_as(file)
        if len(found) > 1:
            raise ManifestError(f"its name stands for {len(found)} recordings ('{found[0]}' and '{found[1]}')")
        if not found:
            raise ManifestError(f"no recording is called '{file.name.partition('.')[0]}'")
        return found[0].as_posix()

    def named(self, name: str, file: Path) -> str:
        """The recording that an annotation file calls by a name: the one beside it, else one anywhere, if once.

        Raises:
            ManifestError: there is none, or several.
        """
        if (name, file) not in self._named:
            beside = self._folder_of(file) / name
            is_there = beside in self._by_name.get(beside.name, [])
            self._named[name, file] = beside.as_posix() if is_there else self._finder.find(name)
        return self._named[name, file]

    def _folder_of(self, file: Path) -> PurePosixPath:
        return PurePosixPath(file.parent.relative_to(self.folder).as_posix())
