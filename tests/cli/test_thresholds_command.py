"""`earmark thresholds` in a terminal: a row per label, what is measured, and JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from earmark.cli import console, score

DOCUMENT = {"tags": {"goal": "precision"}}


@pytest.fixture
def given(monkeypatch) -> dict:
    """What the flow was given; it answers with two labels."""
    given = {}

    def answer(folder, **options):
        given.update(options, run=folder)
        return SimpleNamespace(
            calibrated=SimpleNamespace(document=DOCUMENT, sentences=["Tags: for a precision of 0.9."]),
            table=lambda: (["label", "from a score of"], [["bark", "never"], ["meow", "0.700"]]),
            run=SimpleNamespace(tagger=Path("a.tagger.onnx"), card=Path("card.md")),
        )

    monkeypatch.setattr("earmark.flows.thresholds.refit_thresholds", answer)
    return given


def test_a_row_per_label_and_what_is_measured(given, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(console.output, "file", shown)
    score.thresholds(Path("runs/pets"), precision=0.9)
    assert given == {"run": Path("runs/pets"), "precision": 0.9, "recall": None}
    text = shown.getvalue()
    words = [line.split() for line in text.splitlines()]
    assert ["bark", "never"] in words
    assert ["meow", "0.700"] in words
    assert "Tags: for a precision of 0.9." in text
    assert "a.tagger.onnx" in text


def test_json_is_the_whole_document(given, capsys):
    score.thresholds(Path("runs/pets"), recall=0.8, as_json=True)
    assert json.loads(capsys.readouterr().out) == DOCUMENT
    assert given["recall"] == 0.8
