"""Make the test vectors of docs/tagger-file.md: small taggers, two sounds, and what a reader must find.

    python docs/tagger-file/make_vectors.py [FOLDER]

Needs onnx, scikit-learn and skl2onnx. The kinds are the ways in which a tagger can be built, then those in which it can
hear; each has the same three labels and hears 8 kHz in windows of half a second. Nothing is learned: the weights are
drawn. The folder joins two of the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import wave
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from read_tagger import read_tagger
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestRegressor

HERE = Path(__file__).parent
SAMPLE_RATE, WINDOW, N_FFT, HOP_LENGTH, N_MELS = 8000, 4000, 256, 128, 12
LABELS = ["tone, low", "tone, high", "noise"]
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]


class Graph:
    """Nodes and constants as they are appended; every call returns the name of the node's output."""

    def __init__(self, prefix: str = ""):
        self.prefix, self.nodes, self.constants = prefix, [], []

    def constant(self, values: np.ndarray | list) -> str:
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def __call__(self, operator: str, *inputs: str, output: str | None = None, **attributes) -> str:
        name = output or f"{self.prefix}n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(self, n_features: int, n_samples: int | str = WINDOW) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        outputs = [value("scores", TensorProto.FLOAT, ["batch", len(LABELS)])]
        outputs.append(value("embedding", TensorProto.FLOAT, ["batch", n_features]))
        graph = helper.make_graph(
            self.nodes,
            "tagger",
            [value("waveform", TensorProto.FLOAT, ["batch", n_samples])],
            outputs,
            self.constants,
        )
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=10)


def log_bands(graph: Graph, waveform: str, reduce: bool = True) -> str:
    """Log power in N_MELS equal bands: (batch, frames, bands), or its mean over frames (batch, bands)."""
    n_bins = N_FFT // 2 + 1
    bands = np.zeros((n_bins, N_MELS))
    bands[np.arange(n_bins), np.arange(n_bins) * N_MELS // n_bins] = 1.0
    signal = graph("Unsqueeze", waveform, graph.constant(np.array([2])))
    spectrum = graph(
        "STFT",
        signal,
        graph.constant(np.array(HOP_LENGTH)),
        graph.constant(np.hanning(N_FFT + 1)[:-1]),
        onesided=1,
    )
    power = graph("ReduceSumSquare", spectrum, graph.constant(np.array([-1])), keepdims=0)
    floored = graph("Add", graph("MatMul", power, graph.constant(bands)), graph.constant([1e-4]))
    log = graph("Log", floored)
    return graph("ReduceMean", log, graph.constant(np.array([1])), keepdims=0) if reduce else log


def head(
    graph: Graph, features: str, n_features: int, seed: int, activation: str, output: str | None = None
) -> str:
    """A linear layer with weights drawn from `seed`, then "Sigmoid" or "Softmax"."""
    draw = np.random.default_rng(seed)
    weights = graph.constant(draw.normal(0, 1 / n_features, (n_features, len(LABELS))))
    logits = graph("Gemm", features, weights, graph.constant(draw.normal(0, 0.3, len(LABELS))))
    return graph(activation, logits, output=output)


def cnn() -> onnx.ModelProto:
    """Log-bands as an image, a convolution, its mean: the embedding; a linear head."""
    graph = Graph()
    image = graph("Unsqueeze", log_bands(graph, "waveform", reduce=False), graph.constant(np.array([1])))
    kernels = graph.constant(np.random.default_rng(1).normal(0, 0.3, (8, 1, 3, 3)))
    convolved = graph("Relu", graph("Conv", image, kernels, pads=[1, 1, 1, 1]))
    pooled = graph("GlobalAveragePool", convolved)
    graph("Flatten", pooled, output="embedding")
    head(graph, "embedding", 8, 2, "Sigmoid", output="scores")
    return graph.model(8)


def patches() -> onnx.ModelProto:
    """The window cut into four patches inside the graph, one embedding each, their mean, a linear head."""
    graph = Graph()
    cut = graph("Reshape", "waveform", graph.constant(np.array([-1, WINDOW // 4])))
    embedded = graph("Tanh", log_bands(graph, cut))
    together = graph("Reshape", embedded, graph.constant(np.array([-1, 4, N_MELS])))
    graph("ReduceMean", together, graph.constant(np.array([1])), keepdims=0, output="embedding")
    head(graph, "embedding", N_MELS, 3, "Softmax", output="scores")
    return graph.model(N_MELS)


def ensemble() -> onnx.ModelProto:
    """Two heads on two front ends in one graph: the mean of their scores, their features side by side."""
    graph = Graph()
    first, second = log_bands(graph, "waveform"), log_bands(graph, graph("Neg", graph("Abs", "waveform")))
    scores = [head(graph, first, N_MELS, 4, "Sigmoid"), head(graph, second, N_MELS, 5, "Sigmoid")]
    graph("Mean", *scores, output="scores")
    graph("Concat", first, second, axis=1, output="embedding")
    return graph.model(2 * N_MELS)


def calibrated() -> onnx.ModelProto:
    """A linear head whose window scores are calibrated in the graph (Platt: a scale and a bias per class)."""
    graph = Graph()
    graph("Identity", log_bands(graph, "waveform"), output="embedding")
    draw = np.random.default_rng(6)
    weights = graph.constant(draw.normal(0, 1 / N_MELS, (N_MELS, len(LABELS))))
    logits = graph("Gemm", "embedding", weights)
    scaled = graph("Mul", logits, graph.constant([0.8, 1.1, 0.9]))
    graph("Sigmoid", graph("Add", scaled, graph.constant([-0.4, 0.2, 0.1])), output="scores")
    return graph.model(N_MELS)


def unsure() -> onnx.ModelProto:
    """Two softmaxes averaged; their scores calibrated in the graph by a temperature, as a mean of networks is."""
    graph = Graph()
    graph("Identity", log_bands(graph, "waveform"), output="embedding")
    mean = graph("Mean", *(head(graph, "embedding", N_MELS, seed, "Softmax") for seed in (10, 11)))
    inside = graph("Clip", mean, graph.constant(1e-7), graph.constant(1 - 1e-7))
    graph("Softmax", graph("Mul", graph("Log", inside), graph.constant(1 / 0.6)), axis=-1, output="scores")
    return graph.model(N_MELS)


def ends() -> onnx.ModelProto:
    """A linear head on log-bands, for windows at start, middle and end."""
    graph = Graph()
    graph("Identity", log_bands(graph, "waveform"), output="embedding")
    head(graph, "embedding", N_MELS, 7, "Sigmoid", output="scores")
    return graph.model(N_MELS)


def lengths() -> onnx.ModelProto:
    """The same for windows of any length; another head."""
    graph = Graph()
    graph("Identity", log_bands(graph, "waveform"), output="embedding")
    head(graph, "embedding", N_MELS, 8, "Sigmoid", output="scores")
    return graph.model(N_MELS, "samples")


def full() -> onnx.ModelProto:
    """The same for recordings as a whole; another head."""
    graph = Graph()
    graph("Identity", log_bands(graph, "waveform"), output="embedding")
    head(graph, "embedding", N_MELS, 9, "Softmax", output="scores")
    return graph.model(N_MELS, "samples")


def forest() -> onnx.ModelProto:
    """A random forest (one TreeEnsembleRegressor: scores are leaf fractions) behind in-graph features."""
    front = Graph("front_")
    log_bands_mean = log_bands(front, "waveform")
    front("Identity", log_bands_mean, output="embedding")
    front.nodes.append(helper.make_node("Identity", ["embedding"], ["features"]))
    model = front.model(N_MELS)
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", N_MELS])
    del model.graph.output[:]
    model.graph.output.extend(
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", N_MELS]), features]
    )

    draw = np.random.default_rng(7)
    centres = draw.normal(0, 2, (len(LABELS), N_MELS))
    targets = np.arange(90) % len(LABELS)
    examples = (centres[targets] + draw.normal(0, 2, (90, N_MELS))).astype(np.float32)
    trees = RandomForestRegressor(5, max_depth=4, random_state=0).fit(examples, np.eye(len(LABELS))[targets])
    converted = to_onnx(
        trees,
        initial_types=[("features", FloatTensorType([None, N_MELS]))],
        target_opset={"": 20, "ai.onnx.ml": 3},
    )
    converted = compose.add_prefix(converted, "forest_")
    for part in (
        model,
        converted,
    ):  # merge_models refuses parts that differ in either, and repeats the imports
        part.ir_version = 10
        del part.opset_import[:]
        part.opset_import.extend(OPSETS)
    merged = compose.merge_models(
        model,
        converted,
        io_map=[("features", converted.graph.input[0].name)],
        outputs=["embedding", converted.graph.output[0].name],
    )
    # Float32 leaf fractions may add up to a little over one.
    limits = [numpy_helper.from_array(np.float32(limit), name) for limit, name in ((0, "zero"), (1, "one"))]
    merged.graph.initializer.extend(limits)
    merged.graph.node.append(
        helper.make_node("Clip", [converted.graph.output[0].name, "zero", "one"], ["scores"])
    )
    merged.graph.output[1].CopyFrom(
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(LABELS)])
    )
    del merged.opset_import[:]
    merged.opset_import.extend(OPSETS)
    return merged


def document(name: str) -> dict:
    """The metadata of one kind; between them they say everything that can be said."""
    common = {
        "format": "earmark-tagger",
        "format_version": 1,
        "name": name,
        "labels": LABELS,
        "sample_rate": SAMPLE_RATE,
        "window_seconds": WINDOW / SAMPLE_RATE,
        "hop_seconds": 0.25,
        "multi_label": True,
        "padding": "repeat",
        "pool": "mean",
        "views": "sliding",
        "thresholds": {"window": [0.5, 0.5, 0.5], "clip": [0.5, 0.5, 0.5]},
        "calibration": {"window": None, "clip": None},
        "clip_seconds_max": None,
        "trained_on": {"description": "nothing: a test vector"},
        "scores": {},
        "versions": {"onnx": onnx.__version__},
        "licences": ["CC0-1.0"],
    }
    differences = {
        "cnn": {"pool": "max", "thresholds": {"window": [0.4, 0.5, 0.6], "clip": [0.5, 0.55, 0.6]}},
        "forest": {"padding": "zeros", "thresholds": {"window": [0.3] * 3, "clip": [0.35] * 3}},
        "patches": {
            "multi_label": False,
            "hop_seconds": 0.5,
            "thresholds": {"window": [0.0] * 3, "clip": [0.0] * 3},
            "calibration": {"window": None, "clip": {"kind": "temperature", "temperature": 0.5}},
        },
        "ensemble": {
            "hop_seconds": 0.7,  # longer than the window: some sound is not heard
            "calibration": {"window": None, "clip": {"kind": "temperature", "temperature": 2.0}},
        },
        "calibrated": {
            "clip_seconds_max": 1.0,
            "calibration": {
                "window": None,
                "clip": {"kind": "platt", "scale": [1.5, 0.7, 1.0], "bias": [0.1, -0.3, 0.0]},
            },
            "an_extra_field": "readers pass over what they do not know",
        },
        "unsure": {
            "format_version": 3,
            "multi_label": False,
            "thresholds": {"window": [0.4, None, 0.0], "clip": [None, 0.4, 0.45]},
            "calibration": {"window": None, "clip": {"kind": "temperature", "temperature": 1.25}},
        },
        "ends": {"format_version": 2, "views": "ends", "padding": "zeros", "pool": "geometric"},
        "lengths": {"format_version": 2, "views": "lengths", "view_seconds": [0.25, 0.5, 1.0]},
        "full": {"format_version": 2, "views": "full", "multi_label": False},
    }
    return common | differences.get(name, {})


def write_sounds(folder: Path) -> None:
    """short.wav is shorter than a window (0.3 s); long.wav ends between two hops (1.93 s)."""
    draw = np.random.default_rng(0)
    for name, seconds in (("short", 0.3), ("long", 1.93)):
        time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * (300 + 700 * time) * time)
        samples = 0.4 * tone * (time < 1.2) + 0.1 * draw.normal(size=len(time)) * (time > 0.8)
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def write_together(folder: Path) -> Path:
    """together.tagger/: two of the files, whose windows lie differently, and a manifest."""
    inside = folder / "together.tagger"
    inside.mkdir(exist_ok=True)
    members = []
    for name in ("calibrated", "lengths"):
        shutil.copyfile(folder / f"{name}.tagger.onnx", inside / f"{name}.tagger.onnx")
        content = (inside / f"{name}.tagger.onnx").read_bytes()
        members.append({"file": f"{name}.tagger.onnx", "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {
        "format": "earmark-tagger-folder",
        "format_version": 2,
        "tagger": document("together"),
        "members": members,
        "rows": 0,
        "combination": {"kind": "mean", "weights": [[0.25, 0.5, 1.0], [0.75, 0.5, 0.0]]},
    }
    (inside / "manifest.json").write_text(json.dumps(manifest) + "\n", encoding="utf-8")
    return inside


def main(folder: Path) -> None:
    """Write the taggers, the JSON that a web page reads beside them, the sounds and expected.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sounds(folder)
    expected = {}
    for build in (cnn, forest, patches, ensemble, calibrated, unsure, ends, lengths, full):
        name = build.__name__
        model, text = build(), json.dumps(document(name))
        helper.set_model_props(model, {"earmark": text})
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.tagger.onnx")
        (folder / f"{name}.tagger.json").write_text(text + "\n", encoding="utf-8")
        for sound in ("short.wav", "long.wav"):
            expected[f"{name} {sound}"] = read_tagger(folder / f"{name}.tagger.onnx", folder / sound)
    together = write_together(folder)
    for sound in ("short.wav", "long.wav"):
        expected[f"together {sound}"] = read_tagger(together, folder / sound)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
