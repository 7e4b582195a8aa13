"""The page of `earmark compare`: who is better and by how much, and the clips on which the two best disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import page
from earmark.data.manifest import Manifest
from earmark.evaluation.contest import Contender, Contest, Part
from earmark.evaluation.metrics import TITLES
from earmark.report.clip_sound import ClipSound, clip_sound
from earmark.report.figures import Axis, axis
from earmark.report.report import number
from earmark.report.templating import environment
from earmark.run import write_text

N_CLIPS = 8  # to hear, of each kind
N_TAGS = 2  # highest labels of each contender
PLAYED_SECONDS = 10.0
MOST_CLASSES = 40


@dataclass(frozen=True)
class Disagreement:
    """A clip that one has right and the other wrong. tags: (label, score of one, of the other, given?)."""

    where: str
    given: tuple[str, ...]
    tags: tuple[tuple[str, float, float, bool], ...]
    sound: ClipSound


def write_compare_page(contest: Contest, manifest: Manifest, best: Sequence[Contender], path: Path) -> None:
    """Write one HTML file that needs no other and no network.

    Args:
        manifest: the clips, columns of targets as those of the scores. best: the two that lead.
    """
    scores = [np.mean(each.scores, axis=0) for each in best]
    templates = environment()
    templates.filters["number"] = number
    bounds = [bound for entry in contest.entries for each in entry.metrics.values() for bound in (each.low, each.high)]
    metric = contest.metric
    differing = [part for part in contest.classes if part.difference.low != part.difference.high]
    shown = shown_classes(differing)
    text = templates.get_template("compare.html").render(
        contest=contest,
        metric=metric,
        titles=TITLES,
        roles={entry.name: "baseline" if place else "network" for place, entry in enumerate(contest.entries)},
        verdict=contest.pairs[0].sentence,
        warnings=[*contest.seed_notes(), *contest.remarks],
        score_axis=axis(bounds),
        pair_axis=zero_axis([pair.first.interval for pair in contest.pairs]),
        classes=shown,
        n_alike=len(contest.classes) - len(differing),
        n_hidden=len(differing) - len(shown),
        class_axis=zero_axis([part.difference for part in contest.classes]),
        fold_axis=zero_axis([part.difference for part in contest.folds]),
        wins=list(_heard(contest.wins, contest, manifest, scores, 0)),
        losses=list(_heard(contest.losses, contest, manifest, scores, 1)),
        played_seconds=PLAYED_SECONDS,
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    write_text(path, text)


def zero_axis(intervals: Sequence) -> Axis:
    """A number line for differences, with 0 on it."""
    return axis([0.0, *(bound for each in intervals for bound in (each.value, each.low, each.high))])


def shown_classes(classes: Sequence[Part]) -> list[Part]:
    """The parts that differ most, the losses first; all where they are few."""
    if len(classes) <= MOST_CLASSES:
        return list(classes)
    return [*classes[: MOST_CLASSES // 2], *classes[-MOST_CLASSES // 2 :]]


def _heard(
    rows: np.ndarray, contest: Contest, manifest: Manifest, scores: Sequence[np.ndarray], one: int
) -> Iterator[Disagreement]:
    """The clips that `one` of the two is surest of to be right where the other is wrong."""
    targets, weights = manifest.present(), manifest.label_weights()
    if contest.multi_label:
        margin = contest.clips[one] - contest.clips[1 - one]
    else:
        margin = ((scores[one] - scores[1 - one]) * targets).sum(axis=1)
    for row in sorted(rows.tolist(), key=lambda row: -margin[row])[:N_CLIPS]:
        known = weights[row] > 0
        given = known & (targets[row] > 0)
        first = [np.argsort(-np.where(known, each[row], -np.inf), kind="stable")[:N_TAGS] for each in scores]
        shown = sorted(
            {*np.flatnonzero(given).tolist(), *first[0].tolist(), *first[1].tolist()}, key=lambda c: not given[c]
        )
        clip = manifest.select(np.array([row])).clips()[0]
        labels = manifest.vocabulary
        yield Disagreement(
            clip.clip_id,
            tuple(labels[column] for column in np.flatnonzero(given)),
            tuple((labels[c], float(scores[0][row, c]), float(scores[1][row, c]), bool(given[c])) for c in shown),
            clip_sound(clip.path, clip.start, clip.end, clip.clip_id, PLAYED_SECONDS),
        )
