"""`earmark listen` from the outside: lines, ends of every kind, refusals, a terminal."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import typer

from earmark import audio
from earmark.cli.app import app
from earmark.errors import ConfigError, EarmarkError

ROOT = Path(__file__).parents[3]
TAGGER = ROOT / "docs" / "tagger-file" / "cnn.tagger.onnx"
RATE = 8000
CODE = """
import sys
for name in ("torch", "lightning", "pandas", "sklearn", "scipy", "onnx", "sounddevice"):
    sys.modules[name] = None
from earmark.__main__ import main
sys.argv[0] = "earmark"
sys.exit(main())
"""
RULE = ("--keep-share", "1")


@pytest.fixture
def start(tmp_path):
    """Begin a command in tmp_path with torch and its like blocked; its pipes are of bytes."""
    begun = []

    def begin(*words, **streams):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-c", CODE, *map(os.fspath, words)]
        begun.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def listen(start):
    """`listen(content, *words)`: content through a pipe; the exit code, lines and what stderr says."""

    def run(content, *words):
        process = start("listen", TAGGER, "--pipe", "--rate", str(RATE), *words)
        output, errors = process.communicate(content, timeout=120)
        return process.returncode, [json.loads(line) for line in output.splitlines()], errors.decode()

    return run


def by_time(lines):
    return sorted(lines, key=lambda line: (line["start"], line["tags"][0]["label"]))


def test_the_lines_are_those_of_tag_and_tell_when_it_was(listen, start, bursts, tmp_path):
    audio.write(tmp_path / "bursts.wav", bursts, RATE)
    words = ("tag", TAGGER, "bursts.wav", "--events", "--format", "jsonl", *RULE)
    tagged = [json.loads(line) for line in start(*words).communicate(timeout=120)[0].splitlines()]
    began = time.time()
    code, lines, errors = listen(audio.load(tmp_path / "bursts.wav", RATE).tobytes(), *RULE)
    assert (code, len(lines)) == (0, len(tagged))
    assert len(tagged) > 8
    assert all(set(line) == {*tagged[0], "at"} for line in lines)
    for line, expected in zip(by_time(lines), by_time(tagged), strict=True):
        [tag], [expected_tag] = line["tags"], expected["tags"]
        for key in ("start", "end", "error", "tagger"):
            assert line[key] == expected[key]
        assert (line["path"], tag["label"]) == ("stdin", expected_tag["label"])
        scores = [[each["score"], each["mean_score"]] for each in (tag, expected_tag)]
        np.testing.assert_allclose(*scores, atol=1e-6)  # windows come in other batches
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", line["at"]) for line in lines)
    came = [datetime.fromisoformat(line["at"]).timestamp() for line in lines]
    assert began - 1 < min(came) < max(came) < time.time() + 1
    first, *told, last = errors.splitlines()
    assert first == "Listening to stdin (8000 Hz) with cnn. Ctrl-C ends."
    assert re.fullmatch(r"\d\d:\d\d:\d\d  noise  [\d.]+ s  0\.\d\d", told[0].replace("tone, high", "noise"))
    assert (len(told), last) == (len(lines), f"Heard 0:00:20: {len(lines)} events.")


def test_lines_are_appended_and_clips_kept(listen, bursts, tmp_path):
    words = (*RULE, "--out", "made/events.jsonl", "--save-events", "clips", "--around", "0.5")
    for n_runs in (1, 2):
        code, lines, _ = listen(bursts.tobytes(), *words)
        assert (code, lines) == (0, [])
        read = (tmp_path / "made" / "events.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in read]
        assert len(lines) == n_runs * len(lines[: len(lines) // n_runs])
        assert sorted(line["clip"] for line in lines) == sorted(
            f"clips/{path.name}" for path in (tmp_path / "clips").glob("*.flac")
        )
    assert len(lines) > 16


def test_a_tagger_that_hears_more_than_there_is_says_so(start, bursts):
    process = start("listen", TAGGER, "--pipe", "--rate", "4000")
    output, errors = process.communicate(bursts.tobytes(), timeout=120)
    said = "4000 Hz recording, tagger hears up to 4000 Hz: nothing above 2000 Hz is there"
    assert said in errors.decode()
    assert json.loads(output.splitlines()[0])["warnings"][0].startswith(said)


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_with_what_sounds(start, bursts, signalled):
    process = start("listen", TAGGER, "--pipe", "--rate", str(RATE), *RULE)
    process.stdin.write(bursts[:24_000].tobytes())  # 2 s of noise, 1 s of nothing, and the pipe stays open
    process.stdin.flush()
    assert select.select([process.stdout], [], [], 60)[0]  # the noise has ended
    process.send_signal(signalled)
    output, errors = process.communicate(timeout=60)
    lines = [json.loads(line) for line in output.splitlines()]
    assert (process.returncode, lines[-1]["end"]) == (0, 3.0)
    assert b"Heard 0:00:03" in errors
    assert b"Traceback" not in errors


def test_nobody_reading_is_no_error(start, bursts):
    read, write = os.pipe()
    process = start("listen", TAGGER, "--pipe", "--rate", str(RATE), *RULE, stdout=write)
    os.close(write)
    os.close(read)
    errors = process.communicate(np.tile(bursts, 3).tobytes(), timeout=60)[1]
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert b"Broken" not in errors


def test_a_pipe_that_goes_wrong_exits_2_after_the_lines_of_what_was_heard(listen, bursts):
    code, lines, errors = listen(bursts.tobytes() + b"\0", *RULE)
    assert (code, lines[-1]["end"]) == (2, 20.0)
    assert "stdin: ends within a sample (1 bytes are left" in errors
    assert "Heard 0:00:20" in errors


def test_it_stops_after_the_seconds_asked_for_though_the_pipe_goes_on(start, bursts):
    process = start("listen", TAGGER, "--pipe", "--rate", str(RATE), "--seconds", "1.5")
    process.stdin.write(bursts[:16_000].tobytes())
    process.stdin.flush()
    assert process.wait(60) == 0
    assert json.loads(process.stdout.readline())["end"] == 1.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pipe"], "--pipe: raw samples do not tell their rate. Add it, such as --rate 48000."),
        (["--pipe", "--device", "USB"], "--device, --pipe: one source at a time. Leave out one."),
        (["--format", "s16le"], "--format: is of the samples of a pipe. Add --pipe."),
        (["--pipe", "--rate", "8000", "--format", "s24le"], "'s24le' is not a sample format"),
        (["--pipe", "--rate", "8000", "--keep-share", "2"], "keep_share: is 2 (expected above 0, up to 1)"),
        (["--pipe", "--rate", "8000", "--save-events", "x", "--join-seconds", "3600"], "Give less of --join-seconds"),
        (["--pipe", "--rate", "8000", "--out", "."], ".: cannot be appended to (Is a directory)"),
    ],
)
def test_what_the_user_must_mend_is_refused(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with open(os.devnull) as nothing, pytest.raises(EarmarkError, match=re.escape(message)):
        monkeypatch.setattr(sys, "stdin", nothing)
        typer.main.get_command(app).main(["listen", str(TAGGER), *words], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_a_picture_moves_and_stdout_has_the_lines_alone(start, bursts):
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    process = start("listen", TAGGER, "--pipe", "--rate", str(RATE), *RULE, "--top", "2", stderr=terminal)
    os.close(terminal)
    output = process.communicate(bursts.tobytes(), timeout=60)[0]
    shown = b""
    while select.select([master], [], [], 0)[0]:
        try:
            shown += os.read(master, 65_536)
        except OSError:  # what Linux says at the end
            break
    os.close(master)
    assert len([json.loads(line) for line in output.splitlines()]) > 8
    assert "│" in shown.decode()
    assert "level" in shown.decode()
    assert "Heard 0:00:20" in shown.decode()


def test_raw_samples_are_not_typed_on_a_keyboard(monkeypatch):
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    with open(terminal, "rb", buffering=0) as keyboard, pytest.raises(ConfigError, match="stdin is the keyboard here"):
        monkeypatch.setattr(sys, "stdin", keyboard)
        typer.main.get_command(app).main(["listen", str(TAGGER), "--pipe", "--rate", "8000"], standalone_mode=False)
    os.close(master)
