"""What every entry of LOSSES must do, unasked; and each against the same loss written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.training.losses import LOSSES, binary_cross_entropy, cross_entropy

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ONE_HOT = torch.eye(4)[torch.tensor([0, 1, 2, 3, 1, 2])]
ONES = torch.ones(6, 4)


@pytest.fixture(params=sorted(LOSSES))
def loss(request):
    return lookup(LOSSES, request.param, "loss")


def test_loss_is_finite_and_reaches_every_logit(loss):
    for scale in (1.0, 1e4):  # extreme logits, too
        logits = (scale * LOGITS).requires_grad_()
        value = loss(logits, ONE_HOT, ONES, 0.1)
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()
    logits = LOGITS.clone().requires_grad_()
    loss(logits, ONE_HOT, ONES).backward()
    assert (logits.grad != 0).all()


def test_better_logits_lose_less(loss):
    assert loss(LOGITS + 3 * ONE_HOT, ONE_HOT, ONES) < loss(LOGITS, ONE_HOT, ONES)


def test_a_batch_loses_the_mean_of_its_clips(loss):
    each = [loss(LOGITS[row : row + 1], ONE_HOT[row : row + 1], ONES[:1]) for row in range(6)]
    torch.testing.assert_close(loss(LOGITS, ONE_HOT, ONES), torch.stack(each).mean())


def test_mixed_targets_lose_the_mixture_of_their_losses(loss):
    other = ONE_HOT.roll(1, dims=0)
    mixed = loss(LOGITS, 0.7 * ONE_HOT + 0.3 * other, ONES)
    torch.testing.assert_close(mixed, 0.7 * loss(LOGITS, ONE_HOT, ONES) + 0.3 * loss(LOGITS, other, ONES))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_the_formula(smoothing):
    targets = (ONE_HOT + ONE_HOT.roll(1, dims=1)).numpy()
    smoothed = (1 - smoothing) * targets + smoothing * (1 - targets)
    scores = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    expected = -(smoothed * np.log(scores) + (1 - smoothed) * np.log(1 - scores)).sum(axis=1).mean()
    found = binary_cross_entropy(LOGITS, torch.from_numpy(targets), ONES, smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_the_formula(smoothing):
    powers = np.exp(LOGITS.double().numpy())
    scores = powers / powers.sum(axis=1, keepdims=True)
    smoothed = (1 - smoothing) * ONE_HOT.numpy() + smoothing / 4
    expected = -(smoothed * np.log(scores)).sum(axis=1).mean()
    assert cross_entropy(LOGITS, ONE_HOT, ONES, smoothing).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_what_is_unknown_moves_neither_the_loss_nor_a_logit(loss, smoothing):
    weights = (torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    weights[2] = 0  # a clip of which nothing is known
    weights[3] = 1
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, ONE_HOT, weights, smoothing)
    value.backward()
    assert (logits.grad[weights == 0] == 0).all()
    assert (logits.grad[3] != 0).all()
    unknown = 1 - weights
    others = loss(LOGITS + 50 * unknown, ONE_HOT + (0.5 - ONE_HOT) * unknown, weights, smoothing)
    assert others.item() == pytest.approx(value.item(), rel=1e-6)
    there = [0, 1, 3, 4, 5]
    torch.testing.assert_close(value, loss(LOGITS[there], ONE_HOT[there], weights[there], smoothing))


def test_a_clip_of_weight_two_is_the_clip_twice(loss):
    times = torch.tensor([1, 2, 0, 3, 1, 2])
    known = (torch.rand(6, 4, generator=torch.Generator().manual_seed(2)) < 0.7).float()
    known[:, 0] = 1
    repeated = [tensor.repeat_interleave(times, dim=0) for tensor in (LOGITS, ONE_HOT, known)]
    torch.testing.assert_close(loss(LOGITS, ONE_HOT, known * times[:, None]), loss(*repeated))
    torch.testing.assert_close(loss(LOGITS, ONE_HOT, 0.3 * known), loss(LOGITS, ONE_HOT, known))


def test_a_batch_in_which_nothing_is_known_loses_nothing_and_stays_finite(loss):
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, ONE_HOT, 0 * ONES, 0.1)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_a_column_that_is_unknown_throughout_is_as_if_it_were_not_there(loss):
    weights = ONES.clone()
    weights[:, 3] = 0
    rows = ONE_HOT[:, 3] == 0
    found = loss(LOGITS[rows], ONE_HOT[rows], weights[rows], 0.0)
    torch.testing.assert_close(found, loss(LOGITS[rows, :3], ONE_HOT[rows, :3], ONES[rows, :3]))


def test_all_known_and_unweighted_is_torchs_own_loss_to_the_bit():
    soft = torch.softmax(torch.randn(6, 4, generator=torch.Generator().manual_seed(3)), dim=1)
    assert torch.equal(cross_entropy(LOGITS, soft, ONES), functional.cross_entropy(LOGITS, soft))
    plain = functional.binary_cross_entropy_with_logits(LOGITS, soft, reduction="none").sum(dim=1).mean()
    assert torch.equal(binary_cross_entropy(LOGITS, soft, ONES), plain)


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'cross_entrop' is not a loss \(did you mean 'cross_entropy'\?\)"):
        lookup(LOSSES, "cross_entrop", "loss")
