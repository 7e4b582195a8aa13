"""Each augmentation does to the signal what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from earmark.augment.draws import beta, uniform
from earmark.augment.mixing import Mixup, mix
from earmark.augment.spectrogram import Mask, equalise, span, warp
from earmark.augment.waveform import Gain, amplify, roll


def test_minus_six_db_halves_the_waveform():
    halved = amplify(torch.ones(1, 4), torch.tensor([-20 * np.log10(2)], dtype=torch.float32))
    torch.testing.assert_close(halved, torch.full((1, 4), 0.5))


def test_gain_stays_within_its_range():
    louder = Gain(6.0).train()(torch.ones(1000, 1), torch.Generator().manual_seed(0))
    level_db = 20 * louder.log10()
    assert level_db.abs().max() <= 6.0
    assert level_db.min() < -5 < 5 < level_db.max()


def test_roll_moves_each_clip_by_its_own_shift_and_loses_nothing():
    waveform = torch.arange(5.0).repeat(2, 1)
    assert roll(waveform, [0, 2]).tolist() == [[0, 1, 2, 3, 4], [3, 4, 0, 1, 2]]


def test_mixing_shares_sound_and_labels_alike():
    waveform, targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2)
    sound, labels, weights = mix(waveform, targets, torch.ones(2, 2), torch.tensor([1, 0]), torch.tensor([0.7, 1.0]))
    torch.testing.assert_close(sound, torch.tensor([[0.7, 0.3], [0.0, 1.0]]))
    torch.testing.assert_close(labels, sound)
    assert (weights == 1).all()


def test_a_label_that_one_clip_knows_keeps_its_target_at_its_share_of_the_weight():
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    weights = torch.tensor([[2.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    waveform, partner, share = torch.zeros(2, 4), torch.tensor([1, 0]), torch.tensor([0.75, 1.0])
    _, mixed, weight = mix(waveform, targets, weights, partner, share)
    torch.testing.assert_close(weight, torch.tensor([[1.75, 1.5, 0.0], [1.0, 0.0, 0.0]]))
    torch.testing.assert_close(mixed, torch.tensor([[1.5 / 1.75, 1.0, 0.0], [0.0, 0.0, 0.0]]))


def test_cross_entropy_of_a_mixture_is_the_mixture_of_both_clips_losses():
    generator = torch.Generator().manual_seed(0)
    targets, logits = torch.rand(6, 5, generator=generator), torch.randn(6, 5, generator=generator)
    weights = torch.randint(0, 3, (6, 5), generator=generator).float()
    partner, share = torch.randperm(6, generator=generator), torch.rand(6, generator=generator)
    _, mixed, weight = mix(torch.zeros(6, 1), targets, weights, partner, share)

    def loss(targets, weights):
        return weights * functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    expected = share[:, None] * loss(targets, weights) + (1 - share[:, None]) * loss(targets[partner], weights[partner])
    torch.testing.assert_close(loss(mixed, weight), expected)


def test_mixup_mixes_the_asked_share_of_clips():
    waveform = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(4000, 1), torch.ones(4000, 1)
    mixed, _, _ = Mixup(0.4, 0.25).train()(waveform, *labels, torch.Generator().manual_seed(1))
    assert (mixed != waveform).any(dim=1).float().mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0])
def test_beta_draws_follow_the_beta_distribution(alpha):
    drawn = beta(5000, alpha, torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_uniform_draws_fill_their_range():
    drawn = uniform(5000, -2.0, 3.0, torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(drawn, stats.uniform(-2, 5).cdf).pvalue > 0.001


def test_equaliser_adds_its_points_to_the_outermost_bands():
    curve = equalise(torch.zeros(1, 1, 9, 2), torch.tensor([[-6.0, 0.0, 6.0]]))[0, 0, :, 0]
    torch.testing.assert_close(curve, torch.linspace(-6, 6, 9))


def test_warp_by_nothing_changes_nothing():
    spectrogram = torch.randn(2, 1, 16, 40)
    one = torch.ones(2)
    torch.testing.assert_close(warp(spectrogram, one, one, torch.zeros(2)), spectrogram, rtol=1e-4, atol=1e-4)


def test_warp_stretches_a_burst_in_time_and_a_line_moves_in_mel():
    burst = torch.zeros(1, 1, 16, 100)
    burst[..., 45:55] = 1
    one = torch.ones(1)
    stretched = warp(burst, 2 * one, one, torch.zeros(1))
    assert stretched[0, 0, 8].sum() == pytest.approx(20, abs=1)
    line = torch.zeros(1, 1, 40, 10)
    line[:, :, 20] = 1
    moved = warp(line, one, one, torch.tensor([0.25]))
    assert moved[0, 0, :, 5].argmax() == 10


def test_mask_blanks_one_band_and_one_stretch_with_the_mean():
    spectrogram = torch.randn(200, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    masked = Mask(0.5, 0.5).train()(spectrogram, torch.Generator().manual_seed(1))
    fill = spectrogram.mean(dim=(2, 3), keepdim=True)
    changed = masked != spectrogram
    assert torch.equal(masked[changed], fill.expand_as(masked)[changed])
    whole_bands = changed.all(dim=3)[:, 0].float().mean(dim=1)
    assert whole_bands.max() <= 0.5
    assert whole_bands.mean() == pytest.approx(0.25, abs=0.05)


def test_span_has_the_asked_width():
    cells = span(1000, torch.tensor([0.2, 0.9]), torch.tensor([0.3, 0.1]))
    assert cells.sum(dim=1).tolist() == pytest.approx([300, 100], abs=1)
