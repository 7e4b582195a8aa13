"""What is plainly not there, refused before Lightning and its like are imported, which takes seconds."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.baselines import BASELINES
from earmark.config import parse_assignments, read_yaml
from earmark.data.readers import require_data
from earmark.errors import ConfigError, NotHereError, TaggerFileError
from earmark.lookup import require_name
from earmark.models.huggingface.source import PREFIX
from earmark.tagger.home import find_tagger


def look(
    data: Path,
    recipe: Path | None,
    settings: Sequence[str],
    on: Sequence[str] = (),
    head: str | None = None,
    *,
    finetuned: bool = False,
    or_from_scratch: bool = False,
) -> None:
    """Look for the data, the recipe, the networks to stand on and the head, all of which the flows look at again.

    Args:
        data, recipe, settings, or_from_scratch: as for `train`.
        on, finetuned: as for `require_backbone`.
        head: a name in BASELINES.

    Raises:
        ManifestError: the data does not exist.
        ConfigError: a setting has no value or is none, the recipe cannot be read, there is no such model or head;
            nothing is stood on that `or_from_scratch` could replace.
        TaggerFileError: a network is not on this machine.
    """
    require_data(data)
    told = {str(recipe): read_yaml(recipe)} if recipe else {}
    told["--set"] = parse_assignments(settings)
    if or_from_scratch and not (on or any(map(stands_on, told.values()))):
        raise ConfigError(
            "--or-from-scratch: is for a network to stand on that cannot be had, and none is named. Give --on, or "
            "leave it out."
        )
    for each in on:
        try:
            require_backbone(each, finetuned=finetuned)
        except NotHereError:
            if not or_from_scratch:
                raise
    if head is not None:
        require_name(BASELINES, head, "head")
    _look_at_settings(told)
    for package in ("sklearn", "lightning"):  # which are imported when clips have been decoded
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)


def _look_at_settings(told: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings that no run has, of all stages at once."""
    from earmark.flows.run_config import FROM, STAGES, require_known  # torch, which takes a second or two

    for where, values in told.items():
        require_known({key: value for key, value in values.items() if key != STAGES}, where)
        stages = values.get(STAGES)
        for name, its in stages.items() if isinstance(stages, Mapping) else ():
            if isinstance(its, Mapping):
                require_known({key: value for key, value in its.items() if key != FROM}, f"{where}: {STAGES}.{name}")


def stands_on(settings: Mapping[str, Any]) -> str:
    """The network that settings say to stand on, "" for none.

    >>> stands_on({"backbone": {"on": "mn04_as"}}), stands_on({"model": "forest"})
    ('mn04_as', '')
    """
    backbone = settings.get("backbone")
    return str(backbone.get("on", "")) if isinstance(backbone, Mapping) else ""


def has_stages(recipe: Path | None) -> bool:
    """Whether a recipe is one of several trainings (flows/stages.py).

    Raises:
        ConfigError: it cannot be read.
    """
    from earmark.flows.run_config import STAGES

    return recipe is not None and STAGES in read_yaml(recipe)


def require_backbone(on: str, *, finetuned: bool = False) -> None:
    """Refuse what cannot be stood on.

    Args:
        finetuned: it is to be trained, beside a head on it as it was.

    Raises:
        ConfigError: it has to be adopted first.
        TaggerFileError: it is not on this machine.
    """
    if on.startswith(PREFIX):
        raise ConfigError(
            f"backbone.on: {on} has to be adopted once: `earmark models get {on} --name NAME --window 5`. Then pass "
            "--on NAME."
        )
    try:
        if not find_tagger(on).exists():
            raise TaggerFileError(f"{on}: there is no such file or folder. Check the path.")
    except TaggerFileError as error:
        if finetuned:
            raise type(error)(f"{error} Fine-tuning needs it for the head that it is held against.") from error
        raise
