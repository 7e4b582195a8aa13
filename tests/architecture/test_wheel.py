"""What is built installs in a clean environment, complete, and runs every command there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

COMMANDS = [
    *[(verb,) for verb in ("demo", "check", "split", "train", "evaluate", "report", "tag", "plot", "embed", "models")],
    *[("data", verb) for verb in ("list", "get", "convert")],
    ("similar",),
    ("listen",),
    ("serve",),
    ("export",),
    ("models", "get"),
    *[("leaderboard", verb) for verb in ("add", "show")],
    ("cache", "clear"),
]


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory) -> Path:
    """Built from the working tree, without the network where the builder is installed."""
    out = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    done = run(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", out, root)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs the command of the wheel, installed in an environment of its own that borrows other packages."""
    home = tmp_path_factory.mktemp("venv")
    assert run(sys.executable, "-m", "venv", "--without-pip", home).returncode == 0
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel)
    assert done.returncode == 0, done.stderr
    # Folders on PYTHONPATH come first, but their .pth files, such as an editable install's, are not read.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}

    def command(*words: str) -> subprocess.CompletedProcess:
        return run(scripts / "earmark", *words, env=environment, cwd=home)

    done = run(python, "-c", "import earmark; print(earmark.__file__)", env=environment, cwd=home)
    assert Path(done.stdout.strip()).is_relative_to(home), done.stdout + done.stderr
    return command


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_wheel_runs_every_command(installed, words):
    done = installed(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: earmark {' '.join(words)}" in done.stdout


def test_the_wheel_tags(installed, root):
    vectors = root / "docs" / "tagger-file"
    done = installed("tag", str(vectors / "cnn.tagger.onnx"), str(vectors / "short.wav"), "--json")
    assert done.returncode == 0, done.stderr
    assert '"tags"' in done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel, root):
    source = root / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "earmark").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)
