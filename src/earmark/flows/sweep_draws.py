"""Settings drawn at random around those of a model, a pure function of seed and number.

Plain random draws: as good as a grid of the settings that matter, whichever they are (Bergstra and Bengio 2012). What
models the scores (Optuna's samplers, say) learns little from the twenty trials that a budget of hours holds, the less
as seeds scatter; and a draw by number needs no memory to go on after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.baselines import BASELINES
from earmark.errors import ConfigError
from earmark.flows.run_config import FINETUNED, RunConfig
from earmark.flows.settings import layered
from earmark.flows.sweep_trials import Planned, nested, value_of

KEPT = 0.5  # the chance that a setting stays as it is: draws are to lie around a model, not far from it in everything
ATTEMPTS = 50  # until the drawn settings go together


@dataclass(frozen=True)
class Scaled:
    """Settings multiplied by one factor, evenly drawn on a logarithmic scale. What is off stays off."""

    names: tuple[str, ...]
    low: float
    high: float

    def draw(self, config: RunConfig, generator: np.random.Generator) -> dict[str, str]:
        """Setting → value."""
        factor = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return {name: _scaled(value_of(config, name), factor) for name in self.names}


@dataclass(frozen=True)
class Chosen:
    """One of some values."""

    names: tuple[str]
    values: tuple[str, ...]

    def draw(self, config: RunConfig, generator: np.random.Generator) -> dict[str, str]:
        """Setting → value."""
        return {self.names[0]: self.values[generator.integers(len(self.values))]}


WINDOW = (Scaled(("window.seconds",), 0.4, 1.6), Chosen(("window.pool",), ("mean", "max", "geometric")))
TRAINING = (
    Scaled(("optim.learning_rate",), 0.25, 4.0),
    Scaled(("optim.weight_decay",), 0.1, 10.0),
    Scaled(("optim.epochs",), 0.5, 1.5),
    Chosen(("optim.smoothing",), ("0", "0.05", "0.1")),
    Scaled(("augment.gain_db", "augment.equalise_db"), 0.25, 2.0),
    Scaled(("augment.warp_time", "augment.warp_mel", "augment.warp_shift"), 0.25, 2.0),
    Scaled(("augment.mask_mel", "augment.mask_time"), 0.25, 2.0),
    Chosen(("augment.mixup_probability",), ("0", "0.3", "0.6")),
)
FRONTEND = (Chosen(("frontend.n_mels",), ("40", "64", "96", "128")),)
BACKBONE = (
    Chosen(("backbone.outputs",), ("embedding", "depths", "embedding,depths")),
    Chosen(("backbone.pool",), ("mean", "mean_std", "mean_max")),
)


def space_of(config: RunConfig) -> tuple[Scaled | Chosen, ...]:
    """What can be drawn of a model: of a classifier what it hears, of a network how it is trained too."""
    if config.model == FINETUNED:
        return TRAINING
    if config.model in BASELINES:
        return (*WINDOW, *(BACKBONE if config.backbone.on else FRONTEND))
    return (*TRAINING, *WINDOW, *FRONTEND)


def draw_settings(
    around: Planned, config: RunConfig, seed: int, number: int, fits: Callable[[Planned], object]
) -> Planned | None:
    """The draw of a number: each setting of the model's space drawn or, as often, left as it is.

    Args:
        config: the settings of `around`.
        fits: raises ConfigError where settings do not go together; then it is drawn anew.

    Returns:
        None where nothing was found that goes together.
    """
    for attempt in range(ATTEMPTS):
        generator = np.random.default_rng([seed, number, attempt])
        changes: dict[str, str] = {}
        for each in space_of(config):
            drawn = each.draw(config, generator)
            if generator.random() >= KEPT:
                changes |= {name: value for name, value in drawn.items() if value != _worded(value_of(config, name))}
        if not changes:
            continue
        shown = {**around.changes, **changes}
        planned = Planned(f"{around.name} draw {number}", "drawn", layered(around.settings, nested(changes)), shown)
        try:
            fits(planned)
        except ConfigError:
            continue
        return planned
    return None


def _scaled(value: Any, factor: float) -> str:
    """A number times a factor, in two digits; a whole one stays whole and at least 1."""
    if isinstance(value, int):
        return str(max(1, round(value * factor)))
    return f"{value * factor:.2g}"


def _worded(value: Any) -> str:
    """A setting's value as a draw would write it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value) if isinstance(value, int | str) else f"{value:.2g}"
