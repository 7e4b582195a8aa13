"""Options of the front end against librosa and physics: decibels, PCEN, coefficients, slopes, what learns."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from earmark.augment.spectrogram import equalise
from earmark.errors import ConfigError
from earmark.models.derived import Derived, dct_matrix
from earmark.models.frontend import FactoredLogMel, FrontendConfig, LogMel
from earmark.models.pcen import BLOCK, PCEN
from earmark.models.tagging_net import MODELS, build

PLAIN = FrontendConfig(16000, 512, 160, 40)
PCEN_CONFIG = replace(PLAIN, compression="pcen")
WINDOW = replace(PLAIN, reference="window", top_db=80.0)


def noise(n_samples: int = 16000, level: float = 0.3, seed: int = 0) -> torch.Tensor:
    """(1, samples), fading to a hundredth."""
    fading = np.linspace(level, 0.01 * level, n_samples)
    return torch.from_numpy((fading * np.random.default_rng(seed).standard_normal((1, n_samples))).astype(np.float32))


def energies(waveform: torch.Tensor, power: int = 2) -> np.ndarray:
    """librosa's mel bands, float64 (mels, frames)."""
    sound = waveform[0].numpy().astype(np.float64)
    return librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=512, hop_length=160, n_mels=40, pad_mode="constant", power=power, dtype=np.float64
    )


def librosa_pcen(bands: np.ndarray, config: FrontendConfig) -> np.ndarray:
    frames = config.pcen_seconds * config.sample_rate / config.hop_length
    share = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    return librosa.pcen(
        bands,
        sr=config.sample_rate,
        hop_length=config.hop_length,
        gain=config.pcen_gain,
        bias=config.pcen_bias,
        power=config.pcen_power,
        time_constant=config.pcen_seconds,
        eps=config.amin,
        zi=(1 - share) * bands[:, :1],
    )


def both_forms(config: FrontendConfig, waveform: torch.Tensor) -> list[np.ndarray]:
    return [form(config)(waveform)[0, 0].detach().numpy() for form in (LogMel, FactoredLogMel)]


# Decibels


@pytest.mark.parametrize("top_db", [80.0, 100.0, 20.0])
@pytest.mark.parametrize(("reference", "ref"), [("window", np.max), ("fixed", 1.0)])
def test_reference_and_floor_are_librosas(reference, ref, top_db):
    config = replace(PLAIN, reference=reference, top_db=top_db)
    waveform = noise()
    expected = librosa.power_to_db(energies(waveform), ref=ref, amin=config.amin, top_db=top_db)
    for found in both_forms(config, waveform):
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_each_window_of_a_batch_is_relative_to_itself():
    quiet, loud = noise(level=0.01), noise(level=0.3, seed=1)
    together = LogMel(WINDOW)(torch.cat([quiet, loud]))
    torch.testing.assert_close(together, torch.cat([LogMel(WINDOW)(quiet), LogMel(WINDOW)(loud)]))


def test_relative_to_the_window_a_whisper_is_a_shout():
    loud, quiet = (LogMel(replace(WINDOW, amin=1e-20))(noise(level=level)) for level in (0.3, 0.0003))
    torch.testing.assert_close(loud, quiet, atol=1e-3, rtol=0)
    loud, quiet = (LogMel(replace(PLAIN, amin=1e-20))(noise(level=level)) for level in (0.3, 0.0003))
    torch.testing.assert_close(loud - quiet, torch.full_like(loud, 60.0), atol=1e-3, rtol=0)


def test_relative_to_the_window_silence_is_the_loudest_sound_there_is():
    """Why the fixed reference is the default: what asks for energy everywhere, such as a tagger of rain, finds it in
    the silent windows of a long recording."""
    silence = torch.zeros(1, 16000)
    assert LogMel(WINDOW)(silence).unique().tolist() == [0.0]
    assert LogMel(WINDOW)(silence).mean() > LogMel(WINDOW)(noise(level=0.5)).mean() + 10
    assert LogMel(PLAIN)(silence).mean() < LogMel(PLAIN)(noise(level=0.5)).mean() - 40


@pytest.mark.parametrize(("config", "rain_in_silence"), [(WINDOW, 1.0), (PLAIN, 0.0)])
def test_in_the_pauses_of_a_recording_rain_is_tagged_relative_to_the_window_alone(config, rain_in_silence):
    generator = np.random.default_rng(0)
    levels = generator.uniform(0.01, 0.5, (40, 1)).astype(np.float32)
    rain = levels * generator.standard_normal((40, 8000)).astype(np.float32)
    drops = np.zeros_like(rain)
    drops[:, ::2000] = levels  # four clicks
    windows = torch.from_numpy(np.concatenate([rain, drops]))
    heard = LogMel(config)
    bands, silent_bands = (heard(clips)[:, 0].mean(dim=2).numpy() for clips in (windows, torch.zeros(1, 8000)))
    tagger = LogisticRegression(max_iter=1000).fit(bands, np.arange(80) < 40)
    assert tagger.score(bands, np.arange(80) < 40) == 1
    assert tagger.predict_proba(silent_bands)[0, 1] == pytest.approx(rain_in_silence, abs=0.1)


# PCEN


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("settings", [(0.98, 2.0, 0.5, 0.4), (0.8, 10.0, 0.25, 0.06)])
def test_pcen_is_librosas(power, settings):
    named = dict(zip(("pcen_gain", "pcen_bias", "pcen_power", "pcen_seconds"), settings, strict=True))
    config = replace(PCEN_CONFIG, power=power, **named)
    waveform = noise()
    expected = librosa_pcen(energies(waveform, power), config)
    for found in both_forms(config, waveform):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7])
def test_the_past_of_pcen_is_the_loop_over_frames(n_frames):
    bands = torch.rand(2, 40, n_frames, generator=torch.Generator().manual_seed(0))
    frames = PCEN_CONFIG.pcen_seconds * 100
    share = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    past, expected = bands[..., 0].double(), []
    for frame in bands.double().unbind(dim=2):
        past = (1 - share) * past + share * frame
        expected.append((frame / (PCEN_CONFIG.amin + past) ** 0.98 + 2) ** 0.5 - 2**0.5)
    torch.testing.assert_close(PCEN(PCEN_CONFIG)(bands).double(), torch.stack(expected, dim=2), atol=1e-5, rtol=0)


def test_pcen_takes_level_away_and_leaves_what_begins():
    config = replace(PCEN_CONFIG, pcen_gain=1.0, amin=1e-12)
    torch.testing.assert_close(LogMel(config)(noise()), LogMel(config)(0.1 * noise()), atol=1e-3, rtol=0)
    bands = torch.full((1, 40, 300), 1e-4)
    bands[:, :, 150:] = 1e-2  # 20 dB more, and then it stays
    heard = PCEN(PCEN_CONFIG)(bands)[0, 0]
    assert heard[150] > 3 * heard[149]
    assert abs(heard[299] - heard[149]) < 0.1 * (heard[150] - heard[149])


def test_pcen_of_silence_is_0():
    assert not LogMel(PCEN_CONFIG)(torch.zeros(1, 16000)).any()


def test_settings_that_pcen_learnt_are_those_of_a_config_that_says_them():
    learning = PCEN(replace(PCEN_CONFIG, learns=("pcen",)))
    changed = {"pcen_gain": 0.8, "pcen_bias": 1.0, "pcen_power": 0.3, "pcen_seconds": 0.1}
    factors = [value / getattr(PCEN_CONFIG, name) for name, value in changed.items()]
    with torch.no_grad():
        learning.changes += torch.tensor(factors).log()[:, None]
    bands = torch.rand(1, 40, 150, generator=torch.Generator().manual_seed(0))
    expected = PCEN(replace(PCEN_CONFIG, **changed))(bands)
    torch.testing.assert_close(learning(bands), expected, atol=1e-5, rtol=0)
    with torch.no_grad():
        learning.changes[3, 7] += 1.0  # one band's time constant
    differs = (learning(bands) - expected).abs().amax(dim=(0, 2)) > 1e-4
    assert differs.nonzero().flatten().tolist() == [7]


# Coefficients and slopes


class Ear(torch.nn.Identity):
    n_features, dropout = 1, 0.0


def derived(spectrogram: torch.Tensor, **options) -> np.ndarray:
    return Derived(replace(PLAIN, **options), Ear()).derive(spectrogram)[0].numpy()


def test_coefficients_and_slopes_are_librosas():
    spectrogram = LogMel(PLAIN)(noise())
    bands = spectrogram[0, 0].numpy()
    for n_mfcc, rows in ((0, bands), (13, librosa.feature.mfcc(S=bands, n_mfcc=13))):
        slopes = [librosa.feature.delta(rows, order=order, mode="nearest") for order in (1, 2)]
        expected = [rows, *slopes]
        for n_deltas in (0, 1, 2):
            found = derived(spectrogram, n_mfcc=n_mfcc, n_deltas=n_deltas)
            np.testing.assert_allclose(found, expected[: n_deltas + 1], atol=2e-4)


def test_slopes_of_a_ramp_and_a_parabola_are_their_derivatives():
    frames = torch.arange(60.0)
    found = derived((0.3 * frames**2 - 2 * frames).expand(1, 1, 40, 60), n_deltas=2)[:, :, 4:-4]
    np.testing.assert_allclose(found[1], np.broadcast_to(0.6 * frames[4:-4] - 2, (40, 52)), atol=1e-3)
    np.testing.assert_allclose(found[2], 0.6, atol=1e-3)


def test_slopes_of_a_window_shorter_than_their_reach_are_finite():
    assert np.isfinite(derived(torch.rand(1, 1, 40, 2), n_mfcc=13, n_deltas=2)).all()


def test_all_coefficients_hold_what_the_bands_held():
    cosines = dct_matrix(40, 40)
    np.testing.assert_allclose(cosines @ cosines.T, np.eye(40), atol=1e-12)


def test_an_equaliser_before_them_moves_coefficients_by_its_own_and_no_slope():
    spectrogram, points = LogMel(PLAIN)(noise()), torch.tensor([[6.0, -3.0, 0.0, 2.0, -6.0]])
    before, after = (derived(each, n_mfcc=13, n_deltas=2) for each in (spectrogram, equalise(spectrogram, points)))
    curve = equalise(torch.zeros(1, 1, 40, 1), points)[0, 0].numpy()
    shift = np.broadcast_to(dct_matrix(13, 40) @ curve, before[0].shape)
    np.testing.assert_allclose(after[0] - before[0], shift, atol=1e-4)
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-4)


# What learns


@pytest.mark.parametrize("option", [{}, {"power": 1}, {"padding": "none", "win_length": 400}, {"compression": "pcen"}])
def test_before_it_has_learnt_a_front_end_is_the_one_that_does_not(option):
    config = replace(PLAIN, **option)
    learns = ("kernels", "mel", "pcen") if config.compression == "pcen" else ("kernels", "mel")
    expected = LogMel(config)(noise())
    torch.testing.assert_close(LogMel(replace(config, learns=learns))(noise()), expected, atol=1e-3, rtol=0)


def test_kernels_learn_finitely_from_silence_under_a_root():
    frontend = LogMel(replace(PLAIN, power=1, learns=("kernels",), compression="log"))
    frontend(torch.cat([torch.zeros(1, 16000), noise()])).sum().backward()
    assert frontend.kernel_changes.grad.isfinite().all()
    assert frontend.kernel_changes.grad.any()


def test_kernels_that_learn_can_move_to_another_tone():
    """The kernel of one bin, pulled towards a tone that it does not hear, hears it."""
    frontend = LogMel(replace(PLAIN, n_mels=8, learns=("kernels",)))
    tone = 0.1 * torch.sin(2 * torch.pi * 3000 * torch.arange(16000) / 16000)[None]
    before = frontend(tone)[0, 0, 0].mean().item()
    optimizer = torch.optim.Adam(frontend.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        (-frontend(tone)[0, 0, 0].mean()).backward()
        optimizer.step()
    assert frontend(tone)[0, 0, 0].mean() > before + 20


def test_mel_weights_that_learn_stay_positive_and_bands_where_they_stand():
    frontend = LogMel(replace(PLAIN, learns=("mel",)))
    optimizer = torch.optim.Adam(frontend.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        frontend(noise())[:, :, 10].sum().backward()
        optimizer.step()
    mel, bank = frontend._mel(), frontend.mel
    assert (mel >= 0).all()
    assert torch.equal(mel == 0, bank == 0)
    changed = ((mel - bank).abs() > 1e-6 * bank).any(dim=1).nonzero().flatten().tolist()
    assert changed == [10]


def test_noise_is_there_in_training_alone_and_follows_the_seed():
    frontend = LogMel(replace(PLAIN, noise=3.0))
    quiet = frontend.eval()(noise())
    assert torch.equal(quiet, LogMel(PLAIN)(noise()))
    frontend.train()
    torch.manual_seed(5)
    first = frontend(noise())
    torch.manual_seed(5)
    assert torch.equal(first, frontend(noise()))
    assert not torch.equal(first, frontend(noise()))
    assert (first - quiet).std().item() == pytest.approx(3.0, rel=0.05)


# Settings


def test_fastai_audios_transform_factors_though_it_is_no_power_of_two():
    assert FactoredLogMel(FrontendConfig(44100, 2560, 256, 128, fmax=22050.0)).n_phases > 16


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reference": "clip"}, r"frontend\.reference: found 'clip', expected 'fixed' or 'window'"),
        ({"reference": "window", "compression": "log"}, r"frontend\.reference: .* where compression is not 'db'"),
        ({"top_db": 80.0, "compression": "pcen"}, r"frontend\.top_db: found 80\.0, expected none where"),
        ({"top_db": 0.0}, r"frontend\.top_db: found 0\.0, expected above 0 dB"),
        ({"pcen_gain": 1.1}, r"frontend\.pcen_gain: found 1\.1, expected 0 to 1"),
        ({"pcen_bias": 0.0}, r"frontend\.pcen_bias: found 0\.0, expected above 0"),
        ({"pcen_power": 2.0}, r"frontend\.pcen_power: found 2\.0, expected above 0, at most 1"),
        ({"pcen_seconds": 0.001}, r"frontend\.pcen_seconds: found 0\.001, expected a hop = 0\.01 s or more"),
        ({"n_mfcc": 65}, r"frontend\.n_mfcc: found 65, expected 0 to n_mels = 64"),
        ({"n_deltas": 3}, r"frontend\.n_deltas: found 3, expected 0, 1 or 2"),
        ({"learns": ("filters",)}, r"frontend\.learns: found \('filters',\), expected any of kernels, mel with"),
        ({"learns": ("pcen",)}, r"frontend\.learns: found \('pcen',\), expected any of kernels, mel with compr"),
        ({"noise": -1.0}, r"frontend\.noise: found -1\.0, expected 0 or more"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FrontendConfig(**wrong)


class OneChannel(torch.nn.Conv2d):
    def __init__(self, n_mels: int):
        super().__init__(1, 4, 3)


def test_a_family_of_one_channel_refuses_deltas(monkeypatch):
    monkeypatch.setitem(MODELS, "one_channel", f"{__name__}:OneChannel")
    with pytest.raises(ConfigError, match=r"frontend\.n_deltas: found 2, and one_channel hears one channel"):
        build("one_channel", replace(PLAIN, n_deltas=2), 3)
