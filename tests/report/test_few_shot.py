"""The page of few-shot curves: whole, escaped, and its points where the scores are."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.baselines.few_shot import Curve, FewShot, Point
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.compare import Comparison
from earmark.report.few_shot import BOTTOM, COLOURS, NAME_GAP, TOP, picture, spread, verdict, write_few_shot

SHOTS = (1, 2, 4, 8)


def interval(value: float, half: float = 0.03) -> Interval:
    return Interval(value, value - half, value + half, 40, False, 0, half / 2)


def curve(name: str, *values: float) -> Curve:
    points = zip(SHOTS, values, strict=False)
    return Curve(name, tuple(Point(k, 10.0 * k, interval(value), (value,)) for k, value in points))


@pytest.fixture
def found() -> FewShot:
    good, poor = curve("mn04_as", 0.62, 0.75, 0.85, 0.9), curve("summary features", 0.3, 0.4, 0.52, 0.63)
    comparisons = {
        k: (Comparison("mn04_as", "summary features", "accuracy", interval(a - b)),)
        for k, a, b in zip(SHOTS, (0.62, 0.75, 0.85, 0.9), (0.3, 0.4, 0.52, 0.63), strict=True)
    }
    return FewShot("birds", "logistic", "accuracy", 400, 10, 5, 3, (good, poor), comparisons, ("Five folds, given.",))


class Tags(HTMLParser):
    """Counts of tags that must be closed, and of links to elsewhere."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith(("#", "data:"))
        ]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Nothing stays open."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_other_file(found, tmp_path):
    page = write_few_shot(found, tmp_path / "run")
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.links == []
    assert "0.850 (0.82 to 0.88)" in text
    assert "Five folds, given." in text
    assert "mn04_as is better than summary features by 0.32" in text
    assert '<td class="n">40</td>' in text


def test_the_picture_stands_alone_as_svg(found, tmp_path):
    write_few_shot(found, tmp_path)
    root = ElementTree.parse(tmp_path / "few-shot.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f".//{space}polyline")) == 2
    titles = [title.text for title in root.findall(f".//{space}title")]
    assert "mn04_as, 1 clip per class: 0.620 (0.59 to 0.65)" in titles
    assert len(titles) == 8


def test_names_from_data_cannot_break_the_page(found, tmp_path):
    nasty = '<b>"x" & y</b>'
    curves = (replace(found.curves[0], name=nasty), found.curves[1])
    write_few_shot(replace(found, data=nasty, curves=curves, remarks=(nasty,)), tmp_path)
    assert "<b>" not in (tmp_path / "few-shot.html").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "few-shot.svg")


def test_doubling_the_clips_is_one_step_and_better_is_higher(found):
    line, other = picture(found).lines
    xs, ys = [point[0] for point in line.points], [point[1] for point in line.points]
    np.testing.assert_allclose(np.diff(xs), np.diff(xs)[0])
    assert ys == sorted(ys, reverse=True)
    for x, y, low, high, _ in line.points:
        assert BOTTOM >= low >= y >= high >= TOP
        assert x > 0
    assert line.points[0][0] != other.points[0][0]


def test_one_number_of_clips_and_missing_values_can_be_drawn(found, tmp_path):
    nothing = Interval(np.nan, np.nan, np.nan, 3, True, 0, np.nan)
    lone = Curve("x", (Point(3, 30.0, interval(0.5), (0.5,)),))
    empty = Curve("y", (Point(3, 30.0, nothing, (np.nan,)),))
    few = replace(found, curves=(lone, empty), comparisons={3: ()})
    text = write_few_shot(few, tmp_path).read_text(encoding="utf-8")
    assert "nan" not in re.sub(r"<title>.*?</title>", "", text)
    assert "no value" in text


def test_more_curves_than_colours_begin_again(found):
    many = replace(found, curves=tuple(curve(f"net {number}", 0.5, 0.6, 0.7, 0.8) for number in range(COLOURS + 1)))
    lines = picture(many).lines
    assert lines[-1].colour == lines[0].colour == 0


def test_the_verdict_says_what_takes_others_more_clips(found):
    text = verdict(found)
    assert "With 8 clips of each class, logistic on mn04_as reaches accuracy 0.900 (0.87 to 0.93)" in text
    assert "with 1 clip 0.620" in text
    assert "What takes summary features 8 clips, mn04_as does with 2 clips." in text


def test_the_verdict_claims_no_lead_where_there_is_none(found):
    level = replace(found, curves=(curve("a", 0.5, 0.6, 0.7, 0.8), curve("b", 0.5, 0.6, 0.7, 0.79)))
    assert "What takes" not in verdict(level)


@given(st.lists(st.floats(0, 400), min_size=1, max_size=8))
def test_names_keep_apart_and_in_order(places):
    moved = spread(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    gaps = np.diff([moved[index] for index in order])
    assert (gaps >= NAME_GAP - 1e-6).all()
    if all(gap >= NAME_GAP for gap in np.diff(sorted(places))):
        np.testing.assert_allclose(moved, places)
