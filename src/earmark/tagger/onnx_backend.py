"""A tagger file in ONNX Runtime, on the CPU.

A tagger comes from anywhere, so nothing in it may reach out: custom operators are not registered, and a graph
that keeps numbers outside its file (ONNX "external data": a path, or even an address in memory) is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from earmark.errors import TaggerFileError
from earmark.tagger.metadata import METADATA_KEY

ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
INPUT, SCORES, EMBEDDING, STEPS = "waveform", "scores", "embedding", "patch_scores"


class OnnxBackend:
    """One ONNX Runtime session.

    Args:
        path: the tagger file.
        threads: that one call may use inside the graph.

    Raises:
        TaggerFileError: there is no such file, it is no ONNX file, it reaches out of itself, or is no tagger.
    """

    def __init__(self, path: Path, threads: int = 1):
        self._session = _open(Path(path), threads)
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        if list(inputs) != [INPUT] or SCORES not in outputs or EMBEDDING not in outputs:
            raise TaggerFileError(
                f"{path}: takes {', '.join(inputs)} and gives {', '.join(outputs)} "
                f"(expected {INPUT} → {SCORES}, {EMBEDDING}). Export it with Earmark."
            )
        for name, shape in ((INPUT, inputs[INPUT]), *((name, outputs[name]) for name in (SCORES, EMBEDDING))):
            if len(shape) != 2 or isinstance(shape[0], int):
                raise TaggerFileError(
                    f"{path}: {name} has the shape {shape} "
                    "(expected two dimensions, the first free for a batch). Export it with a dynamic batch."
                )
        try:
            properties = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise TaggerFileError(
                f"{path}: its metadata is not UTF-8 text. Copy or export it again."
            ) from error
        if METADATA_KEY not in properties:
            raise TaggerFileError(
                f"{path}: is an ONNX file without the metadata '{METADATA_KEY}', so it is no tagger. "
                "Give a file that `earmark train` wrote."
            )
        self.metadata_json = properties[METADATA_KEY]
        self.input_samples = _fixed(inputs[INPUT][1])
        self.n_classes = _fixed(outputs[SCORES][1])
        self._has_steps = STEPS in outputs

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows float32 (batch, window_samples) → scores (batch, classes), embedding (batch, features).

        Raises:
            TaggerFileError: the graph fails.
        """
        scores, embedding = self._run([SCORES, EMBEDDING], windows)
        return scores, embedding

    def run_steps(self, windows: np.ndarray) -> np.ndarray:
        """Windows float32 (batch, window_samples) → scores of their steps (batch, steps, classes).

        Raises:
            TaggerFileError: the graph fails, or does not answer step by step.
        """
        if not self._has_steps:
            raise TaggerFileError(
                f"tagger: answers for whole windows, and has no scores of their steps ({STEPS}). Networks with the "
                "head attention have them, as crnn does, and attention and gru on another network. Leave out the steps."
            )
        return self._run([STEPS], windows)[0]

    def _run(self, outputs: list[str], windows: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(outputs, {INPUT: windows})
        except ORT_ERRORS as error:
            raise TaggerFileError(
                f"tagger: its graph fails on windows of shape {windows.shape} ({_first_line(error)}). "
                "Export it again."
            ) from error


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """The session of a file, from its bytes alone: ONNX Runtime never learns where the file stands."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise TaggerFileError(f"{path}: there is no such file. Check the path of the tagger.") from error
    except OSError as error:
        raise TaggerFileError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a tagger file."
        ) from error
    not_onnx = f"{path}: is not an ONNX file that can be loaded"
    try:
        outside = has_external_data(content)
    except (ValueError, IndexError, RecursionError) as error:
        raise TaggerFileError(f"{not_onnx} ({error}). Copy or export it again.") from error
    if outside:
        raise TaggerFileError(
            f"{path}: keeps part of itself in other files, and a tagger must be one file. "
            "Export it without external data."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        raise TaggerFileError(f"{not_onnx} ({_first_line(error)}). Copy or export it again.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _fixed(dimension: int | str | None) -> int | None:
    """A dimension's size; None where the graph leaves it free."""
    return dimension if isinstance(dimension, int) else None


# Where tensors can stand in an ONNX file: message → field number → message (onnx.proto). A tensor is outside
# if it has entries in `external_data` (13) or its `data_location` (14) is set to EXTERNAL.
_MESSAGES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def has_external_data(content: bytes) -> bool:
    """Whether an ONNX file has a tensor whose numbers lie outside it.

    Raises:
        ValueError, IndexError, RecursionError: the bytes are no protobuf message.
    """
    # Every entry of external data has the key "location"; without that word the slow walk is needless.
    return b"location" in content and _is_external(memoryview(content), "model")


def _is_external(message: memoryview, kind: str) -> bool:
    children = _MESSAGES.get(kind, {})
    for number, value in _fields(message):
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
            return True
        child = children.get(number)
        if child and isinstance(value, memoryview) and _is_external(value, child):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values (a number, or the bytes of a text or message) of one protobuf message.

    Source: https://protobuf.dev/programming-guides/encoding
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire, size = key & 7, 0
        if wire == 0:
            value, position = _varint(message, position)
        elif wire == 2:
            size, position = _varint(message, position)
            value = message[position : position + size]
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value = message[position : position + size]
        else:
            raise ValueError("its bytes are no protobuf message")
        position += size
        if position > len(message):
            raise ValueError("it is cut off")
        yield key >> 3, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
