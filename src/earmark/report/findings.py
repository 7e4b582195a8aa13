"""What a run found, as numbers that its report, its card and its summary share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from earmark.evaluation.thresholds import best_f1_threshold
from earmark.report.figures import Curves, Matrix, co_errors, confusion, matrix_figure
from earmark.report.mistakes import Suspect, suspects
from earmark.report.reading import RunContents
from earmark.report.score_figures import (
    Reliability,
    answers,
    precision_recall_figures,
    read_calibration,
    reliability,
    reliability_figure,
)
from earmark.report.slices import Slice, slices
from earmark.tagger.tagger import load_tagger

PER_CLASS = {True: "lwlrap", False: "recall"}  # by multi_label
N_SUSPECTS = 10
CALIBRATION = "calibration.json"  # in a run's folder: how its scores were calibrated, if they were


@dataclass(frozen=True)
class Findings:
    """The numbers behind a run's report, each computed when it is asked for.

    thresholds: (classes,) of the tagger for use, at clip level, in the order of the vocabulary, infinite for what is
        never named; None = not known, and the best one by F1 stands in.
    """

    contents: RunContents
    thresholds: Sequence[float] | None = None

    @cached_property
    def targets(self) -> np.ndarray:
        """(clips, classes), 0 or 1."""
        return self.contents.manifest.present()

    @cached_property
    def weights(self) -> np.ndarray:
        """(clips, classes), 0 = unknown."""
        return self.contents.manifest.label_weights()

    @property
    def scores(self) -> np.ndarray:
        """(clips, classes) of the model that the report is about."""
        return self.contents.scores[self.contents.main]

    @property
    def multi_label(self) -> bool:
        return self.contents.scorecard.multi_label

    @cached_property
    def tagged(self) -> np.ndarray:
        """(clips, classes) bool: what reaches its threshold, or where one label holds at a time the highest score."""
        if self.multi_label:
            return self.scores >= self.limits
        known = np.where(self.weights > 0, self.scores, -np.inf)
        return np.arange(known.shape[1]) == known.argmax(axis=1)[:, None]

    @cached_property
    def limits(self) -> np.ndarray:
        """(classes,) from which clip score on each label is asserted."""
        if self.thresholds is not None:
            return np.asarray(self.thresholds, dtype=np.float32)
        best = best_f1_threshold(self.targets, self.scores, self.weights)
        return np.full(self.targets.shape[1], best, dtype=np.float32)

    @cached_property
    def matrix(self) -> Matrix:
        """One label: what is taken for what. Several: which absent label is asserted beside which present one."""
        labels = self.contents.manifest.vocabulary.labels
        if self.multi_label:
            return matrix_figure(*co_errors(self.targets, self.scores, self.weights, self.limits), labels)
        known = self.weights > 0
        return matrix_figure(*confusion(self.targets * known, np.where(known, self.scores, -np.inf)), labels)

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """One row per class that has clips, the weakest first: label, n_clips, values by model, and of the report's
        model average_precision, roc_auc and precision (nan where there is none)."""
        contents, metric = self.contents, PER_CLASS[self.multi_label]
        tables = {model: contents.scorecard.models[model].per_class for model in contents.models}
        rows = [
            {
                "label": label,
                "n_clips": row["n_clips"],
                "values": {model: table[label][metric] for model, table in tables.items()},
                **{name: row.get(name, np.nan) for name in ("average_precision", "roc_auc", "precision")},
            }
            for label, row in tables[contents.main].items()
            if row["n_clips"]
        ]
        return sorted(rows, key=lambda row: row["values"][contents.main])

    @cached_property
    def slices(self) -> list[Slice]:
        """Scores of parts of the clips, the worst first."""
        return slices(self.contents)

    @cached_property
    def suspects(self) -> list[Suspect]:
        """The labels that look most wrong."""
        labels = self.contents.manifest.vocabulary.labels
        return suspects(self.targets, self.scores, self.weights, labels, self.multi_label, N_SUSPECTS)

    @property
    def overall(self) -> float:
        """The primary metric of the report's model on all clips."""
        scorecard = self.contents.scorecard
        return scorecard.models[self.contents.main].metrics[scorecard.primary_metric].value

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the report's model."""
        return self._reliability(self.contents.main).error

    @cached_property
    def calibration(self) -> dict[str, Reliability]:
        """The clip scores of the report's model before calibration and after; empty where there is none."""
        run, _ = self.contents.places[self.contents.main]
        return read_calibration(run.folder / CALIBRATION)

    def reliability(self) -> Curves:
        """How often what was scored so was right: of the report's model and the baseline, or before calibration and
        after."""
        if self.calibration:
            return reliability_figure(self.calibration, self.multi_label)
        models = {self.contents.baseline: "baseline", self.contents.main: "network"}  # a baseline alone is the latter
        found = {role: self._reliability(model) for model, role in models.items() if model is not None}
        return reliability_figure(found, self.multi_label)

    def _reliability(self, model: str) -> Reliability:
        return reliability(*answers(self.targets, self.contents.scores[model], self.weights, self.multi_label))

    def precision_recall(self) -> list[Curves]:
        """Curves of the classes with the lowest average precision."""
        labels = self.contents.manifest.vocabulary.labels
        of = {row["label"]: row["average_precision"] for row in self.per_class}
        order = np.argsort([np.nan_to_num(of.get(label, np.nan), nan=2.0) for label in labels], kind="stable").tolist()
        return precision_recall_figures(self.targets, self.scores, self.weights, labels, self.tagged, order)

    def folds(self) -> list[dict[str, Any]]:
        """One row per fold: fold, n_clips, n_groups, the primary metric by model."""
        contents = self.contents
        groups = pd.Series(contents.manifest.groups).groupby(contents.manifest.folds).nunique()
        metric = contents.scorecard.primary_metric
        scores = {model: contents.scorecard.models[model].folds for model in contents.models}
        return [
            {
                "fold": row["fold"],
                "n_clips": row["n_clips"],
                "n_groups": int(groups.get(row["fold"], 0)),
                "values": {model: rows[number][metric] for model, rows in scores.items()},
            }
            for number, row in enumerate(scores[contents.main])
        ]

    @cached_property
    def n_straddling(self) -> int:
        """How many groups stand in more than one fold."""
        folds = pd.Series(self.contents.manifest.folds)
        return int((folds.groupby(self.contents.manifest.groups).nunique() > 1).sum())


def thresholds(contents: RunContents) -> list[float] | None:
    """Clip thresholds of the run's tagger, in the order of the vocabulary; None where it is not there."""
    run, _ = contents.places[contents.main]
    if not run.tagger.exists():
        return None
    known = load_tagger(run.tagger).metadata
    of = dict(zip(known.labels, known.thresholds["clip"], strict=True))
    return [np.inf if of[label] is None else of[label] for label in contents.manifest.vocabulary]
