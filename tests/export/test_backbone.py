"""A backbone inside a graph gives what its file gives for each patch by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from earmark.errors import ConfigError
from earmark.export.backbone import PATCH_POOLS, patch_graph
from earmark.export.graph import ScoringGraph, open_graph, stamp, trace
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.tagger import TaggerMetadata
from earmark.windows import PADDINGS, Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)
PATCH = 4000
RNG = np.random.default_rng(0)


def scoring_graph(n_nets: int = 1, multi_label: bool = True) -> onnx.ModelProto:
    torch.manual_seed(0)
    nets = [build("tiny_cnn", FRONTEND, 3, {"width": "8"}).eval() for _ in range(n_nets)]
    return trace(ScoringGraph(nets, multi_label), PATCH, ("scores", "embedding"))


@pytest.fixture(scope="module")
def backbone() -> onnx.ModelProto:
    return scoring_graph()


def noise(n_samples: int, n: int = 2) -> np.ndarray:
    return (0.1 * RNG.standard_normal((n, n_samples))).astype(np.float32)


def run(model: onnx.ModelProto, windows: np.ndarray, *outputs: str) -> list[np.ndarray]:
    return open_graph(model).run(list(outputs), {"waveform": windows})


def by_hand(backbone: onnx.ModelProto, patch: Framing, windows: np.ndarray, *outputs: str) -> np.ndarray:
    """The outputs of a backbone for each patch, joined: (windows, patches, features)."""
    return np.stack([np.concatenate(run(backbone, patch.cut(window), *outputs), axis=1) for window in windows])


def value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def looping_backbone() -> onnx.ModelProto:
    """A graph whose loop over the batch speaks of a constant and a tensor outside of it."""
    body = helper.make_graph(
        [helper.make_node("Mul", ["one", "gain"], ["louder"]), helper.make_node("Add", ["louder", "shift"], ["sum"])],
        "body",
        [value("one", 4)],
        [value("sum", 4)],
    )
    nodes = [
        helper.make_node("Identity", ["gain"], ["shift"]),
        helper.make_node("Scan", ["waveform"], ["embedding"], body=body, num_scan_inputs=1),
        helper.make_node("Sigmoid", ["embedding"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loops",
        [value("waveform", "batch", 4)],
        [value("scores", "batch", 4), value("embedding", "batch", 4)],
        [numpy_helper.from_array(np.float32([1, 2, 3, 4]), "gain")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("window", [10000, 9999, 4000, 3999, 1700])
def test_every_patch_is_the_one_that_framing_cuts(backbone, window, padding):
    patch, windows = Framing(8000, PATCH, 1500, padding), noise(window)
    expected = by_hand(backbone, patch, windows, "embedding")
    embedding, sequence = run(patch_graph(backbone, patch, window), windows, "embedding", "sequence")
    np.testing.assert_allclose(sequence, expected, atol=1e-5)
    np.testing.assert_allclose(embedding, expected.mean(axis=1), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 30), st.sampled_from(PADDINGS))
def test_patches_are_cut_as_windows_are_whatever_the_lengths(window, length, hop, padding):
    """The backbone here gives back what it hears."""
    nodes = [helper.make_node("Identity", ["waveform"], ["embedding"])]
    shape = ["batch", length]
    graph = helper.make_graph(nodes, "hears", [value("waveform", *shape)], [value("embedding", *shape)])
    backbone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    windows, patch = noise(window), Framing(8000, length, hop, padding)
    (sequence,) = run(patch_graph(backbone, patch, window), windows, "sequence")
    np.testing.assert_array_equal(sequence, [patch.cut(one) for one in windows])


@pytest.mark.parametrize("pool", PATCH_POOLS)
def test_pools_are_those_of_numpy(backbone, pool):
    patch, windows = Framing(8000, PATCH, 2000, "repeat"), noise(9000)
    embedding, sequence = run(patch_graph(backbone, patch, 9000, pool=pool), windows, "embedding", "sequence")
    second = {"mean": [], "mean_std": [sequence.std(axis=1)], "mean_max": [sequence.max(axis=1)]}[pool]
    np.testing.assert_allclose(embedding, np.concatenate([sequence.mean(axis=1), *second], axis=1), atol=1e-5)


def test_a_pool_of_one_patch_is_finite(backbone):
    graph = patch_graph(backbone, Framing(8000, PATCH, 2000, "zeros"), PATCH, pool="mean_std")
    (embedding,) = run(graph, np.zeros((1, PATCH), np.float32), "embedding")
    assert np.isfinite(embedding).all()
    assert (embedding[:, embedding.shape[1] // 2 :] == 0).all()


def test_outputs_are_joined_in_the_order_asked_for(backbone):
    patch, windows = Framing(8000, PATCH, 3000, "repeat"), noise(7000)
    graph = patch_graph(backbone, patch, 7000, ("scores", "embedding"))
    expected = by_hand(backbone, patch, windows, "scores", "embedding")
    np.testing.assert_allclose(run(graph, windows, "sequence")[0], expected, atol=1e-5)


@pytest.mark.parametrize("multi_label", [True, False])
def test_logits_are_those_the_scores_are_made_of(multi_label):
    backbone = scoring_graph(multi_label=multi_label)
    patch, windows = Framing(8000, PATCH, 3000, "repeat"), 30 * noise(7000)
    logits = run(patch_graph(backbone, patch, 7000, ("logits",)), windows, "sequence")[0].astype(np.float64)
    odds = np.exp(logits)
    scores = odds / (1 + odds) if multi_label else odds / odds.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(scores, by_hand(backbone, patch, windows, "scores"), atol=1e-5)
    operators = {node.op_type for node in patch_graph(backbone, patch, 7000, ("logits",)).graph.node}
    assert not operators & {"Sigmoid", "Softmax", "Div"}


def test_logits_of_a_mean_of_networks_are_its_log_odds():
    backbone = scoring_graph(n_nets=2)
    patch, windows = Framing(8000, PATCH, 3000, "repeat"), noise(7000)
    (logits,) = run(patch_graph(backbone, patch, 7000, ("logits",)), windows, "sequence")
    scores = by_hand(backbone, patch, windows, "scores")
    np.testing.assert_allclose(logits, np.log(scores / (1 - scores)), atol=1e-4)


def test_one_window_gives_what_it_gives_among_many(backbone):
    session = open_graph(patch_graph(backbone, Framing(8000, PATCH, 1500, "repeat"), 9000))
    windows = noise(9000, 5)
    (together,) = session.run(["embedding"], {"waveform": windows})
    alone = [session.run(["embedding"], {"waveform": window[None]})[0][0] for window in windows]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_loops_that_look_outside_survive():
    backbone, patch, windows = looping_backbone(), Framing(4, 4, 3, "zeros"), noise(9)
    expected = by_hand(backbone, patch, windows, "embedding")
    assert not np.allclose(expected, 0)
    np.testing.assert_allclose(run(patch_graph(backbone, patch, 9), windows, "sequence")[0], expected, atol=1e-6)


def test_a_patched_graph_is_a_backbone_again(backbone):
    inner = patch_graph(backbone, Framing(8000, PATCH, 2000, "repeat"), 8000)
    patch, windows = Framing(8000, 8000, 4000, "repeat"), noise(13000)
    graph = patch_graph(inner, patch, 13000)
    np.testing.assert_allclose(
        run(graph, windows, "sequence")[0], by_hand(inner, patch, windows, "embedding"), atol=1e-5
    )


def test_what_no_output_needs_is_left_out_and_one_patch_is_not_cut(backbone):
    graph = patch_graph(backbone, Framing(8000, PATCH, 2000, "repeat"), PATCH).graph
    assert not [constant.name for constant in graph.initializer if "last" in constant.name]
    assert [constant.name for constant in backbone.graph.initializer if "last" in constant.name]
    assert not [node for node in graph.node if node.op_type == "Slice" and node.output[0].startswith("patch_")]


def test_the_graph_passes_the_checker_and_leaves_the_backbone_as_it_was(backbone):
    before = backbone.SerializeToString(deterministic=True)
    graph = patch_graph(backbone, Framing(8000, PATCH, 1500, "repeat"), 9000, ("embedding", "logits"))
    assert backbone.SerializeToString(deterministic=True) == before
    stamp(graph, TaggerMetadata("m", ("a",), 8000, 9 / 8, 1.0, multi_label=True))
    onnx.checker.check_model(graph, full_check=True)


def test_what_a_backbone_does_not_have_is_said(backbone):
    patch = Framing(8000, PATCH, 1500, "repeat")
    with pytest.raises(ConfigError, match=r"'embeding' is not an output .* \(it gives scores, embedding, logits\)"):
        patch_graph(backbone, patch, 9000, ("embeding",))
    with pytest.raises(ConfigError, match=r"'maen' is not a pool of patches \(did you mean 'mean'\?\)"):
        patch_graph(backbone, patch, 9000, pool="maen")
    free = onnx.ModelProto()
    free.CopyFrom(backbone)
    free.graph.output[1].CopyFrom(value("embedding", "batch", "features"))
    with pytest.raises(ConfigError, match="does not say how many numbers embedding holds"):
        patch_graph(free, patch, 9000)


def outputs_of(**shapes: tuple) -> onnx.ModelProto:
    """A backbone that says that it gives such outputs."""
    nodes = [helper.make_node("Identity", ["waveform"], [name]) for name in shapes]
    outputs = [value(name, *shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "says", [value("waveform", "batch", 4)], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("name", ["scores", "logits"])
def test_what_only_embeds_has_no_scores_to_stand_on(name):
    backbone = outputs_of(scores=("batch", 0), embedding=("batch", 4))
    with pytest.raises(ConfigError, match=f"it only embeds, its {name} hold no numbers. Choose embedding"):
        patch_graph(backbone, Framing(8, 4, 4, "zeros"), 8, ("embedding", name))


@pytest.mark.parametrize("shape", [("batch", 3, 4), ("batch",)])
def test_an_output_of_more_or_less_than_a_row_is_refused(shape):
    backbone = outputs_of(embedding=("batch", 4), patch_scores=shape)
    shown = ", ".join(map(str, shape))
    with pytest.raises(ConfigError, match=rf"patch_scores is not one row of numbers .* \(its shape is \({shown}\)\)"):
        patch_graph(backbone, Framing(8, 4, 4, "zeros"), 8, ("patch_scores",))


@pytest.mark.parametrize(("name", "seconds", "hop"), [("mn04_as", 5.0, 5.0), ("yamnet", 3.0, 0.4875)])
def test_real_backbones_give_the_same_inside(published, name, seconds, hop):
    backbone = onnx.load(published(name))
    length = backbone.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    rate = {"mn04_as": 32000, "yamnet": 16000}[name]
    patch, windows = Framing(rate, length, int(hop * rate), "repeat"), noise(int(seconds * rate))
    sequence = run(patch_graph(backbone, patch, windows.shape[1]), windows, "sequence")[0]
    np.testing.assert_allclose(sequence, by_hand(backbone, patch, windows, "embedding"), atol=1e-5)
