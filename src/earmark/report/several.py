"""Several runs as one: their models side by side, on the clips that all of them scored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data.manifest import Manifest
from earmark.errors import RunError
from earmark.evaluation import Scorecard, make_scorecard
from earmark.evaluation.scorecard import UNKNOWN
from earmark.report.reading import RunContents, read_run


def read_runs(folders: Sequence[Path]) -> RunContents:
    """The first run, with the models of the others beside its own, all scored anew on the clips they share.

    A model that scores as one before it does, such as the baseline of the same folds, is not shown twice.

    Raises:
        RunError: a run is not finished, or they have no clips or not the same labels in common.
        ManifestError: the clips' files are not where the manifest says.
    """
    first, *others = [read_run(folder) for folder in folders]
    for other in others:
        first = _joined(first, other)
    return replace(first, scorecard=_scorecard(first)) if others else first


def _joined(first: RunContents, other: RunContents) -> RunContents:
    """The first run on the clips it shares with the other, and the other's models on these."""
    row_of = {region: row for row, region in enumerate(_regions(other.manifest))}
    mine = np.flatnonzero([region in row_of for region in _regions(first.manifest)])
    manifest = first.manifest.select(mine)
    theirs = np.array([row_of[region] for region in _regions(manifest)], dtype=np.int64)
    agree = manifest.vocabulary == other.manifest.vocabulary and np.array_equal(
        manifest.present(), other.manifest.select(theirs).present()
    )
    if not len(mine) or not agree:
        raise RunError(
            f"{other.name}: its clips or their labels are others than those of {first.name} "
            f"({len(mine):,} clips in common). Runs of the same data can stand side by side; give each its own report."
        )
    scores = {model: found[mine] for model, found in first.scores.items()}
    places, remarks = dict(first.places), list(first.scorecard.remarks)
    for model in other.models:
        found = other.scores[model][theirs]
        if not any(np.array_equal(found, known) for known in scores.values()):
            name = _new_name(model, other.name, scores)
            scores[name], places[name] = found, other.places[model]
    if not np.array_equal(manifest.folds, other.manifest.folds[theirs]):
        remarks.append(f"{other.name} has other folds than {first.name}: its models were trained on other clips.")
    new = [remark for remark in other.scorecard.remarks if remark not in first.scorecard.remarks]
    remarks += [f"{other.name}: {remark}" for remark in new]
    return replace(
        first,
        models=tuple(sorted(scores, key=lambda model: model == first.baseline)),
        manifest=manifest,
        scores=scores,
        lengths=first.lengths[mine],
        places=places,
        scorecard=replace(first.scorecard, remarks=tuple(remarks)),
    )


def _regions(manifest: Manifest) -> Iterator[tuple[str, float, float | None]]:
    """What each clip is of, whatever the run calls it: a file, from, to."""
    for clip in manifest.clips():
        yield os.path.abspath(clip.path), clip.start, clip.end


def _new_name(model: str, run: str, taken: dict[str, np.ndarray]) -> str:
    """A model's name, with that of its run and at need a number, so that it is nobody else's."""
    names = [model, f"{model} ({run})", *(f"{model} ({run} {number})" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _scorecard(contents: RunContents) -> Scorecard:
    """All models scored on the same clips and resamples, so that they can be compared."""
    manifest = contents.manifest
    return make_scorecard(
        manifest.present(),
        contents.scores,
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        folds=manifest.folds,
        multi_label=manifest.multi_label,
        weights=manifest.label_weights(),
        remarks=[remark for remark in contents.scorecard.remarks if not remark.endswith(UNKNOWN)],
    )
