"""`earmark check` from outside: what it prints, writes, and how it ends."""

from __future__ import annotations

import json
import os

import pytest

from earmark.cli.data import check
from earmark.data.check import PROBLEMS
from earmark.errors import ConfigError


@pytest.mark.parametrize("broken", [False, True])
def test_check_exits_1_only_if_something_needs_attention(earmark, make_sounds, tmp_path, broken):
    folder = make_sounds(tmp_path / "sounds", n_per_class=5)
    if broken:
        (folder / "low" / "0.wav").write_bytes(b"")
    done = earmark("check", folder)
    assert done.returncode == (1 if broken else 0), done.stderr
    assert ("empty (1). Fetch or record it again" in done.stdout) == broken
    assert "n clips               15" in done.stdout


def test_json_is_one_object_a_finding_and_nothing_else(earmark, make_sounds, tmp_path):
    folder = make_sounds(tmp_path / "sounds", n_per_class=5)
    (folder / "low" / "0.wav").write_bytes(b"")
    (folder / "high" / "1.wav").write_bytes(b"<html>")
    done = earmark("check", folder, "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["path"], each["problem"]) for each in findings] == [
        ("high/1.wav", "unreadable"),
        ("low/0.wav", "empty"),
    ]
    for each in findings:
        assert list(each) == ["path", "problem", "detail", "remedy"]
        assert each["remedy"] == PROBLEMS[each["problem"]]


def test_the_page_and_the_clean_table_are_written(earmark, make_sounds, tmp_path):
    folder = make_sounds(tmp_path / "sounds", n_per_class=6)
    (folder / "low" / "0.wav").write_bytes(b"")
    done = earmark("check", folder, "--html", "page.html", "--write-clean", "clean.csv", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "17 rows are in clean.csv, what was left out is in clean.left-out.csv" in done.stderr
    assert "low/0.wav" in (tmp_path / "page.html").read_text(encoding="utf-8")
    again = earmark("check", "clean.csv", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {json.loads(line)["path"] for line in again.stdout.splitlines()} == {"sounds/low/0.wav"}
    assert (tmp_path / "clean.left-out.csv").read_text(encoding="utf-8").splitlines()[1].startswith("low/0.wav,empty,")


def test_names_only_opens_no_sound(earmark, tmp_path):
    (tmp_path / "all.csv").write_text("path,label\n" + "".join(f"{n}.wav,dog\n" for n in range(9)), encoding="utf-8")
    done = earmark("check", tmp_path / "all.csv", "--names-only")
    assert done.returncode == 0, done.stderr
    assert "dog (9)" in done.stdout


@pytest.mark.parametrize("words", [("--fraction", "0.5"), ("--encoding", "utf-8")])
def test_options_reach_the_reader(earmark, tmp_path, make_sounds, words):
    folder = make_sounds(tmp_path / "sounds", n_per_class=6)
    rows = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*.wav"))]
    (tmp_path / "all.csv").write_text("path,label\n" + "".join(f"{row},{row[0]}\n" for row in rows), encoding="utf-8")
    done = earmark("check", tmp_path / "all.csv", "--audio-dir", folder, *words)
    assert done.returncode == 0, done.stderr
    assert f"n clips               {9 if words[0] == '--fraction' else 18}" in done.stdout


def test_a_clean_table_is_not_written_over_its_source_nor_of_a_part(tmp_path):
    table = tmp_path / "all.csv"
    table.write_text("path,label\na.wav,dog\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is the table that is read, and would be lost"):
        check(table, write_clean=table)
    with pytest.raises(ConfigError, match="--write-clean is for data that was heard whole"):
        check(table, write_clean=tmp_path / "clean.csv", fraction=0.5)


def test_an_empty_folder_is_the_users_fault(earmark, tmp_path):
    done = earmark("check", tmp_path)
    assert done.returncode == 2
    assert os.fspath(tmp_path) in done.stderr and "Traceback" not in done.stderr
