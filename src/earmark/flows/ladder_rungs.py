"""The rungs of a ladder: which models, with which settings, each climbed through the same folds as all others."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.cache import Cache
from earmark.baselines import BASELINE, BASELINES, SEQUENCE_HEADS, TITLES
from earmark.data.manifest import Manifest
from earmark.errors import ConfigError
from earmark.flows.backbones import find_backbone
from earmark.flows.classifier_folds import ClassifierFolds, ClipFeatures
from earmark.flows.cross_validate import FitFold, NetworkFolds, cross_validate, cross_validate_fold
from earmark.flows.experiment import Experiment, claim
from earmark.flows.first_look import require_backbone
from earmark.flows.run_config import RunConfig, frontend_for
from earmark.flows.workers import train_folds
from earmark.lookup import did_you_mean
from earmark.models.huggingface.source import PREFIX
from earmark.models.pretrained.weights import WEIGHTS
from earmark.models.tagging_net import MODELS
from earmark.predictions import Predictions
from earmark.run import FoldFolder, Run
from earmark.tagger.home import converted, present

SUMMARY = ("prior", "knn", "logistic", "logistic_l1", "tree", "forest", "mlp", "boosting")
NETWORKS = ("tiny_cnn", "se_cnn")
QUICK = ("prior", "knn", "logistic")  # usually the first to be done
HEAD = "choice"  # on a backbone
BLEND = "blend"
PRETRAINED = "pretrained"  # the kind of rung, and its name where there is no backbone to stand on
MISSING = "No pretrained network is on this machine. `earmark models get mn04_as` brings one of 4 MB."


@dataclass(frozen=True)
class Candidate:
    """A rung before it is climbed.

    name: of the rung and of its folders. kind: one of `baselines.ladder.KINDS`. config: the settings of its run.
    head: its classifier in BASELINES, empty for a network. place: its run's folder below the ladder's.
    """

    name: str
    kind: str
    about: str
    config: RunConfig
    head: str = ""
    place: str = ""


def candidates(config: RunConfig, backbones: Sequence[str], rungs: Sequence[str] = ()) -> list[Candidate]:
    """The rungs in their order: classifiers on summary features, networks, a head on each backbone.

    Args:
        config: the settings all share.
        backbones: names or paths.
        rungs: only these; empty = the usual ones. A name that is no model stands for a backbone.

    Raises:
        ConfigError: there is no rung of a name, or two have the same.
        TaggerFileError: a backbone is not on this machine.
    """
    names = [name for name in rungs or (*SUMMARY, *NETWORKS, *backbones) if name not in (BLEND, PRETRAINED)]
    if rungs:
        names += [each for each in backbones if each not in names]
    found = [_candidate(config, name) for name in dict.fromkeys(names)]
    called = [each.name for each in found]
    twice = sorted({name for name in called if called.count(name) > 1})
    if twice:
        raise ConfigError(f"--on: two rungs would be called {', '.join(twice)}. Rename a file, or leave one out.")
    if not found:
        raise ConfigError(f"--rungs: {', '.join(rungs)} leaves nothing to climb. Name a model, such as forest.")
    return found


def slowness(candidate: Candidate) -> int:
    """In which order to try rungs of unknown cost: quick classifiers, heads on a backbone, the others, networks."""
    if not candidate.head:
        return 3
    return 0 if candidate.head in QUICK else 1 if candidate.kind == PRETRAINED else 2


def shared(config: RunConfig) -> RunConfig:
    """The settings of classifiers on summary features, and what all rungs have in common."""
    return replace(config, model=BASELINE, model_options={}, backbone=replace(config.backbone, on=""))


def require_rung(name: str) -> None:
    """Refuse a name that no rung has.

    Raises:
        ConfigError: it is neither a model nor a backbone.
        TaggerFileError: the backbone is not on this machine.
    """
    if name in (BLEND, PRETRAINED, *MODELS) or (name in BASELINES and name not in SEQUENCE_HEADS):
        return
    known = [*present(), *WEIGHTS]
    if not Path(name).exists() and name not in known and not name.startswith(PREFIX):
        raise ConfigError(
            f"'{name}' is not a rung{did_you_mean(name, [*BASELINES, *MODELS, *known])}. Give a model, a pretrained "
            "network (`earmark models` lists them), a tagger file or a run's folder."
        )
    require_backbone(name)


def _candidate(config: RunConfig, name: str) -> Candidate:
    """One rung by the name of its model, or of its backbone. Options are those of the model that the settings name."""
    own = shared(config)
    if name in BASELINES and name not in SEQUENCE_HEADS:
        return Candidate(name, "summary", f"{TITLES[name]} on summary features", own, name)
    if name in MODELS:
        own = replace(own, model=name, model_options=config.model_options if config.model == name else {})
        return Candidate(name, "network", f"a network, {own.optim.epochs} epochs from scratch", own, place=name)
    require_rung(name)
    if Path(name).exists() and not converted(name).is_file():
        name = str(Path(name).resolve())  # which holds wherever the run goes on
    backbone = find_backbone(replace(config.backbone, on=name))
    own = replace(own, model=HEAD, backbone=backbone.config, frontend=frontend_for(backbone.sample_rate))
    about, place = f"{TITLES[HEAD]} on {backbone.name}, frozen", f"on/{backbone.name}"
    return Candidate(own.model_name, PRETRAINED, about, own, HEAD, place)


class Stage:
    """Where rungs are climbed: some clips in folds, and a folder; features are computed once for all that share them.

    Args:
        folder: of the ladder. A classifier on summary features lives in it, other rungs in folders below.
        manifest: clips in folds.
        progress: draw progress bars.
    """

    def __init__(self, folder: Path, manifest: Manifest, cache: Cache, progress: bool):
        self.folder = folder
        self.manifest = manifest
        self.cache = cache
        self.progress = progress
        self._features: dict[str, ClipFeatures] = {}

    @property
    def run(self) -> Run:
        """The run of the classifiers on summary features, and what the whole ladder leaves."""
        return Run(self.folder)

    @property
    def folds(self) -> list[int]:
        return self.manifest.fold_numbers

    def cost_file(self, candidate: Candidate) -> Path:
        """Where the measured cost of a rung is kept; once it is there, the rung is done."""
        return self.folder / "costs" / f"{candidate.name}.json"

    def experiment(self, candidate: Candidate) -> Experiment:
        """The run that a rung belongs to; its folder is claimed."""
        run = Run(self.folder / candidate.place)
        claim(run, candidate.config, self.manifest)
        return Experiment(run, candidate.config, self.manifest, self.cache, self.progress)

    def features(self, candidate: Candidate) -> ClipFeatures:
        """What a classifier stands on, shared by those of one place."""
        if candidate.place not in self._features:
            experiment = self.experiment(candidate)
            on = candidate.config.backbone
            self._features[candidate.place] = ClipFeatures(experiment, find_backbone(on) if on.on else None)
        return self._features[candidate.place]

    def climb(self, candidate: Candidate) -> Predictions:
        """Out-of-fold window scores; folds that are done are read."""
        experiment = self.experiment(candidate)
        if not candidate.head:
            train_folds(experiment, self.folds)
        return cross_validate(experiment, candidate.name, self._fit(candidate, self.folds))

    def try_out(self, candidate: Candidate) -> None:
        """The first fold alone."""
        experiment = self.experiment(candidate)
        if not candidate.head:
            train_folds(experiment, self.folds[:1])
        cross_validate_fold(experiment, candidate.name, self.folds[0], self._fit(candidate, self.folds[:1]))

    def folder_of(self, candidate: Candidate, fold: int) -> FoldFolder:
        """What a fold of a rung leaves."""
        return Run(self.folder / candidate.place).fold(fold, candidate.name)

    def results(self, candidate: Candidate) -> list[dict[str, Any]]:
        """What each finished fold says of itself, and `fit_seconds`: how long its training took."""
        found = []
        for fold in self.folds:
            folder = self.folder_of(candidate, fold)
            if folder.result.exists():
                result = json.loads(folder.result.read_text(encoding="utf-8"))
                epochs = sum(row["seconds"] for row in folder.read_history())
                found.append({"fit_seconds": epochs, **result})
        return found

    def _fit(self, candidate: Candidate, folds: Sequence[int]) -> FitFold:
        """Fits a rung on any fold; features are computed here, so that no fold's time holds them."""
        if not candidate.head:
            return NetworkFolds(self.experiment(candidate))
        if not all(self.folder_of(candidate, fold).result.exists() for fold in folds):
            self.features(candidate).of("embedding")
        classifier = ClassifierFolds(self.features(candidate), candidate.head)

        def fit(fold: int | str, positions: np.ndarray, folder: FoldFolder) -> dict[str, Any]:
            started = time.perf_counter()
            facts = classifier(fold, positions, folder)
            return {**facts, "fit_seconds": round(time.perf_counter() - started, 3)}

        return fit
