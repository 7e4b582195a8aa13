"""`earmark tag` from the outside: output, exit codes, odd names, a closed pipe, Ctrl-C."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
TAGGER = VECTORS / "cnn.tagger.onnx"
PARQUET = ("--format", "parquet")
CODE = """
import sys
for name in ("torch", "lightning", "pandas", "sklearn", "scipy", "onnx"):
    sys.modules[name] = None
import typer
from earmark.cli.tag import tag
from earmark.errors import EarmarkError
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(tag)
try:
    app()
except EarmarkError as error:
    sys.exit(f"refused {error}")
"""
SLOW = CODE.replace(
    "app = typer",
    "import time, earmark.tagger.tagger as module\n"
    "check = module.Tagger._check\n"
    "module.Tagger._check = lambda *given: (time.sleep(0.1), check(*given))\n"
    "app = typer",
)


@pytest.fixture
def run(tmp_path):
    """Run the command in tmp_path with torch and its like blocked; `code`, `out` and `err` of what came."""

    def call(*arguments, stdin: bytes | None = None, tagger: Path = TAGGER, code: str = CODE):
        command = [sys.executable, "-c", code, os.fspath(tagger), *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(
            command, input=stdin, capture_output=True, cwd=tmp_path, env=environment, timeout=120
        )

    return call


def test_tags_go_to_stdout_as_csv(run):
    done = run(VECTORS / "long.wav", VECTORS / "short.wav")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert [(Path(row["path"]).name, row["label"]) for row in rows] == [
        ("long.wav", "noise"),
        ("long.wav", "tone, high"),
        ("short.wav", "noise"),
    ]


def test_json_lines_of_a_timeline_go_to_a_file(run, tmp_path):
    assert run(VECTORS, "--timeline", "--json", "--all-scores", "--out", "made/tags.jsonl").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "made" / "tags.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    assert lines[1]["start"] == 0.25
    assert set(lines[0]["scores"]) == {"tone, low", "tone, high", "noise"}


def test_one_warning_of_many_recordings_is_said_once_and_stands_in_every_row(run, tmp_path):
    sound, rate = soundfile.read(VECTORS / "long.wav", dtype="float32")
    for number in range(7):
        soundfile.write(tmp_path / f"{number}.wav", sound, rate // 2)
    done = run(*(f"{number}.wav" for number in range(7)), "--json")
    said = b"7 recordings, such as 0.wav: 4000 Hz recording, tagger hears up to 4000 Hz: nothing above 2000 Hz is there"
    assert done.stderr.startswith(said)
    assert done.stderr.count(b"Hz recording") == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(row["warnings"][0].startswith("4000 Hz recording") for row in rows)


def test_failures_are_rows_beside_out_and_exit_code_1(run, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    done = run(VECTORS / "short.wav", "broken.wav", "absent.wav", "--out", "made/tags.csv")
    assert done.returncode == 1
    rows = list(csv.DictReader((tmp_path / "made" / "tags.failures.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == ["broken.wav", "absent.wav"]
    assert "no such file" in rows[1]["reason"]
    assert b"2 of 3 recordings failed" in done.stderr
    assert "short.wav" in (tmp_path / "made" / "tags.csv").read_text()
    assert run("absent.wav", VECTORS / "short.wav", "--out", "made/others.csv").returncode == 1
    assert len((tmp_path / "made" / "tags.failures.csv").read_text().splitlines()) == 3  # another file's stay
    assert run(VECTORS / "short.wav", "--out", "made/tags.csv").returncode == 0
    left = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert left == ["others.csv", "others.failures.csv", "tags.csv"]  # and what does not fail any more is gone


def test_no_failures_leave_no_list_of_them(run, tmp_path):
    assert run(VECTORS / "short.wav").returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.wav"], "absent.wav: there is no such file or folder"),
        ([VECTORS, "--format", "jsnl"], "'jsnl' is not a format .did you mean 'jsonl'"),
        ([VECTORS, "--format", "raven"], "--format raven: makes one file per recording. Give a folder"),
        ([VECTORS, "--format", "raven", "--out", TAGGER], "is a file, and raven makes one per recording"),
        ([VECTORS, "--out", VECTORS], "is a folder, and csv is one file"),
        ([VECTORS, "--events", "--timeline"], "windows and events are not written together"),
        ([VECTORS, "--skip-done"], "--skip-done: what is done is kept beside the output"),
        ([VECTORS, "--out", TAGGER, "--skip-done"], "cnn.tagger.onnx is there, but not cnn.tagger.onnx.done.jsonl"),
        ([VECTORS, "--format", "parquet"], "--format parquet: is no text to print"),
        ([VECTORS, *PARQUET, "--out", "x.parquet", "--skip-done"], "nothing is added to one file of parquet"),
        ([VECTORS, "--min-seconds", "1"], "--min-seconds: tells how events are found. Add --events"),
    ],
)
def test_what_the_user_must_mend_is_refused_before_anything_is_heard(run, tmp_path, arguments, message):
    done = run(*arguments)
    assert done.returncode == 1  # of this test's own door
    assert done.stderr.decode().startswith("refused ")
    assert re.search(message, done.stderr.decode())
    assert list(tmp_path.iterdir()) == []


def test_a_file_per_recording_for_raven_and_one_for_a_single_recording(run, tmp_path):
    assert run(VECTORS, "--format", "raven", "--out", "tables").returncode == 0
    made = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert made == ["long.wav.Table.1.selections.txt", "short.wav.Table.1.selections.txt"]
    assert run(VECTORS / "long.wav", "--format", "audacity", "--out", "long.txt").returncode == 0
    assert (tmp_path / "long.txt").read_text() == "0\t1.93\tnoise\n0\t1.93\ttone, high\n"
    assert run(VECTORS / "long.wav", "--format", "audacity", "--out", "tracks/").returncode == 0
    assert (tmp_path / "tracks" / "long.wav.txt").read_bytes() == (tmp_path / "long.txt").read_bytes()
    assert (
        run(VECTORS / "long.wav", "--format", "audacity").stdout.decode()
        == "0\t1.93\tnoise\n0\t1.93\ttone, high\n"
    )


def test_parquet_is_one_file_or_a_folder_that_grows(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    code = CODE.replace('"pandas", ', "")  # which pyarrow loads by itself
    assert run(VECTORS, *PARQUET, "--events", "--out", "events.parquet", code=code).returncode == 0
    (tmp_path / "short.wav").write_bytes((VECTORS / "short.wav").read_bytes())
    words = (".", *PARQUET, "--events", "--out", "folder", "--skip-done")
    assert run(*words, code=code).returncode == 0
    (tmp_path / "long.wav").write_bytes((VECTORS / "long.wav").read_bytes())
    assert b"1 of 2 recordings are done already" in run(*words, code=code).stderr
    assert sorted(path.name for path in (tmp_path / "folder").glob("*.parquet")) == [
        "long.wav.parquet",
        "short.wav.parquet",
    ]
    one, several = parquet.read_table(tmp_path / "events.parquet"), [
        parquet.read_table(path) for path in sorted((tmp_path / "folder").glob("*.parquet"))
    ]
    assert one.drop(["path"]).to_pylist() == [row for table in several for row in table.drop(["path"]).to_pylist()]


def test_a_list_on_stdin_is_read(run):
    listed = f"{VECTORS / 'short.wav'}\n\n{VECTORS / 'long.wav'}\n".encode()
    done = run("-", "--json", "--top", "1", stdin=listed)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["short.wav", "long.wav"]
    assert [len(line["tags"]) for line in lines] == [1, 1]


def test_events_say_from_when_to_when_and_label_tracks_their_tagger_beside_them(run, tmp_path):
    done = run(VECTORS, "--events", "--threshold", "0.4")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert {row["tagger"].split()[0] for row in rows} == {"cnn"}
    longest = run(VECTORS, "--events", "--threshold", "0.4", "--min-seconds", "1.9").stdout.decode().splitlines()
    assert 1 < len(longest) - 1 < len(rows)
    assert run(VECTORS, "--events", "--format", "audacity", "--out", "tracks").returncode == 0
    made = sorted(path.name for path in (tmp_path / "tracks").iterdir())
    assert made == ["long.wav.txt", "short.wav.txt", "tagger.json"]
    origin = json.loads((tmp_path / "tracks" / "tagger.json").read_text())
    assert origin["tagger"] == rows[0]["tagger"]
    assert origin["events"] == {"keep_share": 0.5, "min_seconds": 0, "join_seconds": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows names that are not UTF-8")
def test_names_that_are_not_utf8_come_through(run, tmp_path):
    name = b"caf\xe9\nbar.wav"
    (tmp_path / os.fsdecode(name)).write_bytes((VECTORS / "short.wav").read_bytes())
    done = run(".", "--json")
    assert done.returncode == 0, done.stderr
    assert os.fsencode(json.loads(done.stdout)["path"]) == name
    assert name in run(".").stdout


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.wav").write_bytes((VECTORS / "long.wav").read_bytes())
    (tmp_path / "code.py").write_text(CODE)
    script = (
        f"({sys.executable} code.py {TAGGER} . --timeline --all-scores; echo $? >&2) | head -c 10 >/dev/null"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.stderr.decode().strip() == "0"


def test_killed_and_given_again_skip_done_ends_as_if_undisturbed(run, tmp_path):
    for number in range(12):
        (tmp_path / f"{number:02}.wav").write_bytes((VECTORS / "long.wav").read_bytes())
    words = [".", "--events", "--out", "out/events.csv", "--skip-done"]
    ledger = tmp_path / "out" / "events.csv.done.jsonl"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", SLOW, str(TAGGER), *words, "--threads", "1"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        began = time.monotonic()
        while (not ledger.exists() or ledger.read_bytes().count(b"\n") < 4) and time.monotonic() - began < 60:
            time.sleep(0.02)
        process.kill()
    assert not (tmp_path / "out" / "events.csv").exists()
    done = run(*words)
    assert done.returncode == 0, done.stderr
    n_done = int(re.search(r"(\d+) of 12 recordings are done already", done.stderr.decode())[1])
    assert 3 <= n_done < 12
    assert (tmp_path / "out" / "events.csv").read_bytes() == run(".", "--events").stdout
    refused = run(*words, "--threshold", "0.3")
    assert b"threshold was None, is 0.3" in refused.stderr
    assert refused.returncode == 1


def test_one_long_recording_killed_twice_goes_on_at_its_last_minute(run, tmp_path):
    sound, rate = soundfile.read(VECTORS / "long.wav", dtype="float32")
    soundfile.write(tmp_path / "day.wav", np.tile(sound, 125), rate)  # four minutes
    words = ["day.wav", "--events", "--threshold", "0.4", "--out", "out/events.csv", "--skip-done"]
    part = tmp_path / "out" / "events.csv.done.part"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", SLOW.replace("0.1", "0.01"), str(TAGGER), *words]
    size = 0
    for _ in range(2):
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
            began = time.monotonic()
            while (not part.exists() or part.stat().st_size <= size) and time.monotonic() - began < 60:
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        size = part.stat().st_size
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert re.match(r"day.wav: goes on at \d\.\d min.\n$", done.stderr.decode())
    assert (tmp_path / "out" / "events.csv").read_bytes() == run(*words[:4]).stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["events.csv", "events.csv.done.jsonl"]
    assert b"1 of 1 recordings are done already" in run(*words).stderr


def test_ctrl_c_ends_with_130_and_leaves_no_half_file(tmp_path):
    for number in range(200):
        (tmp_path / f"{number}.wav").write_bytes((VECTORS / "long.wav").read_bytes())
    command = [sys.executable, "-c", SLOW, str(TAGGER), ".", "--out", "tags.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        began = time.monotonic()
        while not list(tmp_path.glob(".tags.csv*")) and time.monotonic() - began < 30:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert errors == b"Interrupted. With --skip-done the same command could go on where it was.\n"
    assert not (tmp_path / "tags.csv").exists()
    assert not list(tmp_path.glob(".tags.csv*"))
