"""Features of one scale: each minus its mean, over its standard deviation, as the tagger file will do it too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.baselines.classifier import Examples
from earmark.export.backbone import Nodes

FARTHEST = 10.0  # standard deviations; a feature beyond counts as this far, lest one stray value decide alone
CONSTANT = 1e-6  # a deviation of this share of the mean is rounding
SMALLEST = float(np.finfo(np.float32).tiny)  # deviation whose inverse float32 can hold


@dataclass(frozen=True)
class Standardisation:
    """mean: (features,) float32. scale: (features,) float32, 1 / deviation; 0 = constant, to be left out."""

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Standardised features (rows, features) float32."""
        return np.clip((features - self.mean) * self.scale, -FARTHEST, FARTHEST)

    def append_to(self, nodes: Nodes, source: str) -> str:
        """The same as nodes that start from a tensor; the name of what they give.

        The mean is not folded into a later bias: the difference of large numbers would round.
        """
        scaled = nodes("Mul", nodes("Sub", source, nodes.constant(self.mean)), nodes.constant(self.scale))
        return nodes("Clip", scaled, nodes.constant(-FARTHEST), nodes.constant(FARTHEST))


def standardisation(examples: Examples) -> Standardisation:
    """Mean and deviation of the examples' features, each clip counting by its weight; unlabelled ones do not count."""
    weights = examples.weights.max(axis=1, initial=0.0).astype(np.float64)
    if not weights.any():
        weights[:] = 1.0
    values = examples.features.astype(np.float64)
    mean = np.average(values, axis=0, weights=weights)
    deviation = np.sqrt(np.average(np.square(values - mean), axis=0, weights=weights))
    varies = deviation > np.maximum(CONSTANT * np.abs(mean), SMALLEST)
    scale = np.divide(1.0, deviation, out=np.zeros_like(mean), where=varies)
    return Standardisation(np.where(varies, mean, 0.0).astype(np.float32), scale.astype(np.float32))
