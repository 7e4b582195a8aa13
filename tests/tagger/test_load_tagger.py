"""What load_tagger refuses, and what a tagger file cannot do."""

from pathlib import Path

import numpy as np
import pytest

from earmark.errors import ConfigError, TaggerFileError
from earmark.tagger import load_tagger
from earmark.tagger.onnx_backend import has_external_data

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"


def test_repr_tells_labels_rate_window_training_score_and_size(edit_onnx):
    trained_on = {"n_clips": 400, "clips": "AAec" * 400}
    path = edit_onnx(trained_on=trained_on, scores={"accuracy": {"value": 0.9123}, "lwlrap": 0.95})
    shown = repr(load_tagger(path))
    for part in (
        "cnn: 3 labels",
        "tone, low",
        "8000 Hz",
        "0.5 s",
        "0.25 s",
        "n_clips 400",
        "accuracy 0.912",
        "MB",
    ):
        assert part in shown
    assert "lwlrap 0.95" in shown
    assert "AAec" not in shown  # the clips' hashes are for `evaluate`


@pytest.mark.parametrize("path", ["absent.tagger.onnx", "folder.tagger.onnx"])
def test_a_path_without_a_file_is_refused(tmp_path, path):
    (tmp_path / "folder.tagger.onnx").mkdir()
    with pytest.raises(TaggerFileError, match="there is no such file|is a folder without a tagger"):
        load_tagger(tmp_path / path)


@pytest.mark.parametrize(
    "content", [b"", b"location", b"\x00" * 100, b"RIFF....WAVE location", bytes(range(256)) * 16]
)
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "x.tagger.onnx"
    path.write_bytes(content)
    with pytest.raises(TaggerFileError, match="x.tagger.onnx: (is not an ONNX file|takes)"):
        load_tagger(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    content = (VECTORS / "cnn.tagger.onnx").read_bytes()
    path = tmp_path / "cut.tagger.onnx"
    for share in (0.01, 0.3, 0.7, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(TaggerFileError, match="cut.tagger.onnx: "):
            load_tagger(path)


def test_an_onnx_file_without_metadata_is_no_tagger(edit_onnx):
    path = edit_onnx(change=lambda model: model.ClearField("metadata_props"))
    with pytest.raises(TaggerFileError, match="without the metadata 'earmark'"):
        load_tagger(path)


def test_errors_in_the_metadata_name_the_file(edit_onnx):
    with pytest.raises(TaggerFileError, match=r"edited.tagger.onnx: metadata: is of format version 4"):
        load_tagger(edit_onnx(format_version=4))


def test_labels_must_be_as_many_as_scores(edit_onnx):
    both = {"window": [0.5] * 2, "clip": [0.5] * 2}
    with pytest.raises(TaggerFileError, match="has 2 labels, and its graph gives 3 scores"):
        load_tagger(edit_onnx(labels=["a", "b"], thresholds=both))


def test_window_must_be_what_the_graph_takes(edit_onnx):
    with pytest.raises(
        TaggerFileError, match="windows of 1 s at 8000 Hz are 8000 samples, and its graph takes 4000"
    ):
        load_tagger(edit_onnx(window_seconds=1.0))


def test_a_fixed_batch_is_refused(edit_onnx):
    def fix(model):
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    with pytest.raises(TaggerFileError, match="waveform has the shape .1, 4000. .* dynamic batch"):
        load_tagger(edit_onnx(change=fix))


def test_other_inputs_and_outputs_are_refused(edit_onnx):
    with pytest.raises(
        TaggerFileError, match="takes waveform and gives scores .expected waveform → scores, embedding"
    ):
        load_tagger(edit_onnx(change=lambda model: model.graph.output.pop()))


def test_metadata_that_is_no_text_is_refused(edit_onnx):
    path = edit_onnx(name="REPLACE_ME")
    path.write_bytes(path.read_bytes().replace(b"REPLACE_ME", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe"))
    with pytest.raises(TaggerFileError, match="not UTF-8|not an ONNX file"):
        load_tagger(path)


def test_a_graph_that_fails_on_windows_is_named(edit_onnx):
    def break_reshape(model):
        reshape = next(node for node in model.graph.node if node.op_type == "Reshape")
        shape = next(tensor for tensor in model.graph.initializer if tensor.name == reshape.input[1])
        shape.raw_data = np.array([-1, 777], dtype=np.int64).tobytes()

    tagger = load_tagger(edit_onnx("patches", break_reshape))
    with pytest.raises(TaggerFileError, match="graph fails on windows of shape"):
        tagger.score(VECTORS / "long.wav")


def test_scores_that_are_not_finite_are_refused(edit_onnx):
    def poison(model):
        bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [3])
        bias.raw_data = np.full(3, np.nan, dtype=np.float32).tobytes()

    tagger = load_tagger(edit_onnx("cnn", poison))
    with pytest.raises(TaggerFileError, match="must be 4 windows × 3 labels and finite"):
        tagger.score(VECTORS / "long.wav")


def test_an_unknown_backend_is_refused():
    with pytest.raises(ConfigError, match="'onx' is not a backend .did you mean 'onnx'"):
        load_tagger(VECTORS / "cnn.tagger.onnx", backend="onx")


def test_the_fake_backend_needs_a_text_file(tmp_path):
    with pytest.raises(TaggerFileError, match="cannot be read as text"):
        load_tagger(tmp_path / "absent.json", backend="fake")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("place", ["initializer", "node"])
def test_weights_outside_the_file_are_refused(edit_onnx, tmp_path, monkeypatch, location, place):
    onnx = pytest.importorskip("onnx")
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    monkeypatch.chdir(tmp_path)

    def move_out(model):
        tensor = model.graph.initializer[-1]
        outside = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        outside.data_location = onnx.TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=location)
        if place == "initializer":
            tensor.CopyFrom(outside)
        else:
            model.graph.initializer.pop()
            model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=outside))

    with pytest.raises(TaggerFileError, match="keeps part of itself in other files"):
        load_tagger(edit_onnx(change=move_out))


def test_a_node_that_is_called_location_is_harmless(edit_onnx):
    def rename(model):
        model.graph.node[0].name = "location"

    path = edit_onnx(change=rename)
    assert b"location" in path.read_bytes()
    assert not has_external_data(path.read_bytes())
    assert load_tagger(path).tag(VECTORS / "short.wav")


def test_operators_of_nobody_are_refused(edit_onnx):
    def invent(model):
        model.graph.node[0].op_type = "RunShell"

    with pytest.raises(TaggerFileError, match="is not an ONNX file that can be loaded"):
        load_tagger(edit_onnx(change=invent))
