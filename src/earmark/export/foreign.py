"""An ONNX graph that others have exported, made the graph of a tagger file: `waveform` → `scores`, `embedding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, inliner, version_converter

from earmark.errors import TaggerFileError
from earmark.export.backbone import Nodes, part
from earmark.export.graph import IR_VERSION, ML_OPSET, OPSET, every_node, open_graph
from earmark.lookup import did_you_mean
from earmark.tagger.onnx_backend import ORT_ERRORS, has_external_data

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
INNER = "foreign_"
MOST_BYTES = 2**31 - 1  # of an ONNX file
EMBEDDING_WORD = "embed"  # in the name of the output that is taken where there are several


@dataclass(frozen=True)
class Port:
    """An input or output: its name, its shape (a word where a length is free), its element type as ONNX numbers it."""

    name: str
    shape: tuple[int | str, ...]
    kind: int

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Source:
    """The input that takes the sound.

    port: as the graph has it. sample_axis: where in its shape the samples are; all others have length 1, but the first
    may be that of a batch.
    """

    port: Port
    sample_axis: int

    @property
    def n_samples(self) -> int | None:
        """Length that the graph insists on; None if it takes any."""
        length = self.port.shape[self.sample_axis]
        return length if isinstance(length, int) else None

    @property
    def has_batch(self) -> bool:
        """Whether its first axis is that of a batch, be it of one."""
        return self.sample_axis > 0

    @property
    def takes_batches(self) -> bool:
        """Whether the graph says that it takes several windows at once."""
        return self.has_batch and not isinstance(self.port.shape[0], int)

    def shape(self, n_samples: int, batch: int = 1) -> list[int]:
        """What it is given."""
        shape = [1] * len(self.port.shape)
        if self.has_batch:
            shape[0] = batch
        shape[self.sample_axis] = n_samples
        return shape


@dataclass(frozen=True)
class Row:
    """A tensor that becomes one row of numbers per window: the mean over all its axes but one.

    name: of the tensor. axes: those averaged over, of what one window gives, a batch of one included.
    width: length of the axis that stays; 1 where there is none. batched: whether its first axis is that of the batch.
    squash: operator that makes it scores, "Sigmoid" or "Softmax", or "".
    """

    name: str
    axes: tuple[int, ...]
    width: int
    batched: bool
    squash: str = ""

    def of(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What it should give for windows whose arrays the original gave: (windows, width) float64."""
        rows = np.stack([np.asarray(array, np.float64).mean(axis=self.axes).reshape(self.width) for array in arrays])
        if self.squash == "Softmax":
            odds = np.exp(rows - rows.max(axis=1, keepdims=True))
            return odds / odds.sum(axis=1, keepdims=True)
        return 1 / (1 + np.exp(-rows)) if self.squash else rows

    def append(self, add: Nodes, shape: list[int], output: str) -> None:
        """The same as nodes."""
        last = add("Cast", INNER + self.name, to=TensorProto.FLOAT)
        if self.axes:
            last = add("ReduceMean", last, add.constant(list(self.axes)), keepdims=0)
        last = add("Reshape", last, add.constant([*shape, self.width]))
        add(self.squash or "Identity", last, output=output)


class Foreign:
    """A foreign graph, as it is and with the operators that a tagger file may have.

    Raises:
        TaggerFileError: it is no whole ONNX file of standard operators.
    """

    def __init__(self, path: Path):
        self.path = path
        self.original = _read(path)
        given = {constant.name for constant in self.original.graph.initializer}
        self.inputs = {value.name: _port(value) for value in self.original.graph.input if value.name not in given}
        self.outputs = {value.name: _port(value) for value in self.original.graph.output}
        self.modern = _modern(self.original, path)

    def __str__(self) -> str:
        takes, gives = (", ".join(map(str, ports.values())) for ports in (self.inputs, self.outputs))
        return f"It takes {takes} and gives {gives}."

    def source(self, name: str = "") -> Source:
        """The input for the sound, by name or because it is the only one.

        Raises:
            TaggerFileError: there is none of that name, there are several, or it cannot take one channel's samples.
        """
        if name and name not in self.inputs:
            raise TaggerFileError(f"{self.path}: has no input '{name}'{did_you_mean(name, self.inputs)}. {self}")
        if not name and len(self.inputs) != 1:
            raise TaggerFileError(f"{self.path}: has {len(self.inputs)} inputs. {self} Name the sound's with --input.")
        port = self.inputs[name] if name else next(iter(self.inputs.values()))
        axes = range(1 if len(port.shape) > 1 else 0, len(port.shape))  # the first of several is the batch
        long = [axis for axis in axes if port.shape[axis] != 1]
        if len(long) > 1 and not any(isinstance(port.shape[axis], int) for axis in long):
            long = long[-1:]  # channels may be free as well: they get one
        if len(long) != 1 or port.kind not in FLOATS:
            raise TaggerFileError(
                f"{self.path}: {port} cannot take a waveform (expected floating-point numbers, shaped (samples), "
                f"(batch, samples) or (batch, 1, samples)). {self} Name another with --input, or export it so."
            )
        if long[0] > 0 and isinstance(port.shape[0], int) and port.shape[0] != 1:
            raise TaggerFileError(
                f"{self.path}: {port} takes {port.shape[0]} windows at once, no more and no fewer. "
                "Export it with a free batch."
            )
        return Source(port, long[0])

    def output(self, name: str = "") -> str:
        """The tensor to embed with: by name (inner ones have names, too), or because there is but one choice.

        Raises:
            TaggerFileError: there is none of that name, or several could be meant.
        """
        inner = {tensor for node in self.original.graph.node for tensor in node.output}
        if name and name not in inner | set(self.outputs):
            near = did_you_mean(name, [*self.outputs, *sorted(inner)])
            raise TaggerFileError(f"{self.path}: has no output '{name}'{near}. {self}")
        likely = list(self.outputs)
        if len(likely) > 1:
            likely = [each for each in likely if EMBEDDING_WORD in each.lower()]
        if not name and len(likely) != 1:
            raise TaggerFileError(
                f"{self.path}: has {len(self.outputs)} outputs. {self} Name the one to embed with: --output."
            )
        return name or likely[0]

    def run(self, source: Source, windows: np.ndarray, names: Sequence[str]) -> list[list[np.ndarray]]:
        """What the original gives for each window (windows, samples) alone: a list per name.

        Raises:
            TaggerFileError: it fails, or asks for more than the sound.
        """
        kind = helper.tensor_dtype_to_np_dtype(source.port.kind)
        shape = source.shape(windows.shape[1])
        model = self._leading_to(self.original, source, names, "")
        try:
            session = open_graph(model)
            results = [
                session.run(list(names), {source.port.name: window.astype(kind).reshape(shape)}) for window in windows
            ]
        except ORT_ERRORS as error:
            raise TaggerFileError(
                f"{self.path}: fails on a window of the shape {tuple(shape)} ({_first_line(error)}). {self} "
                "Check --rate, --window and --input."
            ) from error
        return [list(arrays) for arrays in zip(*results, strict=True)]

    def row(self, name: str, array: np.ndarray, source: Source, axis: int | None = None) -> Row:
        """How an array that one window gave becomes a row.

        Args:
            axis: the one that stays, counted from 0. Otherwise it is the only one whose length the graph fixes, or
                else the last.

        Raises:
            TaggerFileError: there is no such axis.
        """
        batched = source.has_batch and array.shape[:1] == (1,)
        axes = list(range(int(batched), array.ndim))
        if axis is not None and axis not in axes:
            raise TaggerFileError(
                f"{self.path}: {name} has no axis {axis} with features (of one window its shape is {array.shape}). "
                "Give another --axis, counted from 0."
            )
        shape = self.outputs[name].shape if name in self.outputs else ()
        fixed = [number for number in axes if len(shape) == array.ndim and isinstance(shape[number], int)]
        kept = axis if axis is not None else fixed[0] if len(fixed) == 1 else array.ndim - 1
        width = array.shape[kept] if axes else 1
        return Row(name, tuple(number for number in axes if number != kept), width, batched)

    def graph(
        self, source: Source, window_samples: int, embedding: Row, scores: Row | None, *, looped: bool
    ) -> onnx.ModelProto:
        """The graph of a tagger file: windows go through this one all at once, or (looped) one by one.

        Returns:
            `waveform` (batch, window_samples) → `scores` (batch, classes; of no columns without them), `embedding`.
        """
        rows = {"embedding": embedding, "scores": scores} if scores else {"embedding": embedding}
        inner = self._leading_to(self.modern, source, [row.name for row in rows.values()], INNER)
        value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
        add = Nodes("each_")
        heard = add("Cast", "window" if looped else "waveform", to=source.port.kind)
        shape = add.constant(source.shape(window_samples, 1 if looped else -1))
        add("Reshape", heard, shape, output=INNER + source.port.name)
        add.nodes.extend(inner.graph.node)
        for name, row in rows.items():
            row.append(add, [] if looped else [-1], "row_" + name if looped else name)
        nodes, constants = add.nodes, [*inner.graph.initializer, *add.constants]
        if looped:
            outputs = [value("row_" + name, kind, [row.width]) for name, row in rows.items()]
            body = helper.make_graph(nodes, "one_window", [value("window", kind, [window_samples])], outputs)
            nodes = [helper.make_node("Scan", ["waveform"], list(rows), body=body, num_scan_inputs=1)]
        if scores is None:
            last = Nodes("none_")
            last("Slice", "embedding", *(last.constant([number]) for number in (0, 0, 1)), output="scores")
            nodes, constants = [*nodes, *last.nodes], [*constants, *last.constants]
        graph = helper.make_graph(
            nodes,
            "foreign",
            [value("waveform", kind, ["batch", window_samples])],
            [
                value("scores", kind, ["batch", scores.width if scores else 0]),
                value("embedding", kind, ["batch", embedding.width]),
            ],
            constants,
        )
        return helper.make_model(graph, opset_imports=inner.opset_import, ir_version=IR_VERSION)

    def _leading_to(self, model: onnx.ModelProto, source: Source, names: Sequence[str], prefix: str) -> onnx.ModelProto:
        """What leads from the sound to some tensors.

        Raises:
            TaggerFileError: it takes more than the sound.
        """
        found = part(model, [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names)], prefix)
        given = {constant.name for constant in found.graph.initializer}
        needed = {value.name for value in found.graph.input} - given - {prefix + source.port.name}
        if needed:
            listed = ", ".join(sorted(name.removeprefix(prefix) for name in needed))
            raise TaggerFileError(
                f"{self.path}: to give {', '.join(names)}, {listed} is needed beside the sound in {source.port.name}. "
                f"{self} Export it so that the sound is enough."
            )
        return found


def _read(path: Path) -> onnx.ModelProto:
    """An ONNX file, with the weights that exporters like to put into another file beside it.

    Raises:
        TaggerFileError: it is not whole, or more than a tagger file can hold.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TaggerFileError(f"{path}: cannot be read ({error.strerror}). Give the path of an ONNX file.") from error
    try:
        model = onnx.load_model_from_string(content)
        outside = has_external_data(content)
    except (DecodeError, ValueError, IndexError, RecursionError) as error:
        raise TaggerFileError(f"{path}: is no ONNX file ({_first_line(error)}). Get or export it again.") from error
    if not model.graph.node:
        raise TaggerFileError(f"{path}: is no ONNX file with a graph. Get or export it again.")
    if outside:
        try:
            onnx.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise TaggerFileError(
                f"{path}: keeps its weights in another file, which cannot be read ({_first_line(error)}). "
                "Bring both, or export it as one, without external data."
            ) from error
    if model.ByteSize() > MOST_BYTES:
        raise TaggerFileError(f"{path}: holds more than the 2 GiB that a tagger file can. Take a smaller model.")
    return model


def _modern(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The same with the operators of a tagger file.

    Raises:
        TaggerFileError: it has others, or newer ones than can be brought down.
    """
    model = inliner.inline_local_functions(model)
    foreign = {opset.domain for opset in model.opset_import} - set(DOMAINS)
    used = sorted({f"{node.domain}.{node.op_type}" for node in every_node(model.graph) if node.domain in foreign})
    if used:
        raise TaggerFileError(
            f"{path}: has operators that are not ONNX's own ({', '.join(used[:3])}). "
            "Export it without those of one runtime."
        )
    versions = {opset.domain.removeprefix("ai.onnx"): opset.version for opset in model.opset_import}
    version = versions.get("", OPSET)
    learning = [helper.make_opsetid("ai.onnx.ml", versions[".ml"])] if ".ml" in versions else []
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", version), *learning])
    try:
        converted = model if version == OPSET else version_converter.convert_version(model, OPSET)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise TaggerFileError(
            f"{path}: its operator set {version} cannot be brought to {OPSET} ({_first_line(error)}). "
            f"Export it with opset {OPSET}."
        ) from error
    for opset in converted.opset_import:
        opset.version = ML_OPSET if opset.domain == "ai.onnx.ml" else OPSET
    return converted


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    lengths = tuple(
        dimension.dim_value
        if dimension.HasField("dim_value") and dimension.dim_value > 0
        else dimension.dim_param or "?"
        for dimension in tensor.shape.dim
    )
    return Port(value.name, lengths, tensor.elem_type)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
