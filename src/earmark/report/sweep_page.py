"""The page of `earmark sweep`: every trial's score with its noise, and which differences are more than that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from earmark.baselines.ladder import CHEAPEST_MEANS
from earmark.baselines.sweep import KINDS, Sweep, Trial
from earmark.durations import duration
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.metrics import TITLES
from earmark.report.figures import Axis, axis
from earmark.report.templating import environment
from earmark.run import write_text


@dataclass(frozen=True)
class Row:
    """A trial in the table.

    mark: what it stands out by. is_level: whether it cannot be told apart from the reference. dots: its runs on the
    number line, in percent. difference: to the reference, None for the reference itself. cells: texts of the columns.
    """

    number: int
    trial: Trial
    mark: str
    is_level: bool
    dots: tuple[tuple[float, str], ...]
    difference: Interval | None
    cells: tuple[str, ...]


def write_sweep_page(sweep: Sweep, folder: Path) -> Path:
    """Write sweep.html, which needs no other file and no network.

    Returns:
        The page.
    """
    templates = environment()
    scores = score_axis(sweep)
    text = templates.get_template("sweep.html").render(
        sweep=sweep,
        metric=TITLES[sweep.metric],
        verdict=sweep.verdict(),
        notes=sweep.notes()[1:],
        scores=scores,
        differences=difference_axis(sweep),
        header=header(sweep),
        rows=rows(sweep, scores),
        missing=[(each, KINDS[each.kind]) for each in sweep.missing],
        rule=CHEAPEST_MEANS,
    )
    write_text(folder / "sweep.html", text)
    return folder / "sweep.html"


def header(sweep: Sweep) -> list[str]:
    """Titles of the columns that hold text."""
    return [*sweep.titles(), "a run", "× realtime", "MB"]


def rows(sweep: Sweep, scores: Axis) -> list[Row]:
    """The trials that were made, the best first."""
    found = []
    for number, each in enumerate(sweep.made, start=1):
        against = sweep.against(each.name)
        dots = tuple((scores.at(run.score.value), f"seed {run.seed}: {run.score.text}") for run in each.runs)
        level = sweep.is_level(each.name)
        found.append(
            Row(number, each, sweep.mark(each.name), level, dots, against and against.interval, _cells(sweep, each))
        )
    return found


def _cells(sweep: Sweep, trial: Trial) -> tuple[str, ...]:
    """Score, seeds, difference, p, and what a run and its tagger cost."""
    cost = trial.cost
    size = f"{cost.megabytes:.2f}" if cost.megabytes < 10 else f"{cost.megabytes:.0f}"
    took = "" if math.isnan(cost.total_seconds) else duration(cost.total_seconds)
    return (
        trial.score.text,
        sweep.seeds_text(trial),
        *sweep.difference_texts(trial),
        took,
        f"{cost.realtime:,.0f}",
        size,
    )


def score_axis(sweep: Sweep) -> Axis:
    """The number line that holds all scores, their intervals and every run."""
    values = [bound for each in sweep.made for bound in (each.score.value, each.score.low, each.score.high)]
    return axis([*values, *(run.score.value for each in sweep.made for run in each.runs)])


def difference_axis(sweep: Sweep) -> Axis:
    """The number line that holds all differences and nothing."""
    found = [each.interval for each in sweep.comparisons]
    return axis([0.0, *(bound for each in found for bound in (each.value, each.low, each.high))])
