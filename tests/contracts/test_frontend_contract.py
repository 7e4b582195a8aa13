"""What every kind of front end must do under a network: shapes, silence, training, the exported graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from earmark.export.graph import TOLERANCE, ScoringGraph, difference, trace
from earmark.models.frontend import FrontendConfig
from earmark.models.layers import MelNorm
from earmark.models.tagging_net import MODELS, build, hears_waveform

WINDOW = 8000
PLAIN = FrontendConfig(8000, 256, 80, 24)
VARIANTS = {
    "decibels": {},
    "relative to the window": {"reference": "window", "top_db": 80.0},
    "a floor": {"top_db": 100.0, "power": 1, "offset": 40.0, "scale": 0.1},
    "pcen": {"compression": "pcen", "power": 1},
    "pcen that learns": {"compression": "pcen", "learns": ("pcen", "mel"), "noise": 0.1},
    "mel that learns": {"learns": ("mel",), "noise": 1.0},
    "kernels that learn": {"learns": ("kernels",), "power": 1, "padding": "reflect", "pre_emphasis": 0.9},
    "all that learns": {"learns": ("kernels", "mel", "pcen"), "compression": "pcen", "n_deltas": 1},
    "coefficients": {"n_mfcc": 13},
    "slopes": {"n_deltas": 2},
    "coefficients and slopes": {"n_mfcc": 13, "n_deltas": 2, "compression": "log"},
}
# An export takes seconds; between them these hold every option.
EXPORTED = ("relative to the window", "pcen that learns", "kernels that learn", "coefficients and slopes")


def build_variant(name: str):
    torch.manual_seed(0)
    return build("tiny_cnn", replace(PLAIN, **VARIANTS[name]), 3, {"width": 8})


@pytest.fixture(params=VARIANTS)
def net(request):
    return build_variant(request.param)


def noise(batch: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, WINDOW, generator=torch.Generator().manual_seed(seed))


def disturb(net) -> None:
    """Move what the front end has learnt, and the batch norm statistics, off their start."""
    net.train()(noise(8, seed=1))
    net.eval()
    with torch.no_grad():
        for parameter in net.frontend.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))


def test_shapes(net):
    spectrogram = net.eval().frontend(noise(2))
    config = net.frontend.config
    assert spectrogram.shape == (2, 1, config.n_mels, config.n_frames(WINDOW))
    assert net(noise(2)).shape == (2, 3)


def test_silence_is_finite(net):
    silence = torch.zeros(2, WINDOW)
    assert net.eval()(silence).isfinite().all()
    net.train()(silence).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_a_batch_of_one_gives_what_a_batch_of_many_gives(net):
    disturb(net)
    batch = torch.cat([noise(2), torch.zeros(1, WINDOW)])
    torch.testing.assert_close(torch.cat([net(clip[None]) for clip in batch]), net(batch), rtol=1e-4, atol=1e-5)


def test_two_steps_move_the_loss_and_all_that_learns(net):
    before = {name: value.clone() for name, value in net.frontend.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    net.train()
    for _ in range(3):
        torch.manual_seed(1)
        losses.append(functional.cross_entropy(net(noise(6)), torch.arange(6) % 3))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[2] < losses[0]
    after = net.frontend.state_dict()
    assert before.keys() == after.keys()
    assert len(after) == len(net.frontend.config.learns)
    assert all((after[name] != value).any() for name, value in before.items())


def test_its_state_is_all_that_it_needs(net):
    disturb(net)
    again = build("tiny_cnn", net.frontend.config, 3, {"width": 8}).eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(noise(2)), net(noise(2)))


@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_graph_gives_the_scores_of_torch_with_what_was_learnt(name):
    net = build_variant(name)
    fresh = build("tiny_cnn", net.frontend.config, 3, {"width": 8}).frontend.eval()(noise(2))
    disturb(net)
    if net.frontend.config.learns:
        assert not torch.allclose(net.frontend(noise(2)), fresh, atol=1e-2)
    model = trace(ScoringGraph([net], multi_label=True), WINDOW, ("scores", "embedding"))
    for batch in (1, 5):
        windows = torch.cat([noise(batch, seed=2), torch.zeros(1, WINDOW)])[-batch:]
        with torch.no_grad():
            expected = {"scores": torch.sigmoid(net(windows)).numpy(), "embedding": net.embed(windows).numpy()}
        assert difference(model, windows.numpy(), expected) <= TOLERANCE
    assert len(model.graph.node) < 200


@pytest.mark.parametrize("family", [name for name in sorted(MODELS) if not hears_waveform(name)])
def test_every_family_hears_slopes_and_coefficients(family):
    small = {"cnn14": {"channels": "8,16,16,32,32,64"}}  # 81 million weights would teach this test nothing
    config = FrontendConfig(16000, 512, 160, 40, n_mfcc=32, n_deltas=2)
    net = build(family, config, 3, small.get(family))
    waveform = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    net.train()(waveform).square().sum().backward()
    bands = next(module for module in net.backbone.modules() if isinstance(module, MelNorm)).norm
    assert bands.weight.grad.reshape(3, -1).abs().sum(dim=1).min() > 0  # each of the three is heard
    assert np.isfinite(net.eval()(waveform).detach().numpy()).all()
