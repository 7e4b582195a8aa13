"""Mixtures hold both sounds as the way to mix says, and the labels that can be said of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from earmark.augment.mixing import (
    MIXES,
    Mixing,
    crossfade,
    cutmix,
    freqmix,
    join_labels,
    loudest,
    mel_band,
    mix_by_level,
    mix_labels,
    mixup,
    timemix,
)
from earmark.lookup import lookup

RATE = 16_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed))


def test_mixup_and_its_labels_take_the_same_shares():
    own, other = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    share = torch.tensor([0.7, 1.0])
    sound = mixup(own, other, share, seeded(), RATE)
    torch.testing.assert_close(sound, torch.tensor([[0.7, 0.3], [0.0, 1.0]]))
    labels, weights = mix_labels(torch.eye(2), torch.ones(2, 2), torch.tensor([1, 0]), share)
    torch.testing.assert_close(labels, sound)
    assert (weights == 1).all()


def test_a_label_that_one_clip_knows_keeps_its_target_at_its_share_of_the_weight():
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    weights = torch.tensor([[2.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    mixed, weight = mix_labels(targets, weights, torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    torch.testing.assert_close(weight, torch.tensor([[1.75, 1.5, 0.0], [1.0, 0.0, 0.0]]))
    torch.testing.assert_close(mixed, torch.tensor([[1.5 / 1.75, 1.0, 0.0], [0.0, 0.0, 0.0]]))


def random_labels() -> tuple[torch.Tensor, ...]:
    """Targets, weights, partners and shares of six clips and five classes, some of them unknown."""
    known = torch.randint(0, 2, (6, 5), generator=seeded(1)).float()
    clip_weights = torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0, 1.0])[:, None]
    targets = torch.rand(6, 5, generator=seeded(2))
    return targets, known * clip_weights, torch.randperm(6, generator=seeded(3)), torch.rand(6, generator=seeded(4))


def test_cross_entropy_of_a_mixture_is_the_mixture_of_both_clips_losses():
    targets, weights, partner, share = random_labels()
    logits = noise(5, 6, 5)
    mixed, weight = mix_labels(targets, weights, partner, share)

    def loss(targets, weights):
        return weights * functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    expected = share[:, None] * loss(targets, weights) + (1 - share[:, None]) * loss(targets[partner], weights[partner])
    torch.testing.assert_close(loss(mixed, weight), expected)


def test_either_label_is_there_and_only_what_nobody_can_say_is_unknown():
    #                         both   one   none  own only there, absent; other only there
    targets = torch.tensor([[1.0, 1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    known = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]])
    joined, weight = join_labels(targets, known, torch.tensor([1, 0]), torch.tensor([0.4, 0.4]))
    assert joined[0][weight[0] > 0].tolist() == [1, 1, 0, 1, 1]
    assert weight[0].tolist() == pytest.approx([1, 1, 1, 1, 0, 1])  # absent here, unknown there: unknown
    assert weight[0].tolist() == weight[1].tolist()


def test_what_an_unknown_target_would_have_been_does_not_matter():
    targets, weights, partner, share = random_labels()
    others = torch.where(weights > 0, targets, 1 - targets)
    for how in (mix_labels, join_labels):
        first, second = (how(said, weights, partner, share) for said in (targets, others))
        assert all(map(torch.equal, first, second))


def test_joined_soft_labels_are_the_mean_over_what_they_may_be():
    """The loss of a soft target is that of the hard ones that it stands for, at their probabilities."""
    logit = torch.tensor([0.7])
    partner, share = torch.tensor([1, 0]), torch.tensor([0.5, 0.5])

    def loss(own: float, other: float, other_known: float) -> torch.Tensor:
        targets, known = torch.tensor([[own, 0.0], [other, 0.0]]), torch.tensor([[1.0, 1.0], [other_known, 1.0]])
        joined, weight = join_labels(targets, known, partner, share)
        return weight[0, 0] * functional.binary_cross_entropy_with_logits(logit, joined[0, :1])

    for known in (0.0, 1.0):
        hard = 0.3 * loss(1.0, 0.0, known) + 0.7 * loss(0.0, 0.0, known)
        torch.testing.assert_close(loss(0.3, 0.0, known), hard)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_by_level_equal_levels_give_the_share_itself(share):
    own, other = noise(1, 1, RATE), noise(2, 1, RATE)
    own, other = own / loudest(own, RATE), other / loudest(other, RATE)
    mixed = mix_by_level(own, other, torch.tensor([share]), seeded(), RATE)
    expected = (share * own + (1 - share) * other) / (share**2 + (1 - share) ** 2) ** 0.5
    torch.testing.assert_close(mixed, expected, rtol=1e-3, atol=1e-4)
    assert mixed.square().mean() == pytest.approx(float(own.square().mean()), rel=0.1)


def test_by_level_a_loud_sound_does_not_drown_a_faint_one():
    own, other = noise(1, 1, RATE), 0.01 * noise(2, 1, RATE)
    mixed = mix_by_level(own, other, torch.tensor([0.5]), seeded(), RATE)
    heard = [float((mixed * part).sum() / part.square().sum() * loudest(part, RATE)) for part in (own, other)]
    assert heard[0] == pytest.approx(heard[1], rel=0.1)


def test_the_loudest_tenth_of_a_second_is_the_level():
    waveform = torch.zeros(1, RATE)
    waveform[0, 3200:4800] = 0.5
    assert loudest(waveform, RATE).item() == pytest.approx(0.5)


def test_a_crossfade_begins_with_the_clip_and_ends_with_the_other():
    own, other = torch.ones(200, 1000), torch.zeros(200, 1000)
    mixed = crossfade(own, other, torch.full((200,), 0.5), seeded(), RATE)
    assert mixed[:, 0].min() > 0.99 and mixed[:, -1].max() < 0.01
    assert (mixed.diff(dim=1) <= 0).all()
    assert mixed.mean().item() == pytest.approx(0.5, abs=0.01)


def test_timemix_takes_one_stretch_whole_from_the_other():
    own, other = torch.zeros(50, 1000), torch.ones(50, 1000)
    share = torch.rand(50, generator=seeded())
    mixed = timemix(own, other, share, seeded(), RATE)
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    assert (mixed.diff(dim=1).abs().sum(dim=1) <= 2).all()
    torch.testing.assert_close(mixed.mean(dim=1), 1 - share, atol=0.002, rtol=0)


def test_freqmix_takes_one_band_whole_from_the_other():
    own, other = torch.zeros(20, 4000), noise(0, 20, 4000)
    mixed = freqmix(own, other, torch.full((20,), 0.5), seeded(), RATE)
    ratio = torch.fft.rfft(mixed).abs() / torch.fft.rfft(other).abs()
    inside = ratio > 0.5
    torch.testing.assert_close(ratio, inside.float(), atol=1e-3, rtol=0)
    mel = torch.log1p(torch.fft.rfftfreq(4000, 1 / RATE) / 700)
    width = (inside[:, 1:] * mel.diff()).sum(dim=1) / mel[-1]
    torch.testing.assert_close(width, torch.full((20,), 0.5), atol=0.01, rtol=0)


def test_a_band_and_the_rest_are_the_whole():
    waveform, half = noise(0, 2, 501), torch.tensor([0.4, 0.5])
    low = mel_band(waveform, torch.zeros(2), half - 2e-6, RATE)
    high = mel_band(waveform, half, 1 - half, RATE)
    torch.testing.assert_close(low + high, waveform, atol=1e-5, rtol=0)


def test_cutmix_takes_both_a_stretch_and_a_band():
    own, other = torch.zeros(20, 4000), noise(0, 20, 4000)
    mixed = cutmix(own, other, torch.full((20,), 0.75), seeded(), RATE)
    touched = (mixed != 0).float().mean(dim=1)
    torch.testing.assert_close(touched, torch.full((20,), 0.5), atol=0.01, rtol=0)
    assert (mixed.square().sum(dim=1) < 0.45 * other.square().sum(dim=1)).all()


def make(probabilities=None, **options) -> Mixing:
    return Mixing(probabilities or {"mixup": 0.25}, **{"sample_rate": RATE, **options}).train()


def test_each_way_mixes_its_share_of_the_clips_and_the_rest_stays():
    """Own clips are 1, and so is what is mixed by mixup; a crossfade with −1 passes through 0."""
    waveform = torch.cat([torch.ones(2000, 20), -torch.ones(2000, 20)])
    targets = torch.cat([torch.ones(2000, 1), torch.zeros(2000, 1)])
    module = make({"mixup": 0.25, "timemix": 0.5}, alpha=1.0)
    mixed, _, _ = module(waveform, targets, torch.ones(4000, 1), seeded(1))
    changed = (mixed != waveform).any(dim=1)
    whole = mixed.abs() > 0.9999
    by_time = changed & whole.all(dim=1)
    assert by_time.float().mean() == pytest.approx(0.25, abs=0.03)  # half of the partners are of the same kind
    assert (changed & ~by_time).float().mean() == pytest.approx(0.125, abs=0.02)


def test_without_a_way_drawn_nothing_is_changed():
    waveform, targets, weights = noise(0, 8, 30), torch.eye(8), torch.ones(8, 8)
    mixed, labels, weight = make({"mixup": 1e-9})(waveform, targets, weights, seeded())
    assert torch.equal(mixed, waveform) and torch.equal(labels, targets) and torch.equal(weight, weights)


def test_a_given_share_is_that_of_every_clip():
    _, labels, _ = make({"mixup": 1.0}, share=0.7)(noise(0, 8, 30), torch.eye(8), torch.ones(8, 8), seeded())
    diagonal = labels.diagonal()
    assert ((diagonal - 0.7).abs() < 1e-6).logical_or(diagonal == 1).all()


@pytest.mark.parametrize(("way", "how"), [("crossfade", "share"), ("mixup", "either")])
def test_labels_of_both_are_said_in_full_where_both_are_heard(way, how):
    _, labels, weights = make({way: 1.0}, labels=how)(noise(0, 8, 300), torch.eye(8), torch.ones(8, 8), seeded())
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    assert (labels.sum(dim=1) <= 2).all() and labels.sum() > 8
    torch.testing.assert_close(weights, torch.ones(8, 8))


def test_where_both_labels_are_said_neither_sound_is_hardly_there():
    waveform = torch.cat([torch.ones(500, 1), torch.zeros(500, 1)])
    mixed, _, _ = make({"mixup": 1.0}, labels="either")(waveform, torch.ones(1000, 1), torch.ones(1000, 1), seeded())
    between = mixed[(mixed > 0) & (mixed < 1)]
    assert between.min() > 0.299 and between.max() < 0.701


@pytest.mark.parametrize("way", sorted(MIXES))
def test_every_way_keeps_the_clip_at_share_one_and_is_finite_on_silence(way):
    mix = lookup(MIXES, way, "way to mix")
    own, other = noise(0, 3, 2000), noise(1, 3, 2000)
    until = 500 if way == "crossfade" else 2000  # its turn takes a while: the beginning is the clip's
    mixed = mix(own, other, torch.ones(3), seeded(), RATE)
    torch.testing.assert_close(mixed[:, :until], own[:, :until], atol=0.01, rtol=0)
    assert mix(0 * own, 0 * other, torch.full((3,), 0.5), seeded(), RATE).isfinite().all()
