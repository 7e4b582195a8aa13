"""The page of a ladder: nothing from outside, every rung in it, and a picture whose points can be told apart."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.baselines.importance import Importance, Strength
from earmark.baselines.ladder import Cost, Insight, Ladder, Rung
from earmark.evaluation import make_scorecard
from earmark.evaluation.bootstrap import Interval
from earmark.report.ladder_page import GAP, PLOT, apart, logarithmic, picture, rows, verdict, write_ladder_page

SKILLS = {"prior": 0.0, "forest": 2.0, "se_cnn": 3.0, "mn04_as": 3.1}
KINDS = {"prior": "summary", "forest": "summary", "se_cnn": "network", "mn04_as": "pretrained"}
SPEEDS = {"prior": 2000.0, "forest": 1500.0, "se_cnn": 700.0, "mn04_as": 1800.0}
DROPPED = Rung(
    "tiny_cnn", "network", "a <small> net", reason="Left out: the budget of 1.0 min.", estimate_seconds=150.0
)
INSIGHT = Insight(
    "forest",
    (
        Importance("mfcc", 180, "accuracy", Interval(0.1, 0.05, 0.15, 40, False, 0, 0.02)),
        Importance("chroma", 108, "accuracy", Interval(0.01, -0.02, 0.03, 40, False, 0, 0.01)),
    ),
    {
        "<b>bold</b>": (Strength("centroid mean", "spectral", 0.9, 0.4), Strength("mfcc 3 std", "mfcc", -0.3, 0.4)),
        "rain": (),
    },
)


def make_ladder(skills=SKILLS, share: float = 1.0, multi_label: bool = False, insight=INSIGHT, dropped=(DROPPED,)):
    targets = np.eye(4)[np.arange(200) % 4]
    generator = np.random.default_rng(0)
    noise = generator.normal(size=targets.shape)
    scores = {name: skill * targets + (noise if skill else 0.0) for name, skill in skills.items()}
    card = make_scorecard(
        targets, scores, labels="abcd", groups=None, multi_label=multi_label, n_resamples=100, remarks=["Drawn folds."]
    )
    rungs = [
        Rung(name, KINDS[name], f"what {name} is", Cost(3.0, 20.0, SPEEDS[name], SPEEDS[name] / 2, 1.5))
        for name in skills
    ]
    return Ladder("my <sounds>", (*rungs, *dropped), card, share, None, insight)


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return make_ladder()


@pytest.fixture(scope="module")
def page(ladder, tmp_path_factory) -> str:
    return write_ladder_page(ladder, tmp_path_factory.mktemp("page")).read_text(encoding="utf-8")


def test_the_page_asks_for_nothing_from_outside_and_escapes_names(page):
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page) == []
    for name in ("my <sounds>", "<b>bold</b>", "a <small> net"):
        assert name not in page and html.escape(name) in page


def test_every_rung_has_a_row_and_what_was_dropped_says_why_and_what_it_would_take(ladder, page):
    table = page[page.index('<table class="rungs sortable">') : page.index("</table>")]
    assert re.findall(r'scope="row" data-value="([^"]*)"', table) == [rung.name for rung in ladder.rungs]
    assert "Left out: the budget of 1.0 min. All folds would take about 2.5 min." in table
    assert table.count("<tr") == 1 + len(ladder.rungs)
    head, *body = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    n_columns = head.count("<th")
    assert [len(re.findall(r"<t[hd]", row)) for row in body if "dropped" not in row] == [n_columns] * 4


def test_the_marked_rungs_are_the_best_and_the_cheapest_that_is_level_with_it(ladder):
    assert ladder.best.name == "mn04_as"
    marks = {row.rung.name: row.mark for row in rows(ladder) if row.mark}
    assert marks == {"mn04_as": "best, cheapest"}
    other = make_ladder({"forest": 3.0, "se_cnn": 3.05})
    assert {row.rung.name: row.mark for row in rows(other) if row.mark} == {
        "forest": "cheapest not worse",
        "se_cnn": "best",
    }
    assert "The cheapest that is not worse is forest" in verdict(other)
    assert "2.1 times as fast as the best" in verdict(other)
    assert "Nothing cheaper is as good" in verdict(ladder)


def test_a_difference_is_told_with_its_interval_and_as_noise_where_it_is(ladder):
    cells = {row.rung.name: row.cells for row in rows(ladder) if row.cells and not row.reason}
    assert cells["mn04_as"][2][0] == ""
    assert cells["se_cnn"][2][0].endswith(")\ninside the noise")
    assert re.fullmatch(r"0\.\d{3} \(0\.\d\d to 0\.\d\d\)", cells["prior"][2][0])


def test_a_part_of_the_data_says_what_all_of_it_would_take():
    part = make_ladder(share=0.2)
    climbed = [row for row in rows(part) if not row.reason]
    assert all(row.cells[-1][0] == "about 100 s" or row.cells[-1][0] == "about 1.7 min" for row in climbed)
    assert part.full_seconds(DROPPED) == pytest.approx(750)


def test_the_page_tells_which_feature_groups_add_nothing(page):
    groups = page[page.index('<table class="groups">') :]
    assert re.search(r'<tr class="idle"><th scope="row">chroma', groups)
    assert re.search(r'<tr><th scope="row">mfcc', groups)
    assert "Nothing beyond the noise: chroma." in page
    assert "centroid mean <small>higher, 0.90</small>" in page
    assert "mfcc 3 std <small>lower, 0.30, within chance</small>" in page
    assert "no clip to compare" in page


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_ladder_without_summary_rungs_or_with_several_labels_has_a_page_too(tmp_path, multi_label):
    ladder = make_ladder({"mn04_as": 2.0}, insight=None, dropped=(), multi_label=multi_label)
    text = write_ladder_page(ladder, tmp_path).read_text(encoding="utf-8")
    assert "What the features tell" not in text
    assert ("Lwlrap against" if multi_label else "Accuracy against") in text


def test_the_picture_alone_is_a_whole_svg_with_every_climbed_rung(ladder, tmp_path):
    write_ladder_page(ladder, tmp_path)
    root = ElementTree.parse(tmp_path / "ladder.svg").getroot()
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title.partition(":")[0] for title in titles] == [rung.name for rung in ladder.climbed]


def test_a_better_rung_stands_higher_and_a_cheaper_one_further_left(ladder):
    points = {point.name: point for point in picture(ladder, "tagging").points}
    assert points["se_cnn"].y < points["forest"].y < points["prior"].y
    assert points["prior"].x < points["mn04_as"].x < points["forest"].x < points["se_cnn"].x
    assert all(point.high <= point.y <= point.low for point in points.values())
    assert [point.number for point in picture(ladder, "tagging").points] == [1, 2, 3, 4]


def test_rungs_of_one_speed_stand_beside_one_another():
    ladder = make_ladder()
    points = picture(ladder, "training").points  # all the same time
    places = sorted(point.x for point in points)
    np.testing.assert_allclose(np.diff(places), GAP)
    assert PLOT[0] <= places[0] and places[-1] <= PLOT[2]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 20))
def test_places_moved_apart_keep_order_gap_and_bounds(places, gap):
    moved = np.array(apart(places, gap, 0.0, 100.0))
    order = np.argsort(places, kind="stable")
    least = min(gap, 100 / max(1, len(places) - 1))
    assert (np.diff(moved[order]) >= least - 1e-9).all()
    assert moved.min() >= -1e-9 and moved.max() <= 100 + 1e-9


def test_places_that_are_apart_already_stay():
    assert apart([5, 50, 20], 10, 0, 100) == [5, 50, 20]


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=9))
def test_a_logarithmic_axis_holds_its_values_and_has_few_ticks(values):
    line = logarithmic(values)
    logs = np.log10(values)
    assert line.low <= logs.min() + 1e-9 and logs.max() <= line.high + 1e-9
    assert 2 <= len(line.ticks) <= 10
    assert all(-1e-6 <= at <= 100 + 1e-6 for _, at in line.ticks)
