"""What a network sees on its way is the mean of what its own layers give, in torch and in the exported graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.export.graph import open_graph, trace
from earmark.models.depths import DepthFeatures
from earmark.models.pretrained.networks import build_pretrained

RATE_SECONDS = {"mn04_as": 32000, "yamnet": 15600, "cnn14": 32000, "mobilenet_v2": 32000}


@pytest.mark.parametrize("name", RATE_SECONDS)
def test_depths_are_the_means_of_the_layers_before_each_halving(name):
    torch.manual_seed(0)
    net = build_pretrained(name).eval()
    seen = []
    layers = net.backbone.features if hasattr(net.backbone, "features") else net.backbone.blocks
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, output: seen.append(output))
    module = DepthFeatures(net)
    seen.clear()
    waveform = 0.1 * torch.randn(2, RATE_SECONDS[name])
    with torch.no_grad():
        scores, embedding, depths = module(waveform)
        layers_seen = list(seen)
        torch.testing.assert_close(embedding, net.embed(waveform))
        torch.testing.assert_close(scores, torch.sigmoid(net(waveform)))
    ends = [
        here.mean(dim=(2, 3))
        for here, after in zip(layers_seen, layers_seen[1:], strict=False)
        if after.shape[2] < here.shape[2]
    ]
    assert len(ends) >= 3
    torch.testing.assert_close(depths, torch.cat(ends, dim=1))


def test_the_exported_graph_gives_the_same(tmp_path):
    torch.manual_seed(0)
    module = DepthFeatures(build_pretrained("mn04_as").eval())
    session = open_graph(trace(module, 32000, ("scores", "embedding", "depths")))
    windows = 0.1 * np.random.default_rng(0).normal(size=(3, 32000)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(windows))
    found = session.run(None, {"waveform": windows})
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
