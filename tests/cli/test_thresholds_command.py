"""`earmark thresholds` in a terminal: a row per label, what is measured, and JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console, score

DOCUMENT = {"tags": {"goal": "precision"}}


@pytest.fixture
def run(monkeypatch):
    """`run(*words)`: the command with the flow replaced; its result and what the flow was given."""

    class Stdout:
        """Whatever stdout is now."""

        def __getattr__(self, name):
            return getattr(sys.stdout, name)

    def invoke(*words: str):
        given = {}

        def answer(folder, **options):
            given.update(options, run=folder)
            return SimpleNamespace(
                calibrated=SimpleNamespace(document=DOCUMENT, sentences=["Tags: for a precision of 0.9."]),
                table=lambda: (["label", "from a score of"], [["bark", "never"], ["meow", "0.700"]]),
                run=SimpleNamespace(tagger=Path("a.tagger.onnx"), card=Path("card.md")),
            )

        monkeypatch.setattr("earmark.flows.thresholds.refit_thresholds", answer)
        monkeypatch.setattr(console.output, "file", Stdout())
        app = typer.Typer()
        app.command()(score.thresholds)
        return CliRunner().invoke(app, list(words), catch_exceptions=False), given

    return invoke


def test_a_row_per_label_and_what_is_measured(run):
    result, given = run("runs/pets", "--precision", "0.9")
    assert given == {"run": Path("runs/pets"), "precision": 0.9, "recall": None}
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["bark", "never"] in words
    assert ["meow", "0.700"] in words
    assert "Tags: for a precision of 0.9." in result.stdout
    assert "a.tagger.onnx" in result.stdout


def test_json_is_the_whole_document(run):
    result, given = run("runs/pets", "--recall", "0.8", "--json")
    assert json.loads(result.stdout) == DOCUMENT
    assert given["recall"] == 0.8
