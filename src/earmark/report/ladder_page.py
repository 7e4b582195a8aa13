"""The page of `earmark ladder`: every rung's score against what it costs, and what the features tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from earmark.baselines.importance import statement
from earmark.baselines.ladder import CHEAPEST_RULE, KINDS, Ladder, Rung
from earmark.durations import duration
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.metrics import TITLES
from earmark.report.figures import Axis, axis
from earmark.report.templating import environment
from earmark.run import write_text

WIDTH, HEIGHT = 1060, 440  # of the picture, in its own units
PLOT = (64, 24, 680, 372)  # left, top, right, bottom of the area that holds the points
GAP = 22.0  # between neighbours that would cover each other
LEGEND_LEFT = 724
LEGEND_STEP = 26
LONGEST_NAME = 24  # characters in the legend
TOLD_CLASSES = 60
TOLD_FEATURES = 3


@dataclass(frozen=True)
class Point:
    """A rung in the picture: its place in the ladder, and in the picture's units where it and its interval stand."""

    number: int
    name: str
    kind: str
    score: str
    x: float
    y: float
    low: float
    high: float
    is_level: bool
    mark: str


@dataclass(frozen=True)
class Picture:
    """Score against cost. x_ticks, y_ticks: (text, place). points: in the order of the ladder."""

    title: str
    x_title: str
    y_title: str
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Row:
    """A rung in the table; what was not climbed has a reason instead of cells. cells: (text, value to sort by)."""

    number: int
    rung: Rung
    mark: str
    is_level: bool
    cells: tuple[tuple[str, float], ...]
    reason: str = ""


def write_ladder_page(ladder: Ladder, folder: Path) -> Path:
    """Write ladder.html, which needs no other file and no network, and its first picture alone as ladder.svg.

    Returns:
        The page.
    """
    templates = environment()
    places = {"width": WIDTH, "height": HEIGHT, "area": PLOT, "legend": (LEGEND_LEFT, LEGEND_STEP)}
    tagging = picture(ladder, "tagging")
    text = templates.get_template("ladder.html").render(
        ladder=ladder,
        verdict=verdict(ladder),
        pictures=[tagging, picture(ladder, "training")],
        header=header(ladder),
        rows=rows(ladder),
        rule=CHEAPEST_RULE,
        kinds={kind: title for kind, title in KINDS.items() if any(rung.kind == kind for rung in ladder.climbed)},
        classes=_classes(ladder),
        n_classes=len(ladder.insight.strongest) if ladder.insight else 0,
        groups=_groups(ladder),
        statement=statement(ladder.insight.importances) if ladder.insight else "",
        metric=_metric(ladder),
        plot=places,
    )
    write_text(folder / "ladder.html", text)
    write_text(folder / "ladder.svg", templates.get_template("ladder.svg").render(figure=tagging, plot=places))
    return folder / "ladder.html"


def verdict(ladder: Ladder) -> str:
    """The ladder in two sentences."""
    best, cheapest, card = ladder.best, ladder.cheapest, ladder.scorecard
    found = _score(ladder, best)
    first = (
        f"{best.name} is best of {len(ladder.climbed)} rungs: {_metric(ladder)} {found.text} on {card.n_clips:,} clips."
    )
    an_hour = f"tags an hour of sound in {duration(cheapest.cost.seconds_per_hour)} of one core"
    if cheapest.name == best.name:
        return f"{first} Nothing cheaper is as good: it {an_hour}."
    times = cheapest.cost.realtime / best.cost.realtime
    quicker = f", {times:.1f} times as fast as the best" if times > 1.2 else ""
    return (
        f"{first} The cheapest that is not worse is {cheapest.name} with {_score(ladder, cheapest).value:.3f}: "
        f"it {an_hour}{quicker}."
    )


def header(ladder: Ladder) -> list[str]:
    """Titles of the table's columns after the rung's name."""
    titles = ["95 % interval", "behind the best", "training", "× realtime", "from files", "MB", "all folds"]
    if ladder.share < 1:
        titles.append("on all the data")
    return [_metric(ladder), *titles]


def rows(ladder: Ladder) -> list[Row]:
    """The table, in the order of the ladder."""
    found = []
    for number, rung in enumerate(ladder.rungs, start=1):
        if rung.cost is None:
            estimate = rung.estimate_seconds
            seconds = [] if estimate is None else [(f"about {duration(estimate)}", estimate)]
            found.append(Row(number, rung, "", False, tuple(seconds), rung.reason))
        else:
            found.append(Row(number, rung, _mark(ladder, rung), ladder.is_level(rung.name), _cells(ladder, rung)))
    return found


def _cells(ladder: Ladder, rung: Rung) -> tuple[tuple[str, float], ...]:
    """What stands in a climbed rung's columns, and the numbers behind."""
    found, cost = _score(ladder, rung), rung.cost
    cells = [
        (f"{found.value:.3f}", found.value),
        (found.bounds, found.low),
        _behind(ladder, rung),
        (duration(cost.training_seconds), cost.training_seconds),
        (f"{cost.realtime:,.0f}", cost.realtime),
        (f"{cost.realtime_from_files:,.0f}", cost.realtime_from_files),
        (f"{cost.megabytes:.2f}" if cost.megabytes < 10 else f"{cost.megabytes:.0f}", cost.megabytes),
        (duration(cost.total_seconds), cost.total_seconds),
    ]
    if ladder.share < 1:
        seconds = ladder.full_seconds(rung)
        cells.append((f"about {duration(seconds)}", seconds))
    return tuple(cells)


def _behind(ladder: Ladder, rung: Rung) -> tuple[str, float]:
    """How far a rung is behind the best, and whether that is more than noise."""
    against = ladder.behind(rung.name)
    if against is None:
        return "", 0.0
    interval = against.interval
    if math.isnan(interval.low):
        return "cannot be compared", interval.value
    text = f"{interval.value:.3f} ({interval.bounds})"
    return (f"{text}\ninside the noise" if ladder.is_level(rung.name) else text), interval.value


def picture(ladder: Ladder, cost: str) -> Picture:
    """Score against the time that "tagging" or "training" takes, on a logarithmic axis.

    Points that would cover each other are moved apart sideways, by as little as possible.
    """
    seconds: Callable[[Rung], float] = {
        "tagging": lambda rung: rung.cost.seconds_per_hour,
        "training": lambda rung: max(rung.cost.training_seconds, 0.01),
    }[cost]
    left, top, right, bottom = PLOT
    scores = [_score(ladder, rung) for rung in ladder.climbed]
    across = logarithmic([seconds(rung) for rung in ladder.climbed])
    up = axis([bound for each in scores for bound in (each.value, each.low, each.high)], n_ticks=6)

    def height(value: float) -> float:
        return bottom - (bottom - top) * up.at(value) / 100

    places = [left + (right - left) * across.at(math.log10(seconds(rung))) / 100 for rung in ladder.climbed]
    numbers = {rung.name: number for number, rung in enumerate(ladder.rungs, start=1)}
    points = [
        Point(
            numbers[rung.name],
            rung.name if len(rung.name) <= LONGEST_NAME else rung.name[: LONGEST_NAME - 1] + "…",
            rung.kind,
            f"{found.value:.3f}",
            x,
            height(found.value),
            *(height(found.value if math.isnan(bound) else bound) for bound in (found.low, found.high)),
            ladder.is_level(rung.name),
            _mark(ladder, rung),
        )
        for rung, found, x in zip(ladder.climbed, scores, apart(places, GAP, left, right), strict=True)
    ]
    hour = "seconds of one core for an hour of sound, decoding not counted"
    return Picture(
        f"{_metric(ladder).capitalize()} against the time of {cost}",
        hour if cost == "tagging" else "seconds to train once, features computed from the files",
        _metric(ladder),
        tuple((text, left + (right - left) * at / 100) for text, at in across.ticks),
        tuple((text, bottom - (bottom - top) * at / 100) for text, at in up.ticks),
        tuple(points),
    )


def logarithmic(values: Sequence[float]) -> Axis:
    """A number line of log10 that holds all values, which are above 0, with ticks at 1, 2, 5, 10, …

    >>> [text for text, _ in logarithmic([3, 40]).ticks]
    ['2', '5', '10', '20', '50']
    """
    rounds = [base * 10.0**power for power in range(-4, 9) for base in (1, 2, 5)]
    low = max((each for each in rounds if each <= min(values)), default=rounds[0])
    high = min((each for each in rounds if each >= max(values) and each > low), default=rounds[-1])
    inside = [each for each in rounds if low <= each <= high]
    while len(inside) > 10:
        inside = [each for each in inside if f"{each:e}"[0] == "1"] if len(inside) < 30 else inside[::6]
    first, last = math.log10(low), math.log10(high)
    ticks = tuple((f"{each:,g}", 100 * (math.log10(each) - first) / (last - first)) for each in inside)
    return Axis(first, last, ticks)


def apart(places: Sequence[float], gap: float, least: float, most: float) -> list[float]:
    """Places at least `gap` from one another and from `least` to `most`, moved as little as possible (in squares).

    The order is kept; where so many do not fit, the gap shrinks.

    >>> apart([10, 10, 50], 4, 0, 100)
    [8.0, 12.0, 50.0]
    """
    order = np.argsort(places, kind="stable")
    gap = min(gap, (most - least) / max(1, len(places) - 1))
    shifts = gap * np.arange(len(places))
    # With the gaps taken out, the nearest places in order are an isotonic regression.
    moved = isotonic_regression(np.asarray(places, dtype=float)[order] - shifts).x
    result = np.empty(len(places))
    result[order] = np.clip(moved, least, most - shifts[-1]) + shifts
    return result.tolist()


def _mark(ladder: Ladder, rung: Rung) -> str:
    """What a rung stands out by."""
    is_best, is_cheapest = rung.name == ladder.best.name, rung.name == ladder.cheapest.name
    if is_best:
        return "best, cheapest" if is_cheapest else "best"
    return "cheapest not worse" if is_cheapest else ""


def _metric(ladder: Ladder) -> str:
    return TITLES[ladder.scorecard.primary_metric]


def _score(ladder: Ladder, rung: Rung) -> Interval:
    """A rung's interval in the primary metric."""
    return ladder.scorecard.models[rung.name].metrics[ladder.scorecard.primary_metric]


def _classes(ladder: Ladder) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """(label, its strongest features): name, "higher" or "lower" with the strength, whether it is beyond chance."""
    if not ladder.insight:
        return []
    return [
        (
            label,
            [
                (
                    each.feature,
                    f"{'higher' if each.effect > 0 else 'lower'}, {abs(each.effect):.2f}",
                    abs(each.effect) > each.by_chance,
                )
                for each in found[:TOLD_FEATURES]
            ],
        )
        for label, found in list(ladder.insight.strongest.items())[:TOLD_CLASSES]
    ]


def _groups(ladder: Ladder) -> dict[str, Any] | None:
    """The feature groups' losses and the number line that holds them."""
    if not ladder.insight or not ladder.insight.importances:
        return None
    losses = [each.loss for each in ladder.insight.importances]
    line = axis([0.0, *(bound for loss in losses for bound in (loss.value, loss.low, loss.high))])
    return {"axis": line, "rows": ladder.insight.importances}
