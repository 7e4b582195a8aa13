"""A tagger's graph as a part of another: applied to patches of a longer (or shorter) window, inside the one file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common as passes
from onnx_ir.traversal import RecursiveGraphIterator

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean
from earmark.tagger.metadata import SCORE_MARGIN
from earmark.windows import Framing, window_starts

PATCH_POOLS = ("mean", "mean_std", "mean_max")  # a window's embedding from those of its patches
LOGITS = "logits"  # may be asked for beside the outputs that a graph has
INNER = "backbone_"


class Nodes:
    """Nodes and constants as they are appended, named alike; a call returns the name of the node's last output."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str, output: str = "", unread: int = 0, **attributes) -> str:
        """Append a node, with outputs that nobody reads before its last."""
        name = output or f"{self.prefix}{len(self.nodes)}"
        names = [*(f"{name}_unread_{number}" for number in range(unread)), name]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return name

    def constant(self, values: npt.ArrayLike, kind: type = np.float32) -> str:
        """Append a constant, int64 of whole numbers, else of a kind."""
        array = np.asarray(values)
        name = f"{self.prefix}constant_{len(self.constants)}"
        kept = array if array.dtype == np.int64 else array.astype(kind, copy=False)
        self.constants.append(numpy_helper.from_array(kept, name))
        return name


def patch_graph(
    backbone: onnx.ModelProto,
    patch: Framing,
    window_samples: int,
    outputs: Sequence[str] = ("embedding",),
    pool: str = "mean",
) -> onnx.ModelProto:
    """A graph that hears a window through a backbone: cuts the window into patches and applies the backbone to them.

    The patches are those of `windows.frame`, cut (and, of a window shorter than a patch, padded) by nodes of the graph.
    Those of a whole batch go through the backbone at once. What the chosen outputs do not need is left out.

    Args:
        backbone: graph of a tagger file, `waveform` (batch, patch.window_samples) → `scores`, `embedding`.
        patch: how the window becomes patches.
        window_samples: length of the window, at the backbone's rate.
        outputs: which of its outputs to join, in order; "logits" are those whose sigmoid or softmax its scores are, or
            of other scores (a mean over several networks, a forest's) the log odds.
        pool: one of PATCH_POOLS.

    Returns:
        `waveform` (batch, window_samples) → `embedding` (batch, features), `sequence` (batch, patches, widths of the
        outputs together). The features are the mean over patches, then for the other pools their standard deviation
        or maximum.

    Raises:
        ConfigError: an output that the backbone does not have, that holds nothing, or more than a row of fixed width;
            a pool of no known name.
    """
    if pool not in PATCH_POOLS:
        raise ConfigError(
            f"'{pool}' is not a pool of patches{did_you_mean(pool, PATCH_POOLS)}. Known: {', '.join(PATCH_POOLS)}."
        )
    chosen, widths, model = _choose(backbone, outputs)
    inner = part(model, chosen, INNER)
    n_patches = len(window_starts(window_samples, patch.window_samples, patch.hop_samples))
    width = sum(widths)
    add = Nodes("patch_")
    _cut(add, patch, window_samples, output=inner.graph.input[0].name)
    add.nodes.extend(inner.graph.node)
    joined = add("Concat", *(value.name for value in inner.graph.output), axis=1)
    add("Reshape", joined, add.constant([-1, n_patches, width]), output="sequence")
    _pool(add, pool)

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        add.nodes,
        "patches",
        [value("waveform", TensorProto.FLOAT, ["batch", window_samples])],
        [
            value("embedding", TensorProto.FLOAT, ["batch", width if pool == "mean" else 2 * width]),
            value("sequence", TensorProto.FLOAT, ["batch", n_patches, width]),
        ],
        [*inner.graph.initializer, *add.constants],
    )
    return helper.make_model(graph, opset_imports=inner.opset_import, ir_version=inner.ir_version)


def part(model: onnx.ModelProto, outputs: Sequence[onnx.ValueInfoProto], prefix: str) -> onnx.ModelProto:
    """What of a graph leads to some of its tensors, now its outputs, with the inputs that are needed for it.

    Args:
        prefix: put before all names, of whatever scope.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # they call the batch by the name that the window's batch has
    del copy.graph.output[:]
    copy.graph.output.extend(outputs)
    kept = onnx_ir.from_proto(copy)
    passes.RemoveUnusedNodesPass()(kept)
    kept.graph.inputs[:] = [value for value in kept.graph.inputs if value.uses()]
    for graph in {kept.graph} | {node.graph for node in RecursiveGraphIterator(kept.graph)}:
        for value in [*graph.inputs, *graph.initializers.values(), *(each for node in graph for each in node.outputs)]:
            value.name = prefix + value.name if value.name else value.name
    return onnx_ir.to_proto(kept)


def _choose(
    backbone: onnx.ModelProto, outputs: Sequence[str]
) -> tuple[list[onnx.ValueInfoProto], list[int], onnx.ModelProto]:
    """The named outputs of a backbone, their widths, and the backbone with all of them in its graph."""
    model = onnx.ModelProto()
    model.CopyFrom(backbone)
    given = {value.name: value for value in backbone.graph.output}
    if "scores" in given:
        given[LOGITS] = _logits(model.graph, given["scores"])
    for name in outputs:
        if name not in given:
            raise ConfigError(
                f"'{name}' is not an output of the backbone (it gives {', '.join(given)}). Choose others."
            )
    chosen = [given[name] for name in outputs]
    return chosen, [_width(name, value) for name, value in zip(outputs, chosen, strict=True)], model


def _width(name: str, value: onnx.ValueInfoProto) -> int:
    """How many numbers an output has for each window.

    Raises:
        ConfigError: none, any number, or more than one row.
    """
    lengths = value.type.tensor_type.shape.dim
    if len(lengths) != 2:
        shape = ", ".join(length.dim_param or str(length.dim_value) for length in lengths)
        raise ConfigError(
            f"backbone: {name} is not one row of numbers per window (its shape is ({shape})). Choose another output."
        )
    if lengths[1].HasField("dim_value") and not lengths[1].dim_value:
        raise ConfigError(f"backbone: it only embeds, its {name} hold no numbers. Choose embedding.")
    if not lengths[1].dim_value:
        raise ConfigError(f"backbone: does not say how many numbers {name} holds. Export it with a fixed width.")
    return lengths[1].dim_value


def _logits(graph: onnx.GraphProto, scores: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """What the scores are the sigmoid or softmax of; log odds are appended where they are something else.

    Log odds would do for all, but scores near 0 and 1 have lost the digits: a logit of -44 would come back as -16.
    """
    node = squashing(graph, scores.name)
    if node:
        found = node.input[0]
    else:
        add = Nodes("logits_")
        score = add("Clip", scores.name, *(add.constant(limit) for limit in (SCORE_MARGIN, 1 - SCORE_MARGIN)))
        odds = add("Div", score, add("Sub", add.constant(1.0), score))
        found = add("Log", odds)
        graph.node.extend(add.nodes)
        graph.initializer.extend(add.constants)
    value = onnx.ValueInfoProto()
    value.CopyFrom(scores)
    value.name = found
    return value


def squashing(graph: onnx.GraphProto, scores: str) -> onnx.NodeProto | None:
    """The sigmoid or softmax that makes scores; None where they are something else."""
    made_by = {name: node for node in graph.node for name in node.output}
    node = made_by.get(scores)
    stacked = made_by.get(node.input[0]) if node and node.op_type == "ReduceMean" else None
    if stacked and stacked.op_type == "Unsqueeze" and stacked.input[1:] == node.input[1:]:  # the mean of one network
        node = made_by.get(stacked.input[0])
    return node if node and node.op_type in ("Sigmoid", "Softmax") else None


def _cut(add: Nodes, patch: Framing, window_samples: int, output: str) -> None:
    """The patches (batch · patches, samples) of `waveform`, as `windows.frame` has them."""
    length, missing = patch.window_samples, patch.window_samples - window_samples
    if missing > 0 and patch.padding == "zeros":
        add("Pad", "waveform", add.constant([0, 0, 0, missing]), output=output)
        return
    source = "waveform"
    if missing > 0:
        source = add("Tile", source, add.constant([1, -(-length // window_samples)]))
    starts = window_starts(window_samples, length, patch.hop_samples).tolist()
    if starts == [0] and missing == 0:
        add("Identity", source, output=output)
        return
    axis = add.constant([1])
    patches = [add("Slice", source, add.constant([start]), add.constant([start + length]), axis) for start in starts]
    add("Reshape", add("Concat", *patches, axis=1), add.constant([-1, length]), output=output)


def _pool(add: Nodes, how: str) -> None:
    """`embedding` (batch, features) of `sequence` (batch, patches, width)."""
    axis = add.constant([1])
    mean = add("ReduceMean", "sequence", axis, keepdims=0, output="embedding" if how == "mean" else "")
    if how == "mean_max":
        add("Concat", mean, add("ReduceMax", "sequence", axis, keepdims=0), axis=1, output="embedding")
    if how == "mean_std":
        apart = add("Sub", "sequence", add("Unsqueeze", mean, axis))
        variance = add("ReduceMean", add("Mul", apart, apart), axis, keepdims=0)
        add("Concat", mean, add("Sqrt", variance), axis=1, output="embedding")
