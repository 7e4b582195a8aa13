"""`models` and `models get`: what they print, and where they leave it."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console
from earmark.cli import models as commands
from earmark.errors import ConfigError
from earmark.flows import pretrained
from earmark.models.pretrained.weights import WEIGHTS
from earmark.tagger.home import converted


@pytest.fixture
def earmark(tmp_path, monkeypatch):
    """Runs `models …` with a home of its own; what is printed on stdout."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    app = typer.Typer(pretty_exceptions_enable=False, invoke_without_command=True)
    app.callback()(commands.list_models)
    app.command("get")(commands.get_model)
    logger = logging.getLogger("earmark")
    before = logger.handlers, logger.level, logger.propagate

    def run(*words: str) -> str:
        printed = io.StringIO()
        monkeypatch.setattr(console.output, "file", printed)
        monkeypatch.setattr(console.messages, "file", sys.stderr)
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return printed.getvalue() + done.stdout

    yield run
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def conversion(monkeypatch):
    """What `get` was called with, its work left undone but for an empty tagger."""
    calls = []

    def get(name, *, local, progress):
        calls.append((name, local))
        converted(name).parent.mkdir(parents=True)
        converted(name).touch()
        return converted(name)

    monkeypatch.setattr(pretrained, "get", get)
    return calls


def test_the_list_tells_every_network_and_which_are_here(earmark):
    converted("yamnet").parent.mkdir(parents=True)
    converted("yamnet").touch()
    lines = {line.split()[0]: line for line in earmark().splitlines() if line.strip()}
    assert set(WEIGHTS) <= set(lines)
    for fact in ("mn ", "0.98 M", "527", "32 kHz", "10 s", "4 MB", "0.432", "MIT (Florian Schmid)"):
        assert fact in lines["mn04_as"]
    assert "about 72 MB" in lines["mn20_as"]
    assert [lines[name].split()[-2:] for name in ("mn04_as", "yamnet", "cnn14")] == [
        ["yes", "no"],
        ["yes", "yes"],
        ["no", "no"],
    ]


def test_the_list_as_json_has_addresses_citations_and_the_taggers_here(earmark):
    converted("yamnet").parent.mkdir(parents=True)
    converted("yamnet").touch()
    listed = {entry["name"]: entry for entry in json.loads(earmark("--json"))}
    assert list(listed) == list(WEIGHTS)
    assert listed["mn04_as"]["tagger"] is None
    assert listed["yamnet"]["tagger"] == str(converted("yamnet"))
    assert listed["yamnet"]["url"] is None
    assert listed["mn04_as"]["url"].endswith("/mn04_as_mAP_432.pt")
    assert "arXiv:2211.04772" in listed["mn04_as"]["citation"]


def test_get_says_licence_citation_and_path(earmark, conversion, tmp_path, capsys):
    shown = earmark("get", "mn10_as", "--from", str(tmp_path))
    assert str(converted("mn10_as")) in shown
    assert "527 classes" in shown
    assert conversion == [("mn10_as", tmp_path)]
    said = capsys.readouterr().err
    assert "MIT (Florian Schmid)" in said + shown
    assert "arXiv:2211.04772" in said + shown
    assert "Not verified" in said + shown


def test_get_as_json_is_the_networks_entry(earmark, conversion):
    shown = json.loads(earmark("get", "yamnet", "--json"))
    assert (shown["name"], shown["tagger"], shown["verified"]) == ("yamnet", str(converted("yamnet")), True)


def test_get_refuses_an_unknown_name_before_anything_is_loaded(earmark, conversion):
    with pytest.raises(ConfigError, match="is not a pretrained network"):
        earmark("get", "yamnot")
    assert conversion == []
