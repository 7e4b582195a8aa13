"""`earmark sweep` in a terminal: what it passes on, and what it prints of what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from earmark.baselines.ladder import Cost
from earmark.baselines.sweep import Sweep, Trial, TrialRun
from earmark.cli import sweep
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.compare import Comparison
from earmark.flows.sweep import Swept


def around(value: float) -> Interval:
    return Interval(value, value - 0.02, value + 0.02, 100, False, 0, 0.01)


def made(n_failures: int = 0) -> Swept:
    cost = Cost(5, 60, 500, 100, 2)
    trials = [
        Trial(name, "model", {"model": name}, (TrialRun(0, around(value), 9.0),), around(value), 0.01, cost)
        for name, value in (("forest", 0.7), ("se_cnn", 0.9))
    ]
    trials.append(Trial("resnet", "model", {}, reason="not run for want of time: seed 0."))
    compared = (Comparison("se_cnn", "forest", "accuracy", around(0.2)),)
    found = Sweep("x", "accuracy", 200, 3, 1, tuple(trials), "se_cnn", compared)
    return Swept(Path("runs/x"), found, Path("runs/x/sweep.html"), n_failures)


@pytest.fixture
def run(call):
    """`run(answer, *words)`: the command with the flow replaced; its result and what the flow was given."""
    return lambda answer, *words: call(sweep.sweep, "earmark.flows.sweep.sweep", answer, *words)


def test_the_table_has_the_best_first_and_below_it_what_to_do(run):
    result, _ = run(made())
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines[2:4]] == ["se_cnn", "forest"]
    assert lines[2].rstrip().endswith("best, take") and "< 0.001" in lines[3]
    assert "se_cnn is best of 2: accuracy 0.900" in result.stdout
    assert "resnet: not run for want of time" in result.stdout
    assert "runs/x/sweep.html" in result.stdout and "runs/x/best.yaml" in result.stdout
    assert result.exit_code == 0


def test_options_reach_the_flow(run):
    words = ["--models", "forest, se_cnn,", "--seeds", "5", "--budget", "2h", "--draws", "7", "--set", "seed=1"]
    _, given = run(made(), *words, "--out", "o", "--allow-leak", "--no-merge")
    assert (given["models"], given["n_seeds"], given["budget"]) == (["forest", "se_cnn"], 5, "2h")
    assert (given["n_draws"], given["settings"], given["out"]) == (7, ["seed=1"], Path("o"))
    assert (given["allow_leak"], given["merge"], given["ablate"], given["vary"]) == (True, False, False, [])


def test_what_is_varied_may_follow_without_another_option(run):
    _, given = run(made(), "--vary", "frontend.n_mels=64,128", "window.seconds=1,3", "--vary", "seed=1", "--ablate")
    assert sorted(given["vary"]) == ["frontend.n_mels=64,128", "seed=1", "window.seconds=1,3"]
    assert given["ablate"] is True and given["models"] == () and given["n_draws"] is None


def test_json_is_the_sweep_and_nothing_else(run):
    result, given = run(made(), "--json")
    document = json.loads(result.stdout)
    assert (document["reference"], document["take"]) == ("se_cnn", "se_cnn")
    assert given["progress"] is False


def test_unreadable_files_are_counted_and_exit_1(run):
    result, _ = run(made(n_failures=3))
    assert result.exit_code == 1
