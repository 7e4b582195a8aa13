"""The one sentence says what the scorecard says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from earmark.evaluation import Comparison, Interval
from earmark.report.reading import read_run
from earmark.report.report import verdict


def found(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high, 40, False, 0, 0.01)


@pytest.fixture
def contents(make_run):
    """A run whose network has accuracy 0.8625 (0.82 to 0.9)."""
    contents = read_run(make_run())
    score = contents.scorecard.models["se_cnn"]
    score = replace(score, metrics={**score.metrics, "accuracy": found(0.895, 0.864, 0.923)})
    return replace(contents, scorecard=replace(contents.scorecard, models={"se_cnn": score}, n_clips=1400))


def compare(contents, *comparisons: Comparison) -> str:
    return verdict(replace(contents, scorecard=replace(contents.scorecard, comparisons=comparisons)))


def test_a_network_that_beats_the_forest(contents):
    text = compare(contents, Comparison("se_cnn", "forest", "accuracy", found(0.07, 0.04, 0.1)))
    assert text == (
        "se_cnn tells these 6 sounds apart in 89.5 % of 1,400 clips (86.4 to 92.3); "
        "better than forest by 0.07 (0.04 to 0.10)."
    )


def test_a_network_that_the_forest_beats(contents):
    text = compare(contents, Comparison("forest", "se_cnn", "accuracy", found(0.07, 0.04, 0.1)))
    assert text.endswith("; worse than forest by 0.07 (0.04 to 0.10).")


def test_a_difference_inside_the_noise_is_called_so(contents):
    text = compare(contents, Comparison("forest", "se_cnn", "accuracy", found(0.02, -0.01, 0.05)))
    assert text.endswith("; not to be told from forest (difference -0.02, -0.05 to +0.01).")


def test_no_comparison_no_claim(contents):
    nan = float("nan")
    assert compare(contents).endswith("(86.4 to 92.3).")
    assert compare(contents, Comparison("se_cnn", "forest", "accuracy", found(0.1, nan, nan))).endswith(
        "92.3)."
    )


def test_multi_label_runs_are_judged_by_lwlrap(make_run):
    text = verdict(read_run(make_run(multi_label=True)))
    assert text.startswith("se_cnn ranks these 6 labels with an lwlrap of 0.")
