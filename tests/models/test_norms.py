"""Group normalisation in place of batch normalisation: a clip no longer depends on the others of its batch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from earmark.export.graph import ScoringGraph, stamp, trace
from earmark.models.frontend import FrontendConfig
from earmark.models.norms import to_group_norm
from earmark.models.tagging_net import build
from earmark.tagger.metadata import TaggerMetadata

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)


def noise(batch: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 8000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["tiny_cnn", "se_cnn", "mn"])
def net(request):
    torch.manual_seed(0)
    return to_group_norm(build(request.param, FRONTEND, 3, {"dropout": 0}))


def test_no_batch_norm_is_left_and_training_hears_each_clip_alone(net):
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules())
    net.train()
    together = net(noise(3))
    torch.testing.assert_close(together, torch.cat([net(clip[None]) for clip in noise(3)]), rtol=1e-3, atol=1e-4)
    together.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_it_exports(net):
    model = trace(ScoringGraph([net.eval()], multi_label=True), 8000, ("scores", "embedding"))
    stamp(model, TaggerMetadata("m", ("a", "b", "c"), 8000, 1.0, 0.5, multi_label=True))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 3):
        scores = session.run(["scores"], {"waveform": noise(batch).numpy()})[0]
        np.testing.assert_allclose(scores, torch.sigmoid(net(noise(batch))).detach().numpy(), atol=1e-4)


def test_scale_and_offset_stay_and_odd_channels_are_one_group():
    norm = nn.BatchNorm2d(7)
    nn.init.uniform_(norm.weight)
    made = to_group_norm(nn.Sequential(norm))[0]
    assert (made.num_groups, made.weight) == (1, norm.weight)
    assert [to_group_norm(nn.Sequential(nn.BatchNorm1d(n)))[0].num_groups for n in (4, 24, 64)] == [1, 3, 4]
