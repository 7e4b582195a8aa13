"""The learning rate that a rising one suggests."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from earmark.augment.pipeline import AugmentConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.training.optim_config import OptimConfig
from earmark.training.rate_finder import N_STEPS, RATES, find_rate, landmarks, smooth
from earmark.windows import Framing

ALL_RATES = RATES[0] * (RATES[1] / RATES[0]) ** (np.arange(N_STEPS) / (N_STEPS - 1))


@pytest.mark.parametrize("curvature", [1.0, 30.0, 1e3])
def test_on_a_parabola_it_is_of_the_order_of_the_best(curvature):
    place, losses = 1.0, []
    for rate in ALL_RATES:  # gradient descent, whose best rate is 1 / curvature, and which diverges beyond twice that
        losses.append(0.5 * curvature * place**2)
        place = np.clip(place - rate * curvature * place, -1e3, 1e3)
    best = 1 / curvature
    steepest, lowest = landmarks(ALL_RATES, np.array(smooth(losses)))
    assert 0.01 * best < steepest < lowest < 2 * best
    assert 0.1 * best < math.sqrt(steepest * lowest) < best


def test_where_nothing_falls_nothing_is_suggested():
    assert landmarks(ALL_RATES, np.linspace(1, 2, N_STEPS)) is None
    assert landmarks(ALL_RATES[:1], np.array([np.nan])) is None


def test_the_valley_is_the_one_of_the_least_loss():
    losses = np.full(N_STEPS, 2.0)
    losses[20:40], losses[100:121], losses[150:] = 1.5, 1.0, 9.0
    losses[105] = 0.99
    steepest, lowest = landmarks(ALL_RATES, losses)
    assert ALL_RATES[80] <= steepest <= ALL_RATES[120]
    assert lowest == pytest.approx(ALL_RATES[110])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return build("tiny_cnn", FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16), 3, {"width": 8})


@pytest.mark.parametrize(("optimiser", "low", "high"), [("adamw", 3e-4, 0.1), ("sgd", 3e-4, 0.5)])
def test_tones_are_learnt_at_a_sane_rate_and_the_network_stays_as_it_is(net, tones, cache, optimiser, low, high):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    curve = find_rate(
        net,
        tones,
        framing=Framing(8000, 4000, 2000, "repeat"),
        cache=cache,
        optim=OptimConfig(epochs=2, batch_size=8, optimiser=optimiser, layer_decay=0.5),
        augment=AugmentConfig(),
        precision="float32",
    )
    assert low < curve.suggested < high
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed) <= N_STEPS
    np.testing.assert_allclose(curve.rates, ALL_RATES[: len(curve.rates)], rtol=1e-9)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
