"""For every test: a Python without heavy packages, published networks, and one thread for torch and its like.

Threads of theirs wait long for one another on busy cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it

SOURCE = Path(__file__).parents[1] / "src"
SHARED = Path(__file__).parents[2] / "shared" / "data"
PUBLISHED = SHARED / "weights"
NASTY = SHARED / "nasty.tar.gz"

BLOCK = """
import importlib.abc, sys
sys.path.insert(0, {source!r})

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Callable[[str], Path]:
    """`published("mn04_as")`: the tagger file of a pretrained network, made of its published weights where they are."""
    home = tmp_path_factory.mktemp("home")

    def get(name: str) -> Path:
        if not PUBLISHED.is_dir():
            pytest.skip("the published weights are not here")
        from earmark.flows import pretrained

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EARMARK_HOME", str(home))
            made = home / "taggers" / f"{name}.tagger.onnx"
            return made if made.is_file() else pretrained.get(name, local=PUBLISHED)

    return get


@pytest.fixture(scope="session")
def nasty(tmp_path_factory) -> Path:
    """The folder of files that break audio tools, to be read only."""
    if not NASTY.exists():
        pytest.skip(f"{NASTY} is not there")
    folder = tmp_path_factory.mktemp("nasty")
    with tarfile.open(NASTY) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder / "nasty"


@pytest.fixture
def python(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs code in a fresh interpreter, in the test's folder, where the packages `blocked` do not exist."""

    def run(code: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        program = BLOCK.format(source=str(SOURCE), blocked=blocked) + code
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


def taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "audiomentations"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture
def stand_in(monkeypatch):
    """A small package in the place of audiomentations, which wants an older soxr than the others."""
    real = taken_out()
    monkeypatch.syspath_prepend(Path(__file__).parent / "augment" / "stand_in")
    yield
    taken_out()
    sys.modules.update(real)
