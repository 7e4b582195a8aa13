"""report.html: one file that shows what a run found, and lets the errors be heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earmark import page
from earmark.baselines import TITLES as HEADS
from earmark.durations import duration
from earmark.errors import AudioError
from earmark.evaluation.metrics import TITLES
from earmark.report.costs import use_costs
from earmark.report.data_figures import class_bars, label_pairs, length_histogram
from earmark.report.figures import Curves, axis, curves
from earmark.report.findings import PER_CLASS, Findings, findings_of
from earmark.report.held_out import HeldOut
from earmark.report.mistakes import best, worst
from earmark.report.reading import RunContents
from earmark.report.several import read_runs
from earmark.report.shown_clips import ShownClip, show_clips
from earmark.report.summary import draw_summary
from earmark.report.templating import environment, number
from earmark.run import Run, write_text

N_MISTAKES = 12
N_HITS = 6
N_SUSPECTS = 10
N_ROLES = 4  # colours of models beside the report's own and the baseline


def write_report(
    runs: Path | Sequence[Path],
    out: Path | None = None,
    *,
    light: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a report on a finished run: self-contained, no network, below 25 MB; and beside it a picture, summary.png.

    Args:
        runs: the folder of `earmark train`, or several of the same clips: the report is about the first, with the
            models of the others beside its own.
        out: the page, its picture by the same name; by default report.html and summary.png in the first folder.
        light: pictures of sounds, but no players.
        progress: called with (done, total) for each clip whose sound goes in.

    Returns:
        The report's path.

    Raises:
        RunError: a run is not finished, its files do not belong together, or it has no clips in common with another.
    """
    folders = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    contents = read_runs(folders)
    findings = findings_of(contents)
    mistakes, hits = _shown(findings, light, progress)
    roles = _roles(contents)
    text = environment().get_template("report.html").render(
        run=contents,
        scorecard=contents.scorecard,
        findings=findings,
        roles=roles,
        titles=TITLES,
        duration=duration,
        heads=HEADS,
        verdict=verdict(contents),
        warnings=list(warnings(findings)),
        score_axis=_score_axis(contents),
        costs=_costs(contents),
        per_class_metric=PER_CLASS[contents.scorecard.multi_label],
        mistakes=mistakes,
        hits=hits,
        shown={contents.manifest.clip_ids[clip.position]: clip.position for clip in mistakes},
        n_suspects=N_SUSPECTS,
        curves=_curves(contents),
        class_bars=class_bars(contents.manifest),
        label_pairs=label_pairs(contents.manifest),
        length_histogram=length_histogram(contents.lengths.tolist()),
        light=light,
        sound_style=page.STYLE,
        sound_script=page.SCRIPT,
    )
    run = Run(folders[0])
    path, picture = (Path(out), Path(out).with_suffix(".png")) if out else (run.report, run.summary)
    write_text(path, text)
    draw_summary(findings, verdict(contents), picture)
    return path


def _shown(
    findings: Findings, light: bool, progress: Callable[[int, int], None] | None
) -> tuple[list[ShownClip], list[ShownClip]]:
    """The worst and the best clips; where the model listened in the best is asked first, while there is time."""
    contents = findings.contents
    arrays = findings.targets, findings.scores, findings.weights, findings.multi_label
    wrong, right = worst(*arrays, N_MISTAKES), best(*arrays, N_HITS)
    run, model = contents.places[contents.main]
    held_out = HeldOut(run, model)
    n_done = 0

    def count(done: int) -> None:
        nonlocal n_done
        n_done += done
        if progress is not None:
            progress(n_done, len(wrong) + len(right))

    hits, mistakes = (
        list(show_clips(contents, positions, held_out, is_played=not light, progress=count))
        for positions in (right, wrong)
    )
    return mistakes, hits


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
    best_model = contents.scorecard.best
    other = contents.baseline if contents.main == best_model else best_model
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


def warnings(findings: Findings) -> Iterator[str]:
    """What a reader must know before believing the numbers."""
    contents = findings.contents
    yield from contents.scorecard.remarks
    yield from contents.scorecard.models[contents.main].notes()
    if findings.n_straddling:
        stand = "1 group stands" if findings.n_straddling == 1 else f"{findings.n_straddling} groups stand"
        yield (
            f"{stand} in more than one fold: a model may have known a recording that it "
            "was tested on, and the scores are too good."
        )
    if not contents.manifest.has_groups:
        yield (
            "No groups were given: where clips share a recording, folds may share it too, and the scores are too good."
        )
    yield from contents.looks
    if contents.failures:
        yield f"Left out, because they could not be read: {len(contents.failures)} (see failures.csv)."


def _roles(contents: RunContents) -> dict[str, str]:
    """The css class of each model, which gives it its colour."""
    others = [model for model in contents.models if model not in (contents.main, contents.baseline)]
    roles = {model: f"other{min(number, N_ROLES)}" for number, model in enumerate(others, start=1)}
    if contents.baseline:
        roles[contents.baseline] = "baseline"
    roles[contents.main] = "network"
    return {model: roles[model] for model in contents.models}


def _costs(contents: RunContents) -> dict[str, Any]:
    """What the models cost to use; nothing where the clip that it is measured on cannot be read."""
    try:
        return use_costs(contents)
    except AudioError:
        return {}


def _score_axis(contents: RunContents) -> Any:
    """One number line that holds every interval, so that the metrics can be compared."""
    found = [each for model in contents.scorecard.models.values() for each in model.metrics.values()]
    return axis([bound for each in found for bound in (each.value, each.low, each.high)])


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
