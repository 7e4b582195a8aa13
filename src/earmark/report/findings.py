"""What a run found, as numbers that its report, its card and its summary share."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.ensemble.members import read_windows
from earmark.evaluation.bootstrap import Interval, draw
from earmark.evaluation.reliability import asked, calibration_error, reliability
from earmark.evaluation.slices import UNKNOWN, Slice, bins_of, resampled_units, score_slices
from earmark.evaluation.thresholds import Thresholds, best_f1_threshold, tags_of
from earmark.predictions import Predictions
from earmark.report.figures import Curves, Matrix, co_errors, confusion, matrix_figure
from earmark.report.reading import RunContents
from earmark.report.score_figures import Measured, precision_recall_figures, read_calibration, reliability_figure
from earmark.review.suspects import Suspect, find_suspects
from earmark.tagger.metadata import calibrate
from earmark.tagger.tagger import load_tagger

PER_CLASS = {True: "lwlrap", False: "recall"}  # by multi_label
FEWEST_CLIPS = 20  # of a part that is shown
MOST_SLICES = 24
MOST_PARTS = 12  # of a column: one of more values is a name, not a kind
UNLIKE = 1.5  # times: lengths that differ by less are alike


@dataclass(frozen=True)
class Findings:
    """The numbers behind a run's report, each computed when it is asked for.

    thresholds: (classes,) of the tagger for use, at clip level, in the order of the vocabulary; None = not known, and
        the best one by F1 stands in.
    final: (clips, classes) the scores that they are for, as the tagger for use gives them; None = those of the folds.
    """

    contents: RunContents
    thresholds: Thresholds | None = None
    final: np.ndarray | None = None

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
        """(clips, classes) bool: what the tagger for use names."""
        thresholds = self.thresholds
        if thresholds is None:
            common = best_f1_threshold(self.targets, self.named_by, self.weights) if self.multi_label else 0.0
            thresholds = (common,) * self.targets.shape[1]
        return tags_of(self.named_by, thresholds, self.multi_label)

    @property
    def are_thresholds_fitted(self) -> bool:
        """Whether thresholds were chosen on the very clips that are shown; not where always the best is named."""
        return self.thresholds is not None and any(limit != 0 for limit in self.thresholds)

    @property
    def named_by(self) -> np.ndarray:
        """(clips, classes) the scores that thresholds are for."""
        return self.scores if self.final is None else self.final

    @cached_property
    def matrix(self) -> Matrix:
        """One label: what is taken for what. Several: which absent label is asserted beside which present one."""
        labels = self.contents.manifest.vocabulary.labels
        if self.multi_label:
            return matrix_figure(*co_errors(self.targets, self.tagged, self.weights), labels)
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
        """The primary metric of the report's model on parts of the clips that are large enough, the worst first."""
        manifest, metric = self.contents.manifest, self.contents.scorecard.primary_metric
        files = manifest.table["path"].to_numpy()
        found: list[Slice] = []
        for by, values in parting_columns(self.contents):
            units = resampled_units(values, manifest.groups, files)
            how = {"groups": units, "metrics": (metric,), "weights": self.weights}
            found += score_slices(by, values, self.targets, self.scores, **how)
        shown = [each for each in found if each.n_clips >= FEWEST_CLIPS and np.isfinite(each.metrics[metric].value)]
        return sorted(shown, key=lambda each: each.metrics[metric].value)[:MOST_SLICES]

    @cached_property
    def suspects(self) -> list[Suspect]:
        """The labels that are probably wrong, as `earmark review` asks about them; it looks for copies beside."""
        return find_suspects(self.contents.manifest, self.contents.scores[self.contents.scorecard.best])

    @property
    def review(self) -> tuple[str, str]:
        """Whose scores doubt labels, and the command that goes through the doubtful ones."""
        run, model = self.contents.places[self.contents.scorecard.best]
        return model, shlex.join(["earmark", "review", str(run.folder)])

    @property
    def calibration_error(self) -> Interval:
        """Expected calibration error of the report's model, as it was trained."""
        return self._measured(self.contents.main)[1]

    @cached_property
    def calibration(self) -> dict[str, Measured]:
        """What clip scores of the report's model are worth before calibration and after; empty where nobody says."""
        run, model = self.contents.places[self.contents.main]
        return read_calibration(run.calibration, model)

    def reliability(self) -> Curves:
        """How often what was scored so was right: of the report's model and the baseline, or before calibration and
        after."""
        if self.calibration:
            return reliability_figure(self.calibration, self.multi_label)
        models = {self.contents.baseline: "baseline", self.contents.main: "network"}  # a baseline alone is the latter
        found = {role: self._measured(model) for model, role in models.items() if model is not None}
        return reliability_figure(found, self.multi_label)

    def _measured(self, model: str) -> Measured:
        chances = asked(self.targets, self.contents.scores[model], self.weights, self.multi_label)
        return reliability(*chances), calibration_error(*chances, draw(self.contents.manifest.groups))

    def precision_recall(self) -> list[Curves]:
        """Curves of the classes with the lowest average precision."""
        labels = self.contents.manifest.vocabulary.labels
        of = {row["label"]: row["average_precision"] for row in self.per_class}
        order = np.argsort([np.nan_to_num(of.get(label, np.nan), nan=2.0) for label in labels], kind="stable").tolist()
        return precision_recall_figures(self.targets, self.named_by, self.weights, labels, self.tagged, order)

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


def findings_of(contents: RunContents) -> Findings:
    """The findings of a run, with thresholds and scores of its tagger for use where both are there."""
    run, model = contents.places[contents.main]
    if not run.tagger.exists():
        return Findings(contents)
    final = None
    if run.calibration.exists():
        document = json.loads(run.calibration.read_text(encoding="utf-8"))
        folds = read_manifest(run.manifest, look_for_files=False)
        if document["model"] != model or not all(run.fold(k, model).predictions.exists() for k in folds.fold_numbers):
            return Findings(contents)
        final = calibrated_scores(document, read_windows(run, model, folds), contents.manifest)
    known = load_tagger(run.tagger).metadata
    of = dict(zip(known.labels, known.thresholds["clip"], strict=True))
    return Findings(contents, [of[label] for label in contents.manifest.vocabulary], final)


def calibrated_scores(document: Mapping[str, Any], windows: Predictions, manifest: Manifest) -> np.ndarray:
    """Scores (clips, classes) as the tagger for use gives them, of what the folds' models said of windows.

    Args:
        document: calibration.json. manifest: the clips and the order of the columns.
    """
    inside = np.isin(windows.clip_ids.astype(str), manifest.clip_ids.astype(str))
    levels, multi_label = document["levels"], document["multi_label"]
    heard = calibrate(windows.scores, levels["window"]["calibration"], multi_label).astype(np.float32)
    clips = replace(windows, scores=heard).rows(inside).to_clips(document["pool"]).align(manifest.clip_ids)
    scores = calibrate(clips.scores, levels["clip"]["calibration"], multi_label).astype(np.float32)
    return scores[:, [windows.labels.index(label) for label in manifest.vocabulary]]


def parting_columns(contents: RunContents) -> Iterator[tuple[str, np.ndarray]]:
    """What may part the clips, (name, values (clips,)): columns of a few values that the labels do not tell, length."""
    manifest, lengths = contents.manifest, contents.lengths
    for name in manifest.extras:
        values = np.array([str(each) or UNKNOWN for each in manifest.column(name)], dtype=object)
        pairs = set(zip(manifest.table["labels"], values, strict=True))
        follows_from_labels = len(pairs) == len({labels for labels, _ in pairs})
        if 2 <= len(set(values)) <= MOST_PARTS and not follows_from_labels:
            yield name, values
    if np.quantile(lengths, 0.75) > UNLIKE * np.quantile(lengths, 0.25):
        yield "clip_seconds", np.array(bins_of(lengths, " s"), dtype=object)
