"""The command line from outside: `python -m earmark …`, on computed sounds and a cache of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from earmark import audio
from earmark.cli import console

SOURCE = Path(__file__).parents[2] / "src"
RATE = 8000
CLASSES = {"low": 300.0, "high": 2500.0, "noise": 0.0}
EPOCHS = 24
SETTINGS = {
    "data.n_folds": 2,
    "model_options.width": 8,
    "optim.epochs": EPOCHS,
    "optim.batch_size": 4,
    "window.seconds": 0.5,
    "frontend.n_mels": 16,
    "precision": "float32",
    "ship": "ensemble",
}
TRAIN = ("train", "--model", "tiny_cnn", "--seed", "3", *(f"--set={key}={value}" for key, value in SETTINGS.items()))


def write_sounds(folder: Path, first: int = 0, n_per_class: int = 6) -> Path:
    """A folder per class, tones in noise or noise alone in each."""
    for label, hertz in CLASSES.items():
        for number in range(first, first + n_per_class):
            generator = np.random.default_rng([number, *label.encode()])
            time = np.arange(int(0.8 * RATE)) / RATE
            tone = 0.3 * np.sin(2 * np.pi * hertz * generator.uniform(0.9, 1.1) * time)
            waveform = (tone + 0.05 * generator.standard_normal(len(time))).astype(np.float32)
            audio.write(folder / label / f"{number}.wav", waveform, RATE)
    return folder


@dataclass(frozen=True)
class CommandLine:
    """`python -m earmark` with a cache of its own."""

    cache: Path

    def start(self, *words: object, cwd: Path | None = None) -> subprocess.Popen:
        """Begin a command; its stdout and stderr are read with `communicate`."""
        environment = {**os.environ, "EARMARK_CACHE": str(self.cache), "PYTHONPATH": str(SOURCE)}
        command = [sys.executable, "-m", "earmark", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, encoding="utf-8", env=environment, cwd=cwd)

    def __call__(self, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Run a command to its end."""
        with self.start(*words, cwd=cwd) as process:
            output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)


@pytest.fixture(scope="session")
def earmark(tmp_path_factory) -> CommandLine:
    """`earmark(*words)` runs a command, `earmark.start(*words)` begins one."""
    return CommandLine(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def make_sounds() -> Callable[..., Path]:
    """`make_sounds(folder, first=0, n_per_class=6)`: other sounds from another first number."""
    return write_sounds


@pytest.fixture(scope="session")
def sounds(tmp_path_factory) -> Path:
    """18 sounds in a folder per class."""
    return write_sounds(tmp_path_factory.mktemp("data") / "sounds")


@pytest.fixture(scope="session")
def train_words() -> tuple[str, ...]:
    """The words of a small training command, without data and --out."""
    return TRAIN


@pytest.fixture(scope="session")
def n_epochs() -> int:
    """Of each fold of that training."""
    return EPOCHS


@dataclass(frozen=True)
class Finished:
    """A training command that was never disturbed: its run's folder, and how it ended."""

    folder: Path
    done: subprocess.CompletedProcess


@pytest.fixture(scope="session")
def finished(earmark, sounds, tmp_path_factory) -> Finished:
    """`earmark train` on the sounds, from beginning to end."""
    folder = tmp_path_factory.mktemp("runs") / "tones"
    done = earmark(*TRAIN, sounds, "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    return Finished(folder, done)


@pytest.fixture
def call(monkeypatch) -> Callable[..., tuple[Result, dict]]:
    """`call(command, flow, answer, *words)`: a command in this process, its flow (a dotted name) replaced by one that
    answers; the result, and what the flow was given."""

    class Stdout:
        """Whatever stdout is now."""

        def __getattr__(self, name):
            return getattr(sys.stdout, name)

    def invoke(command, flow: str, answer, *words: str) -> tuple[Result, dict]:
        given = {}

        def answering(data, out, **options):
            given.update(options, data=data, out=out)
            return answer

        monkeypatch.setattr(flow, answering)
        monkeypatch.setattr("earmark.flows.first_look.look", lambda *_, **__: None)  # what is named need not be there
        monkeypatch.setattr(console.output, "file", Stdout())
        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, ["data", *words], catch_exceptions=False), given

    return invoke
