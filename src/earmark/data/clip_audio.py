"""The sound of a manifest's clips, decoded once (audio.cache) and sliced from then on."""

from __future__ import annotations

import numpy as np

from earmark.audio.cache import Cache
from earmark.data.manifest import Manifest


class ClipAudio:
    """The waveforms of a manifest's clips (samples,), as the cache holds them: float16 memory maps.

    An hour is slow to convert: slice first what is needed, and make that float32.
    """

    def __init__(self, manifest: Manifest, cache: Cache, sample_rate: int):
        self.clips = manifest.clips()
        self.cache = cache
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        clip = self.clips[index]
        return self.cache.waveform(clip.path, self.sample_rate, clip.start, clip.end)
