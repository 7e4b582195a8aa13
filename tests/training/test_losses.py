"""What every entry of LOSSES must do, unasked; and each against the same loss written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.training.losses import LOSSES, binary_cross_entropy, cross_entropy

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ONE_HOT = torch.eye(4)[torch.tensor([0, 1, 2, 3, 1, 2])]


@pytest.fixture(params=sorted(LOSSES))
def loss(request):
    return lookup(LOSSES, request.param, "loss")


def test_loss_is_finite_and_reaches_every_logit(loss):
    for scale in (1.0, 1e4):  # extreme logits, too
        logits = (scale * LOGITS).requires_grad_()
        value = loss(logits, ONE_HOT, 0.1)
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()
    logits = LOGITS.clone().requires_grad_()
    loss(logits, ONE_HOT, 0.0).backward()
    assert (logits.grad != 0).all()


def test_better_logits_lose_less(loss):
    assert loss(LOGITS + 3 * ONE_HOT, ONE_HOT, 0.0) < loss(LOGITS, ONE_HOT, 0.0)


def test_a_batch_loses_the_mean_of_its_clips(loss):
    each = [loss(LOGITS[row : row + 1], ONE_HOT[row : row + 1], 0.0) for row in range(6)]
    torch.testing.assert_close(loss(LOGITS, ONE_HOT, 0.0), torch.stack(each).mean())


def test_mixed_targets_lose_the_mixture_of_their_losses(loss):
    other = ONE_HOT.roll(1, dims=0)
    mixed = loss(LOGITS, 0.7 * ONE_HOT + 0.3 * other, 0.0)
    torch.testing.assert_close(mixed, 0.7 * loss(LOGITS, ONE_HOT, 0.0) + 0.3 * loss(LOGITS, other, 0.0))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_the_formula(smoothing):
    targets = (ONE_HOT + ONE_HOT.roll(1, dims=1)).numpy()
    smoothed = (1 - smoothing) * targets + smoothing * (1 - targets)
    scores = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    expected = -(smoothed * np.log(scores) + (1 - smoothed) * np.log(1 - scores)).sum(axis=1).mean()
    found = binary_cross_entropy(LOGITS, torch.from_numpy(targets), smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_the_formula(smoothing):
    powers = np.exp(LOGITS.double().numpy())
    scores = powers / powers.sum(axis=1, keepdims=True)
    smoothed = (1 - smoothing) * ONE_HOT.numpy() + smoothing / 4
    expected = -(smoothed * np.log(scores)).sum(axis=1).mean()
    assert cross_entropy(LOGITS, ONE_HOT, smoothing).item() == pytest.approx(expected, rel=1e-5)


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'cross_entrop' is not a loss \(did you mean 'cross_entropy'\?\)"):
        lookup(LOSSES, "cross_entrop", "loss")
