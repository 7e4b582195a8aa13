"""A calibration of windows as the last nodes of a tagger's graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper
from onnx_ir.passes import common as passes
from scipy.special import expit, softmax

from earmark.export.backbone import Nodes, squashing
from earmark.export.graph import open_graph, write_tagger
from earmark.export.merge import rename
from earmark.tagger.metadata import TaggerMetadata, calibrate
from earmark.windows import SCORE_MARGIN

SCORES, RAW = "scores", "uncalibrated_scores"


def finish_tagger(
    model: onnx.ModelProto,
    path: Path,
    metadata: TaggerMetadata,
    calibration: dict[str, Any] | None,
    windows: np.ndarray,
) -> None:
    """Write a tagger file anew, with other metadata and its window scores calibrated inside the graph.

    Args:
        model: the graph of a tagger whose scores are not calibrated.
        calibration: of its windows, as `tagger.metadata.calibrate` takes it; None leaves the graph as it is.
        windows: (n, window_samples) float32, on which the graph must give what the formula does.

    Raises:
        TaggerFileError: it does not; nothing is written.
    """
    logits = logits_of(model.graph, metadata.multi_label)
    known = onnx.ModelProto()
    known.CopyFrom(model)
    if logits:
        known.graph.output.append(helper.make_tensor_value_info(logits, TensorProto.FLOAT, None))
    found = open_graph(known).run([SCORES, *([logits] if logits else [])], {"waveform": windows})
    if calibration is None:
        expected = found[0]
    elif logits:
        scale, bias = scale_and_bias(calibration)
        calibrated = found[1].astype(np.float64) * scale + bias
        expected = expit(calibrated) if metadata.multi_label else softmax(calibrated, axis=1)
    else:
        expected = calibrate(found[0], calibration, metadata.multi_label)
    finished = model if calibration is None else calibrated_graph(model, calibration, metadata.multi_label)
    write_tagger(finished, metadata, path, windows, expected.astype(np.float32))


def calibrated_graph(model: onnx.ModelProto, calibration: dict[str, Any], multi_label: bool) -> onnx.ModelProto:
    """The graph with calibrated `scores`; its other outputs stay as they are.

    The numbers go to the logits wherever the scores are a sigmoid or a softmax, so that scores that round to 0 or 1
    stay apart. Other scores (a forest's, a mean of several networks) go back to log odds, or to logarithms where one
    label holds, as `tagger.metadata.calibrate` does.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    logits = logits_of(result.graph, multi_label)
    for node in result.graph.node:
        rename(node, {SCORES: RAW})
    add = Nodes("calibration_")
    if logits is None:
        inside = add("Clip", RAW, add.constant(SCORE_MARGIN), add.constant(1 - SCORE_MARGIN))
        odds = add("Div", inside, add("Sub", add.constant(1.0), inside)) if multi_label else inside
        logits = add("Log", odds)
    scale, bias = scale_and_bias(calibration)
    scaled = add("Mul", logits, add.constant(scale))
    if np.any(bias):
        scaled = add("Add", scaled, add.constant(bias))
    if multi_label:
        add("Sigmoid", scaled, output=SCORES)
    else:
        add("Softmax", scaled, axis=-1, output=SCORES)
    result.graph.node.extend(add.nodes)
    result.graph.initializer.extend(add.constants)
    kept = onnx_ir.from_proto(result)
    passes.RemoveUnusedNodesPass()(kept)
    return onnx_ir.to_proto(kept)


def logits_of(graph: onnx.GraphProto, multi_label: bool) -> str | None:
    """The tensor whose sigmoid (or, where one label holds, softmax) the scores are; None where they are another's."""
    node = squashing(graph, SCORES)
    return node.input[0] if node and node.op_type == ("Sigmoid" if multi_label else "Softmax") else None


def scale_and_bias(calibration: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """What logits are multiplied with, and what is added."""
    if calibration["kind"] == "temperature":
        return np.array(1 / calibration["temperature"]), np.array(0.0)
    return np.array(calibration["scale"]), np.array(calibration["bias"])

