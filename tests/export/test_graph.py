"""The tagger file says what torch says, or is not written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from earmark.errors import TaggerFileError
from earmark.export.graph import IR_VERSION, ML_OPSET, OPSET, ScoringGraph, export_tagger, trace, write_tagger
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.tagger import TaggerMetadata, load_tagger

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
WINDOWS = (0.1 * np.random.default_rng(0).standard_normal((4, 4000))).astype(np.float32)


def metadata(multi_label: bool) -> TaggerMetadata:
    return TaggerMetadata("m", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=multi_label)


def net(seed: int):
    torch.manual_seed(seed)
    return build("tiny_cnn", FRONTEND, 3, {"width": "8"}).eval()


def test_a_written_file_is_read_and_scores_as_torch_does(tmp_path):
    path = tmp_path / "m.tagger.onnx"
    export_tagger([net(0)], metadata(True), path, WINDOWS)
    tagger = load_tagger(path)
    scores, _ = tagger.backend.run(WINDOWS)
    with torch.no_grad():
        expected = torch.sigmoid(net(0)(torch.from_numpy(WINDOWS))).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_file_for_views_of_several_lengths_hears_any(tmp_path):
    path = tmp_path / "m.tagger.onnx"
    views = {"views": "lengths", "view_seconds": (0.3, 0.5, 1.1)}
    export_tagger([net(0)], replace(metadata(True), **views), path, WINDOWS)
    tagger = load_tagger(path)
    for n_samples in (2400, 2432, 4000, 8800):
        windows = np.resize(WINDOWS, (2, n_samples))
        with torch.no_grad():
            expected = torch.sigmoid(net(0)(torch.from_numpy(windows))).numpy()
        np.testing.assert_allclose(tagger.backend.run(windows)[0], expected, atol=1e-4)
    assert (tagger.metadata.view_samples, tagger.metadata.format_version) == ((2400, 4000, 8800), 2)


def test_several_nets_become_one_graph_of_their_mean(tmp_path):
    path = tmp_path / "m.tagger.onnx"
    export_tagger([net(0), net(1)], metadata(False), path, WINDOWS)
    scores, embedding = load_tagger(path).backend.run(WINDOWS)
    with torch.no_grad():
        each = [torch.softmax(net(seed)(torch.from_numpy(WINDOWS)), dim=1) for seed in (0, 1)]
    np.testing.assert_allclose(scores, torch.stack(each).mean(dim=0).numpy(), atol=1e-4)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    assert embedding.shape == (4, 2 * net(0).head.last.in_features)


def test_every_file_is_stamped_alike_and_names_no_source_file(tmp_path):
    path = tmp_path / "m.tagger.onnx"
    export_tagger([net(0)], metadata(True), path, WINDOWS)
    model = onnx.load(path)
    assert model.ir_version == IR_VERSION
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": OPSET}
    assert ML_OPSET <= 3
    assert b".py" not in path.read_bytes()


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return trace(ScoringGraph([net(0)], multi_label=True), 4000, ("scores", "embedding"))


def test_a_graph_that_disagrees_is_refused_and_nothing_is_left(tmp_path, model):
    path = tmp_path / "m.tagger.onnx"
    with pytest.raises(TaggerFileError, match=r"scores differ from the model's by .* so it is not written"):
        write_tagger(model, metadata(True), path, WINDOWS, np.full((4, 3), 0.9))
    with pytest.raises(TaggerFileError, match="differ from the model's by inf"):
        write_tagger(model, metadata(True), path, WINDOWS, np.full((4, 3), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_keeps_the_old_one(tmp_path, monkeypatch, model):
    path = tmp_path / "m.tagger.onnx"
    with torch.no_grad():
        expected = torch.sigmoid(net(0)(torch.from_numpy(WINDOWS))).numpy()
    write_tagger(model, metadata(True), path, WINDOWS, expected)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("earmark.run.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tagger(model, metadata(True), path, WINDOWS, expected)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tagger.onnx"]


def test_nets_whose_front_ends_learnt_each_hear_through_their_own(tmp_path):
    learning = replace(FRONTEND, learns=("mel",))
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        nets.append(build("tiny_cnn", learning, 3, {"width": "8"}).eval())
        torch.nn.init.normal_(nets[-1].frontend.mel_changes)
    path = tmp_path / "m.tagger.onnx"
    export_tagger(nets, metadata(True), path, WINDOWS)
    scores, _ = load_tagger(path).backend.run(WINDOWS)
    with torch.no_grad():
        each = [torch.sigmoid(net(torch.from_numpy(WINDOWS))) for net in nets]
    np.testing.assert_allclose(scores, torch.stack(each).mean(dim=0).numpy(), atol=1e-4)
