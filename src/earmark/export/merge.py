"""Several taggers' graphs as one: a waveform in, all their scores out; what they compute alike is computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from earmark.export.backbone import Nodes, part
from earmark.export.graph import IR_VERSION, ML_OPSET, OPSET

MEMBER_SCORES = "member_scores"


def merge_graphs(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One graph of several tagger files that hear the same windows.

    Returns:
        `waveform` (batch, samples) → `member_scores` (batch, members, classes), `embedding` (batch, features), those of
        all members side by side.
    """
    add = Nodes("merged_")
    constants: list[onnx.TensorProto] = []
    axis = add.constant([1])
    scores, embeddings = [], []
    for number, model in enumerate(models):
        outputs = {value.name: value for value in model.graph.output}
        inner = part(model, [outputs["scores"], outputs["embedding"]], f"member_{number}_")
        add("Identity", "waveform", output=inner.graph.input[0].name)
        add.nodes.extend(inner.graph.node)
        constants.extend(inner.graph.initializer)
        scores.append(add("Unsqueeze", inner.graph.output[0].name, axis))
        embeddings.append(inner.graph.output[1].name)
    add("Concat", *scores, axis=1, output=MEMBER_SCORES)
    add("Concat", *embeddings, axis=1, output="embedding")
    value = helper.make_tensor_value_info
    n_classes = _columns(models[0], "scores")
    n_features = sum(_columns(model, "embedding") for model in models)
    waveform = models[0].graph.input[0].type.tensor_type.shape.dim[1]
    n_samples = waveform.dim_value if waveform.HasField("dim_value") else "samples"
    graph = helper.make_graph(
        add.nodes,
        "ensemble",
        [value("waveform", TensorProto.FLOAT, ["batch", n_samples])],
        [
            value(MEMBER_SCORES, TensorProto.FLOAT, ["batch", len(models), n_classes]),
            value("embedding", TensorProto.FLOAT, ["batch", n_features]),
        ],
        [*constants, *add.constants],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    share(graph)
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def share(graph: onnx.GraphProto) -> None:
    """Keep of equal constants, and of nodes that compute the same from the same, the first; loops and branches too.

    onnx_ir has a pass for this that leaves nodes with a graph inside alone, and a log-mel is such a loop.
    """
    same: dict[str, str] = {}  # a value → the first one that is equal
    first: dict[Hashable, list[str]] = {}
    constants = []
    for tensor in graph.initializer:
        found = first.setdefault(_content(tensor), [tensor.name])
        same[tensor.name] = found[0]
        constants += [tensor] if found[0] == tensor.name else []
    kept, given = [], {value.name for value in graph.output}
    for node in graph.node:
        rename(node, same)
        found = first.setdefault(_computation(node), list(node.output))
        if found == list(node.output) or given & set(node.output):
            kept.append(node)
        else:
            same |= dict(zip(node.output, found, strict=True))
    for field, values in ((graph.initializer, constants), (graph.node, kept)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


def _content(tensor: onnx.TensorProto) -> Hashable:
    """What tells a constant's numbers from another's."""
    array = numpy_helper.to_array(tensor)
    return (str(array.dtype), array.shape, hashlib.sha256(np.ascontiguousarray(array)).digest())


def _computation(node: onnx.NodeProto) -> Hashable:
    """What tells what a node computes from what another does: names of its own, inside its graphs too, do not count."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    own = [*copy.output, *(name for graph in _graphs(copy) for name in _defined(graph))]
    rename(copy, {name: f"={number}" for number, name in enumerate(own) if name})
    for graph in _graphs(copy):
        graph.ClearField("name")
        graph.ClearField("value_info")
    attributes = sorted(copy.attribute, key=lambda attribute: attribute.name)
    written = tuple(attribute.SerializeToString(deterministic=True) for attribute in attributes)
    del copy.attribute[:]
    return (copy.SerializeToString(deterministic=True), written)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs of a loop or branch, and those inside them."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for inner in graph.node:
                yield from _graphs(inner)


def _defined(graph: onnx.GraphProto) -> list[str]:
    """Names that a graph gives to values, in order."""
    return [
        *(value.name for value in (*graph.input, *graph.initializer)),
        *(name for node in graph.node for name in node.output),
    ]


def rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Call values by other names, also inside the node's graphs."""
    for graph in _graphs(node):
        for value in (*graph.input, *graph.initializer, *graph.output):
            value.name = names.get(value.name, value.name)
        for inner in graph.node:
            _rename_ends(inner, names)
    _rename_ends(node, names)


def _rename_ends(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    node.ClearField("name")  # two graphs may have given it
    for ends in (node.input, node.output):
        ends[:] = [names.get(name, name) for name in ends]


def _columns(model: onnx.ModelProto, output: str) -> int:
    """Width of an output."""
    found = {value.name: value for value in model.graph.output}[output]
    return found.type.tensor_type.shape.dim[1].dim_value
