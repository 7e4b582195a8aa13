"""A graph that others have exported becomes an embedder of the home folder, whatever its shapes, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from earmark.errors import ConfigError, TaggerFileError
from earmark.export.backbone import patch_graph
from earmark.export.graph import open_graph
from earmark.flows.adopt import adopt_onnx
from earmark.flows.pretrained import probes
from earmark.tagger import load_tagger, tag_files
from earmark.tagger.home import converted, present
from earmark.windows import Framing

RATE, N_SAMPLES, FRAME, WIDTH = 8000, 4000, 400, 6
FILTERS = np.random.default_rng(0).standard_normal((FRAME, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home folder of the test's own."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def frames_of(windows: np.ndarray) -> np.ndarray:
    """What every graph of these tests computes: (windows, frames, WIDTH)."""
    return np.maximum(windows.reshape(len(windows), -1, FRAME) @ FILTERS, 0)


class Made:
    """A foreign graph in the making: frames of FRAME samples through FILTERS, in the shapes asked for."""

    def __init__(self, shape: list, kind: int = TensorProto.FLOAT, opset: int = 17):
        self.opset, self.kind = opset, kind
        self.inputs = [helper.make_tensor_value_info("sound", kind, shape)]
        self.nodes, self.outputs = [], []
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        self.constants = [numpy_helper.from_array(FILTERS.astype(dtype), "filters")]

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes) -> Made:
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return self

    def reshape(self, source: str, shape: list[int], output: str) -> Made:
        self.constants.append(numpy_helper.from_array(np.array(shape), f"shape_of_{output}"))
        return self.node("Reshape", [source, f"shape_of_{output}"], output)

    def frames(self, shape: list[int], output: str = "frames") -> Made:
        """The frames, reshaped at last."""
        self.reshape("sound", [-1, FRAME], "cut").node("MatMul", ["cut", "filters"], "product")
        return self.node("Relu", ["product"], "heard").reshape("heard", shape, output)

    def gives(self, name: str, shape: list, kind: int | None = None) -> Made:
        self.outputs.append(helper.make_tensor_value_info(name, kind or self.kind, shape))
        return self

    def save(self, path: Path, **options) -> Path:
        graph = helper.make_graph(self.nodes, "made", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset), *options.get("opsets", [])]
        functions = options.get("functions", [])
        path.write_bytes(
            helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions).SerializeToString()
        )
        return path


N_FRAMES = N_SAMPLES // FRAME
SHAPES = {  # input, reshape of the frames, shape of the output, axis with the features that must be told
    "samples to features by frame": ([N_SAMPLES], [-1, WIDTH], ["frames", WIDTH], None),
    "any number of samples": (["samples"], [-1, WIDTH], ["frames", WIDTH], None),
    "a batch of exactly one": ([1, N_SAMPLES], [1, -1, WIDTH], [1, N_FRAMES, WIDTH], None),
    "a batch of one that is lost": ([1, N_SAMPLES], [-1, WIDTH], ["frames", WIDTH], None),
    "free batch": (["batch", N_SAMPLES], [-1, N_FRAMES, WIDTH], ["batch", N_FRAMES, WIDTH], None),
    "free batch and length": (["batch", "samples"], [-1, N_FRAMES, WIDTH], ["batch", "time", WIDTH], None),
    "a channel": (["batch", 1, "samples"], [-1, N_FRAMES, WIDTH], ["batch", "time", WIDTH], None),
    "free channels": (["batch", "channels", "samples"], [-1, N_FRAMES, WIDTH], ["batch", "time", WIDTH], None),
    "samples before the channel": (["batch", N_SAMPLES, 1], [-1, N_FRAMES, WIDTH], ["batch", N_FRAMES, WIDTH], None),
    "four axes": (["batch", N_SAMPLES], [-1, 2, N_FRAMES // 2, WIDTH], ["b", 2, N_FRAMES // 2, WIDTH], None),
    "the axis is told": (["batch", N_SAMPLES], [-1, N_FRAMES, WIDTH, 1], ["b", "t", WIDTH, 1], 2),
    "the fixed axis": (["batch", "samples"], [-1, N_FRAMES, WIDTH, 1], ["b", "t", WIDTH, "u"], None),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_every_shape_becomes_one_vector_per_window(tmp_path, shapes):
    takes, reshaped, gives, axis = shapes
    file = Made(takes).frames(reshaped).gives("frames", gives).save(tmp_path / "theirs.onnx")
    assert adopt_onnx(file, "theirs", RATE, N_SAMPLES / RATE, axis=axis) == converted("theirs")
    windows = np.random.default_rng(1).uniform(-1, 1, (5, N_SAMPLES)).astype(np.float32)
    scores, embeddings = load_tagger("theirs").backend.run(windows)
    np.testing.assert_allclose(embeddings, frames_of(windows).mean(axis=1), atol=1e-4)
    assert scores.shape == (5, 0)
    assert present() == ["theirs"]


def test_only_where_it_must_a_loop_takes_one_window_at_a_time(tmp_path):
    free = Made(["batch", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH]).gives("frames", ["batch", N_FRAMES, WIDTH])
    fixed = Made(["batch", N_SAMPLES]).frames([1, -1, WIDTH]).gives("frames", ["batch", "time", WIDTH])
    loops = []
    for name, made in (("free", free), ("fixed", fixed)):  # "fixed" says that its batch is free, which it is not
        adopt_onnx(made.save(tmp_path / f"{name}.onnx"), name, RATE)
        loops.append("Scan" in {node.op_type for node in onnx.load(converted(name)).graph.node})
    assert loops == [False, True]
    windows = probes(N_SAMPLES, RATE)
    expected = load_tagger("free").backend.run(windows)[1]
    np.testing.assert_allclose(load_tagger("fixed").backend.run(windows)[1], expected, atol=1e-5)


def test_numbers_of_half_and_double_precision_are_cast(tmp_path):
    windows = probes(N_SAMPLES, RATE)
    for name, kind, tolerance in (("half", TensorProto.FLOAT16, 0.1), ("double", TensorProto.DOUBLE, 1e-4)):
        made = Made(["b", N_SAMPLES], kind).frames([-1, N_FRAMES, WIDTH]).gives("frames", ["b", N_FRAMES, WIDTH])
        adopt_onnx(made.save(tmp_path / "theirs.onnx"), name, RATE)
        found = load_tagger(name).backend.run(windows)[1]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, frames_of(windows).mean(axis=1), atol=tolerance)


def test_old_operators_and_functions_become_those_of_a_tagger_file(tmp_path):
    made = Made(["b", N_SAMPLES], opset=11).frames([-1, N_FRAMES, WIDTH])
    made.node("ReduceMean", ["frames"], "mean", axes=[1], keepdims=0).gives("mean", ["b", WIDTH])
    adopt_onnx(made.save(tmp_path / "old.onnx"), "old", RATE)
    twice = helper.make_function(
        "their.own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    made = Made(["b", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH]).node("Twice", ["frames"], "two", domain="their.own")
    made.gives("two", ["b", N_FRAMES, WIDTH])
    opsets = [helper.make_opsetid("their.own", 1)]
    adopt_onnx(made.save(tmp_path / "new.onnx", opsets=opsets, functions=[twice]), "new", RATE)
    windows = probes(N_SAMPLES, RATE)
    old, new = (load_tagger(name).backend.run(windows)[1] for name in ("old", "new"))
    np.testing.assert_allclose(2 * old, new, rtol=1e-4)
    assert [opset.version for opset in onnx.load(converted("old")).opset_import] == [20]


def two_outputs(path: Path) -> Path:
    """Scores as logits and an embedding by frame, as bird classifiers have them."""
    made = Made(["batch", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH])
    made.node("ReduceMean", ["frames"], "centred", axes=[1], keepdims=0).node("Neg", ["centred"], "label")
    return made.gives("label", ["batch", WIDTH]).gives("frames", ["batch", N_FRAMES, WIDTH]).save(path)


def test_with_labels_it_tags_as_well(tmp_path):
    names = tmp_path / "labels.txt"
    names.write_text("".join(f"bird {number}\n" for number in range(WIDTH)), encoding="utf-8")
    adopt_onnx(two_outputs(tmp_path / "x.onnx"), "birds", RATE, output="frames", scores="label", labels=names)
    windows = probes(N_SAMPLES, RATE)
    scores, embeddings = load_tagger("birds").backend.run(windows)
    mean = frames_of(windows).mean(axis=1)
    np.testing.assert_allclose(embeddings, mean, atol=1e-5)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(mean)), atol=1e-5)
    tagger = load_tagger("birds")
    assert tagger.labels == tuple(f"bird {number}" for number in range(WIDTH))
    assert tagger.metadata.multi_label


def test_scores_that_sum_to_one_exclude_one_another(tmp_path):
    made = Made(["batch", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH])
    made.node("ReduceMean", ["frames"], "mean", axes=[1], keepdims=0).node("Softmax", ["mean"], "p", axis=1)
    table = tmp_path / "labels.csv"
    rows = "".join(f'{number},/m/{number},"sort {number}, brown"\n' for number in range(WIDTH))
    table.write_text("index,mid,display_name\n" + rows, encoding="utf-8")
    adopt_onnx(made.gives("p", ["batch", WIDTH]).save(tmp_path / "x.onnx"), "sorts", RATE, labels=table)
    tagger = load_tagger("sorts")
    assert not tagger.metadata.multi_label
    assert tagger.labels[0] == "sort 0, brown"
    np.testing.assert_allclose(tagger.backend.run(probes(N_SAMPLES, RATE))[0].sum(axis=1), 1, atol=1e-5)


def test_an_inner_tensor_can_be_the_embedding(tmp_path):
    adopt_onnx(two_outputs(tmp_path / "x.onnx"), "inner", RATE, output="centred")
    windows = probes(N_SAMPLES, RATE)
    found = load_tagger("inner").backend.run(windows)[1]
    np.testing.assert_allclose(found, frames_of(windows).mean(axis=1), atol=1e-5)


def test_the_file_says_what_it_is_made_of_and_that_its_licence_is_unknown(tmp_path):
    adopt_onnx(two_outputs(tmp_path / "x.onnx"), "inner", RATE, hop_seconds=0.1, output="frames")
    metadata = load_tagger("inner").metadata
    assert (metadata.sample_rate, metadata.window_seconds, metadata.hop_seconds) == (RATE, 0.5, 0.1)
    assert metadata.trained_on["adopted"] == "x.onnx"
    assert len(metadata.trained_on["sha256"]) == 64
    assert metadata.trained_on["embedding"] == f"frames (batch, {N_FRAMES}, {WIDTH}), mean over axis 1"
    assert metadata.licences == ("unknown: ask whoever published x.onnx",)


def test_what_only_embeds_says_so_when_asked_to_tag(tmp_path):
    adopt_onnx(two_outputs(tmp_path / "x.onnx"), "inner", RATE, output="frames")
    from earmark import audio

    audio.write(tmp_path / "a.wav", probes(N_SAMPLES, RATE)[0], RATE)
    scores, vectors = load_tagger("inner").embed(tmp_path / "a.wav")
    assert vectors.shape == (len(scores), WIDTH)
    assert "Tagger inner: no labels, only embeds" in repr(load_tagger("inner"))
    with pytest.raises(TaggerFileError, match="inner: only embeds, its file names no labels to tag with"):
        load_tagger("inner").tag(tmp_path / "a.wav")
    with pytest.raises(TaggerFileError, match="inner: only embeds"):  # before anything is written of the tags
        tag_files(load_tagger("inner"), [])


@pytest.mark.parametrize("looped", [False, True])
def test_an_adopted_file_is_a_backbone(tmp_path, looped):
    takes = [1, N_SAMPLES] if looped else ["batch", N_SAMPLES]
    made = Made(takes).frames([-1, N_FRAMES, WIDTH]).gives("frames", [takes[0], N_FRAMES, WIDTH])
    adopt_onnx(made.save(tmp_path / "x.onnx"), "theirs", RATE)
    patch, windows = (
        Framing(RATE, N_SAMPLES, 1500, "repeat"),
        np.float32(np.random.default_rng(2).normal(size=(2, 9000))),
    )
    graph = patch_graph(onnx.load(converted("theirs")), patch, 9000)
    (sequence,) = open_graph(graph).run(["sequence"], {"waveform": windows})
    expected = [frames_of(patch.cut(window)).mean(axis=1) for window in windows]
    np.testing.assert_allclose(sequence, expected, atol=1e-4)


def refused(tmp_path: Path, made: Made | Path, expected: str, error: type = TaggerFileError, **options) -> None:
    file = made if isinstance(made, Path) else made.save(tmp_path / "theirs.onnx")
    with pytest.raises(error, match=expected):
        adopt_onnx(file, **({"name": "theirs", "sample_rate": RATE} | options))
    assert present() == []


def plain() -> Made:
    return Made(["batch", "samples"]).frames([-1, N_FRAMES, WIDTH]).gives("frames", ["batch", "time", WIDTH])


def test_wrong_choices_list_inputs_and_outputs_with_their_shapes(tmp_path):
    listing = r"It takes sound \(batch, 4000\) and gives label \(batch, 6\), frames \(batch, 10, 6\)\."
    both = two_outputs(tmp_path / "both.onnx")
    refused(tmp_path, both, rf"has 2 outputs\. {listing} Name the one to embed with: --output")
    refused(tmp_path, both, rf"has no output 'frame' \(did you mean 'frames'\?\)\. {listing}", output="frame")
    refused(tmp_path, both, rf"has no input 'sounds' \(did you mean 'sound'\?\)\. {listing}", input="sounds")
    refused(
        tmp_path,
        both,
        r"frames has no axis 3 with features \(of one window its shape is \(1, 10, 6\)\)",
        output="frames",
        axis=3,
    )
    refused(tmp_path, both, r"frames has no axis 0 with features", output="frames", axis=0)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (["batch", 2, "samples"], TensorProto.FLOAT),
        (["batch", 128, 1000], TensorProto.FLOAT),
        (["batch", 1], TensorProto.FLOAT),
        (["batch", "samples"], TensorProto.INT32),
    ],
)
def test_what_takes_no_waveform_is_refused(tmp_path, shape, kind):
    made = Made(shape)
    made.inputs[0] = helper.make_tensor_value_info("sound", kind, shape)
    made.node("Cast", ["sound"], "x", to=TensorProto.FLOAT).gives("x", shape)
    refused(tmp_path, made, r"cannot take a waveform \(expected floating-point numbers, shaped \(samples\)")


def test_a_batch_of_a_fixed_number_is_refused(tmp_path):
    made = Made([4, N_SAMPLES]).frames([-1, N_FRAMES, WIDTH]).gives("frames", [4, N_FRAMES, WIDTH])
    refused(tmp_path, made, "takes 4 windows at once, no more and no fewer")


def test_the_window_must_be_known_and_fit(tmp_path):
    refused(tmp_path, plain(), "takes windows of any length. Give one in --window", ConfigError)
    refused(tmp_path, plain(), r"fails on a window of the shape \(1, 3999\)", window_seconds=3999 / RATE)
    fixed = Made(["batch", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH]).gives("frames", ["batch", N_FRAMES, WIDTH])
    refused(tmp_path, fixed, "takes 4000 samples, and 1 s at 8000 Hz are 8000. Leave out --window", window_seconds=1.0)


def test_other_inputs_must_not_be_needed(tmp_path):
    made = plain()
    made.inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "time", WIDTH]))
    made.node("Mul", ["frames", "mask"], "masked").gives("masked", ["batch", "time", WIDTH])
    refused(tmp_path, made, "has 2 inputs. .* Name the sound's with --input", output="frames")
    options = {"input": "sound", "window_seconds": 0.5}
    refused(tmp_path, made, "to give masked, mask is needed beside the sound in sound", output="masked", **options)
    adopt_onnx(tmp_path / "theirs.onnx", "theirs", RATE, output="frames", **options)
    assert present() == ["theirs"]


def test_names_that_cannot_be_names_are_refused(tmp_path):
    for name in ("", "../up", "a/b", ".hidden", "two words"):
        refused(tmp_path, plain(), "a name has letters, digits", ConfigError, name=name)
    refused(tmp_path, plain(), "yamnet: is the name of a published network", ConfigError, name="yamnet")


def test_labels_must_be_as_many_as_some_outputs_numbers(tmp_path):
    names = tmp_path / "labels.txt"
    both, options = two_outputs(tmp_path / "both.onnx"), {"labels": names, "output": "frames"}
    refused(tmp_path, both, r"labels\.txt: cannot be read as text", ConfigError, **options)
    names.write_text("a\na\n")
    refused(tmp_path, both, "has 2 names, 1 different", ConfigError, **options)
    names.write_text("a\nb\n")
    refused(tmp_path, both, r"0 outputs have as many numbers as there are labels, 2 \(label: 6, frames: 6\)", **options)
    names.write_text("a\nb\nc\nd\ne\nf\n")
    refused(tmp_path, both, "2 outputs have as many numbers as there are labels, 6", **options)


def test_files_that_are_no_graph_of_plain_operators_are_refused(tmp_path):
    refused(tmp_path, tmp_path / "absent.onnx", r"absent\.onnx: cannot be read")
    for content in (b"<!doctype html>", b"", b"\x08"):
        (tmp_path / "page.onnx").write_bytes(content)
        refused(tmp_path, tmp_path / "page.onnx", "is no ONNX file")
    gelu = plain().node("Gelu", ["frames"], "x", domain="com.microsoft").gives("x", ["b", "t", WIDTH])
    file = gelu.save(tmp_path / "x.onnx", opsets=[helper.make_opsetid("com.microsoft", 1)])
    refused(tmp_path, file, r"has operators that are not ONNX's own \(com\.microsoft\.Gelu\)")
    newer = Made(["batch", N_SAMPLES], opset=23).frames([-1, N_FRAMES, WIDTH])
    newer.node("RMSNormalization", ["frames", "one"], "x", axis=-1).gives("x", ["batch", N_FRAMES, WIDTH])
    newer.constants.append(numpy_helper.from_array(np.ones(WIDTH, np.float32), "one"))
    refused(tmp_path, newer, "its operator set 23 cannot be brought to 20")


def test_weights_in_a_file_beside_it_are_taken_along(tmp_path):
    model = onnx.load(plain().save(tmp_path / "x.onnx"))
    onnx.save(model, tmp_path / "y.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    adopt_onnx(tmp_path / "y.onnx", "theirs", RATE, 0.5)
    (tmp_path / "weights.bin").unlink()
    windows = probes(N_SAMPLES, RATE)
    found = load_tagger("theirs").backend.run(windows)[1]
    np.testing.assert_allclose(found, frames_of(windows).mean(axis=1), atol=1e-5)
    converted("theirs").unlink()
    refused(tmp_path, tmp_path / "y.onnx", "keeps its weights in another file, which cannot be read", name="other")


def test_weights_are_not_taken_from_elsewhere(tmp_path):
    (tmp_path / "inner").mkdir()
    model = onnx.load(plain().save(tmp_path / "x.onnx"))
    onnx.save(model, tmp_path / "inner" / "y.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    (tmp_path / "inner" / "w.bin").rename(tmp_path / "w.bin")
    content = (tmp_path / "inner" / "y.onnx").read_bytes()
    (tmp_path / "inner" / "y.onnx").write_bytes(content.replace(b"\x05w.bin", b"\x05../wb"))
    (tmp_path / "w.bin").rename(tmp_path / "wb")
    refused(tmp_path, tmp_path / "inner" / "y.onnx", "keeps its weights in another file, which cannot be read")


def test_more_than_a_file_can_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.export.foreign.MOST_BYTES", 100)
    refused(tmp_path, plain(), "holds more than the 2 GiB that a tagger file can")


def test_what_gives_other_numbers_afterwards_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.flows.adopt.TOLERANCE", -1.0)
    refused(tmp_path, plain(), "it does not give what it gave .its numbers differ by", window_seconds=0.5)
    made = Made(["batch", N_SAMPLES]).frames([-1, N_FRAMES, WIDTH]).node("Log", ["frames"], "x")
    refused(tmp_path, made.gives("x", ["batch", N_FRAMES, WIDTH]), "its numbers differ by inf")
