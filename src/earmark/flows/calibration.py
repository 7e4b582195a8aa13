"""What stands between a graph and its tags: calibration and thresholds of both levels, fitted and judged out of fold.

Windows are calibrated inside the graph, then pooled, then clips are calibrated. Everything that is said of the result
is nested: what scores a fold was chosen and fitted without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from earmark.data.manifest import Manifest
from earmark.evaluation.bootstrap import Interval, Resamples, draw
from earmark.evaluation.calibration import (
    FEWEST_PARTS,
    NONE,
    Calibration,
    Evidence,
    choose,
    fit,
    kinds_for,
    parts_of,
)
from earmark.evaluation.compare import Comparison, difference
from earmark.evaluation.reliability import asked, calibration_error, error_change, reliability
from earmark.evaluation.scorecard import primary_metric
from earmark.evaluation.tags import TagScore, judge_tags
from earmark.evaluation.thresholds import F1, NEVER, ThresholdConfig, Thresholds, fit_thresholds, tags_of
from earmark.predictions import LEVELS, Predictions
from earmark.tagger.metadata import calibrate

log = logging.getLogger("earmark")

WINDOW, CLIP = LEVELS
NOISE_ERRORS = 3.0  # standard errors of a loss in ranking that are still noise: several metrics are looked at


@dataclass(frozen=True)
class OutOfFold:
    """A model's out-of-fold scores of the windows of clips, and what is known of the clips.

    manifest: the clips that are scored. windows: their rows alone. pool: of window scores to clip scores.
    """

    manifest: Manifest
    windows: Predictions
    pool: str
    multi_label: bool

    @classmethod
    def of(cls, manifest: Manifest, windows: Predictions, pool: str, multi_label: bool) -> OutOfFold:
        """Rows of clips that are not scored are left out."""
        scored = manifest.select(manifest.scored)
        inside = np.isin(windows.clip_ids.astype(str), scored.clip_ids.astype(str))
        return cls(scored, windows.rows(inside), pool, multi_label)

    @cached_property
    def owners(self) -> np.ndarray:
        """(windows,) the position of each window's clip."""
        row_of = {name: row for row, name in enumerate(self.manifest.clip_ids)}
        return np.array([row_of[name] for name in self.windows.clip_ids], dtype=np.int64)

    @cached_property
    def parts(self) -> np.ndarray:
        """(clips,) what is left out together."""
        return parts_of(self.manifest.folds, self.manifest.groups)

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets and weights (clips, classes)."""
        return self.manifest.present(), self.manifest.label_weights()

    def rows_of(self, level: str) -> np.ndarray:
        """For each row of a level the position of its clip."""
        return self.owners if level == WINDOW else np.arange(len(self.manifest))

    def pooled(self, scores: np.ndarray) -> np.ndarray:
        """Window scores to clip scores (clips, classes), in single precision as a reader has them."""
        rows = Predictions(
            self.windows.clip_ids,
            self.windows.starts,
            self.windows.ends,
            scores.astype(np.float32),
            self.windows.labels,
            WINDOW,
        )
        return rows.to_clips(self.pool).align(self.manifest.clip_ids).scores

    def evidence(self, level: str, scores: np.ndarray) -> Evidence:
        """What a calibration of a level is fitted on; the windows of a clip share its weight."""
        clips = self.rows_of(level)
        targets, weights = self.known
        shares = np.bincount(clips, minlength=len(self.manifest))[clips]
        return Evidence(targets[clips], scores, weights[clips] / shares[:, None], self.parts[clips], self.multi_label)


@dataclass(frozen=True)
class Fit:
    """A kind of calibration, its numbers, and thresholds, for each level."""

    kinds: Mapping[str, str]
    calibrations: Mapping[str, Calibration]
    thresholds: Mapping[str, Thresholds]

    def scores(self, scored: OutOfFold) -> dict[str, np.ndarray]:
        """Scores of both levels as the file gives them."""
        windows = calibrate(scored.windows.scores, self.calibrations[WINDOW], scored.multi_label).astype(np.float32)
        clips = calibrate(scored.pooled(windows), self.calibrations[CLIP], scored.multi_label).astype(np.float32)
        return {WINDOW: windows, CLIP: clips}


@dataclass(frozen=True)
class Calibrated:
    """The fit for use, and how good its like is on folds it never saw; `document` is calibration.json."""

    fit: Fit
    document: dict[str, Any]

    @property
    def window(self) -> Calibration:
        """What becomes the last nodes of the graph."""
        return self.fit.calibrations[WINDOW]

    @property
    def short(self) -> dict[str, Any]:
        """What a tagger's metadata say of it, for people."""
        levels, tags = self.document["levels"], self.document["tags"]
        wanted = {} if tags["goal"] == F1 else {"least": tags["least"]}
        return {
            "calibration": {
                level: {"kind": levels[level]["kind"], **{name: _short(levels[level][name]) for name in ERRORS}}
                for level in LEVELS
                if levels[level]["ece"]
            },
            "tags": {
                "goal": tags["goal"],
                **wanted,
                **{
                    level: {name: _short(tags[level][name]) for name in ("precision", "recall")}
                    for level in LEVELS
                    if tags[level].get("precision")
                },
            },
        }

    @property
    def sentences(self) -> list[str]:
        """For the scorecard, the card and the command line."""
        return sentences(self.document)


ERRORS = ("ece_before", "ece")
SAYS = SAYS_CALIBRATION, SAYS_TAGS = "Calibration: ", "Tags: "  # how a remark begins that a later fit replaces


def calibrated(
    scored: OutOfFold, setting: str, config: ThresholdConfig, *, levels: Sequence[str] = LEVELS, model: str = ""
) -> Calibrated:
    """Choose and fit calibrations and thresholds on out-of-fold scores, and judge them nested.

    Ranking is measured before and after; a kind that makes it worse beyond the noise is refused for the next.

    Args:
        setting: one of CALIBRATIONS. config: what thresholds are for.
        levels: those that may be calibrated; windows of a folder of taggers may not.
        model: the name of what is calibrated.
    """
    allowed = {level: kinds_for(setting if level in levels else NONE, scored.multi_label) for level in LEVELS}
    refused: dict[str, list[str]] = {level: [] for level in LEVELS}
    resamples = {level: draw(scored.manifest.groups[scored.rows_of(level)]) for level in LEVELS}
    if len(np.unique(scored.parts)) < FEWEST_PARTS:
        log.warning("too few recordings to calibrate: scores stay as they are")
        found = fit_all(scored, dict.fromkeys(LEVELS, (NONE,)), config)
        return Calibrated(found, _document(scored, found, None, config, refused, resamples, model))
    while True:
        found = fit_all(scored, allowed, config)
        nested = nested_scores(scored, allowed, config)
        worse = [level for level in LEVELS if _ranks_worse(scored, nested, level, found, resamples[level])]
        if not worse:
            return Calibrated(found, _document(scored, found, nested, config, refused, resamples, model))
        for level in worse:
            # A clip's ranking can also suffer from what its windows went through.
            blamed = level if found.kinds[level] != NONE else WINDOW
            if found.kinds[blamed] in allowed[blamed]:
                log.info("calibration of %ss: %s costs ranking and is refused", blamed, found.kinds[blamed])
                refused[blamed].append(found.kinds[blamed])
                allowed[blamed] = tuple(each for each in allowed[blamed] if each != found.kinds[blamed])


def fit_all(
    scored: OutOfFold,
    allowed: Mapping[str, Sequence[str]],
    config: ThresholdConfig,
    clips: np.ndarray | None = None,
) -> Fit:
    """Choose kinds by cross-validation, then fit them and the thresholds, on all clips or on some (clips,) bool."""
    clips = np.ones(len(scored.manifest), dtype=bool) if clips is None else clips
    kinds, calibrations, thresholds = {}, {}, {}
    scores = scored.windows.scores
    for level in LEVELS:
        scores = scores if level == WINDOW else scored.pooled(scores)
        rows = np.flatnonzero(clips[scored.rows_of(level)])
        evidence = scored.evidence(level, scores).select(rows)
        kinds[level] = choose(allowed[level], evidence)
        calibrations[level] = fit(kinds[level], evidence)
        scores = calibrate(scores, calibrations[level], scored.multi_label).astype(np.float32)
        owners = scored.rows_of(level)[rows]
        targets, weights = (each[owners] for each in scored.known)
        groups = scored.manifest.groups[owners]
        known = config, targets, scores[rows], weights, groups, scored.multi_label
        thresholds[level] = fit_thresholds(*known)
    return Fit(kinds, calibrations, thresholds)


@dataclass(frozen=True)
class Nested:
    """Scores and tags of both levels, each row's by a fit without its part."""

    scores: dict[str, np.ndarray]
    tags: dict[str, np.ndarray]


def nested_scores(scored: OutOfFold, allowed: Mapping[str, Sequence[str]], config: ThresholdConfig) -> Nested:
    """Everything chosen and fitted anew without each part, and applied to it."""
    n_classes = len(scored.windows.labels)
    scores = {level: np.empty((len(scored.rows_of(level)), n_classes), np.float32) for level in LEVELS}
    tags = {level: np.zeros(values.shape, dtype=bool) for level, values in scores.items()}
    for part in np.unique(scored.parts):
        found = fit_all(scored, allowed, config, scored.parts != part)
        for level, values in found.scores(scored).items():
            rows = scored.parts[scored.rows_of(level)] == part
            scores[level][rows] = values[rows]
            tags[level][rows] = tags_of(values[rows], found.thresholds[level], scored.multi_label)
    return Nested(scores, tags)


def _raw(scored: OutOfFold, level: str) -> np.ndarray:
    return scored.windows.scores if level == WINDOW else scored.pooled(scored.windows.scores)


def _rankings(scored: OutOfFold, nested: Nested, level: str, resamples: Resamples) -> list[Comparison]:
    """Metrics after calibration minus before, paired; those of clips are the metrics that are reported."""
    owners = scored.rows_of(level)
    targets, weights = (each[owners] for each in scored.known)
    names = dict.fromkeys((primary_metric(scored.multi_label), "lwlrap", "map_macro"))
    before, after = _raw(scored, level), nested.scores[level]
    folds = scored.manifest.folds[owners]
    return [
        Comparison(
            "calibrated",
            "as they were",
            name,
            difference(targets, after, before, resamples, metric=name, folds=folds, weights=weights),
        )
        for name in (names if level == CLIP else list(names)[:1])
    ]


def _ranks_worse(scored: OutOfFold, nested: Nested, level: str, found: Fit, resamples: Resamples) -> bool:
    """Whether calibration lowers a ranking metric by more than the noise."""
    upstream = LEVELS[: LEVELS.index(level) + 1]
    if all(found.kinds[each] == NONE for each in upstream):
        return False
    found = [each.interval for each in _rankings(scored, nested, level, resamples)]
    return any(each.value + NOISE_ERRORS * each.standard_error < 0 for each in found)


def _document(
    scored: OutOfFold,
    found: Fit,
    nested: Nested | None,
    config: ThresholdConfig,
    refused: Mapping[str, list[str]],
    resamples: Mapping[str, Resamples],
    model: str,
) -> dict[str, Any]:
    """calibration.json; docs/calibration.md describes it."""
    labels = scored.windows.labels
    levels, tags = {}, {"goal": config.goal, "least": config.least}
    for level in LEVELS:
        owners = scored.rows_of(level)
        targets, weights = (each[owners] for each in scored.known)
        before = asked(targets, _raw(scored, level), weights, scored.multi_label)
        levels[level] = {
            "kind": found.kinds[level],
            "calibration": found.calibrations[level],
            "refused": refused[level],
            "ece_before": calibration_error(*before, resamples[level]).to_dict(),
            "reliability_before": reliability(*before).to_dict(),
            "ece": None,
        }
        thresholds = found.thresholds[level]
        never = [label for label, limit in zip(labels, thresholds, strict=True) if limit is NEVER]
        tags[level] = {"thresholds": list(thresholds), "never": never}
        if nested is None:
            continue
        after = asked(targets, nested.scores[level], weights, scored.multi_label)
        levels[level] |= {
            "ece": calibration_error(*after, resamples[level]).to_dict(),
            "ece_change": error_change(before, after, resamples[level]).to_dict(),
            "reliability": reliability(*after).to_dict(),
            "ranking": [each.to_dict() for each in _rankings(scored, nested, level, resamples[level])],
        }
        tags[level] |= judge_tags(targets, nested.tags[level], resamples[level], labels, weights).to_dict()
    document = {"model": model, "multi_label": scored.multi_label, "pool": scored.pool, "labels": list(labels)}
    return document | {"n_clips": len(scored.manifest), "levels": levels, "tags": tags}


def sentences(document: Mapping[str, Any]) -> list[str]:
    """What calibration.json says of clips, in two sentences."""
    level, tags = document["levels"][CLIP], document["tags"]
    if not level["ece"]:
        return [f"{SAYS_CALIBRATION}too few recordings to calibrate, scores are as the model gives them."]
    kinds = [document["levels"][each]["kind"] for each in LEVELS]
    how = "none was better" if set(kinds) == {NONE} else f"windows {kinds[0]}, clips {kinds[1]}"
    before, after = (Interval.from_dict(level[name]) for name in ERRORS)
    said = [f"{SAYS_CALIBRATION}expected error of clip scores {after.text}, before it {before.text}; {how}."]
    judged = TagScore.from_dict(tags[CLIP])
    wanted = "for the best F1" if tags["goal"] == F1 else f"for a {tags['goal']} of {tags['least']:g} of each label"
    text = f"{SAYS_TAGS}{wanted}; measured precision {judged.precision.text}, recall {judged.recall.text}"
    if judged.unknown:
        text += f", {100 * judged.unknown:.0f} % of the clips unknown"
    if never := tags[CLIP]["never"]:
        shown = ", ".join(never[:5]) + (", …" if len(never) > 5 else "")
        n_labels = len(document["labels"])
        text += f"; never named, for nothing shows that they keep it: {len(never)} of {n_labels} ({shown})"
    return [*said, text + "."]


def threshold_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and a row per label: from which score of a clip it is named, the precision and recall of its tags."""
    tags = document["tags"][CLIP]
    judged = TagScore.from_dict(tags).per_class if "per_class" in tags else {}
    rows = []
    for label, limit in zip(document["labels"], tags["thresholds"], strict=True):
        measured = [judged[label][name].text for name in ("precision", "recall")] if judged else ["no value"] * 2
        rows.append([label, "never" if limit is NEVER else f"{limit:.3f}", *measured])
    return ["label", "from a score of", "precision", "recall"], rows


def _short(interval: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(float(interval[name]), 4) for name in ("value", "low", "high")}
