"""One graph of several taggers: what its members say, combined as in numpy, what they share computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from earmark.ensemble import ENSEMBLES
from earmark.ensemble import stack as stack_module
from earmark.ensemble.graph import ensemble_graph
from earmark.ensemble.nested import fit_nested
from earmark.export.graph import ScoringGraph, open_graph, stamp, trace
from earmark.export.merge import MEMBER_SCORES, merge_graphs
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.tagger import TaggerMetadata
from earmark.tagger.combination import combine

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"
KINDS = ("cnn", "forest", "calibrated", "ensemble")
WINDOWS = (0.1 * np.random.default_rng(0).standard_normal((3, 4000))).astype(np.float32)


def metadata(multi_label: bool = True) -> TaggerMetadata:
    return TaggerMetadata("both", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=multi_label)


@pytest.fixture(scope="module")
def models() -> list[onnx.ModelProto]:
    return [onnx.load(VECTORS / f"{kind}.tagger.onnx") for kind in KINDS]


def members_of(models) -> np.ndarray:
    return np.stack([open_graph(model).run(["scores"], {"waveform": WINDOWS})[0] for model in models], axis=1)


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("kind", ENSEMBLES)
def test_the_merged_file_gives_its_members_combined_in_numpy(models, make_panel, kind, multi_label, monkeypatch):
    monkeypatch.setattr(stack_module, "EPOCHS", 3)
    panel = make_panel((1.0, 0.5, 2.0, 0.0), n_classes=3, n_clips=60, multi_label=multi_label)
    combination = fit_nested(panel, kind).final
    graph = ensemble_graph(models, combination, multi_label)
    stamp(graph, metadata(multi_label))
    session = open_graph(graph)
    scores, embedding = session.run(["scores", "embedding"], {"waveform": WINDOWS})
    np.testing.assert_allclose(scores, combine(members_of(models), combination, multi_label), atol=1e-5)
    assert embedding.shape == (3, 8 + 12 + 12 + 24)
    alone = session.run(["scores"], {"waveform": WINDOWS[:1]})[0]
    np.testing.assert_allclose(alone, scores[:1], atol=1e-5)


def test_front_ends_that_are_equal_are_computed_once(models):
    merged = merge_graphs(models)
    stft = [sum(node.op_type == "STFT" for node in model.graph.node) for model in (*models, merged)]
    assert stft == [1, 1, 1, 2, 2]  # the ensemble's second hears minus the sound


def test_a_front_end_that_is_a_loop_is_shared_between_networks():
    config = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
    torch.manual_seed(0)
    net = build("tiny_cnn", config, 3, {"width": "8"}).eval()
    graphs = [trace(ScoringGraph([net], True), 4000, ("scores", "embedding"))]
    graphs.append(onnx.ModelProto.FromString(graphs[0].SerializeToString()))
    [last] = [tensor for tensor in graphs[1].graph.initializer if tensor.name.endswith("last.weight")]
    last.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(last), last.name))
    merged = merge_graphs(graphs)
    assert [sum(node.op_type == "Scan" for node in each.graph.node) for each in (*graphs, merged)] == [1, 1, 1]
    stamp(merged, metadata())
    found = open_graph(merged).run([MEMBER_SCORES], {"waveform": WINDOWS})[0]
    np.testing.assert_allclose(found, members_of(graphs), atol=1e-6)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3


def test_the_same_tagger_twice_costs_one(models):
    once, twice = merge_graphs(models[:1]), merge_graphs([models[0], models[0]])
    assert len(twice.graph.node) == len(once.graph.node)
    assert len(twice.SerializeToString()) < 1.2 * len(once.SerializeToString())


