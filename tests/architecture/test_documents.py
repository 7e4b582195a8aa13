"""What the documents show is true: their Python runs, and the commands and options they name exist.

A block of Python that cannot run as it stands has `<!-- not run: why -->` on the line before it.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from earmark.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
]
BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w*)\n(?P<code>.*?)\n```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
# File names that blocks may use, and what stands in for them.
STAND_INS = {
    "x.tagger.onnx": "cnn.tagger.onnx",
    "birds.tagger.onnx": "cnn.tagger.onnx",
    "dog.wav": "short.wav",
    "dawn.wav": "long.wav",
}


def blocks(path: Path, language: str) -> list[str]:
    """The code of a document's fenced blocks in one language, without those marked as not run."""
    text = "\n" + path.read_text(encoding="utf-8")
    return [
        match["code"]
        for match in BLOCK.finditer(text)
        if match["language"] == language and "<!-- not run:" not in match["before"]
    ]


def commands(path: Path) -> list[list[str]]:
    """The words of every `earmark …` command line in a document's shell blocks."""
    lines = "\n".join(blocks(path, "sh") + blocks(path, "bash")).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        for part in re.split(r"&&|\|", line):
            if re.match(r"\s*(\S*/)?earmark\s", part):
                found.append(shlex.split(part, comments=True)[1:])
    return found


def named(paths: list[Path]) -> dict[str, list[Path]]:
    return {"argvalues": paths, "ids": [path.relative_to(ROOT).as_posix() for path in paths]}


def test_there_is_a_readme():
    assert ROOT / "README.md" in DOCUMENTS


@pytest.mark.parametrize("path", **named([path for path in DOCUMENTS if blocks(path, "python")]))
def test_the_python_in_a_document_runs(path, tmp_path, monkeypatch):
    for name, stand_in in STAND_INS.items():
        shutil.copy(ROOT / "docs" / "tagger-file" / stand_in, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "document"}
    for number, code in enumerate(blocks(path, "python"), start=1):
        exec(compile(code, f"{path.name}, Python block {number}", "exec"), namespace)


@pytest.mark.parametrize("path", **named([path for path in DOCUMENTS if commands(path)]))
def test_the_commands_in_a_document_exist_with_their_options(path):
    for words in commands(path):
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        alone = getattr(command, "invoke_without_command", False) or not getattr(command, "commands", {})
        assert alone or words[:1] in (["--help"], ["--version"]), words
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known.add("--help")
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"earmark {command.name} has no {given - known}"


@pytest.mark.parametrize("path", **named(DOCUMENTS))
def test_the_links_of_a_document_lead_somewhere(path):
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
