"""The front end's settings for networks trained elsewhere, against a frame-by-frame reference in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from earmark.errors import ConfigError
from earmark.export.graph import open_graph, trace
from earmark.models.frontend import FactoredLogMel, LogMel
from earmark.models.frontend_config import FrontendConfig, hann_window, mel_filterbank
from earmark.models.pretrained.networks import EFFICIENTAT, PANNS, YAMNET

PLAIN = FrontendConfig(16000, 512, 160, 40, amin=1e-10)
CONFIGS = {
    "EfficientAT": EFFICIENTAT,
    "EfficientAT, 20 ms": replace(EFFICIENTAT, hop_length=640),
    "YAMNet": YAMNET,
    "PANNs": PANNS,
    "short window": replace(PLAIN, win_length=400),
    "odd window within": replace(PLAIN, win_length=401, padding="none"),
    "symmetric": replace(PLAIN, symmetric_window=True),
    "reflect": replace(PLAIN, padding="reflect"),
    "none": replace(PLAIN, padding="none"),
    "pre-emphasis": replace(PLAIN, pre_emphasis=0.97),
    "magnitude": replace(PLAIN, power=1),
    "kaldi": replace(PLAIN, mel_scale="kaldi"),
    "natural logarithm": replace(PLAIN, compression="log", amin=1e-3),
    "shifted and scaled": replace(PLAIN, offset=30.0, scale=0.05),
}


def by_hand(waveform: np.ndarray, config: FrontendConfig) -> np.ndarray:
    """(mels, frames) of one waveform, a frame at a time."""
    x = waveform.astype(np.float64)
    if config.pre_emphasis:
        x = np.array([x[t + 1] - config.pre_emphasis * x[t] for t in range(len(x) - 1)])
    length = config.win_length or config.n_fft
    if config.padding == "none":
        first, count = 0, 1 + (len(x) - length) // config.hop_length
    else:  # frame t is centred on t · hop; `first` is where its window begins, the window centred in the transform
        half = config.n_fft // 2
        x = np.pad(x, half, mode="reflect" if config.padding == "reflect" else "constant")
        first, count = (config.n_fft - length) // 2, 1 + (len(x) - config.n_fft) // config.hop_length
    period = length - 1 if config.symmetric_window else length
    window = np.sin(np.pi * np.arange(length) / period) ** 2
    columns = []
    for frame in range(count):
        start = first + frame * config.hop_length
        magnitude = np.abs(np.fft.rfft(x[start : start + length] * window, config.n_fft))
        bands = mel_filterbank(config) @ magnitude**config.power
        if config.compression == "db":
            columns.append(10 * np.log10(np.maximum(bands, config.amin)))
        else:
            columns.append(np.log(bands + config.amin))
    return (np.stack(columns, axis=1) + config.offset) * config.scale


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    fading = np.linspace(1.0, 0.01, n_samples)
    return (0.3 * fading * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


@pytest.mark.parametrize("n_samples", [15600, 20803])
@pytest.mark.parametrize("name", CONFIGS)
def test_both_forms_equal_the_definition_frame_by_frame(name, n_samples):
    config = CONFIGS[name]
    waveform = noise(n_samples)
    expected = by_hand(waveform, config)
    assert expected.shape[1] == config.n_frames(n_samples)
    for form in (LogMel(config), FactoredLogMel(config)):
        found = form(torch.from_numpy(waveform[None]))[0, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3 * config.scale)


@pytest.mark.parametrize("name", ["EfficientAT", "YAMNet", "PANNs"])
def test_the_exported_graph_equals_the_definition_for_any_batch(name):
    config = CONFIGS[name]
    clips = np.stack([noise(16000, seed) for seed in range(3)])
    session = open_graph(trace(LogMel(config).exportable(), 16000, ("spectrogram",)))
    for batch in (clips[:1], clips):
        found = session.run(None, {"waveform": batch})[0][:, 0]
        expected = np.stack([by_hand(clip, config) for clip in batch])
        np.testing.assert_allclose(found, expected, atol=1e-3 * config.scale)


@pytest.mark.parametrize("name", CONFIGS)
def test_silence_is_finite_and_the_same_in_both_forms(name):
    config = CONFIGS[name]
    forms = [form(torch.zeros(1, 16000)) for form in (LogMel(config), FactoredLogMel(config))]
    lowest = 10 * np.log10(config.amin) if config.compression == "db" else np.log(config.amin)
    for spectrogram in forms:
        np.testing.assert_allclose(spectrogram, (lowest + config.offset) * config.scale, atol=1e-4)


def test_ten_seconds_are_a_thousand_frames_after_pre_emphasis():
    assert EFFICIENTAT.n_frames(320000) == 1000
    assert replace(EFFICIENTAT, pre_emphasis=0.0).n_frames(320000) == 1001


def test_yamnets_patch_is_96_frames_and_no_sample_more():
    assert YAMNET.n_frames(15600) == 96
    assert YAMNET.n_frames(15599) == 95


def test_without_padding_a_frame_hears_its_own_window_only():
    waveform = noise(15600)
    changed = waveform.copy()
    changed[400 + 10 * 160 :] = 0.5  # what follows frame 10
    before, after = (LogMel(YAMNET)(torch.from_numpy(each[None]))[0, 0] for each in (waveform, changed))
    assert torch.equal(before[:, :11], after[:, :11])
    assert not torch.equal(before[:, 11], after[:, 11])


def test_pre_emphasis_weakens_low_tones_and_leaves_no_constant():
    config = replace(PLAIN, pre_emphasis=1.0, padding="none")
    constant = LogMel(config)(torch.full((1, 16000), 0.5))
    np.testing.assert_allclose(constant, 10 * np.log10(config.amin), atol=1e-4)
    time = torch.arange(16000) / 16000
    for hertz in (100.0, 400.0, 4000.0):
        tone = torch.sin(2 * torch.pi * hertz * time)[None]
        gains = LogMel(config)(tone).amax(dim=2) - LogMel(replace(config, pre_emphasis=0.0))(tone).amax(dim=2)
        expected = 20 * np.log10(2 * np.sin(np.pi * hertz / 16000))  # |1 - exp(-iω)|
        assert gains.median() == pytest.approx(expected, abs=1.0)


def test_kaldis_triangles_stand_on_the_mel_axis():
    config = FrontendConfig(16000, 4096, 160, 20, fmin=125.0, fmax=7500.0, mel_scale="kaldi")
    bank = mel_filterbank(config)

    def mel(hertz):
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    step = (mel(7500.0) - mel(125.0)) / 21
    for band in range(20):
        centre = mel(125.0) + (band + 1) * step
        for index in range(0, 2049, 7):
            expected = max(0.0, 1 - abs(mel(index * 16000 / 4096) - centre) / step)
            assert bank[band, index] == pytest.approx(expected, abs=1e-4)
    assert not bank[:, 0].any()
    assert not mel_filterbank(replace(config, fmin=0.0, fmax=8000.0))[
        :, [0, -1]
    ].any()  # as Kaldi and TensorFlow leave them


def test_windows_are_scipys_in_the_middle_of_the_transform():
    scipy_windows = pytest.importorskip("scipy.signal").windows
    for length, symmetric in ((512, False), (400, False), (400, True), (401, True)):
        window = hann_window(replace(PLAIN, win_length=length, symmetric_window=symmetric))
        before = (512 - length) // 2
        np.testing.assert_allclose(
            window[before : before + length], scipy_windows.hann(length, sym=symmetric), atol=1e-12
        )
        assert not window[:before].any()
        assert not window[before + length :].any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"win_length": 1025}, r"frontend\.win_length: found 1025, expected 2 to n_fft = 1024 samples"),
        ({"win_length": 0}, r"frontend\.win_length: found 0"),
        ({"padding": "zeros"}, r"frontend\.padding: found 'zeros', expected 'silence', 'reflect' or 'none'"),
        ({"power": 3}, r"frontend\.power: found 3, expected 1 or 2"),
        ({"compression": "ln"}, r"frontend\.compression: found 'ln', expected 'db', 'log' or 'pcen'"),
        ({"pre_emphasis": 1.5}, r"frontend\.pre_emphasis: found 1\.5, expected 0 to 1"),
        ({"scale": 0.0}, r"frontend\.scale: found 0\.0, expected above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FrontendConfig(**wrong)
