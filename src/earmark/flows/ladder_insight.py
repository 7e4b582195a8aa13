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
    values, folds = features.values[rows], folds[rows]
    heads = {fold: head_of(onnx.load(stage.folder_of(candidate, fold).tagger)) for fold in stage.folds}

    def predict(changed: np.ndarray) -> np.ndarray:
        scores = np.empty((len(changed), len(manifest.vocabulary)), dtype=np.float32)
        for fold, head in heads.items():
            scores[folds == fold] = head.run(["scores"], {"embedding": changed[folds == fold]})[0]
        return scores

    scored = np.flatnonzero(manifest.folds >= 0)
    place = np.full(len(manifest), -1)
    place[scored] = np.arange(len(scored))
    clips = manifest.select(scored)
    importances = permutation_importance(
        predict,
        values,
        clips.targets(),
        clips.label_weights(),
        place[features.clips[rows]],
        summary.groups,
        recordings=clips.groups,
        folds=clips.folds,
        metric=primary_metric(manifest.multi_label),
    )
    examples = ClassifierFolds(stage.features(candidate), candidate.head).examples(scored)
    found = strongest(examples, summary.names, summary.groups)
    labels = manifest.vocabulary.labels
    return Insight(candidate.name, tuple(importances), dict(zip(labels, map(tuple, found), strict=True)))


def head_of(tagger: onnx.ModelProto):
    """What of a tagger's graph leads from `embedding` to `scores`, opened."""
    return open_graph(Extractor(tagger).extract_model(["embedding"], ["scores"]))
