"""The page of a sweep: nothing from outside, every trial in it, what is noise, and what was not run."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from earmark.baselines.ladder import Cost
from earmark.baselines.sweep import Nested, Sweep, Trial, TrialRun
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.compare import Comparison
from earmark.report.sweep_page import difference_axis, rows, score_axis, write_sweep_page

BAD = "<b>bad</b>"


def around(value: float, error: float = 0.01) -> Interval:
    return Interval(value, value - 2 * error, value + 2 * error, 100, False, 0, error)


def trial(name: str, value: float, kind: str) -> Trial:
    runs = tuple(TrialRun(seed, around(value + 0.01 * (seed - 1)), 60.0) for seed in range(3))
    return Trial(name, kind, {"frontend.n_mels": "64"}, runs, around(value), 0.01, Cost(5, math.nan, 500, 100, 12.3))


def make_sweep(kinds: tuple[str, str]) -> Sweep:
    trials = [trial("se_cnn", 0.9, kinds[0]), trial(BAD, 0.7, kinds[1]), trial("near", 0.895, kinds[1])]
    late = Trial("resnet", "model", {}, reason="not run for want of time: seed 0.")
    pairs = [("se_cnn", BAD, 0.2), ("se_cnn", "near", 0.005)]
    if kinds[0] == "base":
        pairs = [(b, a, -value) for a, b, value in pairs]
    found = tuple(Comparison(a, b, "accuracy", around(value)) for a, b, value in pairs)
    nested = Nested(around(0.88), {0: "se_cnn"}) if kinds[0] == "model" else None
    return Sweep("my <sounds>", "accuracy", 200, 3, 3, (*trials, late), "se_cnn", found, nested, 60.0, ("Five folds.",))


@pytest.fixture(params=[("model", "drawn"), ("base", "varied")], ids=["search", "changes"])
def sweep(request) -> Sweep:
    return make_sweep(request.param)


def test_the_page_needs_nothing_from_outside_and_escapes_names(sweep, tmp_path):
    path = write_sweep_page(sweep, tmp_path)
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "sweep.html"
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page) and "http" not in page
    assert "<b>bad" not in page and "&lt;b&gt;bad" in page and "my &lt;sounds&gt;" in page


def test_every_trial_has_a_row_the_best_first_and_what_was_not_run_says_why(sweep, tmp_path):
    page = write_sweep_page(sweep, tmp_path).read_text(encoding="utf-8")
    names = re.findall(r'scope="row"><bdi>([^<]*)</bdi>', page)
    assert names == ["se_cnn", "near", "&lt;b&gt;bad&lt;/b&gt;"]
    assert "not run for want of time: seed 0." in page
    assert sweep.verdict().split(":")[0] in page and "Five folds." in page
    assert ("Chosen for each fold by the others" in page) == sweep.is_search


def test_a_row_holds_each_run_the_difference_and_whether_it_is_noise(sweep):
    best, near, bad = rows(sweep, score_axis(sweep))
    assert (best.mark, near.is_level, bad.is_level) == ("best, take" if sweep.is_search else "base, take", True, False)
    assert best.difference is None and bad.difference.value == pytest.approx(0.2 if sweep.is_search else -0.2)
    assert len(near.dots) == 3 and [at for at, _ in near.dots] == sorted(at for at, _ in near.dots)
    assert near.cells[1] == "3 ± 0.010"
    assert bad.cells[3] == "< 0.001"
    assert best.cells[4:] == ("", "500", "12")  # a kill came between, so nobody knows how long it took


def test_the_number_lines_hold_all_that_is_drawn(sweep):
    line = score_axis(sweep)
    assert line.low <= 0.68 and line.high >= 0.92
    line = difference_axis(sweep)
    assert line.low <= 0 <= line.high and (line.high >= 0.22 or line.low <= -0.22)


def test_a_lone_trial_has_a_page_too(tmp_path):
    alone = replace(make_sweep(("model", "drawn")), comparisons=(), nested=None)
    alone = replace(alone, trials=alone.trials[:1])
    page = write_sweep_page(alone, tmp_path).read_text(encoding="utf-8")
    assert "se_cnn is best of 1" in page and "What was not run" not in page
