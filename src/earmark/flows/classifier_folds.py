"""Classifiers on features, fitted on any choice of a run's clips; features are computed once for all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from earmark.audio.cache import content_hash
from earmark.baselines import BASELINES, SEQUENCE_HEADS
from earmark.baselines.classifier import Classifier, Examples, classifier_graph
from earmark.baselines.feature_graph import FeatureGraph, WindowFeatures
from earmark.baselines.features import SummaryFeatures
from earmark.baselines.inner import draw_parts
from earmark.config import keyword_options
from earmark.data.leakage import hash_contents
from earmark.data.manifest import Manifest
from earmark.export.graph import trace, write_tagger
from earmark.flows.backbones import Backbone, made_from
from earmark.flows.cross_validate import cross_validate_fold
from earmark.flows.experiment import Experiment
from earmark.flows.progress import bar
from earmark.flows.split import group_duplicates
from earmark.lookup import lookup
from earmark.run import REFIT, FoldFolder
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tag_files import default_threads
from earmark.training.dataset import loss_weights

log = logging.getLogger("earmark")

INNER_PARTS = 4  # of training clips whose own folds cannot serve for inner choices


class ClipFeatures:
    """The features of an experiment's clips and the graph that computes them, each made at first need.

    Args:
        backbone: the pretrained network they come from; None = summary features.
    """

    def __init__(self, experiment: Experiment, backbone: Backbone | None = None):
        self.experiment = experiment
        self.backbone = backbone
        self._graph: FeatureGraph | None = None
        self._values: dict[str, WindowFeatures] = {}

    @property
    def graph(self) -> FeatureGraph:
        """Waveform to features, as it ships."""
        if self._graph is None:
            framing = self.experiment.framing
            if self.backbone is None:
                features = SummaryFeatures(self.experiment.config.frontend)
                model = trace(features, framing.window_samples, ("embedding",))
            else:
                model = self.backbone.graph(framing.window_samples)
            self._graph = FeatureGraph(model, framing)
        return self._graph

    def of(self, output: str) -> WindowFeatures:
        """Features of every clip's windows: "embedding" (windows, features) or "sequence" (windows, patches, …)."""
        if output not in self._values:
            experiment, n_clips = self.experiment, len(self.experiment.manifest)
            name = self.backbone.name if self.backbone else "summary features"
            log.info("%s: %d clips", name, n_clips)
            with bar(name, n_clips, "clips", experiment.progress) as update:
                self._values[output] = self.graph.of_clips(
                    experiment.manifest.clips(),
                    experiment.cache,
                    output,
                    threads=default_threads(),
                    progress=update,
                )
        return self._values[output]


class ClassifierFolds:
    """Fits one classifier on any choice of the run's clips.

    Args:
        head: a name in BASELINES.
    """

    def __init__(self, features: ClipFeatures, head: str):
        self.features = features
        self.experiment = features.experiment
        self.head = head
        self.name = f"{features.backbone.name}+{head}" if features.backbone else head
        self._for_use: Classifier | None = None

    def __call__(self, fold: int | str, positions: np.ndarray, folder: FoldFolder) -> dict[str, Any]:
        """Fit and export; returns what fitting chose."""
        trained_on = self.experiment.manifest.select(positions)
        classifier = self.fit(positions)
        self.export(classifier, folder, self.experiment.metadata(f"{self.name} fold {fold}", trained_on))
        return {"head": dict(classifier.facts)}

    def fit_for_use(self) -> None:
        """Fit on all clips, for `export_refit`."""
        self._for_use = self.fit(self.experiment.training_clips(REFIT))

    def export_refit(self, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Export the classifier of all clips, fitted now unless it is."""
        if self._for_use is None:
            self.fit_for_use()
        self.export(self._for_use, folder, metadata)

    def fit(self, positions: np.ndarray) -> Classifier:
        """Fit on the clips at `positions`."""
        experiment = self.experiment
        fit = lookup(BASELINES, self.head, "model")
        options = {}
        if self.name == experiment.config.model_name:  # others in the run, such as the baseline, are fitted as usual
            options = keyword_options(fit, experiment.config.model_options, f"model_options of {self.head}")
        examples = self.examples(positions)
        with one_thread():
            return fit(examples, **{**options, "seed": experiment.config.seed})

    def export(self, classifier: Classifier, folder: FoldFolder, metadata: TaggerMetadata) -> None:
        """Write the tagger file, held against the classifier's own scores."""
        graph, windows = self.features.graph, self.experiment.sample_windows()
        model = classifier_graph(graph.model, classifier, len(metadata.labels))
        metadata = self._describe(metadata, classifier)
        write_tagger(model, metadata, folder.tagger, windows, classifier.predict(graph(windows, classifier.source)))

    @property
    def source(self) -> str:
        """Which of the graph's outputs it is fitted on."""
        return "sequence" if self.head in SEQUENCE_HEADS else "embedding"

    def examples(self, positions: np.ndarray) -> Examples:
        """The windows of the clips at `positions`; each clip weighs the same however many windows it has."""
        manifest = self.experiment.manifest
        features = self.features.of(self.source)
        parts = np.full(len(manifest), -1)
        seed, hash_file = self.experiment.config.data.fold_seed, self.experiment.cache.content_hash
        parts[positions] = inner_parts(manifest.select(positions), seed, hash_file)
        rows = np.flatnonzero(np.isin(features.clips, positions))
        clips = features.clips[rows]
        shares = np.bincount(clips, minlength=len(manifest))[clips]
        return Examples(
            features.values[rows],
            manifest.targets()[clips],
            loss_weights(manifest)[clips] / shares[:, None].astype(np.float32),
            clips,
            parts[clips],
            manifest.multi_label,
        )

    def _describe(self, metadata: TaggerMetadata, classifier: Classifier) -> TaggerMetadata:
        """The facts of the tagger file with those of its backbone and its head; its graph hears one length."""
        if metadata.any_length:
            metadata = replace(metadata, views="sliding", view_seconds=(), format_version=1)
        if self.features.backbone is not None:
            metadata = made_from(metadata, self.features.backbone)
        return replace(metadata, trained_on={**metadata.trained_on, "head": dict(classifier.facts)})


def fit_folds(experiment: Experiment, models: Sequence[ClassifierFolds]) -> None:
    """Fit, export and score the folds that are not done, beside them the classifier for use, one a core at a time.

    On one thread each, in one process: their time goes into matrix products, which let other threads work. Ctrl-C ends
    with the folds that are being fitted.
    """
    jobs: list[Callable[[], Any]] = []
    for folds in models:
        numbers = experiment.manifest.fold_numbers
        waiting = [fold for fold in numbers if not experiment.run.fold(fold, folds.name).result.exists()]
        jobs += [partial(cross_validate_fold, experiment, folds.name, fold, folds) for fold in waiting]
        if waiting:
            folds.features.of(folds.source)  # on all cores
        if waiting and folds.name == experiment.config.model_name:
            jobs.append(folds.fit_for_use)
    with one_thread():
        pool = ThreadPoolExecutor(default_threads())
        try:
            for job in [pool.submit(job) for job in jobs]:
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Small products on one thread: several wait for one another, on a busy machine forty times as long (0004)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def inner_parts(manifest: Manifest, seed: int, hash_file: Callable[[Path], str] = content_hash) -> np.ndarray:
    """Inner folds (clips,) of training clips for choices made among them: their own folds where there are two or more.

    Others are drawn in whole groups, files of one content together; -1 = never held out, which goes for all where
    nothing is left to choose by.

    Args:
        hash_file: `Cache.content_hash` spares reading what the cache has hashed before.
    """
    if len(manifest.fold_numbers) > 1:
        return manifest.folds
    manifest = group_duplicates(manifest, hash_contents(manifest, hash_file=hash_file), [])
    return draw_parts(manifest.groups, manifest.present(), INNER_PARTS, seed)
