"""`earmark leaderboard` in a terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console, leaderboard
from earmark.evaluation import make_scorecard
from earmark.run import Run


@pytest.fixture
def run(monkeypatch):
    """Run a leaderboard command on its own; its result."""
    app = typer.Typer()
    app.command("add")(leaderboard.add)
    app.command("show")(leaderboard.show)

    class Stdout:
        """Whatever stdout is now."""

        def __getattr__(self, name):
            import sys

            return getattr(sys.stdout, name)

    monkeypatch.setattr(console.output, "file", Stdout())

    def invoke(*words):
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


@pytest.fixture
def runs(tmp_path):
    """A folder with six finished runs, each better than the one before."""
    generator = np.random.default_rng(0)
    targets, noise = np.eye(3)[np.arange(90) % 3], generator.normal(size=(90, 3))
    for number in range(6):
        scores = {"se_cnn": (0.5 + number / 2) * targets + noise}
        card = make_scorecard(targets, scores, labels="abc", groups=None, multi_label=False, n_resamples=5)
        card.save(Run(tmp_path / f"run{number}").scorecard)
    return tmp_path


def test_add_says_what_it_kept_and_what_it_replaced(run, runs):
    said = run("add", runs / "run0", "--score", 0.5, "--name", "public")
    assert "run0: accuracy" in said and "public 0.5000" in said and "replaces" not in said
    assert str(runs / "leaderboard.csv") in said
    assert "public 0.5500 (replaces 0.5000)" in run("add", runs / "run0", "--score", 0.55, "--name", "public")


def test_show_prints_the_pairs_and_what_they_say(run, runs):
    for number in range(6):
        run("add", runs / f"run{number}", "--score", 0.4 + 0.05 * number)
    said = run("show", runs)
    assert all(f"run{number}" in said for number in range(6))
    assert "outside: 6 pairs of validation accuracy and outside score." in said
    assert "They go together: Pearson" in said
    document = json.loads(run("show", runs, "--json"))
    assert [pair["outside"] for pair in document["pairs"]] == pytest.approx([0.4, 0.45, 0.5, 0.55, 0.6, 0.65])
    assert document["tracking"][0]["n_pairs"] == 6
