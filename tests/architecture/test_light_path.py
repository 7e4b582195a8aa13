"""Importing, `--help` and tagging work where only the core is installed, and load nothing heavy elsewhere."""

from __future__ import annotations

import json
import shutil

import pytest

HEAVY = (
    *("torch", "lightning", "pandas", "sklearn", "scipy", "matplotlib", "sounddevice"),
    *("onnx", "onnxscript", "skl2onnx", "jinja2", "tensorboard", "iterstrat", "librosa"),
)
RUN = """
from earmark.__main__ import main
sys.argv = ["earmark", *{arguments!r}]
try:
    code = main()
except SystemExit as end:
    code = end.code or 0
print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def earmark(python):
    """Runs a command without the heavy packages, and shows on stderr which of them were loaded."""

    def run(*arguments: str, blocked=HEAVY):
        return python(RUN.format(arguments=arguments, heavy=set(HEAVY)), blocked=blocked)

    return run


@pytest.fixture
def toy(root, tmp_path):
    """A toy tagger and a recording in the test's folder."""
    vectors = root / "docs" / "tagger-file"
    shutil.copy(vectors / "cnn.tagger.onnx", tmp_path / "toy.tagger.onnx")
    shutil.copy(vectors / "short.wav", tmp_path / "short.wav")
    return tmp_path


def test_the_package_imports_without_anything_heavy(python):
    code = """
import earmark
assert earmark.__version__ and "load_tagger" in dir(earmark)
earmark.load_tagger, earmark.tag_files, earmark.Clip, earmark.Predictions
"""
    done = python(code, blocked=HEAVY)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_only_its_own_modules(python):
    code = """
before = set(sys.modules)
import earmark
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not loaded & {"numpy", "soundfile", "onnxruntime", "rich", "typer"}, loaded
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [(), ("tag",), ("listen",), ("submit",), ("embed",), ("serve",), ("train",)])
@pytest.mark.parametrize("blocked", [HEAVY, ()], ids=["core", "all"])
def test_help_loads_nothing_heavy(earmark, arguments, blocked):
    done = earmark(*arguments, "--help", blocked=blocked)
    assert done.returncode == 0, done.stderr
    assert "Usage: earmark" in done.stdout
    assert done.stderr.strip() == "[]"


def test_help_does_not_load_the_runtime_either(python):
    code = RUN.format(arguments=("--help",), heavy={"onnxruntime", "soundfile", "numpy"})
    assert python(code).stderr.strip() == "[]"


def test_a_recording_is_tagged_without_anything_heavy(earmark, toy):
    done = earmark("tag", "toy.tagger.onnx", "short.wav", "--format", "jsonl", "--all-scores")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    row = json.loads(line)
    assert {"path", "start", "end", "tags", "scores", "error"} <= set(row)
    assert row["scores"]
    assert row["error"] is None


def test_a_submission_is_filled_without_anything_heavy_and_failures_exit_1(earmark, toy):
    (toy / "sample.csv").write_text('fname,noise,"tone, low"\nshort.wav,0,0\ngone.wav,0,0\n', encoding="utf-8")
    done = earmark("submit", "toy.tagger.onnx", ".", "--sample", "sample.csv", "--budget", "5m")
    assert done.returncode == 1, done.stderr
    assert done.stdout == "submission.csv: 2 rows, 3 columns\n"
    assert "1 of 2 rows are GUESSES" in done.stderr
    header, *rows = (toy / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert header == 'fname,noise,"tone, low"'
    assert [row.partition(",")[0] for row in rows] == ["short.wav", "gone.wav"]
    assert "gone.wav" in (toy / "submission.failures.csv").read_text(encoding="utf-8")


def test_tagging_loads_nothing_heavy_where_it_is_installed(earmark, toy):
    done = earmark("tag", "toy.tagger.onnx", "short.wav", blocked=())
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_the_first_line_of_the_api_works_without_anything_heavy(python, toy):
    done = python("import earmark; print(earmark.load_tagger('toy.tagger.onnx').tag('short.wav'))", blocked=HEAVY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_list_of_networks_needs_no_torch_and_says_what_does(earmark):
    done = earmark("models")
    assert done.returncode == 0, done.stderr
    assert "mn04_as" in done.stdout
    assert "Networks to train from scratch, and what they cost: torch tells. pip install" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "nowhere", "--on", "toy.tagger.onnx"), "nowhere: does not exist. Pass a folder"),
        (("train", ".", "--on", "mn04"), "mn04: is neither a file nor a pretrained tagger (did you mean 'mn04_as'?)"),
        (("ladder", ".", "--on", "mn04"), "mn04: is neither a file nor a pretrained tagger"),
        (("few-shot", ".", "--head", "knnn"), "'knnn' is not a head (did you mean 'knn'?)"),
    ],
)
def test_what_is_plainly_wrong_is_said_before_torch_is_imported(earmark, toy, arguments, expected):
    done = earmark(*arguments, blocked=("torch", "lightning", "sklearn", "scipy", "onnx", "lightgbm"))
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", ".", "--model", "se_cn"), "'se_cn' is not a model (did you mean 'se_cnn'?)"),
        (("sweep", ".", "--set", "optim.epohs=3"), "--set: optim: 'epohs' is not a setting (did you mean 'epochs'?)"),
    ],
)
def test_a_wrong_setting_is_said_before_lightning_is_imported(earmark, toy, arguments, expected):
    done = earmark(*arguments, blocked=("lightning", "sklearn", "onnx", "lightgbm", "matplotlib"))
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "expected"),
    [
        ("torch", ("train", "sounds"), "torch is needed to train. pip install 'earmark[train]'"),
        ("torch", ("models", "--families"), "torch is needed to run `earmark models`. pip install 'earmark[train]'"),
        ("pandas", ("check", "sounds"), "pandas is needed to check. pip install 'earmark[train]'"),
        ("sklearn", ("train", "sounds"), "scikit-learn is needed to train. pip install 'earmark[train]'"),
    ],
)
def test_a_command_that_needs_more_says_what_to_install(earmark, tmp_path, missing, arguments, expected):
    (tmp_path / "sounds").mkdir()
    done = earmark(*arguments, blocked=(missing,))
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[0] == expected
    assert "Traceback" not in done.stderr
