"""A combination as nodes of a graph: what `tagger.combination.combine` computes, inside a tagger file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from earmark.export.backbone import Nodes
from earmark.export.merge import MEMBER_SCORES, merge_graphs
from earmark.tagger.combination import STACK_SHIFT
from earmark.windows import SCORE_MARGIN


def ensemble_graph(
    models: Sequence[onnx.ModelProto], combination: Mapping[str, Any], multi_label: bool
) -> onnx.ModelProto:
    """The graph of an ensemble: outputs `scores` (batch, classes), `embedding`.

    Args:
        models: the members' graphs, which hear the same windows.
        combination, multi_label: as for `combine`.
    """
    model = merge_graphs(models)
    add = Nodes("combined_")
    build = {"mean": _mean, "geometric": _geometric, "rank": _rank, "stack": _stack}[combination["kind"]]
    combined = build(add, combination, multi_label)
    add("Clip", combined, add.constant(0.0), add.constant(1.0), output="scores")
    model.graph.node.extend(add.nodes)
    model.graph.initializer.extend(add.constants)
    n_classes = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", n_classes])
    model.graph.output[0].CopyFrom(scores)
    return model


def _mean(add: Nodes, combination: Mapping[str, Any], multi_label: bool) -> str:
    del multi_label
    return _weighted(add, MEMBER_SCORES, combination["weights"])


def _geometric(add: Nodes, combination: Mapping[str, Any], multi_label: bool) -> str:
    del combination
    axis = add.constant([1])
    logs = add("Log", add("Clip", MEMBER_SCORES, add.constant(SCORE_MARGIN), add.constant(1.0)))
    mean = add("Exp", add("ReduceMean", logs, axis, keepdims=0))
    return mean if multi_label else add("Div", mean, add("ReduceSum", mean, axis, keepdims=1))


def _rank(add: Nodes, combination: Mapping[str, Any], multi_label: bool) -> str:
    """A table is a sum of ramps, one for each of its steps; some are steeper than single precision can climb."""
    del multi_label
    tables, ranks = np.array(combination["scores"]), np.array(combination["ranks"])
    begins, widths, rises, low, high = (
        add.constant(values, np.float64)
        for values in (tables[:, None, :-1], np.diff(tables)[:, None], np.diff(ranks), 0.0, 1.0)
    )
    scores = add("Unsqueeze", add("Cast", MEMBER_SCORES, to=TensorProto.DOUBLE), add.constant([3]))
    ramps = add("Clip", add("Div", add("Sub", scores, begins), widths), low, high)
    risen = add("ReduceSum", add("Mul", ramps, rises), add.constant([3]), keepdims=0)
    return add("Cast", add("ReduceMean", risen, add.constant([1]), keepdims=0), to=TensorProto.FLOAT)


def _stack(add: Nodes, combination: Mapping[str, Any], multi_label: bool) -> str:
    del multi_label
    mean = _weighted(add, MEMBER_SCORES, combination["mean_weights"])
    joined = add("Concat", MEMBER_SCORES, add("Unsqueeze", mean, add.constant([1])), axis=1)
    mixed = add("MatMul", _weighted(add, joined, combination["weights"]), add.constant(combination["layer"]))
    bent = add("Tanh", add("Sub", mixed, add.constant(STACK_SHIFT)))
    return add("Mul", add("Add", bent, add.constant(1.0)), add.constant(0.5))


def _weighted(add: Nodes, scores: str, weights: Sequence[Sequence[float]]) -> str:
    """Scores (batch, members, classes) added up with weights (members, classes)."""
    return add("ReduceSum", add("Mul", scores, add.constant(weights)), add.constant([1]), keepdims=0)
