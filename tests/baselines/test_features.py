"""Summary features: against librosa and numpy in float64, in the exported graph, and for whatever may be heard."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.baselines.descriptors import bin_floor, chroma_filterbank, contrast_bands
from earmark.baselines.features import SERIES, STATISTICS, WHOLE, SummaryFeatures
from earmark.errors import ConfigError
from earmark.export.graph import open_graph, trace
from earmark.models.frontend import LogMel
from earmark.models.frontend_config import FrontendConfig
from earmark.models.pretrained.networks import EFFICIENTAT, PANNS, YAMNET

SMALL = FrontendConfig(8000, 256, 128, 12)
CONFIGS = {
    "16k": FrontendConfig(16000, 512, 160, 40),
    "32k": FrontendConfig(32000, 1024, 320, 64),
    "44.1k": FrontendConfig(44100, 2048, 512, 64),
    "odd hop": FrontendConfig(16000, 512, 81, 32),
}
EVERYTHING = (*SERIES, *WHOLE)


def sound(rate: int, seconds: float = 1.2, seed: int = 0) -> np.ndarray:
    """A gliding chord in bursts over noise: float32 (1, samples)."""
    time = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * pitch * (time + 0.1 * time**2)) for pitch in (220.0, 277.2, 1318.5))
    bursts = np.clip(np.sin(2 * np.pi * 3 * time), 0.05, None)
    noise = 0.02 * np.random.default_rng(seed).standard_normal(len(time))
    return (0.2 * chord * bursts + noise).astype(np.float32)[None]


def series(group: str, waveform: np.ndarray, config: FrontendConfig) -> np.ndarray:
    """One group's series over time, (series, frames)."""
    features = SummaryFeatures(config, [group])
    return features.series[group](features.hear(torch.from_numpy(waveform)))[0].double().numpy()


def magnitude_by_librosa(waveform: np.ndarray, config: FrontendConfig) -> np.ndarray:
    transform = librosa.stft(
        waveform[0].astype(np.float64), n_fft=config.n_fft, hop_length=config.hop_length, pad_mode="constant"
    )
    return np.abs(transform)


@pytest.fixture(params=CONFIGS)
def case(request):
    """(config, waveform, magnitude spectrum by librosa in float64)."""
    config = CONFIGS[request.param]
    waveform = sound(config.sample_rate)
    return config, waveform, magnitude_by_librosa(waveform, config)


def test_the_spectrum_under_the_bands_is_librosas(case):
    config, waveform, magnitude = case
    heard = SummaryFeatures(config, ["shape"]).hear(torch.from_numpy(waveform))
    np.testing.assert_allclose(heard.magnitude[0], magnitude, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(heard.bands[0], LogMel(config)(torch.from_numpy(waveform))[0, 0], atol=1e-2)


def test_mfcc_is_librosas(case):
    config, waveform, _ = case
    bands = series("mel", waveform, config)
    np.testing.assert_allclose(series("mfcc", waveform, config), librosa.feature.mfcc(S=bands, n_mfcc=20), atol=1e-3)


def test_spectral_shape_is_librosas(case):
    config, waveform, magnitude = case
    rate = config.sample_rate
    centroid, bandwidth, rolloff, flatness = series("shape", waveform, config)
    np.testing.assert_allclose(centroid, librosa.feature.spectral_centroid(S=magnitude, sr=rate)[0], atol=0.5)
    np.testing.assert_allclose(bandwidth, librosa.feature.spectral_bandwidth(S=magnitude, sr=rate)[0], atol=0.5)
    expected = librosa.feature.spectral_rolloff(S=magnitude, sr=rate)[0]
    assert np.abs(rolloff - expected).max() <= rate / config.n_fft * 1.001  # where rounding decides, the next bin
    assert (np.abs(rolloff - expected) < 0.01).mean() > 0.95
    expected = 10 * np.log10(librosa.feature.spectral_flatness(S=magnitude, amin=bin_floor(config))[0])
    np.testing.assert_allclose(flatness, expected, atol=1e-3)


def test_spectral_contrast_is_librosas(case):
    config, waveform, magnitude = case
    n_bands = len(contrast_bands(config)) - 1
    audible = np.maximum(magnitude, np.sqrt(bin_floor(config)))
    expected = librosa.feature.spectral_contrast(S=audible, sr=config.sample_rate, n_bands=n_bands)
    np.testing.assert_allclose(series("contrast", waveform, config), expected, atol=0.02)


def test_flux_is_librosas_onset_strength(case):
    config, waveform, _ = case
    bands = series("mel", waveform, config)
    expected = librosa.onset.onset_strength(S=bands, sr=config.sample_rate, center=False)
    np.testing.assert_allclose(series("flux", waveform, config)[0], expected, atol=1e-4)


def test_chroma_is_librosas(case):
    config, waveform, magnitude = case
    expected = librosa.filters.chroma(sr=config.sample_rate, n_fft=config.n_fft, tuning=0, dtype=np.float64)
    np.testing.assert_allclose(chroma_filterbank(config), expected, atol=1e-12)
    expected = librosa.feature.chroma_stft(S=magnitude**2, sr=config.sample_rate, n_fft=config.n_fft, tuning=0)
    np.testing.assert_allclose(series("chroma", waveform, config), expected, atol=1e-4)


def test_level_and_zero_crossings_are_librosas(case):
    config, waveform, _ = case
    frames = {"frame_length": config.n_fft, "hop_length": config.hop_length}
    level, crossings = series("level", waveform, config)
    expected = librosa.feature.rms(y=waveform[0].astype(np.float64), pad_mode="constant", **frames)[0]
    np.testing.assert_allclose(level, 20 * np.log10(expected), atol=1e-3)
    expected = librosa.feature.zero_crossing_rate(waveform[0], threshold=0, **frames)[0]
    np.testing.assert_allclose(crossings, expected, atol=1e-6)


def test_each_series_leaves_the_statistics_of_numpy_and_deltas_are_librosas():
    waveform = sound(8000)
    bands = series("mel", waveform, SMALL)
    slope = librosa.feature.delta(bands)[:, 4:-4]
    expected = [bands.mean(1), bands.std(1), bands.min(1), bands.max(1), *np.percentile(bands, (10, 50, 90), axis=1)]
    expected += [np.abs(slope).mean(1), slope.std(1)]
    found = SummaryFeatures(SMALL, ["mel"])(torch.from_numpy(waveform))[0]
    np.testing.assert_allclose(found, np.stack(expected, axis=1).ravel(), atol=1e-3)


@pytest.mark.parametrize("n_samples", [12800, 12801, 5000])
def test_steps_are_numpys_statistics_of_spans_of_two(n_samples):
    waveform = sound(8000, 2.0)[:, :n_samples]
    found = SummaryFeatures(SMALL, ["steps"])(torch.from_numpy(waveform))[0].numpy().reshape(128, 12)
    step = -(-n_samples // 128)
    whole = np.concatenate([waveform[0], np.full(128 * step - n_samples, waveform[0, -1])]).astype(np.float64)
    for number in (0, 1, 64, 126):
        span = whole[number * step : (number + 2) * step]
        expected = [span.mean(), span.std(), np.ptp(span), *np.percentile(span, (0, 1, 25, 30, 50, 60, 75, 99, 100))]
        np.testing.assert_allclose(found[number], expected, atol=1e-6)
    np.testing.assert_allclose(found[127, 2], np.ptp(whole[127 * step :]), atol=1e-6)


def test_a_swing_is_found_in_its_octave_and_in_its_size():
    config = FrontendConfig(16000, 512, 160, 40)
    features = SummaryFeatures(config, ["modulation"])
    time = np.arange(4 * 16000) / 16000
    swing = 6.0 * np.sin(2 * np.pi * 5.5 * time)  # dB
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(time))
    waveforms = np.stack([noise, noise * 10 ** (swing / 20)]).astype(np.float32)
    steady, swinging = features(torch.from_numpy(waveforms)).numpy().reshape(2, 5, 8)
    assert swinging.mean(axis=1).argmax() == 3  # 4 to 8 Hz
    np.testing.assert_allclose(swinging[3, 1:], 6.0 / np.sqrt(2), rtol=0.15)
    assert steady.max() < 2.0


def test_an_octave_that_the_window_is_too_short_for_swings_by_nothing():
    features = SummaryFeatures(CONFIGS["16k"], ["modulation"])
    half_a_second = features(torch.from_numpy(sound(16000, 0.5))).reshape(5, 8)
    assert not half_a_second[0].any()  # a whole swing of 1 Hz does not fit in
    assert (half_a_second[1:] > 0).all()


def test_louder_by_6_db_moves_levels_and_leaves_shapes():
    waveform = torch.from_numpy(sound(16000))
    features = SummaryFeatures(CONFIGS["16k"])
    quiet, loud = features(0.25 * waveform)[0], features(0.5 * waveform)[0]
    difference = dict(zip(features.names, (loud - quiet).tolist(), strict=True))
    assert difference["rms mean"] == pytest.approx(6.02, abs=0.01)
    assert difference["mfcc 0 p50"] == pytest.approx(6.02 * np.sqrt(40), abs=0.1)
    for name in ("centroid mean", "zero crossings p90", "chroma A max", "contrast 3 mean"):
        assert difference[name] == pytest.approx(0, abs=0.01)


@pytest.fixture(scope="module")
def exported():
    """(module, session) of every group at 8 kHz, half a second."""
    features = SummaryFeatures(SMALL, EVERYTHING)
    return features, open_graph(trace(features, 4000, ("embedding",)))


def test_the_exported_graph_equals_torch_for_any_batch(exported):
    features, session = exported
    windows = np.concatenate([sound(8000, 0.5, seed) for seed in range(3)])
    together = session.run(None, {"waveform": windows})[0]
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, features(torch.from_numpy(windows)), atol=2e-2)
    alone = np.concatenate([session.run(None, {"waveform": window[None]})[0] for window in windows])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)


def test_every_feature_has_a_name_of_its_own_and_a_group():
    for config in (*CONFIGS.values(), EFFICIENTAT, YAMNET, PANNS):
        features = SummaryFeatures(config, EVERYTHING)
        n_features = features(torch.zeros(1, 16000)).shape[1]
        assert len(features.names) == len(features.groups) == len(set(features.names)) == n_features
        assert list(dict.fromkeys(features.groups)) == list(EVERYTHING)
    assert SummaryFeatures(SMALL).names[: len(STATISTICS)] == [f"mel 0 (181 Hz) {each}" for each in STATISTICS]


def test_a_group_alone_gives_what_it_gives_among_all():
    waveform = torch.from_numpy(sound(8000))
    features = SummaryFeatures(SMALL, EVERYTHING)
    together = features(waveform)[0]
    for group in EVERYTHING:
        chosen = [each == group for each in features.groups]
        torch.testing.assert_close(SummaryFeatures(SMALL, [group])(waveform)[0], together[chosen])


def test_a_group_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match=r"'chrome' is not a group of features \(did you mean 'chroma'\?\)"):
        SummaryFeatures(SMALL, ["mel", "chrome"])


EXTREMES = {
    "silence": np.zeros(4000),
    "constant": np.full(4000, 0.5),
    "full scale": np.sign(np.sin(np.arange(4000) * 0.7)),
    "one click": np.eye(1, 4000, 1234)[0],
    "the smallest numbers": np.full(4000, 1e-38),
    "beyond full scale": 1e4 * np.sin(np.arange(4000)),
    "half a bit": np.random.default_rng(0).integers(-1, 2, 4000) / 65536,
}


@pytest.mark.parametrize("name", EXTREMES)
def test_whatever_is_heard_the_features_are_finite(exported, name):
    features, session = exported
    waveform = EXTREMES[name].astype(np.float32)[None]
    assert torch.isfinite(features(torch.from_numpy(waveform))).all()
    assert np.isfinite(session.run(None, {"waveform": waveform})[0]).all()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=40),
    st.integers(256, 700),
    st.sampled_from(["silence", "reflect", "none"]),
)
def test_wild_and_very_short_windows_are_finite(values, n_samples, padding):
    waveform = torch.from_numpy(np.resize(np.array(values, dtype=np.float32), n_samples)[None])
    features = SummaryFeatures(replace(SMALL, padding=padding), EVERYTHING)(waveform)
    assert torch.isfinite(features).all()


def test_few_frames_have_a_slope_over_what_is_there_and_one_or_two_have_none():
    features = SummaryFeatures(replace(SMALL, padding="none"), ["mel"])
    sizes = [name.endswith("delta size") for name in features.names]
    for n_frames in (1, 2, 3, 4, 8):
        waveform = sound(8000)[:, : 256 + 128 * (n_frames - 1)]
        found = features(torch.from_numpy(waveform))[0][sizes]
        if n_frames < 3:
            assert not found.any()
            continue
        bands = series("mel", waveform, features.config)
        width = n_frames - (n_frames + 1) % 2
        slope = librosa.feature.delta(bands, width=width)[:, width // 2 : n_frames - width // 2]
        np.testing.assert_allclose(found, np.abs(slope).mean(axis=1), atol=1e-3)


@pytest.mark.parametrize("config", [EFFICIENTAT, YAMNET, PANNS], ids=["EfficientAT", "YAMNet", "PANNs"])
def test_front_ends_of_other_makers_serve_as_well(config):
    features = SummaryFeatures(config, EVERYTHING)
    found = features(torch.from_numpy(sound(config.sample_rate)))
    assert torch.isfinite(found).all()
    value = dict(zip(features.names, found[0].tolist(), strict=True))
    assert 200 < value["centroid p50"] < 12000  # the magnitude's, also where the bands are of the power
    assert value["rms max"] < 0


@pytest.mark.parametrize("rate, n_fft", [(8000, 256), (48000, 64), (44100, 16), (2000, 32)])
def test_contrast_has_a_bin_in_every_octave_whatever_the_transform(rate, n_fft):
    config = FrontendConfig(rate, n_fft, n_fft // 2, 2)
    bands = contrast_bands(config)
    assert all(stop - start >= n >= 1 for start, stop, n in bands)
    assert bands[-1][1] == n_fft // 2 + 1
    assert torch.isfinite(SummaryFeatures(config, ["contrast"])(torch.randn(1, rate))).all()


def test_only_groups_that_need_the_spectrum_make_it():
    waveform = torch.zeros(1, 4000)
    frugal = SummaryFeatures(SMALL, [group for group in EVERYTHING if group not in ("shape", "contrast", "chroma")])
    assert frugal.hear(waveform).power.numel() == 0
    for group in ("shape", "contrast", "chroma"):
        assert SummaryFeatures(SMALL, [group]).hear(waveform).power.shape == (1, 129, 32)
