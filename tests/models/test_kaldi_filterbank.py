"""The Audio Spectrogram Transformer's front end: parity with transformers and with Kaldi's recipe, and physics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.errors import ConfigError
from earmark.export.graph import IR_VERSION, open_graph, trace
from earmark.models.frontend_config import FrontendConfig, mel_filterbank
from earmark.models.kaldi_filterbank import FLOOR, KaldiConfig, KaldiFilterbank, kaldi_bank

RATE = 16000
TOLERANCE = 1e-3  # single precision, 100 dB below a full-scale tone; transformers computes in double
PLAIN = KaldiConfig(n_frames=98, mean=0.0, std=0.5)  # a second, not normalised


def sounds(n_samples: int = RATE) -> dict[str, np.ndarray]:
    """Named waveforms (samples,) float32."""
    generator = np.random.default_rng(0)
    time = np.arange(n_samples) / RATE
    click = np.zeros(n_samples)
    click[n_samples // 2] = 1.0
    made = {
        "noise": 0.1 * generator.standard_normal(n_samples),
        "quiet noise": 1e-4 * generator.standard_normal(n_samples),
        "full-scale tone": np.sin(2 * np.pi * 1000 * time),
        "tone on a large offset": 0.5 + 0.01 * np.sin(2 * np.pi * 3000 * time),
        "sweep": 0.5 * np.sin(2 * np.pi * (50 + 3900 * time) * time),
        "click": click,
        "silence": np.zeros(n_samples),
        "full-scale square": np.sign(np.sin(2 * np.pi * 440 * time)),
    }
    return {name: waveform.astype(np.float32) for name, waveform in made.items()}


@torch.no_grad()
def heard(config: KaldiConfig, waveform: np.ndarray) -> np.ndarray:
    """(mels, frames) of one waveform."""
    return KaldiFilterbank(config)(torch.from_numpy(waveform[None]))[0, 0].numpy()


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize(
    "told",
    [{}, {"num_mel_bins": 64, "max_length": 120, "mean": -3.0, "std": 2.0}, {"sampling_rate": 11025, "max_length": 99}],
)
@pytest.mark.parametrize("n_samples", [400, 15999])
def test_features_are_those_of_transformers(told, n_samples):
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    extractor = transformers.ASTFeatureExtractor(**told)
    assert hasattr(extractor, "mel_filters"), "torchaudio is here, and another way is taken"
    rate = extractor.sampling_rate
    config = KaldiConfig(rate, extractor.num_mel_bins, extractor.max_length, extractor.mean, extractor.std)
    for name, waveform in sounds(n_samples).items():
        expected = extractor(waveform, sampling_rate=rate)["input_values"][0].T
        np.testing.assert_allclose(heard(config, waveform), expected, atol=TOLERANCE, err_msg=name)


def test_features_are_kaldis_recipe_step_by_step():
    """A frame at a time in float64: mean off, pre-emphasis within the frame, window, power, bands, logarithm."""
    window = np.hanning(400)
    for name, waveform in sounds().items():
        columns = []
        for start in range(0, RATE - 399, 160):
            frame = waveform[start : start + 400].astype(np.float64)
            frame = frame - frame.mean()
            frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
            power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
            columns.append(np.log(np.maximum(kaldi_bank(RATE, 128) @ power, FLOOR)))
        np.testing.assert_allclose(heard(PLAIN, waveform), np.stack(columns, axis=1), atol=5 * TOLERANCE, err_msg=name)


def test_bands_are_those_of_the_log_mel_front_end_where_none_is_empty():
    config = FrontendConfig(RATE, 512, 160, 40, fmin=20.0, mel_scale="kaldi")
    np.testing.assert_allclose(kaldi_bank(RATE, 40), mel_filterbank(config), atol=1e-9)


def test_a_tone_is_loudest_in_its_band_and_halving_it_takes_six_decibels():
    time = np.arange(RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 2000 * time)).astype(np.float32)
    spectrogram = heard(PLAIN, tone)
    band = int(spectrogram[:, 50].argmax())
    assert kaldi_bank(RATE, 128)[band, 2000 * 512 // RATE] > 0.3
    assert (spectrogram - heard(PLAIN, tone / 2))[band] == pytest.approx(2 * np.log(2), abs=1e-4)


def test_an_offset_is_not_heard():
    waveform = sounds()["noise"]
    np.testing.assert_allclose(heard(PLAIN, waveform + np.float32(0.25)), heard(PLAIN, waveform), atol=5e-3)


def test_what_is_missing_at_the_end_is_zero_before_it_is_normalised():
    config = KaldiConfig(n_frames=120)
    spectrogram = heard(config, sounds()["noise"])
    assert spectrogram.shape == (128, 120)
    np.testing.assert_allclose(spectrogram[:, 98:], -config.mean / (2 * config.std), rtol=1e-6)
    assert not np.isclose(spectrogram[:, 97], -config.mean / (2 * config.std)).any()


def test_the_exported_graph_is_the_same_alone_and_in_a_batch():
    module = KaldiFilterbank(KaldiConfig())
    graph = trace(module, RATE, ("spectrogram",))
    graph.ir_version = IR_VERSION
    session = open_graph(graph)
    windows = np.stack(list(sounds().values()))
    (together,) = session.run(None, {"waveform": windows})
    np.testing.assert_allclose(together, module(torch.from_numpy(windows)).numpy(), atol=TOLERANCE)
    for window, expected in zip(windows, together, strict=True):
        np.testing.assert_allclose(session.run(None, {"waveform": window[None]})[0][0], expected, atol=TOLERANCE)


def test_half_precision_around_it_does_not_reach_it():
    waveform = torch.from_numpy(sounds()["noise"][None])
    module = KaldiFilterbank(PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module(waveform)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, module(waveform), rtol=0, atol=1e-6)


@given(st.integers(400, 4000), st.floats(-1, 1), st.floats(0, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_everything_that_can_be_recorded_gives_finite_numbers(n_samples, offset, level, seed):
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    waveform = (offset + level * noise).astype(np.float32)
    assert np.isfinite(heard(KaldiConfig(n_frames=32), waveform)).all()


@pytest.mark.parametrize("n_samples", [399, 400 + 98 * 160])
def test_a_window_too_short_or_too_long_is_refused(n_samples):
    with pytest.raises(
        ConfigError, match=rf"window: found {n_samples} samples .* takes 400 to 16079 \(0\.025 to 1\.00 s"
    ):
        heard(PLAIN, np.zeros(n_samples, np.float32))
    heard(PLAIN, np.zeros(PLAIN.longest_samples, np.float32))


@pytest.mark.parametrize(("field", "value"), [("n_mels", 0), ("n_frames", 0), ("std", 0.0), ("sample_rate", 0)])
def test_settings_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"filterbank.{field}: found {value}"):
        KaldiConfig(**{field: value})
