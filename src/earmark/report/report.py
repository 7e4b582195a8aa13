"""report.html: one file that shows what a run found, and lets the errors be heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from earmark import page
from earmark.baselines import TITLES as HEADS
from earmark.evaluation.metrics import TITLES
from earmark.report.figures import Curves, Matrix, axis, curves, matrix_figure
from earmark.report.mistakes import worst_mistakes
from earmark.report.reading import RunContents, read_run
from earmark.report.templating import environment
from earmark.run import Run, write_text

N_MISTAKES = 12
PER_CLASS = {True: "lwlrap", False: "recall"}  # by multi_label


def write_report(run_folder: Path, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write report.html into a finished run's folder: self-contained, no network, below 25 MB.

    Args:
        run_folder: of `earmark train`.
        progress: called with (done, total) for each clip whose sound goes in.

    Returns:
        The report's path.

    Raises:
        RunError: the run is not finished, or its files do not belong together.
    """
    contents = read_run(run_folder)
    mistakes = worst_mistakes(contents.manifest, contents.scores[contents.main], N_MISTAKES, progress)
    templates = environment()
    templates.filters["number"] = number
    text = templates.get_template("report.html").render(
        run=contents,
        scorecard=contents.scorecard,
        roles={model: "baseline" if model == contents.baseline else "network" for model in contents.models},
        titles=TITLES,
        heads=HEADS,
        verdict=verdict(contents),
        warnings=list(warnings(contents)),
        score_axis=_score_axis(contents),
        per_class=_per_class(contents),
        per_class_metric=PER_CLASS[contents.scorecard.multi_label],
        matrix=_matrix(contents),
        mistakes=mistakes,
        curves=_curves(contents),
        folds=_folds(contents),
        n_groups=len(np.unique(contents.manifest.groups)),
        n_straddling=_straddling_groups(contents),
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    path = Run(Path(run_folder)).report
    write_text(path, text)
    return path


def verdict(contents: RunContents) -> str:
    """The run in one sentence."""
    scorecard, main = contents.scorecard, contents.main
    found = scorecard.models[main].metrics[scorecard.primary_metric]
    if scorecard.multi_label:
        sentence = (
            f"{main} ranks these {scorecard.n_classes} labels with an lwlrap of {number(found.value)} "
            f"({number(found.low)} to {number(found.high)}; 1 is perfect) on {scorecard.n_clips:,} clips"
        )
    else:
        value, low, high = (f"{100 * round(each, 3):.1f}" for each in (found.value, found.low, found.high))
        sentence = (
            f"{main} tells these {scorecard.n_classes} sounds apart in {value} % of "
            f"{scorecard.n_clips:,} clips ({low} to {high})"
        )
    return sentence + _against_other(contents) + "."


def _against_other(contents: RunContents) -> str:
    """How the model stands to the baseline, or to what is better than it, as the end of a sentence; empty where there
    is no comparison."""
    best = contents.scorecard.best
    other = contents.baseline if contents.main == best else best
    match = [each for each in contents.scorecard.comparisons if {each.a, each.b} == {contents.main, other}]
    if not match or np.isnan(match[0].interval.low):
        return ""
    sign = 1 if match[0].a == contents.main else -1
    found = match[0].interval
    value, low, high = (sign * found.value, *sorted((sign * found.low, sign * found.high)))
    if low > 0:
        return f"; better than {other} by {value:.2f} ({low:.2f} to {high:.2f})"
    if high < 0:
        return f"; worse than {other} by {-value:.2f} ({-high:.2f} to {-low:.2f})"
    return f"; not to be told from {other} (difference {value:+.2f}, {low:+.2f} to {high:+.2f})"


def warnings(contents: RunContents) -> Iterator[str]:
    """What a reader must know before believing the numbers."""
    yield from contents.scorecard.remarks
    yield from contents.scorecard.models[contents.main].notes()
    straddling = _straddling_groups(contents)
    if straddling:
        yield (
            f"{straddling} groups stand in more than one fold: a model may have known a recording that it "
            "was tested on, and the scores are too good."
        )
    if not contents.manifest.has_groups:
        yield (
            "No groups were given: where clips share a recording, folds may share it too, and the scores are too good."
        )
    yield from contents.looks
    if contents.failures:
        yield f"Left out, because they could not be read: {len(contents.failures)} (see failures.csv)."


def _straddling_groups(contents: RunContents) -> int:
    """How many groups stand in more than one fold."""
    folds = pd.Series(contents.manifest.folds)
    return int((folds.groupby(contents.manifest.groups).nunique() > 1).sum())


def _score_axis(contents: RunContents) -> Any:
    """One number line that holds every interval, so that the metrics can be compared."""
    found = [each for model in contents.scorecard.models.values() for each in model.metrics.values()]
    return axis([bound for each in found for bound in (each.value, each.low, each.high)])


def _matrix(contents: RunContents) -> Matrix:
    """Confusions of the clips that are scored; a label that is unknown can be neither given nor taken for another."""
    manifest = contents.manifest
    known = manifest.label_weights() > 0
    targets = manifest.present() * known
    scores = np.where(known, contents.scores[contents.main], -np.inf)
    return matrix_figure(targets[manifest.scored], scores[manifest.scored], manifest.vocabulary.labels)


def _per_class(contents: RunContents) -> list[dict[str, Any]]:
    """One row per class that has clips, the weakest first: label, n_clips, values by model."""
    metric = PER_CLASS[contents.scorecard.multi_label]
    tables = {model: contents.scorecard.models[model].per_class for model in contents.models}
    rows = [
        {
            "label": label,
            "n_clips": row["n_clips"],
            "values": {model: table[label][metric] for model, table in tables.items()},
        }
        for label, row in tables[contents.main].items()
        if row["n_clips"]
    ]
    return sorted(rows, key=lambda row: row["values"][contents.main])


def _curves(contents: RunContents) -> list[Curves]:
    """Learning curves of the network's folds: loss, and the validation score where there is one."""
    folds = contents.histories.get(contents.main, {})
    figures = (
        curves(folds, {"train_loss": "training", "validation_loss": "validation"}, "loss"),
        curves(
            folds,
            {"validation_score": "validation"},
            "lwlrap of the validation clips",
            dot="validation_score",
        ),
    )
    return [figure for figure in figures if figure is not None]


def _folds(contents: RunContents) -> list[dict[str, Any]]:
    """One row per fold: fold, n_clips, n_groups, the primary metric by model."""
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


def number(value: float, digits: int = 3) -> str:
    """A number with fixed digits; a dash for nan.

    >>> number(0.5), number(float("nan"))
    ('0.500', '–')
    """
    return "–" if np.isnan(value) else f"{value:.{digits}f}"
