"""Each augmentation does to the signal what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from earmark.augment.draws import beta, log_uniform, uniform
from earmark.augment.spectrogram import Mask, crop, equalise, span, warp
from earmark.augment.waveform import Gain, Polarity, Sometimes, amplify, roll


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


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0])
def test_beta_draws_follow_the_beta_distribution(alpha):
    drawn = beta(5000, alpha, torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_uniform_draws_fill_their_range():
    drawn = uniform(5000, -2.0, 3.0, torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(drawn, stats.uniform(-2, 5).cdf).pvalue > 0.001


def test_log_uniform_draws_are_spread_evenly_over_octaves():
    drawn = log_uniform(5000, 0.5, 8.0, torch.Generator().manual_seed(0)).log2().numpy()
    assert stats.kstest(drawn, stats.uniform(-1, 4).cdf).pvalue > 0.001


def test_polarity_flips_every_sign():
    waveform = torch.randn(3, 50)
    assert torch.equal(Polarity().train()(waveform, torch.Generator()), -waveform)


def test_sometimes_changes_the_asked_share_of_the_clips_whole_and_no_other():
    waveform = torch.rand(4000, 3) + 1
    changed = Sometimes(Polarity(), 0.3).train()(waveform, torch.Generator().manual_seed(0))
    flipped = (changed == -waveform).all(dim=1)
    assert ((changed == waveform).all(dim=1) ^ flipped).all()
    assert flipped.float().mean() == pytest.approx(0.3, abs=0.03)


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


def test_two_masks_blank_more_than_one_and_at_most_twice_the_widest():
    spectrogram = torch.randn(200, 1, 50, 50, generator=torch.Generator().manual_seed(0))
    bands = [
        (Mask(0.15, 0.2, n).train()(spectrogram, torch.Generator().manual_seed(1)) != spectrogram).all(dim=3)[:, 0]
        for n in (1, 2)
    ]
    one, two = (each.float().mean(dim=1) for each in bands)
    assert two.max() <= 2 * 0.16
    assert two.mean().item() == pytest.approx(2 * one.mean().item(), rel=0.15)


def test_a_crop_magnifies_what_lies_within_it():
    spectrogram = torch.arange(40.0).view(1, 1, 40, 1) + torch.arange(80.0).view(1, 1, 1, 80) / 100
    start, width = torch.tensor([0.5]), torch.tensor([0.5])
    zoomed = crop(spectrogram, start, width, start, width)[0, 0]
    torch.testing.assert_close(zoomed[:, 0].diff()[:-1], torch.full((38,), 0.5), rtol=1e-3, atol=1e-3)
    assert zoomed[0, 0] == pytest.approx(20 - 0.25 + 0.4 - 0.0025, abs=0.01)


def test_a_crop_of_everything_changes_nothing():
    spectrogram = torch.randn(2, 1, 16, 40)
    zero, one = torch.zeros(2), torch.ones(2)
    torch.testing.assert_close(crop(spectrogram, zero, one, zero, one), spectrogram, rtol=1e-4, atol=1e-4)


def test_span_has_the_asked_width():
    cells = span(1000, torch.tensor([0.2, 0.9]), torch.tensor([0.3, 0.1]))
    assert cells.sum(dim=1).tolist() == pytest.approx([300, 100], abs=1)
