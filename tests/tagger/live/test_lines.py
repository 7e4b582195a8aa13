"""Lines are appended whole, and a clip's event has the fields that `earmark tag` gives it."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from earmark.errors import RunError
from earmark.tagger import Event
from earmark.tagger.live import LineFile, LiveEvent, Loss, Origin

ORIGIN = Origin("stdin", "fake 0")


def test_an_event_and_a_loss_are_rows_with_the_time_on_the_wall():
    heard = LiveEvent(Event("owl", 0.12345678912, 1.5, 2.25, 0.1), 1_764_504_000.25)
    line = heard.line(ORIGIN)
    assert datetime.fromisoformat(line.pop("at")).timestamp() == 1_764_504_000.25
    assert line == {
        "path": "stdin",
        "start": 1.5,
        "end": 2.25,
        "tags": [{"label": "owl", "score": 0.1234568, "mean_score": 0.1}],
        "error": None,
        "tagger": "fake 0",
    }
    line = Loss(3.0, 5.0, 1_764_504_002.0).line(ORIGIN)
    assert (line["start"], line["end"], line["tags"], line["tagger"]) == (3.0, 5.0, [], "fake 0")
    assert line["error"] == "2 s of sound were lost: it came faster than it was heard."


def test_lines_are_added_at_the_end_and_one_that_was_cut_short_stays_alone(tmp_path):
    path = tmp_path / "made" / "events.jsonl"
    for number in range(2):
        with LineFile(path) as lines:
            lines.write({"number": number, "name": "caf\udce9"})
            assert path.read_bytes().endswith(b"}\n")  # at once
    with path.open("ab") as file:
        file.write(b'{"numb')
    with LineFile(path) as lines:
        lines.write({"number": 2})
    read = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["number"] for line in read if line.endswith("}")] == [0, 1, 2]
    assert read[2] == '{"numb'


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(RunError, match="cannot be appended to .* Choose another file with --out"):
        LineFile(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(RunError, match=r"pipe: cannot be appended to \(Illegal seek\)"):
            LineFile(tmp_path / "pipe")
    if Path("/dev/full").exists():
        message = r"/dev/full: cannot be written \(No space left.* Make room, and start again"
        with LineFile(Path("/dev/full")) as lines, pytest.raises(RunError, match=message):
            lines.write({})


def test_of_a_line_that_does_not_fit_nothing_stays(python, tmp_path):
    code = """
import resource, signal
from pathlib import Path
from earmark.tagger.live import LineFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
with LineFile(Path("events.jsonl")) as lines:
    lines.write({"a": 1})
    lines.write({"b": "b" * 100})
"""
    pytest.importorskip("resource")
    done = python(code)
    assert "RunError: events.jsonl: cannot be written (" in done.stderr
    assert (tmp_path / "events.jsonl").read_text() == '{"a": 1}\n'
