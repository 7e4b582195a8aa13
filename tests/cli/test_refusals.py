"""What is the user's to mend: one text on stderr, exit code 2, and nothing made."""

from __future__ import annotations

import logging
import re
import shutil
import sys

import pytest

from earmark.__main__ import main
from earmark.cli import console


@pytest.fixture
def earmark(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in the test's folder; its exit code, stdout and stderr."""
    logger = logging.getLogger("earmark")
    before = logger.handlers, logger.level, logger.propagate
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["earmark", *map(str, words)])
        # The consoles took the streams of whichever test imported them first.
        monkeypatch.setattr(console.output, "file", sys.stdout)
        monkeypatch.setattr(console.messages, "file", sys.stderr)
        try:
            code = main()
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield run
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def here(make_sounds, tmp_path):
    """The test's folder with sounds and with things that are wrong."""
    make_sounds(tmp_path / "sounds", n_per_class=4)
    shutil.copytree(tmp_path / "sounds", tmp_path / "copies")
    for number in range(1, 4):
        shutil.copy(tmp_path / "copies" / "low" / "0.wav", tmp_path / "copies" / "low" / f"{number}.wav")
    (tmp_path / "empty.csv").write_text("file,label\n", encoding="utf-8")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("mine", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train nowhere", "nowhere: does not exist. Pass a folder with a folder per class, or a CSV"),
        ("train empty.csv", r"empty\.csv: has a header but no rows\. Give one row per clip below the column names"),
        ("train sounds --set optim.epoch=3", r"'epoch' is not a setting \(did you mean 'epochs'\?\)"),
        ("train sounds --set epochs", "expected key=value"),
        ("train sounds --model se_cn", r"'se_cn' is not a model \(did you mean 'se_cnn'\?\)"),
        ("train sounds --recipe list.yaml", r"list\.yaml: holds a list, expected settings as `key: value` lines"),
        ("train sounds --recipe none.yaml", r"none\.yaml: cannot be read"),
        ("train sounds --audio-dir sounds", "--audio-dir is for tables"),
        ("train sounds --out foreign", "foreign: is not empty and holds no run"),
        ("train copies", r"1 classes lie in a single group, .*: low \(4 clips\)"),
        ("train sounds/low", "no folder tells their class"),
        ("evaluate none.tagger.onnx sounds", r"none\.tagger\.onnx: there is no such file"),
        ("report sounds", "the run is not finished"),
        ("check nowhere", "nowhere: does not exist"),
    ],
)
def test_what_is_wrong_is_said_once_and_nothing_is_made(earmark, here, words, message):
    before = {path for path in here.rglob("*") if "cache" not in path.parts}
    code, output, errors = earmark(*words.split())
    assert code == 2
    assert output == ""
    assert len(re.findall(message, errors)) == 1, errors
    assert "Traceback" not in errors
    assert {path for path in here.rglob("*") if "cache" not in path.parts} == before


def test_train_leaves_out_what_is_broken_and_exits_1(earmark, here, monkeypatch):
    monkeypatch.setattr("earmark.baselines.trees.N_TREES", 10)
    (here / "sounds" / "low" / "0.wav").write_bytes(b"no sound")
    code, output, errors = earmark("train", "sounds", "--model", "forest", "--set", "data.n_folds=2")
    assert code == 1
    assert "1 files could not be read and were left out" in errors
    assert "11 clips, 3 classes" in output
    made = here / "runs" / "sounds"
    assert (made / "sounds.tagger.onnx").exists()
    assert "0.wav" in (made / "failures.csv").read_text(encoding="utf-8")
