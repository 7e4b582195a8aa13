"""`earmark split` from outside: what it prints, writes and exits with."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import pytest
import typer

from earmark.cli import console
from earmark.cli.split import split
from earmark.data import read_manifest
from earmark.data.lock import lock_path, read_lock
from earmark.errors import ConfigError, ManifestError

app = typer.Typer()
app.command()(split)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command; its exit code and stdout."""
    logger = logging.getLogger("earmark")
    before = logger.handlers, logger.level, logger.propagate

    def run(*words: object) -> tuple[int, str]:
        # The consoles took the streams of whichever test imported them first.
        monkeypatch.setattr(console.output, "file", sys.stdout)
        monkeypatch.setattr(console.messages, "file", sys.stderr)
        code = app([*map(str, words)], standalone_mode=False) or 0
        return code, capsys.readouterr().out

    yield run
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def folder(make_sounds, tmp_path) -> Path:
    """A folder per class with six sounds in each."""
    return make_sounds(tmp_path / "sounds")


def test_folds_are_shown_and_without_out_nothing_is_written(run, folder):
    before = sorted(folder.rglob("*"))
    code, shown = run(folder, "--folds", 3)
    assert code == 0
    assert re.search(r"class +fold 0 +fold 1 +fold 2\n", shown)
    assert re.search(r"noise +2 +2 +2\n", shown)
    assert re.search(r"all clips +6 +6 +6\n", shown)
    assert "3 folds, stratified by class; 6 clips each." in shown
    assert sorted(folder.rglob("*")) == before


def test_a_test_split_is_written_locked_and_cannot_be_changed(run, folder, tmp_path):
    out = tmp_path / "split.csv"
    code, shown = run(folder, "--test", 0.3, "--validation", 0.2, "--out", out)
    assert code == 0
    assert re.search(r"class +train +validation +test\n", shown)
    assert "its test split is locked" in shown
    manifest = read_manifest(out)
    assert set(manifest.splits) == {"train", "validation", "test"}
    assert not manifest.has_folds
    assert read_lock(out).n_clips == (manifest.splits == "test").sum()
    written = out.read_bytes()
    with pytest.raises(ManifestError, match="has a test split of 6 clips, locked on"):
        run(folder, "--test", 0.3, "--seed", 5, "--out", out)
    assert out.read_bytes() == written


def test_absent_classes_and_patterns_in_names_are_said(run, folder, tmp_path):
    rows = [(f"sounds/{label}/{number}.wav", label) for label in ("low", "high") for number in range(6)]
    names = [f"spk{number % 3}_{label}{number}.wav" for number, (_, label) in enumerate(rows)]
    for (path, _), name in zip(rows, names, strict=True):
        (tmp_path / path).rename(tmp_path / name)
    lines = [
        f"{name},{label},{int(number > 0)}" for number, (name, (_, label)) in enumerate(zip(names, rows, strict=True))
    ]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,label,fold", *lines]), encoding="utf-8")
    code, shown = run(table)
    assert code == 0
    assert "Absent: high (in fold 0)" in shown
    assert re.search(r"high +- +6\n", shown)
    assert "speaker: 3 groups of 4 files" in shown
    regex = re.search(r"speaker: .*--group-regex '(.*)'", shown)[1]
    code, shown = run(table, "--group-regex", regex, "--method", "stratified_grouped", "--folds", 3)
    assert "3 groups kept whole" in shown
    assert "No groups were given" not in shown


def test_json_is_one_document(run, folder, tmp_path):
    out = tmp_path / "split.csv"
    code, shown = run(folder, "--test", 0.5, "--folds", 0, "--json", "--out", out)
    document = json.loads(shown)
    assert code == 0
    assert document["sides"] == {"train": 9, "test": 9}
    assert document["classes"]["low"] == {"train": 3, "test": 3}
    assert (document["absent"], document["max_deviation"], document["unread"]) == ([], 0.0, [])
    assert document["lock"]["sha256"] == json.loads(lock_path(out).read_text(encoding="utf-8"))["sha256"]


def test_the_audit_lists_leaks_and_exits_1(run, folder, tmp_path):
    out = tmp_path / "folds.csv"
    (folder / "low" / "copy.wav").write_bytes((folder / "low" / "0.wav").read_bytes())
    assert run(folder, "--folds", 2, "--no-group-duplicates", "--out", out)[0] == 0
    manifest = read_manifest(out)
    folds = [1 if path.endswith("low/copy.wav") else 0 for path in manifest.table["path"]]
    manifest.with_folds(folds).write(out)
    code, shown = run(out, "--audit")
    assert code == 1
    assert "content: copies of one file on several sides (1 times)" in shown
    assert "1 leaks." in shown
    code, shown = run(out, "--audit", "--json")
    assert code == 1
    assert [(leak["kind"], leak["certain"], len(leak["clips"])) for leak in json.loads(shown)["leaks"]] == [
        ("content", True, 2)
    ]
    assert run(folder, "--folds", 2, "--out", out)[0] == 0
    code, shown = run(out, "--audit")
    assert (code, shown.strip()) == (0, "No leak among the sides of 19 clips.")
    with pytest.raises(ConfigError, match="--audit only looks at the folds there are, so nothing is written"):
        run(out, "--audit", "--out", tmp_path / "other.csv")


def test_files_that_cannot_be_heard_are_listed_with_exit_code_1(run, folder, tmp_path):
    out = tmp_path / "folds.csv"
    run(folder, "--folds", 2, "--out", out)
    (folder / "high" / "3.wav").write_bytes(b"no sound")
    code, shown = run(out, "--audit")
    assert code == 1
    assert "No leak" in shown
    code, shown = run(folder, "--group-duplicates", "--folds", 2, "--json")
    assert code == 1
    assert [path for path, _ in json.loads(shown)["unread"]] == ["high/3.wav"]


def test_the_command_has_help_with_examples(run):
    code, shown = run("--help")
    assert code == 0
    assert "earmark split labels.csv --test 0.2 --out split.csv" in shown


def test_names_alone_are_split_without_a_sound_being_there(run, tmp_path):
    rows = [
        f"{number}.wav,{label},site{number % 5}" for number in range(20) for label in ("dog", "cat")[number % 2 :][:1]
    ]
    (tmp_path / "names.csv").write_text("\n".join(["file,label,site", *rows]), encoding="utf-8")
    code, _ = run(tmp_path / "names.csv", "--names-only", "--group-by", "site", "--out", tmp_path / "split.csv")
    assert code == 0
    assert len(read_manifest(tmp_path / "split.csv", look_for_files=False)) == 20
    with pytest.raises(ConfigError, match="--names-only opens no sound, and leaks are found by listening"):
        run(tmp_path / "names.csv", "--names-only", "--audit")
