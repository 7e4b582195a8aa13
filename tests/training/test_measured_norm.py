"""Batch normalisation of averaged weights is measured on sounds as users have them."""

from __future__ import annotations

import copy

import torch
from torch import nn

from earmark.training.callbacks import measure_norm


def test_norms_that_learn_are_measured_without_dropout_and_others_stay():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9), nn.BatchNorm1d(3)).train()
    mean = copy.deepcopy(net)
    net[0].eval()  # as a depth that is held still
    before = copy.deepcopy(mean[0].state_dict())
    windows = [2 + torch.randn(64, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    measure_norm(mean, net, windows)
    assert all(torch.equal(value, before[name]) for name, value in mean[0].state_dict().items())
    expected = torch.stack([mean[0](batch).mean(dim=0) for batch in windows]).mean(dim=0)
    torch.testing.assert_close(mean[2].running_mean, expected)  # dropout would scale it by 0 or 10
    assert mean[2].momentum == 0.1 and not mean.training
