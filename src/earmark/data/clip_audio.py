"""The sound of a manifest's clips, decoded once (audio.cache) and sliced from then on."""

from __future__ import annotations

import numpy as np

from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest

MOST_OPEN = 4096  # maps; a process may have 65,530 on Linux


class ClipAudio:
    """The waveforms of a manifest's clips, float32 (samples,): memory maps of the cache, read only where sliced.

    A map stays open: to find and open it again would take three times as long as to copy five seconds of it.
    """

    def __init__(self, manifest: Manifest, cache: Cache, sample_rate: int):
        self.clips = manifest.clips()
        self.cache = cache
        self.sample_rate = sample_rate
        self._opened: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict:
        """For another process, which opens its own maps: theirs would be copied whole."""
        return self.__dict__ | {"_opened": {}}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self._opened:
            if len(self._opened) >= MOST_OPEN:
                self._opened.clear()
            clip = self.clips[index]
            self._opened[index] = self.cache.waveform(clip.path, self.sample_rate, clip.start, clip.end)
        return self._opened[index]
