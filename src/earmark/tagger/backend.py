"""What computes a tagger's scores: one protocol, and the table of those that keep it."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Backend(Protocol):
    """A graph that is loaded and ready. Several threads may call one backend at once.

    metadata_json: the tagger's JSON document.
    input_samples: window length the graph insists on; None if it takes any.
    n_classes: columns of the scores; None if the graph does not say.
    """

    metadata_json: str
    input_samples: int | None
    n_classes: int | None

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows (batch, window_samples) → scores (batch, classes) in [0, 1], embedding (batch, features).

        All are float32.
        """
        ...

    def run_steps(self, windows: np.ndarray) -> np.ndarray:
        """Windows (batch, window_samples) → scores of their steps (batch, steps, classes) in [0, 1], float32.

        Raises:
            TaggerFileError: the graph has none.
        """
        ...


# Each is called with the file's path and `threads`, and raises TaggerFileError.
BACKENDS = {
    "onnx": "earmark.tagger.onnx_backend:OnnxBackend",
    "fake": "earmark.tagger.fake_backend:FakeBackend",
}
