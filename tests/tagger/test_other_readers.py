"""Readers that are not Earmark pass the test vectors of docs/tagger-file.md."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "tagger-file"
EXPECTED = json.loads((VECTORS / "expected.json").read_text())
PAIRS = sorted(EXPECTED)
PAIRS_OF_FILES = [pair for pair in PAIRS if not pair.startswith("together")]  # which is a folder


def check(printed: str, pair: str) -> None:
    found, expected = json.loads(printed), EXPECTED[pair]
    for exact in ("starts", "window_tags", "clip_tags"):
        assert found[exact] == expected[exact], exact
    for near in ("window_scores", "clip_scores"):
        np.testing.assert_allclose(found[near], expected[near], atol=1e-5, err_msg=near)


def files(pair: str) -> tuple[Path, Path, Path]:
    kind, sound = pair.split()
    file, folder = VECTORS / f"{kind}.tagger.onnx", VECTORS / f"{kind}.tagger"
    return file if file.exists() else folder, VECTORS / f"{kind}.tagger.json", VECTORS / sound


@pytest.mark.parametrize("pair", PAIRS)
def test_short_python_reader_without_earmark_passes(pair, tmp_path):
    tagger, _, sound = files(pair)
    code = (
        "import runpy, sys; sys.modules['earmark'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, VECTORS / "read_tagger.py", tagger, sound]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    check(run.stdout, pair)


@pytest.fixture(scope="module")
def ort_web() -> Path:
    """onnxruntime-web's module for Node."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    for folder in (os.environ.get("EARMARK_NODE_MODULES"), ROOT / "node_modules"):
        module = Path(folder or "", "onnxruntime-web", "dist", "ort.wasm.min.mjs")
        if folder and module.exists():
            return module
    pytest.skip("onnxruntime-web is not there: npm install onnxruntime-web, or set EARMARK_NODE_MODULES")


@pytest.mark.parametrize("pair", PAIRS_OF_FILES)
def test_javascript_reader_passes(pair, ort_web):
    run = subprocess.run(
        ["node", VECTORS / "read_tagger.mjs", *files(pair), ort_web],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    check(run.stdout, pair)


@pytest.mark.parametrize("kind", sorted({pair.split()[0] for pair in PAIRS_OF_FILES}))
def test_json_beside_the_file_is_the_one_inside(kind):
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(VECTORS / f"{kind}.tagger.onnx", providers=["CPUExecutionProvider"])
    inside = session.get_modelmeta().custom_metadata_map["earmark"]
    assert json.loads((VECTORS / f"{kind}.tagger.json").read_text()) == json.loads(inside)
