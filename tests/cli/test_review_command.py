"""`earmark review` from outside: the table, the page at an address with a secret, and what does not go together."""

from __future__ import annotations

import json
import re
import signal
import urllib.request

import pytest
from typer.testing import CliRunner

from earmark.errors import ConfigError


def test_the_suspects_are_written_and_told_without_a_page(earmark, finished):
    done = earmark("review", finished.folder, "--no-page", "--json", "--most", 3)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["questions"]) == 3
    assert "--corrections" in told["train"]
    assert (finished.folder / "suspects.csv").exists()


def test_the_page_is_served_until_ctrl_c_and_decisions_are_told(earmark, finished):
    earmark("review", finished.folder, "--no-page", "--most", 3)
    process = earmark.start("review", finished.folder, "--who", "ann")
    try:
        url = ""
        while not url:
            line = process.stderr.readline()
            assert line, "it ended"
            url = "".join(re.findall(r"http://\S+", line))
        state = json.load(urllib.request.urlopen(f"{url}state", timeout=60))
        assert len(state["questions"]) == 3
        sent = {"number": 0, "version": 0, "decision": "keep", "labels": [], "why": ""}
        urllib.request.urlopen(f"{url}decide", json.dumps(sent).encode(), timeout=60)
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "2 questions are open; decided: 1 keep" in output
    assert str(finished.folder / "corrections.csv") in output


def test_a_run_without_doubtful_labels_is_told_and_not_served(earmark, finished):
    earmark("review", finished.folder, "--no-page", "--most", 3)
    table = finished.folder / "suspects.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    done = earmark("review", finished.folder)
    assert done.returncode == 0, done.stderr
    assert "No label looks wrong. --most 20 asks about" in done.stdout
    assert "http://" not in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give the folder of a run, or --unlabelled"),
        (("run", "--unlabelled", "field"), "give the folder of a run, or --unlabelled"),
        (("run", "--on", "mn04_as"), "is for --unlabelled, and a run is reviewed"),
        (("--unlabelled", "field"), "needs --on, a network whose embeddings"),
        (("--unlabelled", "field", "--on", "x", "--anew"), "are for a run, and --unlabelled labels a folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, reason):
    from earmark.cli.app import app

    with pytest.raises(ConfigError, match=re.escape(reason)):
        CliRunner().invoke(app, ["review", *words], catch_exceptions=False)


