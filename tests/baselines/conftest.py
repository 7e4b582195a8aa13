"""Examples for classifiers: features drawn around the centres of classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from earmark.baselines.classifier import Examples


def draw_examples(
    n_clips: int = 120,
    n_classes: int = 3,
    n_features: int = 6,
    *,
    distance: float = 1.5,
    multi_label: bool = False,
    several_windows: bool = False,
    seed: int = 0,
) -> Examples:
    """Clips of classes in turn, in four inner folds; feature c of class c stands `distance` deviations off."""
    generator = np.random.default_rng(seed)
    numbers = np.arange(n_clips)
    clips = np.repeat(numbers, 1 + numbers % 2) if several_windows else numbers
    targets = np.eye(n_classes, dtype=np.float32)[numbers % n_classes]
    if multi_label:
        targets = np.maximum(targets, generator.random(targets.shape) < 0.2).astype(np.float32)
    features = generator.normal(size=(len(clips), n_features))
    features[:, :n_classes] += distance * targets[clips]
    weights = np.ones((len(clips), n_classes)) / np.bincount(clips)[clips][:, None]
    parts = numbers // n_classes % 4
    return Examples(
        features.astype(np.float32), targets[clips], weights.astype(np.float32), clips, parts[clips], multi_label
    )


@pytest.fixture(scope="session")
def make_examples() -> Callable[..., Examples]:
    """The function that draws them."""
    return draw_examples
