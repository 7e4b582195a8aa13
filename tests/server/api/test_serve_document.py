"""What docs/serve.md shows works, against a server that is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from earmark.server.app import create_app
from earmark.server.serving import address_of, listen
from earmark.server.serving import serve as run_server

DOCUMENT = Path(__file__).parents[3] / "docs" / "serve.md"
MARK = "<!-- not run: asks a server;"
SHOWN = "127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The blocks of the document that ask a server."""
    pattern = rf"{re.escape(MARK)}[^\n]*\n```{language}\n(.*?)\n```"
    return re.findall(pattern, DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def served(cnn) -> Iterator[str]:
    """Host and port of a server."""
    app = create_app([cnn], page=None)
    listening = listen("127.0.0.1", 0)
    address = address_of(listening).removeprefix("http://")
    thread = threading.Thread(target=run_server, args=(app, listening, print), daemon=True)
    thread.start()
    while not hasattr(app.state, "places"):
        time.sleep(0.01)
    yield address


@pytest.fixture
def here(tmp_path, monkeypatch, vectors) -> None:
    """The folder of the examples."""
    shutil.copy(vectors / "short.wav", tmp_path / "dog.wav")
    monkeypatch.chdir(tmp_path)


def test_the_commands_answer(served, here):
    [block] = blocks("sh")
    lines = [line.replace(SHOWN, served) for line in block.splitlines()]
    assert len(lines) == 3
    answers = [json.loads(subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True).stdout) for line in lines]
    assert answers[0]["outcome"] == "tags"
    assert (answers[1]["start"], answers[1]["end"], len(answers[1]["tags"])) == (0.1, 0.3, 3)
    assert set(answers[1]["windows"][0]) == {"start", "end", "tags", "scores"}
    assert [tagger["name"] for tagger in answers[2]["taggers"]] == ["cnn"]


def test_the_python_asks(served, here, capsys):
    asking = blocks("python")[0]
    exec(compile(asking.replace(SHOWN, served), "asking", "exec"), {})
    assert capsys.readouterr().out.startswith("tags [(")
    Path("dog.wav").write_bytes(b"no sound")
    exec(compile(asking.replace(SHOWN, served), "asking", "exec"), {})
    assert capsys.readouterr().out.startswith("not tagged: not_a_sound upload: is not a sound")


def test_the_python_streams(served, here, capsys):
    streaming = blocks("python")[1]
    exec(compile(streaming.replace(SHOWN, served), "streaming", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith("{'type': 'ready'")
    assert said.splitlines()[-1].startswith("{'type': 'done'")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_javascript_asks(served, here, tmp_path):
    [block] = blocks("js")
    (tmp_path / "ask.mjs").write_text(block.replace(SHOWN, served))
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    (tmp_path / "dog.wav").write_bytes(b"")
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("not tagged: bad_upload")
