"""What every entry of LOSSES must do, unasked; and each against the same loss written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from earmark.errors import ConfigError
from earmark.lookup import lookup
from earmark.training.losses import LOSSES
from earmark.training.objective import Objective, chosen, chosen_loss, with_noisy

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ONE_HOT = torch.eye(4)[torch.tensor([0, 1, 2, 3, 1, 2])]
ONES = torch.ones(6, 4)


NAMES = [(name, multi_label) for name in sorted(LOSSES) for multi_label in (False, True)]


@pytest.fixture(params=NAMES, ids=lambda param: f"{param[0]}-{'labels' if param[1] else 'classes'}")
def loss(request):
    """Of a batch; every entry as it is for clips of one label, and of several."""
    name, multi_label = request.param
    return Objective(chosen_loss(name, {}, multi_label=multi_label))


def single(name: str, multi_label: bool = True, **options):
    """One entry, its options as text."""
    return Objective(chosen_loss(name, options, multi_label=multi_label))


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


@pytest.mark.parametrize("loss", [each for each in NAMES if each[0] != "lsep"], indirect=True)
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
    found = single("bce")(LOGITS, torch.from_numpy(targets), ONES, smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_the_formula(smoothing):
    powers = np.exp(LOGITS.double().numpy())
    scores = powers / powers.sum(axis=1, keepdims=True)
    smoothed = (1 - smoothing) * ONE_HOT.numpy() + smoothing / 4
    expected = -(smoothed * np.log(scores)).sum(axis=1).mean()
    assert single("cross_entropy")(LOGITS, ONE_HOT, ONES, smoothing).item() == pytest.approx(expected, rel=1e-5)


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


def test_all_known_and_unweighted_is_torchs_own_loss_and_its_gradient_to_the_bit():
    soft = torch.softmax(torch.randn(6, 4, generator=torch.Generator().manual_seed(3)), dim=1)
    theirs = {
        "cross_entropy": functional.cross_entropy,
        "bce": lambda logits, targets: functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        .sum(dim=1)
        .mean(),
    }
    for name, their in theirs.items():
        ours = LOGITS.clone().requires_grad_()
        values = [single(name)(ours, soft, ONES), their(ours, soft)]
        torch.testing.assert_close(*values)
        gradients = [torch.autograd.grad(value, ours)[0] for value in values]
        assert torch.equal(*gradients)


def right(targets: np.ndarray) -> np.ndarray:
    """The sigmoid of the right answer to each label, float64."""
    scores = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    return np.where(targets > 0.5, scores, 1 - scores)


TWO_HOT = (ONE_HOT + ONE_HOT.roll(1, dims=1)).numpy()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_is_the_formula(gamma):
    p = right(TWO_HOT)
    expected = -((1 - p) ** gamma * np.log(p)).sum(axis=1).mean()
    assert single("focal", gamma=gamma)(LOGITS, torch.from_numpy(TWO_HOT), ONES).item() == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize(("positive", "negative", "margin"), [(0.0, 4.0, 0.05), (1.0, 2.0, 0.3), (1.0, 1.0, 0.0)])
def test_asymmetric_is_the_formula(positive, negative, margin):
    p = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    shifted = np.maximum(p - margin, 0)
    there, not_there = (1 - p) ** positive * np.log(p), shifted**negative * np.log(1 - shifted)
    expected = -np.where(TWO_HOT > 0.5, there, not_there).sum(axis=1).mean()
    found = single("asymmetric", gamma_positive=positive, gamma_negative=negative, margin=margin)
    assert found(LOGITS, torch.from_numpy(TWO_HOT), ONES).item() == pytest.approx(expected, rel=1e-5)


def test_focal_and_asymmetric_are_binary_cross_entropy_where_nothing_is_weighed():
    targets = torch.from_numpy(TWO_HOT)
    plain = single("bce")(LOGITS, targets, ONES, 0.1)
    torch.testing.assert_close(single("focal", gamma=0)(LOGITS, targets, ONES, 0.1), plain)
    asymmetric = single("asymmetric", gamma_negative=0, margin=0)
    torch.testing.assert_close(asymmetric(LOGITS, targets, ONES, 0.1), plain)


def pairwise(scores: np.ndarray, targets: np.ndarray, known: np.ndarray) -> float:
    """LSEP of one clip, pair by pair."""
    classes = range(len(scores))
    total = sum(
        max(targets[u] - targets[v], 0) * np.exp(scores[v] - scores[u])
        for u in classes
        for v in classes
        if known[u] and known[v]
    )
    return np.log(1 + total)


def test_lsep_is_the_sum_over_pairs():
    scores, soft = LOGITS.double().numpy(), 0.8 * TWO_HOT
    known = np.ones((6, 4), bool)
    known[1, 2] = known[4, 0] = False
    for targets in (TWO_HOT, soft):
        expected = np.mean([pairwise(scores[row], targets[row], known[row]) for row in range(6)])
        found = single("lsep")(LOGITS, torch.from_numpy(targets), torch.from_numpy(known).float())
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_lsep_of_one_right_label_is_cross_entropy():
    torch.testing.assert_close(single("lsep")(LOGITS, ONE_HOT, ONES), single("cross_entropy")(LOGITS, ONE_HOT, ONES))


def test_lsep_sees_order_and_no_level():
    lsep, targets = single("lsep"), torch.from_numpy(TWO_HOT)
    torch.testing.assert_close(lsep(LOGITS + 7, targets, ONES), lsep(LOGITS, targets, ONES))


def test_l_soft_is_the_formula():
    p = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    mixed = 0.7 * TWO_HOT + 0.3 * p
    expected = -(mixed * np.log(p) + (1 - mixed) * np.log(1 - p)).sum(axis=1).mean()
    assert single("l_soft")(LOGITS, torch.from_numpy(TWO_HOT), ONES).item() == pytest.approx(expected, rel=1e-5)
    p = np.exp(LOGITS.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    expected = -((0.6 * ONE_HOT.numpy() + 0.4 * p) * np.log(p)).sum(axis=1).mean()
    assert single("l_soft", False, beta=0.6)(LOGITS, ONE_HOT, ONES).item() == pytest.approx(expected, rel=1e-5)


def test_l_q_is_the_formula():
    p = right(TWO_HOT)
    expected = ((1 - p**0.5) / 0.5).sum(axis=1).mean()
    assert single("l_q")(LOGITS, torch.from_numpy(TWO_HOT), ONES).item() == pytest.approx(expected, rel=1e-5)
    powers = np.exp(LOGITS.double().numpy())
    p = (powers / powers.sum(axis=1, keepdims=True))[ONE_HOT.numpy() > 0]
    expected = ((1 - p**0.7) / 0.7).mean()
    assert single("l_q", False, q=0.7)(LOGITS, ONE_HOT, ONES).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("multi_label", "plain"), [(True, "bce"), (False, "cross_entropy")])
def test_losses_for_noise_end_at_cross_entropy_in_one_limit(multi_label, plain):
    expected = single(plain)(LOGITS, ONE_HOT, ONES, 0.1)
    for name, options in (("l_soft", {"beta": 1}), ("l_q", {"q": 1e-4})):
        found = single(name, multi_label, **options)(LOGITS, ONE_HOT, ONES, 0.1)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_label_that_the_network_finds_absurd_moves_it_less_where_labels_may_be_wrong():
    def pull(name: str, **options) -> float:
        logits = torch.tensor([[-6.0, 6.0]], requires_grad=True)
        single(name, False, **options)(logits, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2)).backward()
        return float(logits.grad.abs().max())

    assert pull("l_q") < 0.01 < 0.5 < pull("l_soft") < pull("cross_entropy")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focal", {"gamma": -1}, "gamma of focal: found -1.0, expected 0 or more"),
        ("focal", {"gama": 1}, r"optim.loss_options of focal: 'gama' is not an option \(did you mean 'gamma'\?\)"),
        ("asymmetric", {"gamma_positive": -1}, "gamma_positive of asymmetric: found -1.0"),
        ("asymmetric", {"gamma_negative": -1}, "gamma_negative of asymmetric: found -1.0"),
        ("asymmetric", {"margin": 1}, "margin of asymmetric: found 1.0, expected 0 or more and below 1"),
        ("l_soft", {"beta": 0}, "beta of l_soft: found 0.0, expected above 0 and at most 1"),
        ("l_q", {"q": 0}, "q of l_q: found 0.0, expected above 0 and at most 1"),
        ("bce", {"gamma": 1}, "optim.loss_options of bce: 'gamma' is not an option"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        single(name, **options)(LOGITS, ONE_HOT, ONES)


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'cross_entrop' is not a loss \(did you mean 'cross_entropy'\?\)"):
        lookup(LOSSES, "cross_entrop", "loss")
    with pytest.raises(ConfigError, match=r"'lq' is not a noisy loss \(did you mean 'l_q'\?\)"):
        chosen(LOSSES, "lq", {}, "noisy_loss")


NOISY = np.array([True, False, True, False, False, True])


def told(targets: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    return [torch.from_numpy(each) for each in with_noisy(targets.numpy(), weights.numpy(), NOISY)]


def test_noisy_clips_have_a_loss_of_their_own():
    plain, other = chosen_loss("bce", {}, multi_label=True), chosen_loss("l_q", {}, multi_label=True)
    found = Objective(plain, other)(LOGITS, *told(ONE_HOT, 2 * ONES), 0.1)
    each = [(other if noisy else plain)(LOGITS, ONE_HOT, ONES, 0.1)[row] for row, noisy in enumerate(NOISY)]
    torch.testing.assert_close(found, torch.stack(each).mean())
    torch.testing.assert_close(Objective(plain, other)(LOGITS, ONE_HOT, ONES), Objective(plain)(LOGITS, ONE_HOT, ONES))


def test_of_a_mixture_each_part_has_its_own_loss_by_its_share():
    from earmark.augment.mixing import mix_labels

    targets, weights = told(ONE_HOT, ONES)
    partner, share = torch.tensor([1, 0, 3, 2, 5, 4]), torch.full((6,), 0.75)
    mixed, mixed_weights = mix_labels(targets, weights, partner, share)
    plain, other = (chosen_loss(name, {}, multi_label=True) for name in ("bce", "l_q"))
    found = Objective(plain, other)(LOGITS, mixed, mixed_weights)
    known = (mixed[:, :4], ONES, 0.0)
    noisy = torch.from_numpy(np.where(NOISY, 0.75, 0.25).astype(np.float32))
    torch.testing.assert_close(found, ((1 - noisy) * plain(LOGITS, *known) + noisy * other(LOGITS, *known)).mean())


def test_noisy_clips_that_lose_most_are_left_out_and_curated_ones_never():
    plain = chosen_loss("bce", {}, multi_label=True)
    single_losses = plain(LOGITS, ONE_HOT, ONES)
    limit = 0.62 * single_losses.max()
    out = torch.from_numpy(NOISY) & (single_losses > limit)
    assert 0 < out.sum() < 3
    assert ((single_losses > limit) & ~out).any()
    logits = LOGITS.clone().requires_grad_()
    found = Objective(plain, mask_above=0.62)(logits, *told(ONE_HOT, 3 * ONES))
    torch.testing.assert_close(found, single_losses[~out].mean())
    found.backward()
    assert (logits.grad[out] == 0).all()
    assert (logits.grad[~out] != 0).all()
