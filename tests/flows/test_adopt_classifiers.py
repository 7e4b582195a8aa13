"""Foreign classifiers: of whatever operators; which of their labels can hold at once; names that are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from earmark.errors import ConfigError, TaggerFileError
from earmark.flows.adopt import adopt_onnx
from earmark.flows.pretrained import probes
from earmark.tagger import load_tagger
from earmark.tagger.home import converted, present

RATE, N_SAMPLES, N_CLASSES = 8000, 4000, 3
WEIGHTS = np.random.default_rng(0).standard_normal((N_SAMPLES, N_CLASSES)).astype(np.float32)
WINDOWS = probes(N_SAMPLES, RATE)
LOGITS = WINDOWS.astype(np.float64) @ WEIGHTS


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home folder of the test's own."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def labels(tmp_path) -> Path:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    return tmp_path / "labels.txt"


def save(path: Path, *nodes: onnx.NodeProto, batch: str | int = "batch", ml_opset: int = 0) -> Path:
    """A graph from `sound` to `out`, whose nodes may start from `logits`."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["sound", "weights"], ["logits"]), *nodes],
        "made",
        [value("sound", TensorProto.FLOAT, [batch, N_SAMPLES])],
        [value("out", TensorProto.FLOAT, [batch, N_CLASSES])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("ai.onnx.ml", ml_opset)] if ml_opset else [])]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def plain(path: Path, operator: str = "Identity", **attributes) -> Path:
    return save(path, helper.make_node(operator, ["logits"], ["out"], **attributes))


def scaler(kind: str = "Scaler", **attributes) -> onnx.NodeProto:
    given = attributes or {"offset": [0.5] * N_CLASSES, "scale": [2.0] * N_CLASSES}
    return helper.make_node(kind, ["logits"], ["out"], domain="ai.onnx.ml", **given)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_operators_of_classical_learning_are_taken_in_a_loop_as_well(tmp_path, batch):
    adopt_onnx(save(tmp_path / "x.onnx", scaler(), batch=batch, ml_opset=3), "theirs", RATE)
    model = onnx.load(converted("theirs"))
    assert ("Scan" in {node.op_type for node in model.graph.node}) == (batch == 1)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 20, "ai.onnx.ml": 3}
    found = load_tagger("theirs").backend.run(WINDOWS)[1]
    np.testing.assert_allclose(found, 2 * (LOGITS - 0.5), rtol=1e-3, atol=1e-3)


def test_newer_operators_of_classical_learning_are_refused(tmp_path):
    ids = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "tree_roots", "leaf_targetids")
    tree = dict.fromkeys(ids, [0]) | dict.fromkeys(("nodes_trueleafs", "nodes_falseleafs"), [1])
    tree |= {"nodes_modes": numpy_helper.from_array(np.zeros(1, np.uint8)), "n_targets": N_CLASSES}
    tree |= {name: numpy_helper.from_array(np.ones(1, np.float32)) for name in ("nodes_splits", "leaf_weights")}
    newer = save(tmp_path / "x.onnx", scaler("TreeEnsemble", **tree), ml_opset=5)
    with pytest.raises(TaggerFileError, match=r"x\.onnx: brought to operator set 20, it does not give what it gave \("):
        adopt_onnx(newer, "theirs", RATE)
    assert present() == []


def test_operators_of_one_runtime_are_found_in_branches(tmp_path):
    inner = [helper.make_node("Gelu", ["logits"], ["chosen"], domain="com.microsoft")]
    branches = {
        name: helper.make_graph(inner, name, [], [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)])
        for name in ("then_branch", "else_branch")
    }
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    file = save(tmp_path / "x.onnx", yes, helper.make_node("If", ["yes"], ["out"], **branches))
    model = onnx.load(file)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(TaggerFileError, match=r"has operators that are not ONNX's own \(com\.microsoft\.Gelu\)"):
        adopt_onnx(file, "theirs", RATE)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_logits_of_which_one_label_holds_become_a_softmax(tmp_path, labels, batch):
    file = save(tmp_path / "x.onnx", helper.make_node("Identity", ["logits"], ["out"]), batch=batch)
    adopt_onnx(file, "one", RATE, labels=labels, one_label=True)
    tagger = load_tagger("one")
    np.testing.assert_allclose(tagger.backend.run(WINDOWS)[0], softmax(LOGITS), atol=1e-5)
    assert not tagger.metadata.multi_label
    assert tagger.metadata.trained_on["scores"] == "out, softmax of it"
    adopt_onnx(file, "several", RATE, labels=labels)
    assert load_tagger("several").metadata.multi_label
    assert load_tagger("several").metadata.thresholds["clip"] == (0.5,) * N_CLASSES


def test_of_a_softmax_the_best_class_is_named_however_low_its_score(tmp_path, labels):
    flat = save(
        tmp_path / "x.onnx",
        helper.make_node("Constant", [], ["small"], value=numpy_helper.from_array(np.float32(0.001))),
        helper.make_node("Mul", ["logits", "small"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["out"], axis=1),
    )
    for name, one_label in (("unasked", False), ("asked", True)):
        adopt_onnx(flat, name, RATE, labels=labels, one_label=one_label)
        metadata = load_tagger(name).metadata
        assert metadata.thresholds == {"window": (0.0,) * N_CLASSES, "clip": (0.0,) * N_CLASSES}
        assert metadata.trained_on["thresholds"] == "none: the best class is named"
        np.testing.assert_allclose(load_tagger(name).backend.run(WINDOWS)[0], softmax(0.001 * LOGITS), atol=1e-5)


def test_scores_of_sigmoids_are_made_to_exclude_one_another_only_if_asked(tmp_path, labels):
    file = plain(tmp_path / "x.onnx", "Sigmoid")
    adopt_onnx(file, "several", RATE, labels=labels)
    adopt_onnx(file, "one", RATE, labels=labels, one_label=True)
    several, one = (load_tagger(name).backend.run(WINDOWS)[0] for name in ("several", "one"))
    np.testing.assert_allclose(several, 1 / (1 + np.exp(-LOGITS)), atol=1e-5)
    np.testing.assert_allclose(one, softmax(several), atol=1e-5)


def test_one_label_needs_labels(tmp_path):
    with pytest.raises(ConfigError, match="--one-label: says which of --labels hold at once, and there are none"):
        adopt_onnx(plain(tmp_path / "x.onnx"), "theirs", RATE, one_label=True)


def test_a_name_that_is_taken_is_kept_unless_it_is_the_same_or_told_to_go(tmp_path, labels):
    file = plain(tmp_path / "x.onnx")
    adopt_onnx(file, "theirs", RATE)
    before = converted("theirs").read_bytes()
    adopt_onnx(file, "theirs", RATE)
    assert converted("theirs").read_bytes() == before
    other = plain(tmp_path / "y.onnx", "Tanh")
    taken = r"--name theirs: is taken by a tagger that differs from this one \(.*, made of x\.onnx\)"
    for source, options in ((other, {}), (file, {"labels": labels}), (file, {"hop_seconds": 0.1})):
        with pytest.raises(ConfigError, match=taken):
            adopt_onnx(source, "theirs", RATE, **options)
    assert converted("theirs").read_bytes() == before
    adopt_onnx(other, "theirs", RATE, replaces=True)
    assert load_tagger("theirs").metadata.trained_on["adopted"] == "y.onnx"
    converted("theirs").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="made of a file that cannot be opened"):
        adopt_onnx(other, "theirs", RATE)
