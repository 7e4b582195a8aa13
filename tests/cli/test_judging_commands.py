"""`earmark evaluate --predictions` and `earmark compare` from the command line."""

from __future__ import annotations

import csv
import json

import pytest
from rich.table import Table
from typer.testing import CliRunner

from earmark.cli import console
from earmark.cli.app import app
from earmark.errors import ConfigError


@pytest.fixture
def tables(tmp_path):
    """Labels of 40 clips whose sounds are not there, and two tables of scores."""

    def write(name, header, rows):
        with open(tmp_path / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return str(tmp_path / name)

    labels = ["dog", "rain"] * 20
    yield (
        write("labels.csv", ["file", "label", "place"], [[f"{n}.wav", labels[n], "ab"[n % 3 == 0]] for n in range(40)]),
        write(
            "ours.csv",
            ["fname", "dog", "rain"],
            [[f"{n}.wav", 0.9 - 0.8 * (n % 2), 0.1 + 0.8 * (n % 2)] for n in range(40)],
        ),
        write("theirs.csv", ["fname", "dog", "rain"], [[f"{n}.wav", 0.7, 0.3] for n in range(40)]),
    )


def run(*words):
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_a_table_is_judged_and_kept(tables, tmp_path):
    data, ours, _ = tables
    out, scores = str(tmp_path / "judged"), str(tmp_path / "scores.csv")
    done = run("evaluate", data, "--predictions", ours, "--by", "place", "--out", out, "--scores", scores, "--json")
    document = json.loads(done.stdout)
    assert document["models"]["ours"]["metrics"]["accuracy"]["value"] == 1.0
    assert {each["name"] for each in document["slices"]["place"]} == {"a", "b"}
    assert json.loads((tmp_path / "judged" / "evaluation.json").read_text(encoding="utf-8")) == document
    assert (tmp_path / "scores.csv").read_text(encoding="utf-8").startswith("clip_id,start,end,dog,rain")
    assert not list(tmp_path.glob(".*"))


def test_two_tables_are_compared_with_a_page(tables, tmp_path):
    data, ours, theirs = tables
    page = tmp_path / "compare.html"
    document = json.loads(run("compare", theirs, ours, "--data", data, "--html", str(page), "--json").stdout)
    assert document["pairs"][0]["sentence"].startswith("ours is better than theirs by 0.50")
    assert (document["n_wins"], document["n_losses"]) == (20, 0)
    assert "ours is better than theirs" in page.read_text(encoding="utf-8")


def test_people_get_tables(tables, monkeypatch):
    data, ours, theirs = tables
    said = []
    monkeypatch.setattr(console.output, "print", lambda *words, **_: said.extend(map(str, words)))
    assert run("evaluate", data, "--predictions", ours, "--by", "place").exit_code == 0
    assert any("What made these scores is not known here" in line for line in said)
    assert run("compare", ours, theirs, "--data", data).exit_code == 0
    assert any("a true difference of" in line for line in said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "LABELS"], "evaluate: on what"),
        (["evaluate", "x", "LABELS", "--predictions", "OURS"], "--predictions: stands instead of a tagger"),
        (["evaluate", "LABELS", "--predictions", "OURS", "--audit"], "--audit: is for a tagger, and --predictions"),
        (["evaluate", "LABELS", "--predictions", "OURS", "--views", "ends"], "--views: is for a tagger"),
    ],
)
def test_what_contradicts_itself_is_refused(tables, words, message):
    names = {"LABELS": tables[0], "OURS": tables[1]}
    with pytest.raises(ConfigError, match=message):
        run(*(names.get(word, word) for word in words))


@pytest.fixture
def events(tmp_path):
    """Events that are there, and some that were found; the recordings are not here."""

    def write(name, *lines):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(tmp_path / name)

    return (
        write("truth.csv", "path,start,end,label", "a.wav,1,3,dog", "b.wav,4,5,owl"),
        write("found.csv", "path,start,end,label,score", "a.wav,1.1,3.1,dog,0.9", "b.wav,1,2,owl,0.4"),
        write("all.csv", "path,labels", "a.wav,dog;", "b.wav,owl;", "c.wav,;"),
    )


def test_events_are_judged_told_and_kept(events, tmp_path, monkeypatch):
    truth, found, whole = events
    words = ("evaluate", truth, "--predictions", found, "--events", "--recordings", whole)
    said = []
    monkeypatch.setattr(console.output, "print", lambda *words, **_: said.extend(words))
    run(*words)
    assert [each.title for each in said if isinstance(each, Table)] == [
        "3 recordings, 2 events, 2 found by found",
        "labels",
    ]
    assert "In 1 of 3 recordings nothing sounds: what is found is false." in said
    document = json.loads(run(*words, "--json", "--out", str(tmp_path / "judged")).stdout)
    assert document["scores"]["event"]["f1_micro"]["value"] == 0.5 and document["collar_seconds"] == 0.2
    assert json.loads((tmp_path / "judged" / "event_scores.json").read_text(encoding="utf-8")) == document
    close = json.loads(run(*words, "--json", "--collar", "0.05", "--min-seconds", "1.5", "--threshold", "0.5").stdout)
    assert close["scores"]["onset"]["f1_micro"]["value"] == 0 and close["n_found"] == 1
    assert close["rule"] == {"keep_share": 0.5, "min_seconds": 1.5, "join_seconds": 0.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--events", "--by", "site"), "--by: is of clips, and --events judges recordings"),
        (("--events", "--no-merge"), "--no-merge: is of clips"),
        (("--events", "--scores", "s.csv"), "--scores: is of clips"),
        (("--collar", "0.1"), "--collar: is of events. Add --events"),
        (("--recordings", "all.csv"), "--recordings: is of events. Add --events"),
        (("--min-seconds", "1"), "--min-seconds: tells how events are found. Add --events"),
    ],
)
def test_options_of_clips_and_of_events_are_not_mixed(events, words, message):
    truth, found, _ = events
    with pytest.raises(ConfigError, match=message):
        run("evaluate", truth, "--predictions", found, *words)
