"""Training in stages, one run after another in one folder: on noisy clips first, say, then on curated ones.

A recipe with `stages` holds settings of all stages and, below the name of each, what is different there. A stage may
start `from` the network of an earlier one, and let earlier ones judge its noisy clips (`data.agree_with`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from earmark.config import change, parse_assignments, read_yaml
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, RunError
from earmark.evaluation.compare import Comparison, paired_difference
from earmark.flows.run_config import FINETUNED, FROM, STAGES, RunConfig, require_known
from earmark.flows.settings import layered
from earmark.flows.train import Trained, default_folder, train
from earmark.lookup import did_you_mean
from earmark.predictions import Predictions
from earmark.run import Run, write_atomically, write_json, write_text

log = logging.getLogger("earmark")

BEGINNINGS = ("model", "model_options", "head", "branches", "frontend")  # of a network; one that goes on has its own


@dataclass(frozen=True)
class Staged:
    """What stages have made.

    run: the folder of all, with the tagger of the last. trained: each stage by its name, in order.
    comparisons: each stage with the one before, on the clips that both are scored on.
    """

    run: Run
    trained: dict[str, Trained]
    comparisons: list[Comparison]

    @property
    def last(self) -> Trained:
        return list(self.trained.values())[-1]


def train_stages(
    data: Path | str, out: Path | str | None = None, *, recipe: Path | str, settings: Sequence[str] = (), **how: Any
) -> Staged:
    """Train the stages of a recipe in turn, each a run of its own below `out`; stages that are done are read.

    Args:
        data, out, settings, how: as of `train`; settings are those of every stage, `stages.NAME.section.key=value` of
            one.
        recipe: YAML with `stages`. What each stage was told in the end stands in `out`/NAME.yaml: `train` with it does
            the same again.

    Raises:
        ConfigError: a stage refers to one that does not come before it.
        RunError: the folder is that of one training, whose tagger would be replaced.
        EarmarkError: the data or the settings are at fault.
    """
    run = Run(Path(out) if out else default_folder(Path(data)))
    if run.config.exists():
        raise RunError(f"{run.folder}: holds a run of its own, and stages want a folder for all. Choose another --out.")
    recipes = stage_recipes(Path(recipe), settings, run.folder)
    trained: dict[str, Trained] = {}
    for name, content in recipes.items():
        path = run.folder / f"{name}.yaml"
        write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        log.info("stage %s, %d of %d", name, len(trained) + 1, len(recipes))
        trained[name] = train(data, run.folder / name, recipe=path, **how)
    staged = Staged(run, trained, _compare(trained))
    with write_atomically(run.tagger) as temporary:
        temporary.write_bytes(staged.last.run.tagger.read_bytes())
    write_json(run.stages, _summary(staged))
    return staged


def stage_recipes(recipe: Path, settings: Sequence[str], folder: Path) -> dict[str, dict[str, Any]]:
    """What each stage is told, by its name, with the folders of the stages that it builds on.

    Args:
        folder: of all stages.

    Raises:
        ConfigError: there is no stage, a setting is of none or wrong, or a stage refers to one that does not come
            before it.
    """
    common = read_yaml(recipe)
    asked = parse_assignments(settings)
    its_stages, of_stages = common.get(STAGES), asked.get(STAGES)
    if isinstance(its_stages, Mapping) and isinstance(of_stages, Mapping):
        for name in of_stages:
            if name not in its_stages:  # a slip of the pen would be one more training, and the tagger of all
                hint = did_you_mean(name, its_stages)
                raise ConfigError(
                    f"--set stages.{name}: '{name}' is no stage of {recipe}{hint}. It has {', '.join(its_stages)}."
                )
    common = layered(common, asked)
    stages = common.pop(STAGES)
    if not isinstance(stages, Mapping) or not stages or not all(isinstance(each, Mapping) for each in stages.values()):
        raise ConfigError(f"{recipe}: {STAGES} holds no settings. Write the name of each stage, and below it its own.")
    asked.pop(STAGES, None)
    if wrong := [name for name in stages if Path(name).name != name or name.startswith(".")]:
        raise ConfigError(f"{recipe}: a stage cannot be called '{wrong[0]}', for that is no name of a folder.")
    found: dict[str, dict[str, Any]] = {}
    for name, its in stages.items():
        content = layered(common, its, asked)
        start = content.pop(FROM, "")
        if start:
            content = {key: value for key, value in content.items() if key not in BEGINNINGS}
            on = str(_folder_of(start, found, folder, f"{recipe}: stage {name}"))
            content = layered(content, {"model": FINETUNED, "backbone": {"on": on, "frozen_head": ""}})
        data = content.get("data")
        if isinstance(data, Mapping) and data.get("agree_with"):
            judges = data["agree_with"]
            judges = judges if isinstance(judges, list) else str(judges).split(",")
            judges = [str(_folder_of(each, found, folder, f"{recipe}: stage {name}")) for each in judges]
            content = layered(content, {"data": {"agree_with": judges}})
        found[name] = content
    for name, content in found.items():
        _check(content, f"{recipe}: stage {name}")
    return found


def _check(content: Mapping[str, Any], where: str) -> None:
    """Refuse what is wrong whatever the data is, before the first stage has trained for hours."""
    require_known(content, where)
    change(RunConfig(), {key: content[key] for key in ("optim", "augment") if key in content}, where)


def _folder_of(stage: str, known: Mapping[str, Any], folder: Path, where: str) -> Path:
    if stage not in known:
        raise ConfigError(f"{where}: '{stage}' is no stage before it{did_you_mean(stage, known)}.")
    return (folder / stage).resolve()


def _compare(trained: Mapping[str, Trained]) -> list[Comparison]:
    """Each stage with the one before it, in the clips that both have scores of."""
    names = list(trained)
    found = []
    for before, name in zip(names, names[1:], strict=False):
        other, ours = trained[before], trained[name]
        manifest = read_manifest(ours.run.manifest, look_for_files=False)
        theirs, its = (Predictions.load(each.run.predictions(each.model)) for each in (other, ours))
        if theirs.labels != its.labels:
            continue
        manifest = manifest.select(manifest.scored & np.isin(manifest.clip_ids, theirs.clip_ids))
        metric = ours.scorecard.primary_metric
        interval = paired_difference(
            manifest.present(),
            its.align(manifest.clip_ids).scores,
            theirs.align(manifest.clip_ids).scores,
            metric=metric,
            groups=manifest.groups,
            weights=manifest.label_weights(),
        )
        found.append(Comparison(name, before, metric, interval))
    return found


def _summary(staged: Staged) -> dict[str, Any]:
    """For other programs: each stage's scores, and what it gained on the one before."""
    return {
        "stages": {
            name: {
                "run": each.run.folder.name,
                "model": each.model,
                "n_clips": each.scorecard.n_clips,
                "metrics": {key: found.to_dict() for key, found in each.scorecard.models[each.model].metrics.items()},
            }
            for name, each in staged.trained.items()
        },
        "comparisons": [each.to_dict() for each in staged.comparisons],
    }
