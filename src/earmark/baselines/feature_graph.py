"""The feature graph that ships, run over clips: what a classifier is fitted on is what the tagger file will compute."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx

from earmark.audio.cache import Cache
from earmark.export.graph import open_graph
from earmark.tagger.tagger import Clip
from earmark.windows import Framing

WINDOWS_AT_ONCE = 4  # on a CPU more of them leave the processor's cache
DIGITS_OF_GRAPH = 16  # of its digest, in the names of cache entries


@dataclass(frozen=True)
class WindowFeatures:
    """Features of all windows of some clips: values (windows, …) float32, clips (windows,) int64 each one's clip."""

    values: np.ndarray
    clips: np.ndarray


class FeatureGraph:
    """A graph from waveform (batch, window_samples) to `embedding` (batch, features), and `sequence` if it has one.

    Args:
        framing: how recordings become its windows.
    """

    def __init__(self, model: onnx.ModelProto, framing: Framing):
        self.model = model
        self.framing = framing
        self._session = open_graph(model)
        described = model.SerializeToString(deterministic=True) + f"{framing}".encode()
        self._digest = hashlib.sha256(described).hexdigest()[:DIGITS_OF_GRAPH]

    def __call__(self, windows: np.ndarray, output: str = "embedding") -> np.ndarray:
        """Features (windows, …) of windows (windows, window_samples)."""
        return self._session.run([output], {"waveform": windows})[0]

    def of_clips(
        self,
        clips: Sequence[Clip],
        cache: Cache,
        output: str = "embedding",
        *,
        threads: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> WindowFeatures:
        """Features of every window of every clip; those that the cache holds are not computed again.

        Args:
            output: "embedding" or "sequence".
            threads: clips at once.
            progress: told how many clips are done.
        """
        values = []
        with ThreadPoolExecutor(threads) as pool:
            for done, found in enumerate(
                pool.map(lambda clip: self._of_clip(clip, cache, output), clips), start=1
            ):
                values.append(found)
                if progress:
                    progress(done)
        owners = np.repeat(np.arange(len(values)), [len(found) for found in values])
        return WindowFeatures(np.concatenate(values), owners)

    def _of_clip(self, clip: Clip, cache: Cache, output: str) -> np.ndarray:
        """Features (windows, …) of one clip, from the cache or into it."""
        region = "" if not clip.start and clip.end is None else f"-{clip.start}-{clip.end}"  # to the last digit

        def compute() -> np.ndarray:
            sound = cache.blocks(clip.path, self.framing.sample_rate, clip.start, clip.end)
            pieces = self.framing.pieces(sound, WINDOWS_AT_ONCE)
            return np.concatenate([self(windows, output) for windows in pieces])

        return cache.array(clip.path, f"{self._digest}-{output}{region}", compute)
