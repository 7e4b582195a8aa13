"""What a finished run's folder holds, read back for the report."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.baselines import BASELINE, PLAIN_HEAD
from earmark.config import read_yaml
from earmark.data.lock import read_looks
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import RunError
from earmark.evaluation import Scorecard
from earmark.predictions import Predictions
from earmark.run import FoldFolder, Run

COMMAND = "command "  # how the line of environment.txt begins that says it
DIAGNOSTICS = "diagnostics.jsonl"  # in a fold's folder, where a network was watched
Histories = dict[str, dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class RunContents:
    """A finished run.

    models: the one that the report is about first, the baseline last.
    manifest: the clips that every model scored.
    scores: model → (clips, classes) out-of-fold scores, rows and columns as in the manifest.
    lengths: (clips,) of each, in seconds.
    places: model → (its run, its name there).
    histories: model → fold → its epochs.
    alarms: what was noticed while the report's model was trained: (fold → first epoch from 1 or 0 = before, text).
    failures: rows of failures.csv. looks: a sentence on each look at a locked test split.
    config: settings as nested text, empty where there is no config.yaml; config_text the file itself.
    """

    name: str
    models: tuple[str, ...]
    scorecard: Scorecard
    manifest: Manifest
    scores: dict[str, np.ndarray]
    lengths: np.ndarray
    places: dict[str, tuple[Run, str]]
    histories: Histories
    alarms: list[tuple[dict[str, int], str]]
    failures: list[dict[str, str]]
    looks: list[str]
    config: Mapping[str, Any]
    config_text: str
    environment: str

    @property
    def main(self) -> str:
        """The model that the report is about: the network, or the only one there is."""
        return self.models[0]

    @property
    def seconds(self) -> float:
        """How long the scored sound is."""
        return float(self.lengths.sum())

    @property
    def command(self) -> str:
        """What was typed to make the run; empty where it is not known."""
        lines = [line for line in self.environment.splitlines() if line.startswith(COMMAND)]
        _, _, words = lines[0].removeprefix(COMMAND).partition(" ") if lines else ("", "", "")
        return f"earmark {words}" if words else ""

    @property
    def baseline(self) -> str | None:
        """What it is held against, if anything."""
        return baseline_of(self.models)


def read_run(folder: Path) -> RunContents:
    """Read a run folder.

    Raises:
        RunError: the run is not finished (what is missing is said), or its files do not belong together.
        ManifestError: the clips' files are not where the manifest says.
    """
    run = Run(Path(folder))
    _require([run.scorecard, run.manifest], run.folder)
    scorecard = Scorecard.load(run.scorecard)
    baseline = baseline_of(scorecard.models)
    models = tuple(sorted(scorecard.models, key=lambda model: model == baseline))
    _require([run.predictions(model) for model in models], run.folder)
    manifest = read_manifest(run.manifest)
    tables = {model: Predictions.load(run.predictions(model)) for model in models}
    scored = set.intersection(*(set(table.clip_ids) for table in tables.values()))
    manifest = manifest.select(np.array([name in scored for name in manifest.clip_ids]))
    if not len(manifest) or any(set(table.labels) != set(manifest.vocabulary) for table in tables.values()):
        raise RunError(
            f"{run.folder}: manifest.csv and the predictions have other clips or other labels; they come "
            "from different runs. Train again into an empty folder."
        )
    tables = {model: table.align(manifest.clip_ids) for model, table in tables.items()}
    return RunContents(
        name=run.name,
        models=models,
        scorecard=scorecard,
        manifest=manifest,
        scores={
            model: table.scores[:, [table.labels.index(label) for label in manifest.vocabulary]]
            for model, table in tables.items()
        },
        lengths=tables[models[0]].ends - tables[models[0]].starts,
        places={model: (run, model) for model in models},
        histories=_histories(run, models),
        alarms=_alarms(run, models[0]),
        failures=_rows(run.failures),
        looks=looks_text(run),
        config=read_yaml(run.config) if run.config.exists() else {},
        config_text=_text(run.config),
        environment=_text(run.environment),
    )


def baseline_of(models: Collection[str]) -> str | None:
    """The baseline among a run's models."""
    return next((name for name in (BASELINE, PLAIN_HEAD) if name in models), None)


def looks_text(run: Run) -> list[str]:
    """A sentence on each evaluation of the run's tagger on a locked test split."""
    return [
        f"Look {number} at a locked test split ({look.table}, {look.when[:10]}): {look.metric} {look.value:.3f}."
        for number, look in enumerate(read_looks(run.test_looks), start=1)
    ]


def _require(paths: list[Path], folder: Path) -> None:
    """Refuse a run without these files."""
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise RunError(f"{folder}: the run is not finished ({', '.join(missing)} missing). {Run(folder).way_out}")


def _histories(run: Run, models: tuple[str, ...]) -> Histories:
    """The epochs of every fold of every model that counts them."""
    found: Histories = {}
    for folder in sorted(run.folder.glob("fold_*/*/")):
        rows = FoldFolder(folder).read_history()
        if folder.name in models and rows:
            found.setdefault(folder.name, {})[folder.parent.name.removeprefix("fold_")] = rows
    return found


def _alarms(run: Run, model: str) -> list[tuple[dict[str, int], str]]:
    """What was noticed in the folds of a model that was watched, each thing once, with the words of the first time."""
    found: dict[tuple[str, str], tuple[dict[str, int], str]] = {}
    for path in sorted(run.folder.glob(f"fold_*/{glob.escape(model)}/{DIAGNOSTICS}")):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:  # a kill may have cut off the last one
            row = json.loads(line)
            for alarm in row["alarms"]:
                epochs, _ = found.setdefault((alarm["name"], alarm["where"]), ({}, alarm["text"]))
                epochs.setdefault(path.parent.parent.name.removeprefix("fold_"), row["epoch"] + 1)
    return list(found.values())


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV with a header; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _text(path: Path) -> str:
    """A text file, empty where there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""
