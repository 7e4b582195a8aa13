"""A tagger without a model, for tests of whatever stands above one: it hears in which band the power lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earmark.errors import TaggerFileError
from earmark.tagger.metadata import TaggerMetadata

N_STEPS = 4


class FakeBackend:
    """Its file is the metadata's JSON alone. The spectrum is cut into one equal band per label, low to high.

    A label's score is its band's share of the window's power; the shares are the embedding, too. Steps are quarters.
    """

    def __init__(self, path: Path, threads: int = 1):
        try:
            self.metadata_json = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TaggerFileError(f"{path}: cannot be read as text ({error}). Check the path.") from error
        self.input_samples = None
        self.n_classes = len(TaggerMetadata.from_json(self.metadata_json).labels)

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows (batch, window_samples) → shares (batch, classes), twice; their sum is 1, of silence 0."""
        power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
        bands = np.arange(power.shape[1]) * self.n_classes // power.shape[1]
        sums = np.stack([power[:, bands == band].sum(axis=1) for band in range(self.n_classes)], axis=1)
        shares = (sums / np.maximum(power.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return shares, shares

    def run_steps(self, windows: np.ndarray) -> np.ndarray:
        """Windows (batch, window_samples) → shares of their quarters (batch, 4, classes), without what is left over."""
        length = windows.shape[1] // N_STEPS
        quarters = windows[:, : length * N_STEPS].reshape(-1, length)
        return self.run(quarters)[0].reshape(len(windows), N_STEPS, self.n_classes)
