"""The settings of a run: what follows from the data, a recipe and `--set`, and what a backbone brings with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from earmark.config import change
from earmark.errors import ConfigError
from earmark.flows.backbones import find_backbone, head_of, patched
from earmark.flows.first_look import require_backbone
from earmark.flows.run_config import (
    FINETUNED,
    FINETUNING,
    FINETUNING_PUBLISHED,
    DataConfig,
    RunConfig,
    frontend_for,
    resolve,
)
from earmark.flows.starting_weights import FILE_OPTION, find_start, starting_net
from earmark.flows.teaching import known_teacher
from earmark.models.pretrained.networks import PRETRAINED
from earmark.models.tagging_net import MODELS
from earmark.tagger.home import converted
from earmark.windows import samples


def decide(
    defaults: RunConfig, given: DataConfig, recipe: Path | None, settings: Sequence[str], longest_seconds: float
) -> RunConfig:
    """The settings of a run that could begin: its network can be built, what it stands on or learns from is here.

    Args:
        defaults, longest_seconds: what follows from the clips, see `defaults_for` and `resolve`.

    Raises:
        EarmarkError: the settings are at fault.
    """
    config = resolve(defaults, given, recipe, settings, longest_seconds)
    if config.optim.teacher:
        known_teacher(config.optim.teacher)
    if config.backbone.on:
        return heard_by_backbone(config, defaults, recipe, settings, longest_seconds)
    return rehearsed(config) if config.model in MODELS else config


def rehearsed(config: RunConfig) -> RunConfig:
    """The settings of a network that could be built and hear a window, with the whole path of a file of its weights.

    Raises:
        ConfigError: an option has a wrong value, the weights are not those of the network, or a window is too short
            for it.
        FetchError: there is no such file, or it cannot be read.
    """
    if file := config.model_options.get(FILE_OPTION):
        config = replace(config, model_options={**config.model_options, FILE_OPTION: str(Path(file).resolve())})
    net, _ = starting_net(config, ("any",))
    shortest = min(config.window.view_seconds, default=config.window.seconds)
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, samples(shortest, config.frontend.sample_rate)))
    except RuntimeError as error:
        raise ConfigError(
            f"window.seconds: {config.model} cannot hear a window of {shortest:g} s with {config.frontend.n_mels} mel "
            f"bands ({str(error).splitlines()[0]}). Choose a longer window, more bands, or another network."
        ) from error
    return config


def heard_by_backbone(
    config: RunConfig, defaults: RunConfig, recipe: Path | None, settings: Sequence[str], longest_seconds: float
) -> RunConfig:
    """The settings once more, with defaults for the sample rate and, if it is trained on, the front end of a backbone.

    Raises:
        ConfigError: the settings ask for another rate or front end.
        TaggerFileError: the backbone is not on this machine.
    """
    require_backbone(config.backbone.on, finetuned=config.model == FINETUNED)
    backbone = find_backbone(patched(config.backbone, head_of(config)))
    frontend = frontend_for(backbone.sample_rate)
    if config.model == FINETUNED:
        start = find_start(config.backbone.on, config.model_options)
        start.locate()  # weights that are not here are said before anything is decoded
        frontend = start.frontend
        defaults = change(defaults, FINETUNING, "--finetune")
        if config.backbone.on in PRETRAINED:
            defaults = change(defaults, FINETUNING_PUBLISHED, "--finetune")
    on = config.backbone.on
    config = resolve(replace(defaults, frontend=frontend), config.data, recipe, settings, longest_seconds)
    same_rate = config.frontend.sample_rate == frontend.sample_rate
    if not same_rate or (config.model == FINETUNED and config.frontend != frontend):
        raise ConfigError(
            f"frontend: {on} hears through its own, at {frontend.sample_rate} Hz. Leave the settings of frontend away."
        )
    backbone.graph(config.framing.window_samples)  # so are patches and outputs that it does not have
    found = {"content_hash": backbone.config.content_hash}
    if on not in PRETRAINED and not converted(on).is_file():  # a path, which has to hold wherever the run goes on
        found["on"] = str(Path(on).resolve())
    return replace(config, backbone=replace(config.backbone, **found))


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, later layers over earlier ones; a window length that is changed alone takes its hop with it.

    >>> layered({"optim": {"epochs": "3"}, "seed": "1"}, {"optim": {"loss": "bce"}})
    {'optim': {'epochs': '3', 'loss': 'bce'}, 'seed': '1'}
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if not isinstance(value, Mapping):
                found[key] = value
                continue
            below = found[key] if isinstance(found.get(key), Mapping) else {}
            if key == "window" and "seconds" in value and "hop_seconds" not in value:
                below = {name: each for name, each in below.items() if name != "hop_seconds"}
            found[key] = layered(below, value)
    return found
