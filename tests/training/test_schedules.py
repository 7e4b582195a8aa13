"""Rates from step to step, what optimisers are asked for, gradients that are shortened."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import ConfigError
from earmark.training.optim_config import OptimConfig
from earmark.training.schedules import OPTIMISERS, SCHEDULES, Plateau

PER_EPOCH = 5
OPTIM = OptimConfig(epochs=20, learning_rate=0.1, warm_up=0.25)


def optimiser_of(optim: OptimConfig, *rates: float) -> torch.optim.Optimizer:
    sets = [{"params": [nn.Parameter(torch.ones(2))], "lr": rate, "weight_decay": 0.0} for rate in rates or (0.1,)]
    return optim.optimiser_of(sets)


def rates_of(optim: OptimConfig, *rates: float) -> np.ndarray:
    """(steps, sets) rates over a whole training."""
    optimizer = optimiser_of(optim, *rates)
    schedule = optim.schedule_of(optimizer, PER_EPOCH)
    found = []
    for _ in range(optim.epochs * PER_EPOCH):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if len(found) < optim.epochs * PER_EPOCH:
            schedule.step()
    return np.array(found)


@pytest.fixture(params=sorted(SCHEDULES))
def scheduled(request) -> OptimConfig:
    return dataclasses.replace(OPTIM, schedule=request.param)


def test_no_rate_is_above_the_one_that_is_set_and_each_set_keeps_its_share(scheduled):
    rates = rates_of(scheduled, 0.1, 0.02)
    assert rates[:, 0].max() == pytest.approx(0.1)
    assert (rates > 0).all()
    np.testing.assert_allclose(rates[:, 1], 0.2 * rates[:, 0], rtol=1e-6)


def test_cosine_rises_straight_and_falls_along_half_a_cosine():
    rates = rates_of(dataclasses.replace(OPTIM, schedule="cosine"))[:, 0]
    np.testing.assert_allclose(np.diff(rates[:25]), 0.1 / 26)
    assert rates[25] == pytest.approx(0.1)
    angle = math.pi * 30 / 75
    assert rates[55] == pytest.approx(0.1 * (1 + math.cos(angle)) / 2)
    assert rates[-1] < 1e-4


def test_step_falls_after_as_many_epochs_as_are_said():
    rates = rates_of(dataclasses.replace(OPTIM, schedule="step"))[:, 0]
    epochs = rates.reshape(20, PER_EPOCH)
    assert (epochs == epochs[:, :1]).all()
    expected = np.repeat([0.1, 0.05, 0.025, 0.0125], [8, 4, 4, 4])
    np.testing.assert_allclose(epochs[:, 0], expected)


def test_step_at_no_epoch_is_a_rate_that_stays():
    options = {"at": [], "factor": "0.1"}
    assert set(rates_of(dataclasses.replace(OPTIM, schedule="step", schedule_options=options))[:, 0]) == {0.1}


def test_plateau_lowers_the_rate_once_patience_ends_and_counts_from_there():
    optimizer = optimiser_of(OPTIM, 0.1, 0.02)
    schedule = Plateau(optimizer, patience=1, factor=0.5)
    found = []
    for score in (0.3, 0.5, 0.5, 0.4, 0.4, math.nan, 0.6, 0.1):
        schedule.hear(score)
        optimizer.step()
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.025])
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.005)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_an_optimiser_goes_down_a_hill(name):
    optim = dataclasses.replace(OPTIM, optimiser=name)
    optimizer = optimiser_of(optim)
    [parameter] = optimizer.param_groups[0]["params"]
    for _ in range(60):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.abs().max() < 0.2


@pytest.mark.parametrize("name", ["adamw", "nadam"])
def test_weight_decay_is_apart_from_the_gradient(name):
    parameter = nn.Parameter(torch.ones(1))
    optimizer = dataclasses.replace(OPTIM, optimiser=name).optimiser_of(
        [{"params": [parameter], "lr": 0.1, "weight_decay": 0.5}]
    )
    parameter.grad = torch.zeros(1)
    optimizer.step()
    assert parameter.item() == pytest.approx(1 - 0.1 * 0.5)


def test_options_reach_the_optimiser():
    group = optimiser_of(dataclasses.replace(OPTIM, optimiser="nadam", optimiser_options={"beta2": "0.9"}))
    assert group.param_groups[0]["betas"] == (0.9, 0.9)
    still = dataclasses.replace(OPTIM, optimiser="sgd", optimiser_options={"momentum": "0"})
    assert not optimiser_of(still).param_groups[0]["nesterov"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "adam"}, r"'adam' is not an optimiser \(did you mean 'nadam'\?\)"),
        ({"optimiser_options": {"beta1": "1"}}, "beta1 of the optimiser: found 1.0, expected 0 or more and below 1"),
        ({"optimiser": "sgd", "optimiser_options": {"momentum": "1"}}, "momentum of sgd: found 1.0"),
        ({"schedule": "cosin"}, r"'cosin' is not a schedule \(did you mean 'cosine'\?\)"),
        ({"schedule_options": {"at": "3"}}, "optim.schedule_options of one_cycle: 'at' is not an option"),
        ({"schedule": "step", "schedule_options": {"at": "4,0"}}, r"at of step: found \[4, 0\], expected epochs, 1"),
        ({"schedule": "step", "schedule_options": {"factor": "2"}}, "factor of the schedule: found 2.0"),
        ({"schedule": "plateau", "schedule_options": {"factor": "1"}}, "factor of the schedule: found 1.0"),
        ({"schedule": "plateau", "schedule_options": {"patience": "-1"}}, "patience of plateau: found -1"),
        ({"smoothing": 0.6}, "optim.smoothing: found 0.6, expected 0 to 0.5"),
        ({"clip_gradient": -1.0}, "optim.clip_gradient: found -1.0, expected 0 or more"),
        ({"swa_epochs": 21}, "optim.swa_epochs: found 21, expected 0 to optim.epochs"),
        ({"noisy_mask": 1.0}, "optim.noisy_mask: found 1.0, expected 0 or more and below 1"),
        ({"noisy_share": 1.5}, "optim.noisy_share: found 1.5, expected 0 to 1, or none"),
        ({"balance": 2.0}, "optim.balance: found 2.0, expected 0 to 1"),
        ({"noisy_loss": "l_q", "noisy_loss_options": {"q": "2"}}, "q of l_q: found 2.0"),
        ({"noisy_loss": "l_q", "noisy_loss_options": {"p": "2"}}, "optim.noisy_loss_options of l_q: 'p' is not"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_trained(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(OPTIM, **changes)
