"""Train a model once per fold and score the held-out clips with the exported file, the way users call it."""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from earmark.baselines.forest import FeatureGraph, WindowFeatures, fit_forest, forest_graph
from earmark.data.manifest import Manifest
from earmark.data.splits import inner_split
from earmark.errors import EarmarkError, summarise_rows
from earmark.export.graph import export_tagger, write_tagger
from earmark.flows.experiment import Experiment
from earmark.models.tagging_net import TaggingNet, build
from earmark.predictions import Predictions, concatenate
from earmark.run import REFIT, FoldFolder, write_json
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tag_files import score_files
from earmark.tagger.tagger import load_tagger
from earmark.training.dataset import loss_weights
from earmark.training.fit import FitResult, fit, restore
from earmark.training.sampling import seed_for

log = logging.getLogger("earmark")

# (fold or REFIT, positions of the training clips, its folder) → facts for result.json; writes folder.tagger
FitFold = Callable[[int | str, np.ndarray, FoldFolder], dict[str, Any]]


def cross_validate(experiment: Experiment, model: str, fit_fold: FitFold) -> Predictions:
    """Out-of-fold window scores of every clip that is ever held out. Folds that are done are read, not made again."""
    folds = experiment.manifest.fold_numbers
    return concatenate([cross_validate_fold(experiment, model, fold, fit_fold) for fold in folds])


def cross_validate_fold(experiment: Experiment, model: str, fold: int, fit_fold: FitFold) -> Predictions:
    """Window scores of one fold's held-out clips by a model that never saw them."""
    folder = experiment.run.fold(fold, model)
    if not folder.result.exists():
        folds = experiment.manifest.folds
        started = time.perf_counter()
        facts = fit_fold(fold, np.flatnonzero(folds != fold), folder)
        held_out = experiment.manifest.select(np.flatnonzero(folds == fold))
        score_held_out(experiment, folder, held_out).save(folder.predictions)
        seconds = round(time.perf_counter() - started, 1)
        write_json(folder.result, {"fold": fold, "n_clips": len(held_out), **facts, "seconds": seconds})
        log.info("%s, fold %s: %d clips scored, %.0f s", model, fold, len(held_out), seconds)
    return Predictions.load(folder.predictions)


def score_held_out(experiment: Experiment, folder: FoldFolder, held_out: Manifest) -> Predictions:
    """Window scores of clips by the file that was just exported.

    Raises:
        EarmarkError: a clip cannot be read any more.
    """
    threads = torch.get_num_threads()  # a worker beside others has one, the parent all
    predictions, failures = score_files(load_tagger(folder.tagger), held_out.clips(), level="window", threads=threads)
    if failures:
        rows = [f"{failure.clip.path}: {failure.error}" for failure in failures]
        raise EarmarkError(f"{len(rows)} clips could be read before, but not now.\n{summarise_rows(rows)}")
    return predictions


class NetworkFolds:
    """Fits the run's network on any choice of its clips."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment

    def __call__(self, fold: int | str, positions: np.ndarray, folder: FoldFolder) -> dict[str, Any]:
        """Train, with an inner split for the choice of epoch if the settings ask for one, and export."""
        config, manifest = self.experiment.config, self.experiment.manifest.select(positions)
        validation = None
        training = manifest
        if config.validation_fraction:
            inner, chosen = inner_split(manifest, config.validation_fraction, seed=config.data.fold_seed)
            training, validation = manifest.select(inner), manifest.select(chosen)
        log.info("%s, fold %s: training on %d clips", config.model, fold, len(training))
        result = self.fit(fold, training, validation, folder)
        self.export([result.net], folder, self.experiment.metadata(f"{config.model} fold {fold}", manifest))
        return {"n_epochs": result.n_epochs, "validation_score": result.validation_score}

    def fit(
        self,
        fold: int | str,
        training: Manifest,
        validation: Manifest | None,
        folder: FoldFolder,
        stop_after: int | None = None,
    ) -> FitResult:
        """Train one network from fresh weights, or go on where a kill left it."""
        config = self.experiment.config
        return fit(
            self.fresh(fold),
            training,
            validation,
            folder,
            framing=config.framing,
            cache=self.experiment.cache,
            optim=config.optim,
            augment=config.augment,
            precision=config.precision,
            seed=self._seed(fold),
            stop_after=stop_after,
        )

    def train_refit(self) -> None:
        """Train on all clips: all epochs, or the median of those that the folds' validation chose."""
        folder = self._folder(REFIT)
        validates = self.experiment.config.validation_fraction > 0
        n_epochs = self.median_epochs() if validates else self.experiment.config.optim.epochs
        log.info("%s: refit on all %d clips, %d epochs", self._model, len(self.experiment.manifest), n_epochs)
        self.fit(REFIT, self.experiment.manifest, None, folder, stop_after=n_epochs)
        write_json(folder.trained, {"n_epochs": n_epochs})

    def export_refit(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Export the network trained on all clips."""
        self.export([restore(self.fresh(REFIT), folder, validates=False).net], folder, metadata)

    def export_ensemble(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Export the folds' networks as one graph that averages their scores."""
        validates = self.experiment.config.validation_fraction > 0
        nets = [restore(self.fresh(fold), self._folder(fold), validates).net for fold in self._folds()]
        self.export(nets, folder, metadata)

    def export(self, nets: list[TaggingNet], folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Write the tagger file of a folder."""
        export_tagger(nets, metadata, folder.tagger, self.experiment.sample_windows())

    def fresh(self, fold: int | str) -> TaggingNet:
        """The network before training, its weights drawn from the fold's seed."""
        config = self.experiment.config
        torch.manual_seed(self._seed(fold))
        n_classes = len(self.experiment.manifest.vocabulary)
        return build(config.model, config.frontend, n_classes, config.model_options)

    def median_epochs(self) -> int:
        """Of the folds' chosen epochs."""
        results = [json.loads(self._folder(fold).result.read_text("utf-8")) for fold in self._folds()]
        return round(statistics.median(result["n_epochs"] for result in results))

    @property
    def _model(self) -> str:
        return self.experiment.config.model

    def _folds(self) -> list[int]:
        return self.experiment.manifest.fold_numbers

    def _folder(self, fold: int | str) -> FoldFolder:
        return self.experiment.run.fold(fold, self._model)

    def _seed(self, fold: int | str) -> int:
        """A seed of its own for each fold, so that no two networks start alike."""
        return seed_for(self.experiment.config.seed, 0 if fold == REFIT else 1 + int(fold)) % 2**31


class ForestFolds:
    """Fits the random forest on any choice of the run's clips; features are computed once for all folds."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self._features: tuple[FeatureGraph, WindowFeatures] | None = None

    def __call__(self, fold: int | str, positions: np.ndarray, folder: FoldFolder) -> dict[str, Any]:
        """Fit and export."""
        trained_on = self.experiment.manifest.select(positions)
        self.fit(positions, folder, self.experiment.metadata(f"forest fold {fold}", trained_on))
        return {}

    def export_refit(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Fit on all clips and export."""
        self.fit(np.arange(len(self.experiment.manifest)), folder, metadata)

    def fit(self, positions: np.ndarray, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Fit on the clips at `positions` and write the tagger file, held against scikit-learn's own answer."""
        graph, features = self.features()
        manifest = self.experiment.manifest
        targets = manifest.targets()
        forest = fit_forest(features, targets, positions, self.experiment.config.seed, loss_weights(manifest))
        windows = self.experiment.sample_windows()
        model = forest_graph(graph.model, forest, targets.shape[1])
        write_tagger(model, metadata, folder.tagger, windows, forest.predict(graph(windows)))

    def features(self) -> tuple[FeatureGraph, WindowFeatures]:
        """The feature graph and the features of every clip's windows, made at first need."""
        if self._features is None:
            log.info("forest: computing features of %d clips", len(self.experiment.manifest))
            graph = FeatureGraph(self.experiment.config.frontend, self.experiment.framing)
            self._features = graph, graph.of_clips(self.experiment.audio(self.experiment.manifest))
        return self._features
