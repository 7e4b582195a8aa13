"""A part of the data that stands for the whole: to try everything in a minute, and see how more data helps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from earmark.data.manifest import Manifest
from earmark.data.splits.dealing import Units, units_of
from earmark.errors import ConfigError

LEAST_GROUPS = 2  # of each class, so that it can be trained on and held out


def take_fraction(manifest: Manifest, fraction: float, seed: int = 0) -> Manifest:
    """A share of the clips: whole groups, of each class and each side of the splits its share.

    The same seed nests: what is in 1 % is in 5 %. Of every class at least two groups stay, of different folds if
    there are, so a small share of a data set with many classes may be larger than asked for.

    Args:
        fraction: above 0 and at most 1.
        seed: of the draw.

    Raises:
        ConfigError: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction is {fraction:g}, expected a share of the data above 0 and at most 1. Take 0.1.")
    units = units_of(manifest, grouped=True)
    generator = np.random.default_rng(seed)
    order = generator.permutation(units.counts.shape[0])
    sides = _sides(manifest, units)
    kept = np.zeros(len(order), dtype=bool)
    kept[_first_of_each_class(units, sides, order)] = True
    order = order[np.argsort(~kept[order], kind="stable")]  # first in the queues, so that they count in the shares
    places = np.where(kept, 0.0, _places(units, sides, order, generator))
    return manifest.select(places[units.of_clips] <= fraction)


def _sides(manifest: Manifest, units: Units) -> np.ndarray:
    """Number of the side on which each unit stands (units,), that of its first clip; the test split is -1."""
    names = manifest.sides
    numbers = pd.factorize(names)[0]
    numbers[names == "test"] = -1
    sides = np.empty(units.counts.shape[0], dtype=np.int64)
    sides[units.of_clips[::-1]] = numbers[::-1]
    return sides


def _places(units: Units, sides: np.ndarray, order: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Where each unit stands in the queue of its kind, in [0, 1): the share of the data from which on it is in.

    A kind is a side and the rarest class that a unit has. Its units stand in `order`, each as long as it has clips;
    the queue begins at a random part of the first, so that of many short queues the right share is taken.
    """
    n_units = len(order)
    held = _held(units)
    held["rarity"] = np.append(units.carriers, n_units)[held["class"]]
    rarest = held.sort_values(["unit", "rarity", "class"]).drop_duplicates("unit")["class"].to_numpy()
    kinds = pd.factorize(sides[order] * (units.counts.shape[1] + 1) + rarest[order])[0]
    sizes = pd.Series(units.sizes[order], dtype=np.float64)
    begun = sizes.groupby(kinds).cumsum() - sizes
    offsets = generator.random(kinds.max() + 1)[kinds]
    places = np.empty(n_units)
    places[order] = (begun + offsets * sizes) / sizes.groupby(kinds).transform("sum")
    return places


def _first_of_each_class(units: Units, sides: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The first two units of each class in `order`, outside the test split and on two sides where there are."""
    held = _held(units)
    held = held[held["class"] < units.counts.shape[1] - 1]  # not those without any label
    held["rank"] = np.argsort(order)[held["unit"]]
    held["side"] = sides[held["unit"]]
    held["test"] = held["side"] < 0
    held = held.sort_values("rank")
    held["repeated"] = held.groupby(["class", "side"]).cumcount() > 0
    return held.sort_values(["test", "repeated", "rank"]).groupby("class").head(LEAST_GROUPS)["unit"].unique()


def _held(units: Units) -> pd.DataFrame:
    """A row for each class (column "class") that each unit (column "unit") has."""
    n_classes = np.diff(units.counts.indptr)
    return pd.DataFrame({"unit": np.repeat(np.arange(len(n_classes)), n_classes), "class": units.counts.indices})
