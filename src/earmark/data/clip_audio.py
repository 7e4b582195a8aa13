"""The sound of a manifest's clips, decoded once (audio.cache) and sliced from then on."""

from __future__ import annotations

import numpy as np

from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest


class ClipAudio:
    """The waveforms of a manifest's clips, float32 (samples,): memory maps of the cache, read only where sliced."""

    def __init__(self, manifest: Manifest, cache: Cache, sample_rate: int):
        self.clips = manifest.clips()
        self.cache = cache
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        clip = self.clips[index]
        return self.cache.waveform(clip.path, self.sample_rate, clip.start, clip.end)
