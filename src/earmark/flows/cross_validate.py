"""Train a model once per fold and score the held-out clips with the exported file, the way users call it."""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from earmark.data.manifest import Manifest
from earmark.data.splits import inner_split
from earmark.errors import AudioError, summarise_rows
from earmark.export.graph import export_tagger
from earmark.flows.backbones import find_backbone, made_from
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import FINETUNED
from earmark.flows.starting_weights import blank_net, start_head, started_from_file, starting_net
from earmark.models.tagging_net import TaggingNet
from earmark.predictions import Predictions, concatenate
from earmark.run import REFIT, FoldFolder, write_json
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tag_files import score_files
from earmark.tagger.tagger import load_tagger
from earmark.training.sampling import seed_for

if TYPE_CHECKING:
    from earmark.training.fit import FitResult

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
        started = time.perf_counter()
        facts = fit_fold(fold, experiment.training_clips(fold), folder)
        held_out = experiment.manifest.select(experiment.manifest.folds == fold)
        score_held_out(experiment, folder, held_out).save(folder.predictions)
        seconds = round(time.perf_counter() - started, 1)
        write_json(folder.result, {"fold": fold, "n_clips": len(held_out), **facts, "seconds": seconds})
        log.info("%s, fold %s: %d clips scored, %.0f s", model, fold, len(held_out), seconds)
    return Predictions.load(folder.predictions)


def score_held_out(experiment: Experiment, folder: FoldFolder, held_out: Manifest) -> Predictions:
    """Window scores of clips by the file that was just exported, their sound read from the cache.

    Raises:
        AudioError: a clip cannot be read any more.
    """
    threads = torch.get_num_threads()  # a worker beside others has one, the parent all
    tagger = load_tagger(folder.tagger, read=experiment.cache.blocks)
    predictions, failures = score_files(tagger, held_out.clips(), level="window", threads=threads)
    if failures:
        rows = [f"{failure.clip.path}: {failure.error}" for failure in failures]
        raise AudioError(f"{len(rows)} clips could be read before, but not now.\n{summarise_rows(rows)}")
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
        """Train one network from where it starts, or go on where a kill left it."""
        from earmark.training.fit import fit  # Lightning, which takes seconds, once there is something to train

        config = self.experiment.config
        resumes = (folder.checkpoints / "last.ckpt").exists()  # which replaces whatever the network starts with
        return fit(
            self.blank(fold) if resumes else self.start(fold, training),
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
            fresh=config.model != FINETUNED,
            devices=config.devices,
        )

    def start(self, fold: int | str, training: Manifest) -> TaggingNet:
        """The network before training: weights drawn from the fold's seed, a file's, or what a finetuned one has."""
        config, labels = self.experiment.config, self.experiment.manifest.vocabulary.labels
        torch.manual_seed(self._seed(fold))
        net, kept = starting_net(config, labels)
        if config.model == FINETUNED:
            loss = config.optim.objective(training.multi_label)
            start_head(net, kept, training, config.framing, self.experiment.cache, loss)
        return net

    def train_refit(self) -> None:
        """Train on all clips: all epochs, or the median of those that the folds' validation chose."""
        folder = self._folder(REFIT)
        validates = self.experiment.config.validation_fraction > 0
        n_epochs = self.median_epochs() if validates else self.experiment.config.optim.epochs
        training = self.experiment.manifest.select(self.experiment.training_clips(REFIT))
        log.info("%s: refit on all %d clips, %d epochs", self._model, len(training), n_epochs)
        self.fit(REFIT, training, None, folder, stop_after=n_epochs)
        write_json(folder.trained, {"n_epochs": n_epochs})

    def export_refit(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Export the network trained on all clips."""
        from earmark.training.fit import restore

        self.export([restore(self.blank(REFIT), folder, validates=False).net], folder, metadata)

    def export_ensemble(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Export the folds' networks as one graph that averages their scores."""
        from earmark.training.fit import restore

        validates = self.experiment.config.validation_fraction > 0
        nets = [restore(self.blank(fold), self._folder(fold), validates).net for fold in self._folds()]
        self.export(nets, folder, metadata)

    def export(self, nets: list[TaggingNet], folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Write the tagger file of a folder."""
        if self.experiment.config.model == FINETUNED:
            metadata = made_from(metadata, find_backbone(self.experiment.config.backbone))
        metadata = started_from_file(metadata, self.experiment.config)
        export_tagger(nets, metadata, folder.tagger, self.experiment.sample_windows())

    def blank(self, fold: int | str) -> TaggingNet:
        """The network with weights drawn from the fold's seed."""
        torch.manual_seed(self._seed(fold))
        return blank_net(self.experiment.config, self.experiment.manifest.vocabulary.labels)

    def seconds_a_step(self) -> float:
        """About what a training step takes on this machine, see `earmark.training.pace`."""
        from earmark.training.pace import seconds_a_step

        config = self.experiment.config
        return seconds_a_step(self.blank(REFIT), config.framing, config.optim, config.precision)

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
