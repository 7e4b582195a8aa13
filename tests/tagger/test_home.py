"""Pretrained taggers are found by name, wherever the file of a tagger is expected, and without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.errors import TaggerFileError
from earmark.run import Run
from earmark.tagger import load_tagger
from earmark.tagger.home import converted, find_tagger, home_folder, present

ROOT = Path(__file__).parents[2]
TAGGER = ROOT / "docs" / "tagger-file" / "cnn.tagger.onnx"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty home folder, the current one beside it."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.fixture
def yamnet(home) -> Path:
    """A tagger in the place of yamnet's."""
    converted("yamnet").parent.mkdir(parents=True)
    return Path(shutil.copy(TAGGER, converted("yamnet")))


def test_the_variable_moves_the_home(home, monkeypatch):
    assert home_folder() == home
    monkeypatch.setenv("EARMARK_HOME", "~/sounds")
    assert home_folder() == Path.home() / "sounds"


@pytest.mark.parametrize(
    ("platform", "variable", "inside"),
    [("linux", "XDG_DATA_HOME", ""), ("win32", "LOCALAPPDATA", ""), ("darwin", None, "Library/Application Support")],
)
def test_without_it_the_home_is_where_the_platform_keeps_data(tmp_path, monkeypatch, platform, variable, inside):
    for name in ("EARMARK_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        assert home_folder().is_relative_to(tmp_path)
        monkeypatch.setenv(variable, str(tmp_path / "chosen"))
        assert home_folder() == tmp_path / "chosen" / "earmark"
    else:
        assert home_folder() == tmp_path / inside / "earmark"


def test_a_name_is_as_good_as_a_path(yamnet):
    assert find_tagger("yamnet") == find_tagger(Path("yamnet")) == yamnet
    assert load_tagger("yamnet").path == yamnet


def test_a_file_goes_before_a_name_and_a_folder_does_not(yamnet):
    Path("yamnet").mkdir()
    assert find_tagger("yamnet") == yamnet
    Path("yamnet").rmdir()
    shutil.copy(TAGGER, "yamnet")
    assert find_tagger("yamnet") == Path("yamnet")


def test_a_name_whose_tagger_is_not_here_says_how_to_get_it(home):
    with pytest.raises(TaggerFileError, match="mn04_as: is not on this machine yet .*`earmark models get mn04_as`"):
        load_tagger("mn04_as")


def test_a_bare_word_that_is_neither_file_nor_name_gets_a_hint(home):
    with pytest.raises(TaggerFileError, match=r"yamnett: is neither a file nor .*\(did you mean 'yamnet'\?\)"):
        load_tagger("yamnett")


def test_an_adopted_tagger_is_found_by_its_name_and_meant_by_one_like_it(yamnet):
    assert present() == ["yamnet"]
    shutil.copy(TAGGER, converted("birds.v2"))
    (yamnet.parent / ".half.tagger.onnx").touch()
    assert present() == ["birds.v2", "yamnet"]
    assert find_tagger("birds.v2") == converted("birds.v2")
    with pytest.raises(TaggerFileError, match=r"birds-v2: is neither .*\(did you mean 'birds\.v2'\?\)"):
        find_tagger("birds-v2")


def test_a_runs_folder_stands_for_its_tagger(home):
    folder = Path("runs/birds")
    folder.mkdir(parents=True)
    with pytest.raises(TaggerFileError, match=r"runs/birds: is a folder without a tagger .*birds\.tagger\.onnx"):
        find_tagger(folder)
    shutil.copy(TAGGER, Run(folder).tagger)
    assert find_tagger("runs/birds") == find_tagger("runs/birds/") == folder / "birds.tagger.onnx"
    assert load_tagger(folder).labels


def test_where_there_is_no_home_no_tagger_is_present(home):
    assert present() == []


@pytest.mark.parametrize("path", ["absent.tagger.onnx", "runs/yamnet"])
def test_a_path_is_a_path(home, path):
    with pytest.raises(TaggerFileError, match="there is no such file"):
        load_tagger(path)


def test_the_command_takes_a_name_and_needs_no_torch(yamnet):
    code = """
import sys
for name in ("torch", "lightning", "pandas", "sklearn", "scipy", "onnx", "safetensors"):
    sys.modules[name] = None
from earmark.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "tag", "yamnet", str(TAGGER.with_name("short.wav")), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '"noise"' in done.stdout
