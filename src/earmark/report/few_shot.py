"""The page of `earmark few-shot`: score against clips per class, each kind of features a line with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.baselines.few_shot import Curve, FewShot, Point
from earmark.evaluation.metrics import TITLES
from earmark.report.figures import Axis, axis
from earmark.report.templating import environment
from earmark.run import write_text

WIDTH, HEIGHT = 860, 420  # of the picture, in its own units
LEFT, TOP, RIGHT, BOTTOM = 56, 30, 640, 356  # of the area that holds the curves
NAME_GAP = 34  # least distance of the names at the ends of the lines, which take two rows of text each
SHIFT = 5.0  # between the points of neighbouring curves, so that their intervals can be told apart
COLOURS = 6  # that the style has; more curves begin again


@dataclass(frozen=True)
class Line:
    """A curve in the picture's units: points (x, y, low, high, words), and where its name stands."""

    colour: int
    name: str
    last: str
    path: str
    points: tuple[tuple[float, float, float, float, str], ...]
    name_y: float


@dataclass(frozen=True)
class Picture:
    """x_ticks, y_ticks: (text, place)."""

    title: str
    y_title: str
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    area: tuple[int, int, int, int] = (LEFT, TOP, RIGHT, BOTTOM)


def write_few_shot(found: FewShot, folder: Path) -> Path:
    """Write few-shot.html, which needs no other file and no network, and its picture alone as few-shot.svg.

    Returns:
        The page.
    """
    templates = environment()
    figure = picture(found)
    header, rows = found.table()
    text = templates.get_template("few_shot.html").render(
        found=found,
        figure=figure,
        header=header,
        rows=rows,
        n_clips=[point.n_clips for point in found.curves[0].points],
        metric=TITLES[found.metric],
        verdict=verdict(found),
    )
    write_text(folder / "few-shot.html", text)
    write_text(folder / "few-shot.svg", templates.get_template("few_shot.svg").render(figure=figure))
    return folder / "few-shot.html"


def verdict(found: FewShot) -> str:
    """The curves in one or two sentences."""
    best = max(found.curves, key=lambda curve: np.nan_to_num(_last(curve).score.value, nan=-1.0))
    few, many = best.points[0], _last(best)
    first = (
        f"With {_clips(many.shots)} of each class, {found.head} on {best.name} reaches {TITLES[found.metric]} "
        f"{many.score.text}"
    )
    first += f"; with {_clips(few.shots)} {few.score.text}." if few.shots < many.shots else "."
    catching_up = [_caught(best, curve) for curve in found.curves if curve is not best]
    return " ".join([first, *filter(None, catching_up)])


def _caught(best: Curve, other: Curve) -> str:
    """After how many clips the best curve is where another one ends, if that is fewer."""
    end = _last(other)
    sooner = [point for point in best.points if point.score.value >= end.score.value and point.shots < end.shots]
    if not sooner:
        return ""
    return f"What takes {other.name} {_clips(end.shots)}, {best.name} does with {_clips(sooner[0].shots)}."


def _last(curve: Curve) -> Point:
    return curve.points[-1]


def _clips(n: int) -> str:
    return f"{n} clip{'s' if n > 1 else ''}"


def picture(found: FewShot) -> Picture:
    """Every curve over the logarithm of the clips per class."""
    values = [
        value
        for curve in found.curves
        for point in curve.points
        for value in (point.score.value, point.score.low, point.score.high)
    ]
    line = axis(values, n_ticks=6)
    low, high = math.log2(found.shots[0]), math.log2(found.shots[-1])

    def x(shots: int) -> float:
        return LEFT + 24 + (RIGHT - LEFT - 48) * ((math.log2(shots) - low) / (high - low) if high > low else 0.5)

    ends = spread([_y(line, _last(curve).score.value) for curve in found.curves])
    lines = []
    for number, (curve, name_y) in enumerate(zip(found.curves, ends, strict=True)):
        shift = SHIFT * (number - (len(found.curves) - 1) / 2)
        points = tuple(
            (
                x(point.shots) + shift,
                _y(line, point.score.value),
                _y(line, point.score.low),
                _y(line, point.score.high),
                f"{curve.name}, {_clips(point.shots)} per class: {point.score.text}",
            )
            for point in curve.points
            if math.isfinite(point.score.value)
        )
        path = " ".join(f"{point[0]:.1f},{point[1]:.1f}" for point in points)
        last = _last(curve).score.text.partition(" (")[0]
        lines.append(Line(number % COLOURS, curve.name, last, path, points, name_y))
    return Picture(
        f"{TITLES[found.metric]} against clips of each class",
        TITLES[found.metric],
        tuple((str(shots), x(shots)) for shots in found.shots),
        tuple((text, BOTTOM - (BOTTOM - TOP) * place / 100) for text, place in line.ticks),
        tuple(lines),
    )


def _y(line: Axis, value: float) -> float:
    """Where a score stands; at the foot if there is none."""
    return BOTTOM - (BOTTOM - TOP) * (line.at(value) / 100 if math.isfinite(value) else 0.0)


def spread(places: list[float], gap: float = NAME_GAP) -> list[float]:
    """The places moved apart as little as keeps them `gap` from one another, in their order.

    >>> spread([10.0, 50.0, 12.0], gap=10)
    [6.0, 50.0, 16.0]
    """
    clusters: list[list[int]] = []
    for index in sorted(range(len(places)), key=places.__getitem__):
        clusters.append([index])
        while (
            len(clusters) > 1
            and _centre(places, clusters[-1]) - _centre(places, clusters[-2])
            < gap * (len(clusters[-1]) + len(clusters[-2])) / 2
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    moved = list(places)
    for cluster in clusters:
        first = _centre(places, cluster) - gap * (len(cluster) - 1) / 2
        for number, index in enumerate(cluster):
            moved[index] = first + gap * number
    return moved


def _centre(places: list[float], cluster: list[int]) -> float:
    return sum(places[index] for index in cluster) / len(cluster)
