"""Scores of clips whose labels are known, judged: every metric, each class, the parts of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.label_map import map_labels, merge_columns, read_label_map
from earmark.data.manifest import Manifest
from earmark.errors import ManifestError, summarise_rows
from earmark.evaluation.bootstrap import FEW_GROUPS, Interval, class_intervals, d_prime_interval, draw
from earmark.evaluation.metrics import TITLES
from earmark.evaluation.reliability import Reliability, asked, calibration_error, reliability
from earmark.evaluation.scorecard import ModelScore, Scorecard, make_scorecard, primary_metric
from earmark.evaluation.slices import Slice, resampled_units, score_slices
from earmark.evaluation.tags import tag_intervals, tags_per_class
from earmark.flows.slicing import part_names
from earmark.lookup import did_you_mean
from earmark.predictions import Predictions
from earmark.run import write_json

ALL_METRICS = ("lwlrap", "map_macro", "map_micro", "map_at_3", "roc_auc")
SINGLE_METRICS = ("accuracy", "balanced_accuracy", *ALL_METRICS)
# What an evaluation's folder holds.
JSON, SCORES, CLIPS = "evaluation.json", "scores.csv", "clips.csv"


@dataclass(frozen=True)
class Said:
    """What a tagger or a table says of clips.

    scores: (clips, labels). tags: boolean (clips, labels) at its thresholds; None if it has none.
    no_chances: why the scores mean no chances, "" if they do.
    """

    name: str
    labels: tuple[str, ...]
    scores: np.ndarray
    tags: np.ndarray | None
    multi_label: bool
    no_chances: str = ""


@dataclass(frozen=True)
class Evaluated:
    """Scores of one tagger or table: the scorecard, the clip scores, and (path, reason) of files that cannot be read.

    manifest: the clips that were scored, the columns of their targets those of the predictions.
    slices: by what → its parts, the worst first. reliability: None where the scores are no chances.
    """

    scorecard: Scorecard
    predictions: Predictions
    failures: list[tuple[str, str]]
    manifest: Manifest
    slices: Mapping[str, tuple[Slice, ...]]
    reliability: Reliability | None

    @property
    def score(self) -> ModelScore:
        """Of the one that was judged."""
        return self.scorecard.models[self.scorecard.best]

    def class_table(self, n_shown: int = 10) -> tuple[list[str], list[list[str]], str]:
        """Header, rows and title of the classes that score lowest."""
        what = "lwlrap" if self.scorecard.multi_label else "recall"
        rows = [(label, row) for label, row in self.score.per_class.items() if row["n_clips"]]
        rows.sort(key=lambda each: each[1][what])
        header = ["class", "clips", "share right" if what == "recall" else what]
        tagged = [name for name in ("tag_precision", "tag_recall", "tag_f1") if rows and name in rows[0][1]]
        header += [("precision", "recall", "F1")[number] for number in range(len(tagged))]
        cells = [
            [label, str(row["n_clips"]), _interval(row, what).text, *(_digits(row[name]) for name in tagged)]
            for label, row in rows[:n_shown]
        ]
        return header, cells, f"the {n_shown} weakest of {len(rows)} classes" if len(rows) > n_shown else "classes"

    def slice_table(self, by: str, n_shown: int = 20) -> tuple[list[str], list[list[str]], str]:
        """Header, rows and title of the parts that score lowest."""
        found = self.slices[by]
        names = list(found[0].metrics)[:2]
        header = [by, "clips", "recordings", *(TITLES[name] for name in names), "all others", ""]
        cells = [
            [each.name, str(each.n_clips), str(each.n_groups)]
            + [each.metrics[name].text if each.n_groups > 1 else _digits(each.metrics[name].value, 3) for name in names]
            + [_digits(each.without, 3), each.verdict]
            for each in found[:n_shown]
        ]
        more = f"; {len(found) - n_shown} better ones are in --json" if len(found) > n_shown else ""
        return header, cells, f"by {by}, the worst first{more}"

    def to_dict(self) -> dict[str, Any]:
        """The scorecard's document, with the parts and the reliability diagram in it."""
        return {
            **self.scorecard.to_dict(),
            "slices": {by: [each.to_dict() for each in found] for by, found in self.slices.items()},
            "reliability": self.reliability and self.reliability.to_dict(),
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
        }

    def save(self, path: Path) -> None:
        """Write as one JSON file, or, where the name does not end so, as a folder that `earmark compare` reads."""
        if path.suffix == ".json":
            write_json(path, self.to_dict())
            return
        self.predictions.save(path / SCORES)
        self.manifest.write(path / CLIPS)
        write_json(path / JSON, self.to_dict())  # last: it says that all is there


def renamed(said: Said, mapping: Path | None) -> Said:
    """Scores under the names that the data has, by a map of labels if there is one."""
    if mapping is None:
        return said
    columns = map_labels(said.labels, read_label_map(mapping), mapping)
    tags = None if said.tags is None else merge_columns(said.tags, columns)
    return replace(said, labels=tuple(columns), scores=merge_columns(said.scores, columns), tags=tags)


def on_one_vocabulary(
    manifest: Manifest, labels: Sequence[str], common: bool
) -> tuple[Manifest, tuple[str, ...], list[str]]:
    """Clips and scores in the same labels: those of the scores, or only what both know.

    Returns:
        The clips with these columns of targets, the labels, and the remarks on what is left out.

    Raises:
        ManifestError: the data has labels that the scores lack and it is not `common`, or no label is shared.
    """
    known = set(labels)
    missing = [label for label in manifest.vocabulary if label not in known]
    if missing and not common:
        counts = {label: sum(label in names for names in manifest.table["labels"]) for label in missing}
        told = [f"'{label}' ({n} clips){did_you_mean(label, labels)}" for label, n in counts.items()]
        raise ManifestError(
            f"{manifest.root}: {len(missing)} labels are not among the {len(labels)} expected "
            f"({', '.join(labels[:5])}, …). Give --map with a table of names, pass --common to leave them out, or "
            f"rename them.\n{summarise_rows(told)}"
        )
    if not common:
        return manifest.with_vocabulary(labels), tuple(labels), []
    shared = tuple(label for label in labels if label in manifest.vocabulary)
    if not shared:
        raise ManifestError(
            f"{manifest.root}: shares no label with the scores (the data: {_some(manifest.vocabulary.labels)}; the "
            f"scores: {_some(labels)}). Give --map with a table of names."
        )
    kept = manifest.without_labels(missing).with_vocabulary(shared)
    remarks = []
    if missing or len(shared) < len(labels):
        lost = len(manifest) - len(kept)
        parts = [f"{len(labels) - len(shared)} labels of the scores are left out"]
        parts += [f"{len(missing)} of the data ({_some(missing)})"] if missing else []
        parts += [f"{lost:,} clips that have no other"] if lost else []
        remarks.append(f"Only the {len(shared)} labels that both know: {', '.join(parts)}.")
    return kept, shared, remarks


def judge(
    said: Said,
    manifest: Manifest,
    *,
    by: Sequence[str] = (),
    folds: np.ndarray | None = None,
    remarks: Sequence[str] = (),
) -> tuple[Scorecard, dict[str, tuple[Slice, ...]], Reliability | None]:
    """Every number of scores on clips in their order, with intervals over recordings.

    Args:
        manifest: with the columns of `said`.
        by: what clips are parted by, see `part_names`.
        folds: (clips,) if several models made the scores.
        remarks: sentences that belong to the scores.

    Raises:
        ManifestError: there is nothing to part by.
    """
    parts = {each: part_names(manifest, each) for each in by}
    targets, weights, groups = manifest.present(), manifest.label_weights(), manifest.groups
    files = manifest.table["path"].to_numpy()
    names = ALL_METRICS if said.multi_label else SINGLE_METRICS
    remarks = list(remarks)
    if said.no_chances:
        remarks.append(
            f"The scores are no chances ({said.no_chances}): their order is judged, thresholds and calibration not."
        )
    card = make_scorecard(
        targets,
        {said.name: said.scores},
        labels=said.labels,
        groups=groups,
        multi_label=said.multi_label,
        folds=folds,
        weights=weights,
        remarks=remarks,
        metrics=names,
    )
    card = replace(card, models={said.name: _whole(card.models[said.name], said, manifest, folds)})
    order = (card.primary_metric, *(name for name in names if name != card.primary_metric))
    slices = {
        each: score_slices(
            each,
            values,
            targets,
            said.scores,
            groups=resampled_units(values, groups, files),
            metrics=order,
            weights=weights,
        )
        for each, values in parts.items()
    }
    if said.no_chances:
        return card, slices, None
    return card, slices, reliability(*asked(targets, said.scores, weights, said.multi_label))


def _whole(score: ModelScore, said: Said, manifest: Manifest, folds: np.ndarray | None) -> ModelScore:
    """The numbers of a scorecard with those of tags and chances, and an interval for each class."""
    targets, weights = manifest.present(), manifest.label_weights()
    resamples = draw(manifest.groups)
    known = targets, said.scores, resamples
    metrics = {**score.metrics, "d_prime": d_prime_interval(*known, weights, folds)}
    columns: dict[str, Sequence[Any]] = {}
    if said.tags is not None:
        metrics |= tag_intervals(targets, said.tags, resamples, weights)
        columns |= {name: values.tolist() for name, values in tags_per_class(targets, said.tags, weights).items()}
    if not said.no_chances:
        metrics["ece"] = calibration_error(*asked(targets, said.scores, weights, said.multi_label), resamples)
    found = class_intervals(primary_metric(said.multi_label), *known, weights)
    columns |= {"low": [each.low for each in found], "high": [each.high for each in found]}
    columns |= {"n_groups": [each.n_groups for each in found]}
    per_class = {
        label: row | {name: values[number] for name, values in columns.items()}
        for number, (label, row) in enumerate(score.per_class.items())
    }
    return replace(score, metrics=metrics, per_class=per_class)


def _interval(row: Mapping[str, float], what: str) -> Interval:
    """A class's value."""
    n_groups = int(row["n_groups"])
    return Interval(row[what], row["low"], row["high"], n_groups, n_groups < FEW_GROUPS, 0, np.nan)


def _digits(value: float, digits: int = 2) -> str:
    """A number with fixed digits; a dash for none."""
    return f"{value:.{digits}f}" if value == value else "–"


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
