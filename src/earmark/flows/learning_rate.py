"""The story of `earmark train --find-lr`: what `train` would do, up to its first network, at a rate that rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.baselines import BASELINES
from earmark.errors import ConfigError
from earmark.flows.cross_validate import NetworkFolds
from earmark.flows.experiment import Experiment
from earmark.flows.prepare import prepare, write_failures
from earmark.flows.run_config import FINETUNED, DataConfig
from earmark.flows.train import default_folder
from earmark.report.rate_curve import draw_rate_curve
from earmark.run import Run, write_json
from earmark.training.rate_finder import RateCurve, find_rate


@dataclass(frozen=True)
class FoundRate:
    """Where a rate curve was written, the rate that is set, and the curve with the one that it suggests."""

    run: Run
    set: float
    curve: RateCurve


def find_learning_rate(
    data: Path | str,
    out: Path | str | None = None,
    *,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    progress: bool = True,
    **how: Any,
) -> FoundRate:
    """Train the first fold's network at a rising rate, on its training clips alone, and write what the loss did.

    Nothing else of a run is made: `train` may use the folder afterwards, at whatever rate.

    Args:
        data, out, recipe, settings: as of `train`.
        how: the rest of what `train` is told about the data.

    Raises:
        ConfigError: the model is no network.
        EarmarkError: the data or the settings are at fault.
    """
    run = Run(Path(out) if out else default_folder(Path(data)))
    prepared = prepare(DataConfig.at(data, **how), Path(recipe) if recipe else None, settings, run, progress)
    config, manifest = prepared.config, prepared.manifest
    if config.model in BASELINES:
        raise ConfigError(f"model: {config.model} has no learning rate. --find-lr is for networks.")
    write_failures(run, prepared.failures)
    fold = manifest.fold_numbers[0]
    training = manifest.select(np.flatnonzero(manifest.folds != fold))
    networks = NetworkFolds(Experiment(run, config, manifest, prepared.cache, progress))
    curve = find_rate(
        networks.start(fold, training),
        training,
        framing=config.framing,
        cache=prepared.cache,
        optim=config.optim,
        augment=config.augment,
        precision=config.precision,
        seed=config.seed,
        fresh=config.model != FINETUNED,
    )
    write_json(run.rate_curve, {"set": config.optim.learning_rate, **asdict(curve)})
    draw_rate_curve(curve, config.optim.learning_rate, run.rate_plot)
    return FoundRate(run, config.optim.learning_rate, curve)
