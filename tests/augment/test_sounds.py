"""Noise, filters, rooms, speed and damage do to a waveform what physics says they do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.augment.damage import Codec, Cutout, Dropouts, overdrive, quantise
from earmark.augment.filters import filtered, frequencies, pass_band, peak
from earmark.augment.noise import Background, Noise, add_at, colour
from earmark.augment.resampling import Speed, play
from earmark.augment.room import impulse_response, reverberate
from earmark.augment.waveform import rms

RATE = 16_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed))


def tone(hertz: float, n_samples: int = RATE, rate: int = RATE) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(n_samples, dtype=torch.float64) / rate).float()[None]


def octave_db(waveform: torch.Tensor, low_hz: float, rate: int = RATE) -> torch.Tensor:
    """Mean power per Hz in the octave above low_hz, in dB."""
    power = torch.fft.rfft(waveform).abs().square()
    hertz = torch.fft.rfftfreq(waveform.shape[1], 1 / rate)
    return 10 * power[:, (hertz >= low_hz) & (hertz < 2 * low_hz)].mean(dim=1).log10()


@pytest.mark.parametrize(("exponent", "slope_db"), [(-2, -6.02), (-1, -3.01), (0, 0.0), (1, 3.01), (2, 6.02)])
def test_coloured_noise_has_its_slope_per_octave(exponent, slope_db):
    coloured = colour(noise(8, 4 * RATE), torch.full((8,), float(exponent)), RATE)
    levels = [octave_db(coloured, low_hz).mean() for low_hz in (125, 250, 500, 1000, 2000, 4000)]
    np.testing.assert_allclose(np.diff(levels), slope_db, atol=0.35)


def test_coloured_noise_has_nothing_below_hearing():
    spectrum = torch.fft.rfft(colour(noise(1, RATE), torch.tensor([-2.0]), RATE))
    assert spectrum[0, :20].abs().max() < 1e-3 * spectrum[0, 20:40].abs().max()


def test_noise_is_at_the_drawn_level_below_the_sound():
    waveform, snr_db = 0.1 * noise(3, RATE), torch.tensor([-5.0, 0.0, 20.0])
    added = add_at(waveform, noise(3, RATE, seed=1), snr_db) - waveform
    torch.testing.assert_close(20 * (rms(waveform) / rms(added)).log10()[:, 0], snr_db, atol=0.01, rtol=0)


def test_every_level_between_the_two_is_drawn():
    waveform = noise(500, 400)
    added = Noise(RATE, (5.0, 30.0)).train()(waveform, seeded(1)) - waveform
    snr_db = 20 * (rms(waveform) / rms(added)).log10()
    assert 5 - 0.1 < snr_db.min() < 7 and 28 < snr_db.max() < 30 + 0.1


def test_a_background_is_one_of_the_given_windows_rolled():
    windows = torch.stack([tone(500)[0], tone(2000)[0]]).half()
    waveform = 0.5 * tone(1000).repeat(20, 1)
    added = Background(windows, (10.0, 10.0)).train()(waveform, seeded()) - waveform
    loudest = torch.fft.rfft(added).abs().argmax(dim=1).tolist()
    assert set(loudest) == {500, 2000}
    torch.testing.assert_close(20 * (rms(waveform) / rms(added)).log10(), torch.full((20, 1), 10.0), atol=0.01, rtol=0)


def test_backgrounds_are_no_part_of_a_checkpoint():
    assert not Background(torch.zeros(2, 10).half(), (5.0, 30.0)).state_dict()


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_filter_is_3_db_down_at_its_cutoff_and_falls_by_6_db_per_octave_and_order(order):
    hertz = torch.tensor([10.0, 1000.0, 16_000.0, 32_000.0])
    low, high, n = torch.tensor([0.0]), torch.tensor([1000.0]), torch.tensor([order])
    response_db = 20 * pass_band(hertz, low, high, n)[0].log10()
    assert response_db[0] == pytest.approx(0.0, abs=0.01)
    assert response_db[1] == pytest.approx(-3.01, abs=0.01)
    assert response_db[3] - response_db[2] == pytest.approx(-6.02 * order, abs=0.1)
    mirrored = 20 * pass_band(1e6 / hertz, high, torch.tensor([torch.inf]), n)[0].log10()
    torch.testing.assert_close(mirrored, response_db, atol=0.01, rtol=1e-3)


def test_a_high_pass_lets_no_offset_through():
    hertz = frequencies(torch.zeros(1, 100), RATE)
    assert pass_band(hertz, torch.tensor([50.0]), torch.tensor([torch.inf]), torch.tensor([4]))[0, 0] < 1e-12


def test_a_filter_attenuates_a_tone_and_does_not_delay_it():
    waveform = tone(2000)
    response = pass_band(frequencies(waveform, RATE), torch.zeros(1), torch.tensor([2000.0]), torch.tensor([2]))
    torch.testing.assert_close(filtered(waveform, response), waveform * 0.5**0.5, atol=1e-4, rtol=0)


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_a_peak_has_its_gain_at_its_centre_and_none_far_away(gain_db):
    hertz = torch.tensor([1.0, 1000.0, 100_000.0])
    response = peak(hertz, torch.tensor([1000.0]), torch.tensor([gain_db]), torch.tensor([2.0]))
    torch.testing.assert_close(20 * response.log10(), torch.tensor([[0.0, gain_db, 0.0]]), atol=0.01, rtol=0)


def test_a_peak_is_as_wide_as_its_quality_says():
    """Half of the gain in dB is left where the bandwidth ends, a band of centre / quality."""
    edges = 1000 * ((1 + 1 / 16) ** 0.5 + torch.tensor([-0.25, 0.25]))
    response = peak(edges, torch.tensor([1000.0]), torch.tensor([12.0]), torch.tensor([2.0]))
    torch.testing.assert_close(20 * response.log10(), torch.full((1, 2), 6.0), atol=0.01, rtol=0)


def test_speed_moves_a_tone_by_its_factor():
    played = play(tone(1000).repeat(2, 1), [round(RATE / 1.1), round(RATE / 0.9)])
    spectrum = torch.fft.rfft(played * torch.hann_window(RATE)).abs()
    assert spectrum.argmax(dim=1).tolist() == [pytest.approx(1100, abs=1), pytest.approx(900, abs=1)]
    assert rms(played).tolist() == [[pytest.approx(0.7071, abs=0.01)]] * 2


def test_speed_is_exact_for_whole_periods():
    """25 periods in 800 samples are 25 in 640."""
    torch.testing.assert_close(
        play(tone(25, 800, 800), [640])[:, :640], tone(25, 640, 640), atol=1e-5, rtol=0
    )


def test_faster_does_not_fold_back_what_would_be_too_high():
    played = play(tone(7800), [RATE // 2])
    assert rms(played) < 1e-3


def test_the_drawn_speeds_fill_their_range():
    lengths = []
    Speed(0.1).train()(torch.zeros(1, 2000), seeded())
    for seed in range(200):
        click = torch.zeros(1, 2000)
        click[0, 1000] = 1
        lengths.append(Speed(0.1).train()(click, seeded(seed)).argmax().item())
    assert 1000 / 1.11 < min(lengths) < 930
    assert 1080 < max(lengths) < 1000 / 0.89


@pytest.mark.parametrize("rt60_seconds", [0.2, 0.5, 1.0])
def test_echoes_fall_by_60_db_in_the_given_time(rt60_seconds):
    impulse = impulse_response(noise(64, RATE), torch.full((64,), rt60_seconds), RATE)
    level_db = 10 * impulse.view(64, -1, 160).square().mean(dim=(0, 2)).log10().numpy()
    n_frames = int(100 * rt60_seconds)
    slope, _ = np.polyfit(np.arange(n_frames) / 100, level_db[:n_frames], 1)
    assert -60 / slope == pytest.approx(rt60_seconds, rel=0.03)


def test_the_wet_part_is_the_convolution_and_the_dry_part_the_sound():
    waveform, impulse = noise(2, 300), noise(2, 50, seed=1)
    expected = np.convolve(waveform[1].numpy(), impulse[1].numpy())[:300]
    reverberant = reverberate(waveform, impulse, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(reverberant[0], waveform[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(reverberant[1].numpy(), expected, atol=1e-4)


def test_echoes_are_as_loud_as_the_sound():
    waveform = noise(8, 2 * RATE)
    impulse = impulse_response(noise(8, RATE // 4, seed=1), torch.full((8,), 0.2), RATE)
    assert rms(reverberate(waveform, impulse, torch.ones(8))).mean() == pytest.approx(1.0, abs=0.1)


def test_overdrive_adds_odd_harmonics_only_and_keeps_the_level():
    bent = overdrive(0.01 * tone(500), torch.tensor([12.0]))
    spectrum = torch.fft.rfft(bent).abs()[0]
    assert spectrum[1500] > 0.1 * spectrum[500]
    assert spectrum[1000] < 1e-4 * spectrum[500]
    assert rms(bent).item() == pytest.approx(rms(0.01 * tone(500)).item(), rel=1e-4)


def test_a_little_drive_bends_nothing():
    torch.testing.assert_close(overdrive(tone(500), torch.tensor([-40.0])), tone(500), atol=1e-3, rtol=0)


def test_eight_bits_of_mu_law_leave_38_db():
    """Source: ITU-T G.711's known signal to quantisation noise, which hardly depends on the level."""
    waveform = torch.cat([tone(440.7), tone(440.7) * torch.linspace(0.1, 1, RATE)])
    wrong = quantise(waveform, torch.tensor([8, 8])) - waveform
    assert (20 * (rms(waveform) / rms(wrong)).log10()).flatten().tolist() == pytest.approx([38, 38], abs=1.5)


def test_fewer_bits_are_6_db_each():
    waveform = noise(1, RATE)
    levels = [20 * rms(quantise(waveform, torch.tensor([n])) - waveform).log10().item() for n in (6, 7, 8, 9)]
    np.testing.assert_allclose(np.diff(levels), -6.02, atol=0.5)


def test_a_codec_leaves_nothing_beyond_its_band_and_at_most_its_bits():
    through = Codec(RATE).train()(noise(200, 1600), seeded(1))
    power = torch.fft.rfft(through).abs().square()
    above = [(power[clip] > 1e-3 * power[clip].max()).nonzero().max().item() * 10 for clip in range(200)]
    assert 1000 <= min(above) < 2000 and max(above) > 7000


def test_dropouts_lose_at_most_the_largest_share_in_whole_packets():
    lost = Dropouts(RATE, 0.15).train()(torch.ones(500, 32_000), seeded()) == 0
    shares = lost.float().mean(dim=1)
    assert shares.mean() == pytest.approx(0.075, abs=0.01)
    assert shares.max() < 0.15 + 3 * (0.15 * 0.85 / 100) ** 0.5
    packets = lost.view(500, -1, 320)
    assert torch.equal(packets.all(dim=2), packets.any(dim=2))


def test_a_cutout_is_one_stretch_of_at_most_its_share():
    silent = Cutout(0.15).train()(torch.ones(500, 1000), seeded()) == 0
    assert silent.float().mean(dim=1).max() <= 0.151
    assert silent.float().mean() == pytest.approx(0.075, abs=0.01)
    assert (silent.int().diff(dim=1).abs().sum(dim=1) <= 2).all()
