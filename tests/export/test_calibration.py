"""A calibration inside the graph is the formula of the metadata, on every kind of graph, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from earmark.export.calibration import calibrated_graph, finish_tagger, logits_of
from earmark.export.graph import IR_VERSION, OPSET, open_graph
from earmark.tagger import load_tagger
from earmark.tagger.metadata import calibrate

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"
PLATT = {"kind": "platt", "scale": [0.6, 1.4, 1.0], "bias": [-0.5, 0.3, 0.0]}
WARM = {"kind": "temperature", "temperature": 1.7}
CASES = [("cnn", PLATT, True), ("cnn", WARM, True), ("forest", PLATT, False), ("forest", WARM, False)]
CASES += [("ensemble", PLATT, False), ("patches", WARM, True), ("unsure", WARM, True), ("calibrated", WARM, True)]


def windows(n_samples: int) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((4, n_samples)) * np.array([[0.0], [0.01], [0.1], [0.5]])
    return noise.astype(np.float32)


@pytest.mark.parametrize(("kind", "calibration", "on_logits"), CASES)
def test_the_file_gives_what_the_formula_does(tmp_path, kind, calibration, on_logits):
    before = load_tagger(VECTORS / f"{kind}.tagger.onnx")
    model, path = onnx.load(before.path), tmp_path / "x.tagger.onnx"
    assert (logits_of(model.graph, before.metadata.multi_label) is not None) == on_logits
    heard = windows(before.window_samples)
    finish_tagger(model, path, before.metadata, calibration, heard)
    after = load_tagger(path)
    scores, embedding = before.backend.run(heard)
    expected = calibrate(scores, calibration, before.metadata.multi_label)
    found, same = after.backend.run(heard)
    np.testing.assert_allclose(found, expected, atol=5e-5)  # single precision near 1
    np.testing.assert_array_equal(same, embedding)
    assert after.metadata == before.metadata
    alone = after.backend.run(heard[1:2])[0]
    np.testing.assert_allclose(alone, found[1:2], atol=1e-6)


def test_without_a_calibration_only_the_facts_change(tmp_path):
    before = load_tagger(VECTORS / "cnn.tagger.onnx")
    path = tmp_path / "x.tagger.onnx"
    finish_tagger(onnx.load(before.path), path, before.metadata, None, windows(before.window_samples))
    graphs = [onnx.load(each).graph.SerializeToString() for each in (before.path, path)]
    assert graphs[0] == graphs[1]


def sigmoids_of(logits: list[float]) -> onnx.ModelProto:
    """Scores that do not hear: the sigmoids of some logits for every window."""
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "axis"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "logits"], ["embedding"]),
        helper.make_node("Sigmoid", ["embedding"], ["scores"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axis"),
        onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
        onnx.numpy_helper.from_array(np.array(logits, np.float32), "logits"),
    ]
    value = helper.make_tensor_value_info
    outputs = [value(name, TensorProto.FLOAT, ["batch", len(logits)]) for name in ("scores", "embedding")]
    graph = helper.make_graph(nodes, "g", [value("waveform", TensorProto.FLOAT, ["batch", 8])], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def test_scores_that_round_to_one_keep_their_order():
    model = sigmoids_of([20.0, 30.0, -30.0, -40.0])
    heard = {"waveform": np.ones((1, 8), np.float32)}
    before = open_graph(model).run(["scores"], heard)[0][0]
    assert before[0] == before[1] == 1.0
    calm = calibrated_graph(model, {"kind": "temperature", "temperature": 5.0}, multi_label=True)
    after = open_graph(calm).run(["scores"], heard)[0][0]
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-np.array([4, 6, -6, -8]))), rtol=1e-3)
    assert [node.op_type for node in calm.graph.node].count("Sigmoid") == 1  # the old one is gone
