"""`earmark embed` and `earmark similar` from outside, with torch and pandas blocked but for a labelled table."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from earmark import audio
from earmark.cli.embed import TABLE_SUFFIXES
from earmark.data.readers import table as readers

ROOT = Path(__file__).parents[2]
TAGGER = ROOT / "docs" / "tagger-file" / "cnn.tagger.onnx"
# Each call of the graph leaves a byte in `heard`; with SLOW it takes its time.
CODE = """
import os, sys, time
for name in ("torch", "lightning", "sklearn", "scipy", "onnx", *([] if "TABLE" in os.environ else ["pandas"])):
    sys.modules[name] = None
import typer
from earmark.cli.embed import embed, similar
from earmark.errors import EarmarkError
from earmark.tagger.onnx_backend import OnnxBackend
run = OnnxBackend.run
def counted(self, windows):
    with open("heard", "ab") as file:
        file.write(b".")
    time.sleep(0.05 if "SLOW" in os.environ else 0)
    return run(self, windows)
OnnxBackend.run = counted
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(embed)
app.command()(similar)
try:
    app()
except EarmarkError as error:
    sys.exit(f"refused {error}")
"""


@pytest.fixture
def start(tmp_path):
    """Begin a command in tmp_path, with a cache of its own; further variables by name."""

    def begin(*words, **variables) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "EARMARK_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", CODE, *map(os.fspath, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, cwd=tmp_path, env=environment | variables)

    return begin


@pytest.fixture
def run(start):
    """Run a command to its end."""

    def call(*words, **variables) -> subprocess.CompletedProcess:
        with start(*words, **variables) as process:
            output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    return call


@pytest.fixture
def heard(tmp_path):
    """How often the graph was called since last asked."""

    def count() -> int:
        calls = tmp_path / "heard"
        n_calls = calls.stat().st_size if calls.exists() else 0
        calls.unlink(missing_ok=True)
        return n_calls

    return count


def write_tone(path: Path, hertz: float, seconds: float = 0.5) -> None:
    generator = np.random.default_rng(int(hertz))
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)
    audio.write(path, (tone + 0.01 * generator.standard_normal(len(tone))).astype(np.float32), 8000)


@pytest.fixture
def sounds(tmp_path):
    """Six tones and a table with what is known of them."""
    rows = ["filename,label,fold,site"]
    for number, hertz in enumerate((200, 210, 1000, 1010, 3000, 3010)):
        write_tone(tmp_path / "sounds" / f"{hertz}.wav", hertz)
        rows.append(f"{hertz}.wav,{('low', 'mid', 'high')[number // 2]},{number % 2},site {number}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "sounds"


def test_a_folder_is_embedded_and_the_second_time_not_heard(run, sounds, tmp_path, heard):
    first = run("embed", TAGGER, "sounds", "--out", "made/a.npz")
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert heard() == 6
    assert run("embed", TAGGER, "sounds", "--out", "made/b.npz").returncode == 0
    assert heard() == 0
    with np.load(tmp_path / "made" / "a.npz") as a, np.load(tmp_path / "made" / "b.npz") as b:
        assert a["path"].tolist() == sorted(f"sounds/{path.name}" for path in sounds.iterdir())
        assert len(a["embedding"]) == 6
        np.testing.assert_array_equal(a["embedding"], b["embedding"])


def test_a_timeline_has_a_row_per_window(run, tmp_path):
    write_tone(tmp_path / "long.wav", 500, seconds=3.0)
    assert run("embed", TAGGER, "long.wav", "--timeline", "--out", "made.csv").returncode == 0
    with open(tmp_path / "made.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1
    assert {row["path"] for row in rows} == {"long.wav"}
    starts = [float(row["start"]) for row in rows]
    assert starts == sorted(set(starts))
    assert float(rows[-1]["end"]) == 3.0


def test_of_a_table_labels_fold_and_group_go_along(run, sounds, tmp_path):
    words = ("embed", TAGGER, "labels.csv", "--audio-dir", "sounds", "--out", "made.npz")
    done = run(*words, TABLE="1")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "made.npz") as made:
        assert made["labels"].tolist() == ["low", "low", "mid", "mid", "high", "high"]
        assert made["fold"].tolist() == [0, 1, 0, 1, 0, 1]
        assert made["group"].tolist() == [f"site {number}" for number in range(6)]


def test_a_row_without_its_file_is_a_failure(run, sounds, tmp_path):
    (sounds / "3010.wav").unlink()
    (sounds / "210.wav").write_bytes(b"no sound")
    done = run("embed", TAGGER, "labels.csv", "--audio-dir", "sounds", "--out", "made.npz", TABLE="1")
    assert done.returncode == 1
    assert "2 of 6 recordings failed" in done.stderr
    with open(tmp_path / "made.failures.csv", newline="") as file:
        assert {Path(row["path"]).name for row in csv.DictReader(file)} == {"3010.wav", "210.wav"}
    with np.load(tmp_path / "made.npz") as made:
        assert made["labels"].tolist() == ["low", "mid", "mid", "high"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_after_a_kill_the_same_command_goes_on(run, start, tmp_path, heard):
    for number in range(30):
        write_tone(tmp_path / "many" / f"{number:02}.wav", 200 + 10 * number)
    words = ("embed", TAGGER, "many", "--threads", "1", "--out", "made.npz")
    kept = tmp_path / "cache"
    with start(*words, SLOW="1") as process:
        deadline = time.monotonic() + 60
        while len(list(kept.glob("[!.]*.npy"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = len(list(kept.glob("[!.]*.npy")))
    assert 5 <= done < 30
    assert not (tmp_path / "made.npz").exists()
    heard()
    assert run(*words).returncode == 0
    assert heard() == 30 - done
    with np.load(tmp_path / "made.npz") as made:
        assert len(made["path"]) == 30


def test_similar_finds_the_other_tone_first_and_hears_nothing_twice(run, sounds, heard):
    assert run("embed", TAGGER, "sounds", "--out", "made.npz").returncode == 0
    heard()
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "sounds", "--top", "2")
    assert done.returncode == 0, done.stderr
    assert heard() == 0
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["query", "query_start", "query_end", "path", "start", "end", "similarity"]
    assert [row["query"] for row in rows] == ["sounds/200.wav"] * 2
    assert rows[0]["path"] == "sounds/210.wav"
    assert 1 >= float(rows[0]["similarity"]) >= float(rows[1]["similarity"])


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_similar_looks_into_what_embed_wrote_and_hears_only_the_query(run, sounds, tmp_path, heard, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    pandas = {"TABLE": "1"} if suffix == "parquet" else {}  # which pyarrow brings, where it is there
    words = ("embed", TAGGER, "labels.csv", "--audio-dir", "sounds", "--out", f"made.{suffix}")
    assert run(*words, TABLE="1").returncode == 0
    expected = run("similar", TAGGER, "sounds/200.wav", "--in", "labels.csv", "--audio-dir", "sounds", TABLE="1")
    (tmp_path / "labels.csv").unlink()
    write_tone(tmp_path / "query.wav", 205)
    heard()
    assert len(run("similar", TAGGER, "query.wav", "--in", f"made.{suffix}", **pandas).stdout.splitlines()) == 7
    assert heard() == 1
    done = run("similar", TAGGER, "sounds/200.wav", "--in", f"made.{suffix}", **pandas)
    assert done.returncode == 0, done.stderr
    found, wanted = (list(csv.DictReader(each.stdout.splitlines())) for each in (done, expected))
    assert [Path(row.pop("path")).name for row in found] == [Path(row.pop("path")).name for row in wanted]
    assert found == wanted
    assert found[0]["labels"] == "low"


def test_what_another_tagger_embedded_is_refused(run, sounds, tmp_path):
    assert run("embed", TAGGER, "sounds", "--out", "made.npz").returncode == 0
    done = run("similar", TAGGER.with_name("forest.tagger.onnx"), "sounds/200.wav", "--in", "made.npz")
    assert done.returncode == 1
    assert "made.npz: was embedded by cnn" in done.stderr
    assert "and the query by forest" in done.stderr


def test_a_file_of_clips_is_not_searched_for_windows_nor_the_other_way_round(run, sounds, tmp_path):
    write_tone(tmp_path / "sounds" / "long.wav", 500, seconds=3.0)
    assert run("embed", TAGGER, "sounds", "--out", "clips.npz").returncode == 0
    assert run("embed", TAGGER, "sounds", "--timeline", "--out", "windows.csv").returncode == 0
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "clips.npz", "--timeline")
    assert "clips.npz: has a row per clip, and --timeline looks for windows. Leave it out, or write" in done.stderr
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "windows.csv")
    assert "windows.csv: has a row per window, and a row per clip is looked for. Add --timeline, or" in done.stderr
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "windows.csv", "--timeline", "--top", "1")
    assert "sounds/210.wav" in done.stdout, done.stderr


def test_an_index_beside_the_file_finds_the_same(run, sounds, tmp_path):
    pytest.importorskip("faiss")
    assert run("embed", TAGGER, "sounds", "--out", "made.npz").returncode == 0
    exact = run("similar", TAGGER, "sounds/200.wav", "--in", "made.npz")
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "made.npz", "--index")
    assert (done.returncode, done.stdout) == (0, exact.stdout), done.stderr
    assert (tmp_path / "made.npz.faiss").is_file()


def test_similar_as_json_lines_into_a_file_with_the_labels_of_the_corpus(run, sounds, tmp_path):
    words = ("similar", TAGGER, "sounds/200.wav", "--in", "labels.csv", "--audio-dir", "sounds", "--json")
    done = run(*words, "--timeline", "--top", "1", "--out", "found.jsonl", TABLE="1")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    [line] = (tmp_path / "found.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (Path(row["path"]).name, row["labels"], row["start"]) == ("210.wav", "low", 0.0)


def test_what_similar_cannot_hear_is_told(run, sounds, tmp_path):
    (sounds / "broken.wav").write_bytes(b"no sound")
    done = run("similar", TAGGER, "sounds/200.wav", "--in", "sounds", "--top", "1")
    assert done.returncode == 1
    assert "1 of 8 recordings failed" in done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "broken.wav" in (tmp_path / "failures.csv").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("embed", TAGGER, "sounds", "--out", "made.txt"), "embeddings go into a file that ends in"),
        (("embed", TAGGER, "labels.csv", "--out", "labels.csv"), "is what is read, and would be overwritten"),
        (("similar", TAGGER, "sounds", "--in", "labels.csv", "--out", "labels.csv"), "is what is read"),
        (("embed", TAGGER, "labels.csv", "sounds", "--out", "a.csv"), "a table of labelled files stands alone"),
        (("embed", TAGGER, "sounds", "--audio-dir", "sounds", "--out", "a.csv"), "is for a table of labelled files"),
        (("similar", TAGGER, "sounds", "--in", "sounds", "--audio-dir", "sounds"), "is for a table of labelled files"),
        (("similar", TAGGER, "sounds", "--in", "a.npz"), "a.npz: cannot be read as embeddings"),
        (("similar", TAGGER, "sounds", "--in", "a.npz", "--in", "sounds"), "a file of embeddings stands alone"),
        (("similar", TAGGER, "sounds", "--in", "a.npz", "--audio-dir", "sounds"), "is for a table of labelled files"),
        (("similar", TAGGER, "sounds", "--in", "sounds", "--index"), "--index: is for a file of embeddings"),
        (("embed", TAGGER, "nowhere", "--out", "a.csv"), "there is no such file or folder"),
        (("embed", "mn04", "sounds", "--out", "a.csv"), "did you mean 'mn04_as'?"),
        (("embed", "labels.csv", "sounds", "--out", "a.csv"), "is not an ONNX file"),
    ],
)
def test_refusals(run, sounds, tmp_path, words, expected):
    done = run(*words)
    assert done.returncode == 1
    assert done.stderr.startswith("refused ")
    assert expected in done.stderr
    assert "label" in (tmp_path / "labels.csv").read_text()


@pytest.mark.parametrize("command", ["embed", "similar"])
def test_help_shows_examples(run, command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"earmark {command} mn04_as" in done.stdout


def test_a_table_is_what_the_readers_call_one():
    assert set(TABLE_SUFFIXES) == set(readers.TABLE_SUFFIXES)
