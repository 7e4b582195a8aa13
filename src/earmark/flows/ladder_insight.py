"""What the summary features tell: which groups a rung leans on, out of fold, and the strongest of each class."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.utils import Extractor

from earmark.baselines.features import SummaryFeatures
from earmark.baselines.importance import permutation_importance, strongest
from earmark.baselines.ladder import Insight
from earmark.evaluation.scorecard import primary_metric
from earmark.export.graph import open_graph
from earmark.flows.classifier_folds import ClassifierFolds
from earmark.flows.ladder_rungs import Candidate, Stage


def insight(stage: Stage, candidate: Candidate) -> Insight:
    """Ask a climbed rung by the tagger files of its folds: none is asked about a clip that it learned from."""
    manifest = stage.manifest
    features = stage.features(candidate).of("embedding")
    summary = SummaryFeatures(candidate.config.frontend)
    folds = manifest.folds[features.clips]
    rows = np.flatnonzero(folds >= 0)
    values, folds, owners = features.values[rows], folds[rows], features.clips[rows]
    heads = {fold: head_of(onnx.load(stage.folder_of(candidate, fold).tagger)) for fold in stage.folds}

    def predict(changed: np.ndarray) -> np.ndarray:
        scores = np.empty((len(changed), len(manifest.vocabulary)), dtype=np.float32)
        for fold, head in heads.items():
            scores[folds == fold] = head.run(["scores"], {"embedding": changed[folds == fold]})[0]
        return largest_of(owners, scores) if candidate.config.window.pool == "max" else scores

    scored = np.flatnonzero(manifest.folds >= 0)
    place = np.full(len(manifest), -1)
    place[scored] = np.arange(len(scored))
    clips = manifest.select(scored)
    importances = permutation_importance(
        predict,
        values,
        clips.targets(),
        clips.label_weights(),
        place[owners],
        summary.groups,
        recordings=clips.groups,
        folds=clips.folds,
        metric=primary_metric(manifest.multi_label),
    )
    examples = ClassifierFolds(stage.features(candidate), candidate.head).examples(scored)
    found = strongest(examples, summary.names, summary.groups)
    labels = manifest.vocabulary.labels
    return Insight(candidate.name, tuple(importances), dict(zip(labels, map(tuple, found), strict=True)))


def largest_of(owners: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each row's scores (rows, classes) as the largest of its clip's rows: their mean then is what max pooling gives.

    >>> largest_of(np.array([4, 2, 4]), np.array([[0.1, 0.9], [0.5, 0.5], [0.3, 0.7]])).tolist()
    [[0.3, 0.9], [0.5, 0.5], [0.3, 0.9]]
    """
    clips, owner = np.unique(owners, return_inverse=True)
    largest = np.full((len(clips), scores.shape[1]), -np.inf, dtype=scores.dtype)
    np.maximum.at(largest, owner, scores)
    return largest[owner]


def head_of(tagger: onnx.ModelProto):
    """What of a tagger's graph leads from `embedding` to `scores`, opened."""
    return open_graph(Extractor(tagger).extract_model(["embedding"], ["scores"]))
