"""The numbers of one or several models on the same clips: overall with intervals, per class, per fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.errors import EarmarkError, RunError
from earmark.evaluation import metrics
from earmark.evaluation.bootstrap import FEW_GROUPS, Interval, Resamples, draw, interval
from earmark.evaluation.compare import Comparison, difference
from earmark.evaluation.metrics import METRICS, TITLES, check, nanmean
from earmark.lookup import lookup
from earmark.run import write_json

LEAK = "Leak: "  # how a remark begins that says what stands on both sides
MULTI_LABEL_METRICS = ("lwlrap", "map_macro", "map_micro", "roc_auc")
SINGLE_LABEL_METRICS = ("accuracy", *MULTI_LABEL_METRICS)


@dataclass(frozen=True)
class ModelScore:
    """How good one model is.

    metrics: name → Interval. per_class: label → {"n_clips", "lwlrap", "average_precision", "roc_auc", and for
    single-label data "recall", "precision"}. folds: {"fold", "n_clips", metric: value …} for each fold.
    """

    metrics: dict[str, Interval]
    per_class: dict[str, dict[str, float]]
    folds: tuple[dict[str, float], ...] = ()

    @property
    def missing_classes(self) -> list[str]:
        """Labels that no clip has: they have no value and count in no mean over classes."""
        return [label for label, row in self.per_class.items() if not row["n_clips"]]

    @property
    def unranked_classes(self) -> list[str]:
        """Labels with clips but without an average precision: all clips that were scored together have them."""
        rows = self.per_class.items()
        return [label for label, row in rows if row["n_clips"] and np.isnan(row["average_precision"])]

    def rows(self) -> list[tuple[str, str]]:
        """(metric title, "0.912 (0.88 to 0.94)") for tables."""
        return [(TITLES.get(name, name), found.text) for name, found in self.metrics.items()]

    def notes(self) -> list[str]:
        """What a reader of the numbers must know, in sentences."""
        notes = []
        for labels, what in (
            (self.missing_classes, "have no clip and do not count"),
            (self.unranked_classes, "have no mAP and no ROC-AUC, all clips scored together have them"),
        ):
            if labels:
                shown = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
                notes.append(f"{len(labels)} of {len(self.per_class)} classes {what}: {shown}.")
        few = [found.n_groups for found in self.metrics.values() if found.too_few_groups]
        if few:
            notes.append(f"Too few groups: {few[0]} recordings, {FEW_GROUPS} are needed. The intervals are too narrow.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        return {
            "metrics": {name: found.to_dict() for name, found in self.metrics.items()},
            "per_class": self.per_class,
            "missing_classes": self.missing_classes,
            "folds": list(self.folds),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ModelScore:
        """From what `to_dict` gave, null standing for nan."""
        return cls(
            {name: Interval.from_dict(found) for name, found in document["metrics"].items()},
            {label: _with_nan(row) for label, row in document["per_class"].items()},
            tuple(_with_nan(row) for row in document["folds"]),
        )


@dataclass(frozen=True)
class Scorecard:
    """The models of a run side by side, on the same clips and folds.

    remarks: sentences on how the scores came about: the folds, and the leaks that were allowed.
    """

    n_clips: int
    n_classes: int
    multi_label: bool
    primary_metric: str
    models: dict[str, ModelScore]
    best: str
    comparisons: tuple[Comparison, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def has_leaks(self) -> bool:
        """Whether a model may have known a sound that it was scored on."""
        return any(remark.startswith(LEAK) for remark in self.remarks)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for a table: one row per model, best first, one column per metric."""
        names = sorted(self.models, key=lambda name: name != self.best)
        titles = [title for title, _ in self.models[self.best].rows()]
        return ["model", *titles], [[name, *(text for _, text in self.models[name].rows())] for name in names]

    def notes(self) -> list[str]:
        """Sentences to stand below the table: the comparisons, then what must be known of the numbers."""
        return [*(each.sentence for each in self.comparisons), *self.remarks, *self.models[self.best].notes()]

    def to_dict(self) -> dict[str, Any]:
        return {
            "n_clips": self.n_clips,
            "n_classes": self.n_classes,
            "multi_label": self.multi_label,
            "primary_metric": self.primary_metric,
            "models": {name: score.to_dict() for name, score in self.models.items()},
            "best": self.best,
            "comparisons": [each.to_dict() for each in self.comparisons],
            "remarks": list(self.remarks),
        }

    def save(self, path: Path) -> None:
        """Write as JSON; a number that is nan becomes null."""
        write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Scorecard:
        """From what `to_dict` gave."""
        return cls(
            document["n_clips"],
            document["n_classes"],
            document["multi_label"],
            document["primary_metric"],
            {name: ModelScore.from_dict(score) for name, score in document["models"].items()},
            document["best"],
            tuple(Comparison.from_dict(each) for each in document["comparisons"]),
            tuple(document["remarks"]),
        )

    @classmethod
    def load(cls, path: Path) -> Scorecard:
        """Read what `save` wrote.

        Raises:
            RunError: the file is missing or is not a scorecard.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise RunError(f"{path}: there is no scorecard. Let the run finish first.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: this is not a scorecard ({error}). Score the run again.") from error


def primary_metric(multi_label: bool) -> str:
    """The metric that decides which model is best."""
    return "lwlrap" if multi_label else "accuracy"


def evaluate(
    targets: np.ndarray,
    scores: np.ndarray,
    *,
    labels: Sequence[str],
    groups: np.ndarray | None,
    multi_label: bool,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> ModelScore:
    """Score one model: every metric with its interval, per class and per fold.

    Args:
        targets: (clips, classes), 0 or 1 (`Manifest.present`).
        scores: (clips, classes) in [0, 1], made by a model that never saw the clip.
        labels: names of the columns.
        groups: (clips,) recording of each clip; None when every clip is its own recording.
        multi_label: whether a clip can have several labels; if not, accuracy counts too.
        folds: (clips,) fold of each clip; None when one model scored them all.
        weights: (clips, classes), 0 = unknown (`Manifest.label_weights`).
        n_resamples: bootstrap resamples of groups.
        seed: of the resamples.

    Raises:
        EarmarkError: the arrays do not fit together.
    """
    resamples = _draw(targets, labels, groups, n_resamples, seed)
    return _score(targets, scores, labels, multi_label, folds, weights, resamples)


def make_scorecard(
    targets: np.ndarray,
    scores: Mapping[str, np.ndarray],
    *,
    labels: Sequence[str],
    groups: np.ndarray | None,
    multi_label: bool,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    remarks: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Scorecard:
    """Score several models on the same clips and compare the best with each other one.

    Args:
        scores: model name → (clips, classes). The rest as in `evaluate`.
        remarks: sentences that belong to the scores.
        metrics: names in METRICS; none = those that runs are scored by.
    """
    if not scores:
        raise EarmarkError("scorecard: there is no model to score. Give the scores of at least one.")
    resamples = _draw(targets, labels, groups, n_resamples, seed)
    models = {
        name: _score(targets, each, labels, multi_label, folds, weights, resamples, metrics)
        for name, each in scores.items()
    }
    primary = primary_metric(multi_label)
    best = max(models, key=lambda name: np.nan_to_num(models[name].metrics[primary].value, nan=-np.inf))
    comparisons = tuple(
        Comparison(
            best,
            name,
            primary,
            difference(targets, scores[best], scores[name], resamples, metric=primary, folds=folds, weights=weights),
        )
        for name in models
        if name != best
    )
    n_clips, n_classes = np.shape(targets)
    remarks = (*remarks, *_unknown(weights))
    return Scorecard(n_clips, n_classes, multi_label, primary, models, best, comparisons, remarks)


def _unknown(weights: np.ndarray | None) -> list[str]:
    """The sentence on labels that do not count, if there are any."""
    n_unknown = 0 if weights is None else np.size(weights) - np.count_nonzero(weights)
    if not n_unknown:
        return []
    share = 100 * n_unknown / np.size(weights)
    return [f"{n_unknown:,} of {np.size(weights):,} labels ({share:.2g} %) are unknown and do not count."]


def _draw(targets, labels, groups, n_resamples, seed) -> Resamples:
    """Resamples of the clips' groups, once the labels fit the targets."""
    if np.ndim(targets) != 2 or np.shape(targets)[1] != len(labels):
        raise EarmarkError(f"scorecard: targets are {np.shape(targets)}, but there are {len(labels)} labels.")
    return draw(np.arange(len(targets)) if groups is None else groups, n_resamples, seed)


def _score(targets, scores, labels, multi_label, folds, weights, resamples, names=()) -> ModelScore:
    """All numbers of one model on resamples already drawn."""
    targets, scores, weights = check(targets, scores, weights)
    names = names or (MULTI_LABEL_METRICS if multi_label else SINGLE_LABEL_METRICS)
    intervals = {name: interval(name, targets, scores, resamples, folds=folds, weights=weights) for name in names}
    members = {}
    if folds is not None:
        members = {fold: np.flatnonzero(np.asarray(folds) == fold) for fold in np.unique(folds).tolist()}
    rows = tuple(
        {"fold": fold, "n_clips": len(m)}
        | {name: lookup(METRICS, name, "metric")(targets[m], scores[m], weights[m]) for name in names}
        for fold, m in members.items()
    )
    per_class = _per_class(targets, scores, weights, list(members.values()), multi_label)
    return ModelScore(
        intervals,
        {
            label: {name: column[number].item() for name, column in per_class.items()}
            for number, label in enumerate(labels)
        },
        rows,
    )


def _per_class(targets, scores, weights, members, multi_label) -> dict[str, np.ndarray]:
    """Name → (classes,); areas are computed per fold and averaged over the folds that have one."""
    known = targets, scores, weights
    columns = {
        "n_clips": (targets * (weights > 0)).sum(axis=0).astype(int),
        "lwlrap": metrics.lwlrap_per_class(*known),
    }
    for name, function in (
        ("average_precision", metrics.average_precision_per_class),
        ("roc_auc", metrics.roc_auc_per_class),
    ):
        parts = [tuple(array[m] for array in known) for m in members] or [known]
        columns[name] = nanmean(np.stack([function(*part) for part in parts]))
    if not multi_label:
        columns["recall"] = metrics.recall_per_class(*known)
        columns["precision"] = metrics.precision_per_class(*known)
    return columns


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    """`row` with nan where JSON has null."""
    return {key: np.nan if item is None else item for key, item in row.items()}
