"""`earmark ladder` in a terminal: what it passes on, and what it prints of what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earmark.baselines.ladder import CHEAPEST_RULE, Cost, Ladder, Rung
from earmark.cli import ladder
from earmark.evaluation import make_scorecard
from earmark.flows.ladder import Climbed


def made(n_failures: int = 0, share: float = 1.0) -> Climbed:
    targets = np.eye(3)[np.arange(90) % 3]
    noise = np.random.default_rng(0).normal(size=targets.shape)
    scores = {name: skill * targets + noise for name, skill in (("prior", 0.0), ("forest", 1.5), ("se_cnn", 1.6))}
    card = make_scorecard(targets, scores, labels="abc", groups=None, multi_label=False, n_resamples=50)
    speeds = {"prior": 900, "forest": 800, "se_cnn": 400}
    rungs = [Rung(name, "summary", name, Cost(1, 10, speeds[name], 300, 2)) for name in scores]
    rungs.append(Rung("tiny_cnn", "network", "tiny", reason="Left out: the budget.", estimate_seconds=90.0))
    return Climbed(Path("runs/x"), Ladder("x", tuple(rungs), card, share), Path("runs/x/ladder.html"), n_failures)


@pytest.fixture
def run(call):
    """`run(answer, *words)`: the command with the flow replaced; its result and what the flow was given."""
    return lambda answer, *words: call(ladder.ladder, "earmark.flows.ladder.ladder", answer, *words)


def test_the_table_marks_the_cheapest_that_is_level_and_says_what_was_left_out(run):
    result, _ = run(made())
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["forest"].rstrip().endswith("cheapest not worse")
    assert lines["se_cnn"].rstrip().endswith("best")
    assert lines["prior"].rstrip().endswith("worse than the best")
    assert "tiny_cnn: Left out: the budget. All folds would take about 90 s." in result.stdout
    assert CHEAPEST_RULE in result.stdout
    assert "runs/x/ladder.html" in result.stdout and result.exit_code == 0
    assert "All of the data" not in result.stdout


def test_a_part_of_the_data_tells_the_time_for_all_of_it(run):
    result, given = run(made(share=0.25), "--fraction", "0.25")
    assert "All of the data would take about 2.0 min" in result.stdout
    assert given["fraction"] == 0.25


def test_options_reach_the_flow(run):
    words = ["--on", "mn04_as", "--on", "runs/a", "--rungs", "prior, forest,", "--budget", "10m", "--allow-leak"]
    _, given = run(made(), *words, "--set", "seed=1", "--out", "o", "--no-merge")
    assert (given["on"], given["rungs"], given["budget"]) == (["mn04_as", "runs/a"], ["prior", "forest"], "10m")
    assert (given["allow_leak"], given["merge"], given["out"]) == (True, False, Path("o"))
    assert given["settings"] == ["seed=1"]


def test_json_is_the_ladder_and_nothing_else(run):
    result, given = run(made(), "--json")
    document = json.loads(result.stdout)
    assert (document["best"], document["cheapest"]) == ("se_cnn", "forest")
    assert given["progress"] is False


def test_unreadable_files_are_counted_and_exit_1(run, capfd):
    result, _ = run(made(n_failures=3))
    assert result.exit_code == 1
