"""`earmark ensemble` and `earmark evaluate --views` in a terminal: what they pass on, and what they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console, ensemble, evaluate
from earmark.ensemble.standing import Standing
from earmark.errors import ConfigError
from earmark.evaluation.compare import Comparison, paired_difference
from earmark.evaluation.scorecard import make_scorecard

NO_PROMISE = {"precision": None, "recall": None}


def standing() -> Standing:
    targets = np.eye(3)[np.arange(90) % 3]
    noise = np.random.default_rng(0).normal(size=(3, *targets.shape))
    scores = {"forest": targets + noise[0], "mlp": targets + noise[1], "mean": 3 * targets + noise[2]}
    card = make_scorecard(targets, scores, labels="abc", groups=None, multi_label=False, n_resamples=50)
    found = paired_difference(targets, scores["mean"], scores["mlp"], metric="accuracy", groups=np.arange(90))
    against = (Comparison("mean", "mlp", "accuracy", found),)
    return Standing(("forest", "mlp"), card, against, np.eye(2), "mean", ("mlp",), Path("o/o.tagger.onnx"))


@pytest.fixture
def run(monkeypatch):
    """`run(*words)`: the command with the flow replaced; its result and what the flow was given."""

    class Stdout:
        """Whatever stdout is now."""

        def __getattr__(self, name):
            return getattr(sys.stdout, name)

    def invoke(*words: str):
        given = {}

        def answer(runs, out, **options):
            given.update(options, runs=runs, out=out)
            return standing()

        monkeypatch.setattr("earmark.flows.ensemble.ensemble", answer)
        monkeypatch.setattr(console.output, "file", Stdout())
        app = typer.Typer()
        app.command()(ensemble.ensemble)
        return CliRunner().invoke(app, list(words), catch_exceptions=False), given

    return invoke


def test_the_table_shows_members_ensembles_and_what_is_shipped(run):
    result, given = run("a", "b", "--out", "o", "--how", "mean", "--seed", "3")
    assert given == {"runs": [Path("a"), Path("b")], "out": Path("o"), "how": "mean", "seed": 3} | NO_PROMISE
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["mean"].rstrip().endswith("better, shipped")
    assert "1.00" in result.stdout and "0.00" in result.stdout
    assert "The shipped ensemble does without forest." in result.stdout
    assert "o/o.tagger.onnx  (mean)" in result.stdout


def test_json_is_the_outcome_and_nothing_else(run):
    result, _ = run("a", "b", "--json")
    shown = json.loads(result.stdout)
    assert (shown["best_member"], shown["shipped"], shown["used"]) == ("mlp", "mean", ["mlp"])
    assert shown["comparisons"][0]["difference"] > 0


def test_seconds_of_views_are_numbers():
    assert evaluate.parse_seconds("1,2.5") == (1.0, 2.5)
    with pytest.raises(ConfigError, match="--view-seconds 1;2: expected seconds between commas"):
        evaluate.parse_seconds("1;2")
