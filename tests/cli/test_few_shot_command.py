"""`earmark few-shot` in a terminal: what it passes on, and what it prints of what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from earmark.baselines.few_shot import Curve, FewShot, Point
from earmark.cli import few_shot
from earmark.errors import ConfigError
from earmark.evaluation.bootstrap import Interval
from earmark.flows.few_shot import Shown


def made(n_failures: int = 0) -> Shown:
    points = tuple(Point(k, 3.0 * k, Interval(0.5, 0.4, 0.6, 30, False, 0, 0.05), (0.5,)) for k in (1, 4))
    found = FewShot("x", "svm", "accuracy", 90, 3, 5, 1, (Curve("ears", points),), {1: (), 4: ()}, ("Five folds.",))
    return Shown(Path("runs/x"), found, Path("runs/x/few-shot.html"), n_failures)


@pytest.fixture
def run(call):
    """`run(answer, *words)`: the command with the flow replaced; its result and what the flow was given."""
    return lambda answer, *words: call(few_shot.few_shot, "earmark.flows.few_shot.show_few_shot", answer, *words)


def test_the_table_has_a_row_for_each_number_of_clips(run):
    result, given = run(made())
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert ["1", "0.500", "(0.40", "to", "0.60)"] in lines
    assert ["4", "0.500", "(0.40", "to", "0.60)"] in lines
    assert "Five folds." in result.stdout
    assert "page  runs/x/few-shot.html" in result.stdout
    assert given["shots"] == [1, 2, 4, 8, 16]
    assert result.exit_code == 0


def test_options_are_passed_on(run):
    words = ("--on", "a", "--on", "b", "--shots", "1, 3", "--draws", "7", "--head", "svm", "--allow-leak")
    _, given = run(made(), *words, "--out", "o", "--set", "seed=3")
    assert given["on"] == ["a", "b"]
    assert (given["shots"], given["n_draws"], given["head"]) == ([1, 3], 7, "svm")
    assert (given["allow_leak"], given["settings"], given["out"]) == (True, ["seed=3"], Path("o"))


def test_json_alone_is_printed_where_it_is_asked_for(run):
    result, given = run(made(), "--json")
    assert json.loads(result.stdout)["curves"][0]["points"][1]["shots"] == 4
    assert given["progress"] is False


def test_files_that_could_not_be_read_make_the_exit_code_one(run):
    result, _ = run(made(n_failures=2))
    assert result.exit_code == 1


@pytest.mark.parametrize("text", ["", "1,,2", "0", "-1", "1.5", "many", "²"])
def test_shots_that_are_no_numbers_are_refused(text):
    with pytest.raises(ConfigError, match="expected whole numbers from 1 on between commas"):
        few_shot.parse_shots(text)
