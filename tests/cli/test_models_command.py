"""`models`, `models get` and `models check`: what they print, and where they leave it."""

from __future__ import annotations

import io
import json
import logging
import shutil
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import console
from earmark.cli import models as commands
from earmark.errors import ConfigError, TaggerFileError
from earmark.flows import pretrained
from earmark.models.pretrained.weights import WEIGHTS
from earmark.models.tagging_net import MODELS
from earmark.tagger import load_tagger
from earmark.tagger.home import converted

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
TAGGER = Path(__file__).parents[2] / "docs" / "tagger-file" / "cnn.tagger.onnx"


@pytest.fixture
def earmark(tmp_path, monkeypatch):
    """Runs `models …` with a home of its own; what is printed on stdout."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    app = typer.Typer(pretty_exceptions_enable=False, invoke_without_command=True)
    app.callback()(commands.list_models)
    app.command("get")(commands.get_model)
    app.command("check")(commands.check_model)
    logger = logging.getLogger("earmark")
    before = logger.handlers, logger.level, logger.propagate

    def run(*words: str) -> str:
        printed = io.StringIO()
        monkeypatch.setattr(console.output, "file", printed)
        monkeypatch.setattr(console.messages, "file", sys.stderr)
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return printed.getvalue() + done.stdout

    yield run
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def conversion(monkeypatch):
    """What `get` was called with, its work left undone but for an empty tagger."""
    calls = []

    def get(name, *, local, progress):
        calls.append((name, local))
        converted(name).parent.mkdir(parents=True)
        converted(name).touch()
        return converted(name)

    monkeypatch.setattr(pretrained, "get", get)
    return calls


def rows(shown: str) -> dict[str, str]:
    """The lines of the first table by their first word."""
    first = shown.partition("To be trained from scratch")[0]
    return {line.split()[0]: line for line in first.splitlines() if line.strip()}


def test_the_list_tells_every_network_and_which_are_here(earmark):
    converted("yamnet").parent.mkdir(parents=True)
    converted("yamnet").touch()
    lines = rows(earmark())
    assert set(WEIGHTS) <= set(lines)
    for fact in ("mn ", "0.98 M", "527", "32 kHz", "10 s", "4 MB", "0.432", "MIT (Florian Schmid)"):
        assert fact in lines["mn04_as"]
    assert "about 72 MB" in lines["mn20_as"]
    assert [lines[name].split()[-2:] for name in ("mn04_as", "yamnet", "cnn14")] == [
        ["yes", "no"],
        ["yes", "yes"],
        ["no", "no"],
    ]


def test_the_list_as_json_has_addresses_citations_and_the_taggers_here(earmark):
    converted("yamnet").parent.mkdir(parents=True)
    converted("yamnet").touch()
    listed = {entry["name"]: entry for entry in json.loads(earmark("--json"))}
    assert list(listed) == list(WEIGHTS)
    assert listed["mn04_as"]["tagger"] is None
    assert listed["yamnet"]["tagger"] == str(converted("yamnet"))
    assert listed["yamnet"]["url"] is None
    assert listed["mn04_as"]["url"].endswith("/mn04_as_mAP_432.pt")
    assert "arXiv:2211.04772" in listed["mn04_as"]["citation"]


def test_get_says_licence_citation_and_path(earmark, conversion, tmp_path, capsys):
    shown = earmark("get", "mn10_as", "--from", str(tmp_path))
    assert str(converted("mn10_as")) in shown
    assert "527 classes" in shown
    assert conversion == [("mn10_as", tmp_path)]
    said = capsys.readouterr().err
    assert "MIT (Florian Schmid)" in said + shown
    assert "arXiv:2211.04772" in said + shown
    assert "Not verified" in said + shown


def test_get_as_json_is_the_networks_entry(earmark, conversion):
    shown = json.loads(earmark("get", "yamnet", "--json"))
    assert (shown["name"], shown["tagger"], shown["verified"]) == ("yamnet", str(converted("yamnet")), True)


def test_get_refuses_an_unknown_name_before_anything_is_loaded(earmark, conversion):
    with pytest.raises(ConfigError, match="is not a pretrained network"):
        earmark("get", "yamnot")
    assert conversion == []


@pytest.fixture
def adopted(tmp_path) -> Path:
    """A graph to adopt: its input `sound` (1, 8000), its output `mean` (1, 5)."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Reshape", ["sound", "cut"], ["frames"]),
        helper.make_node("ReduceMax", ["frames", "last"], ["loudest"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(np.array([1, 5, 1600]), "cut"), numpy_helper.from_array(np.array([2]), "last")]
    sound, loudest = value("sound", TensorProto.FLOAT, [1, 8000]), value("loudest", TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(nodes, "loudness", [sound], [loudest], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "loud.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "loud.onnx"


def test_a_foreign_graph_is_adopted_listed_and_found_by_its_name(earmark, adopted):
    shown = earmark("get", f"onnx:{adopted}", "--name", "loud", "--rate", "16000", "--hop", "0.25")
    assert f"{converted('loud')}  (`earmark embed loud" in shown
    tagger = load_tagger("loud")
    assert (tagger.labels, tagger.window_samples, tagger.hop_samples) == ((), 8000, 4000)
    lines = rows(earmark())
    assert lines["loud"].split()[:6] == ["loud", "adopted", "none", "16", "kHz", "0.5"]
    assert "unknown: ask whoever published loud.onnx" in lines["loud"]
    assert lines["loud"].split()[-2:] == ["no", "yes"]


def test_an_adopted_one_as_json_says_what_it_is_made_of(earmark, adopted):
    options = ("--name", "loud", "--rate", "16000", "--window", "0.5", "--axis", "1", "--output", "loudest")
    shown = json.loads(earmark("get", f"onnx:{adopted}", *options, "--json"))
    assert shown == json.loads(earmark("--json"))[-1]
    assert shown["made_of"]["adopted"] == "loud.onnx"
    assert shown["tagger"] == str(converted("loud"))


def test_one_label_and_replace_are_handed_on(earmark, adopted, tmp_path):
    command = ("get", f"onnx:{adopted}", "--name", "loud", "--rate", "16000")
    earmark(*command)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n", encoding="utf-8")
    as_tagger = (*command, "--labels", str(tmp_path / "labels.txt"), "--one-label")
    with pytest.raises(ConfigError, match="--name loud: is taken by a tagger that differs from this one"):
        earmark(*as_tagger)
    earmark(*as_tagger, "--replace")
    assert not load_tagger("loud").metadata.multi_label


def test_an_adopted_file_that_cannot_be_opened_is_listed_all_the_same(earmark):
    converted("broken").parent.mkdir(parents=True)
    converted("broken").write_bytes(b"no graph")
    assert "cannot be opened" in earmark()
    assert "is not an ONNX file" in json.loads(earmark("--json"))[-1]["error"]


def test_a_model_of_transformers_is_handed_on_with_what_was_told(earmark, monkeypatch):
    calls = []

    def adopt(*words, **options):
        calls.append((words, options))
        converted("w2v").parent.mkdir(parents=True)
        return Path(shutil.copy(TAGGER, converted("w2v")))

    from earmark.flows import adopt_hf

    monkeypatch.setattr(adopt_hf, "adopt_hf", adopt)
    earmark("get", "hf:some/model", "--name", "w2v", "--window", "5", "--layer", "7")
    assert calls == [(("hf:some/model", "w2v", 5.0, None), {"layer": 7, "replaces": False})]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("mn04_as", "--rate", "16000"), "--rate: is for onnx:, and mn04_as is not"),
        (("mn04_as", "--name", "x"), "--name: is for onnx: or hf:, and mn04_as is not"),
        (("onnx:x.onnx", "--name", "x", "--layer", "3"), "--layer: is for hf:, and onnx:x.onnx is not"),
        (("hf:x", "--name", "x", "--from", "here"), "--from: is for a published network, and hf:x is not"),
        (("onnx:x.onnx", "--rate", "16000"), "onnx:x.onnx: --name is missing. Say what an adopted model is called"),
        (("onnx:x.onnx", "--name", "x"), "onnx:x.onnx: --rate is missing"),
        (("hf:x",), "hf:x: --name is missing"),
        (("hf:x", "--name", "x", "--one-label"), "--one-label: is for onnx:, and hf:x is not"),
        (("mn04_as", "--replace"), "--replace: is for onnx: or hf:, and mn04_as is not"),
    ],
)
def test_get_refuses_options_that_do_not_belong_together(earmark, words, expected):
    with pytest.raises(ConfigError, match=expected):
        earmark("get", *words)


def test_a_check_is_told_written_down_and_listed(earmark, tmp_path):
    converted("yamnet").parent.mkdir(parents=True)
    shutil.copy(TAGGER, converted("yamnet"))
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4000)).astype(np.float32)
    scores, _ = load_tagger("yamnet").backend.run(windows)
    sounds = {f"{number}/wave": window for number, window in enumerate(windows)}
    np.savez(tmp_path / "r.npz", **sounds, **{f"{number}/scores": row for number, row in enumerate(scores)})
    with pytest.raises(ConfigError, match="has not been held against the original's numbers here"):
        earmark("check", "yamnet")
    with pytest.raises(TaggerFileError, match=r"yamnett: is neither a file nor .* \(did you mean 'yamnet'\?\)"):
        earmark("check", "yamnett")
    with pytest.raises(TaggerFileError, match="mn04_as: is not on this machine yet"):
        earmark("check", "mn04_as")
    first = earmark("check", "yamnet", "--reference", str(tmp_path / "r.npz"))
    assert first.startswith("yamnet: agrees with r.npz on 2 windows; largest difference ")
    assert first.rstrip().endswith(f"in scores ({date.today().isoformat()})")
    assert earmark("check", "yamnet") == first
    assert json.loads(earmark("check", "yamnet", "--json"))["n_windows"] == 2
    lines = rows(earmark())
    assert lines["yamnet"].split()[-2:] == [date.today().isoformat(), "yes"]
    listed = {entry["name"]: entry for entry in json.loads(earmark("--json"))}
    assert listed["yamnet"]["check"]["reference"] == "r.npz"
    assert listed["mn04_as"]["check"] is None


def test_the_families_to_train_follow_with_what_they_cost(earmark):
    second = earmark().partition("To be trained from scratch")[2]
    lines = {line.split()[0]: line.split() for line in second.splitlines() if line.strip()}
    assert set(MODELS) <= set(lines)
    assert lines["tiny_cnn"][1:] == ["0.07", "M", "7", "M", "0.31", "s"]
    assert lines["se_cnn"][-1] == "squeeze-and-excitation"
    assert "mn04_as" not in second


def test_the_families_as_json_have_plain_numbers(earmark):
    listed = {entry["family"]: entry for entry in json.loads(earmark("--families", "--json"))}
    assert list(listed) == list(MODELS)
    assert listed["tiny_cnn"]["n_parameters"] == 74_720
    assert listed["rnn"]["whole_window"] == ["recurrence"]


def test_the_table_of_the_document_is_what_the_command_prints(earmark):
    assert earmark("--families", "--markdown").strip() in DOCUMENT.read_text(encoding="utf-8"), (
        "put what `earmark models --families --markdown` prints into docs/models.md"
    )
