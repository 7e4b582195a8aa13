"""The front end in its two forms: against librosa in float64, physics, what the exported graph promises."""

from __future__ import annotations

import librosa
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from earmark.errors import ConfigError
from earmark.models.frontend import (
    FRAMES_PER_PIECE,
    FactoredLogMel,
    FrontendConfig,
    LogMel,
    mel_filterbank,
)

AMIN = 1e-10  # librosa's own, far below the 80 dB that are compared
CONFIGS = {
    "16k": FrontendConfig(16000, 512, 160, 64, amin=AMIN),
    "32k": FrontendConfig(32000, 1024, 320, 128, amin=AMIN),
    "44.1k": FrontendConfig(44100, 1024, 512, 64, amin=AMIN),
    "n_fft 400, htk": FrontendConfig(16000, 400, 160, 40, mel_scale="htk", amin=AMIN),
    "n_fft 2560, 50 to 14000 Hz": FrontendConfig(32000, 2560, 640, 96, fmin=50.0, fmax=14000.0, amin=AMIN),
    "22.05k, hop almost odd": FrontendConfig(22050, 512, 220, 64, amin=AMIN),
    "odd factors": FrontendConfig(16000, 450, 150, 40, amin=AMIN),
    "hop that shares no factor": FrontendConfig(16000, 256, 81, 32, amin=AMIN),
}
SECONDS = 1.3


def tone(time: np.ndarray, rate: int) -> np.ndarray:
    return 0.9 * np.sin(2 * np.pi * 1000.3 * time)


def two_tones(time: np.ndarray, rate: int) -> np.ndarray:
    return 0.7 * np.sin(2 * np.pi * 437.0 * time) + 2e-4 * np.sin(2 * np.pi * 0.31 * rate * time)


def chirp(time: np.ndarray, rate: int) -> np.ndarray:
    return 0.9 * np.sin(2 * np.pi * (20 * time + (0.48 * rate - 20) * time**2 / (2 * SECONDS)))


def noise(time: np.ndarray, rate: int) -> np.ndarray:
    return 0.2 * np.random.default_rng(3).standard_normal(len(time))


def silence(time: np.ndarray, rate: int) -> np.ndarray:
    return np.zeros(len(time))


def clicks(time: np.ndarray, rate: int) -> np.ndarray:
    return (np.arange(len(time)) % 3001 == 17).astype(np.float64)


def speech_like(time: np.ndarray, rate: int) -> np.ndarray:
    """Harmonics of a gliding voice under three formants, in syllables, over faint hiss."""
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = np.zeros(len(time))
    for harmonic in range(1, 30):
        gains = [np.exp(-(((harmonic * 120 - formant) / 150) ** 2)) for formant in (600, 1400, 2600)]
        voice += (0.02 + sum(gains)) / harmonic * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, None) ** 2
    return 0.3 * voice * syllables + 1e-4 * np.random.default_rng(4).standard_normal(len(time))


SOUNDS = [tone, two_tones, chirp, noise, silence, clicks, speech_like]


def sound(make, config: FrontendConfig, seconds: float = SECONDS) -> np.ndarray:
    """A float32 waveform of shape (1, samples)."""
    time = np.arange(int(seconds * config.sample_rate)) / config.sample_rate
    return make(time, config.sample_rate).astype(np.float32)[None]


def by_librosa(waveform: np.ndarray, config: FrontendConfig) -> np.ndarray:
    """The definition in float64, shaped like ours."""
    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
        htk=config.mel_scale == "htk",
        pad_mode="constant",
        dtype=np.float64,
    )
    return librosa.power_to_db(power, ref=1.0, amin=AMIN, top_db=None)[:, None]


def assert_close_in_db(found: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-3 dB down to 60 dB below the peak, 1e-2 dB down to 80 dB below."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    difference, peak = np.abs(found - expected), expected.max()
    assert difference[expected >= peak - 60].max() < 1e-3
    assert difference[expected >= peak - 80].max() < 1e-2


def session_of(module: torch.nn.Module, dynamic_shapes: tuple, n_samples: int) -> onnxruntime.InferenceSession:
    program = torch.onnx.export(
        module.eval(),
        (torch.zeros(2, n_samples),),
        input_names=["waveform"],
        dynamic_shapes=dynamic_shapes,
        opset_version=20,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


BATCH = torch.export.Dim("batch", min=1, max=4096)
ANY_LENGTH = ({0: BATCH, 1: torch.export.Dim("samples", min=256, max=10**8)},)


@pytest.fixture(scope="module")
def exported():
    """Sessions of the exported form for any batch and length, one per config, made when first asked for."""
    sessions: dict[FrontendConfig, onnxruntime.InferenceSession] = {}

    def run(config: FrontendConfig, waveform: np.ndarray) -> np.ndarray:
        if config not in sessions:
            sessions[config] = session_of(LogMel(config).exportable(), ANY_LENGTH, config.sample_rate)
        return sessions[config].run(None, {"waveform": waveform})[0]

    return run


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("make", SOUNDS)
def test_both_forms_equal_librosa_in_float64(exported, name, make):
    config = CONFIGS[name]
    waveform = sound(make, config)
    expected = by_librosa(waveform, config)
    assert expected.shape[-1] == config.n_frames(waveform.shape[1])
    assert_close_in_db(LogMel(config)(torch.from_numpy(waveform)).numpy(), expected)
    assert_close_in_db(exported(config, waveform), expected)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("make", [chirp, noise])
def test_factored_form_runs_in_torch_as_it_does_exported(exported, name, make):
    config = CONFIGS[name]
    waveform = sound(make, config, seconds=0.4)
    spectrogram = FactoredLogMel(config)(torch.from_numpy(waveform)).numpy()
    assert_close_in_db(spectrogram, by_librosa(waveform, config))


@pytest.mark.parametrize("name", ["16k", "32k", "n_fft 2560, 50 to 14000 Hz"])
def test_any_length_around_the_piece_boundary(exported, name):
    config = CONFIGS[name]
    boundary = FRAMES_PER_PIECE * config.hop_length
    for n_samples in (256, boundary - 1, boundary, boundary + config.hop_length - 1, 3 * boundary + 7):
        waveform = sound(noise, config, seconds=(n_samples + 0.5) / config.sample_rate)
        assert waveform.shape[1] == n_samples
        assert_close_in_db(exported(config, waveform), by_librosa(waveform, config))


def test_a_batch_is_its_clips_one_by_one(exported):
    config = CONFIGS["16k"]
    clips = np.concatenate([sound(make, config) for make in SOUNDS])
    alone = np.concatenate([exported(config, clip[None]) for clip in clips])
    np.testing.assert_array_equal(exported(config, clips), alone)


def test_a_fixed_length_exports_with_a_free_batch():
    config = CONFIGS["32k"]
    session = session_of(FactoredLogMel(config), ({0: BATCH},), 32000)
    assert session.get_inputs()[0].shape == ["batch", 32000]
    for n_clips in (1, 3):
        clips = np.concatenate([sound(noise, config, seconds=1.0)] * n_clips)
        assert_close_in_db(session.run(None, {"waveform": clips})[0], by_librosa(clips, config))


def test_a_front_end_learns_nothing_and_stores_nothing_in_a_checkpoint():
    for module in (LogMel(FrontendConfig()), FactoredLogMel(FrontendConfig())):
        assert not list(module.parameters())
        assert not module.state_dict()


@pytest.mark.parametrize("name", ["16k", "32k"])
def test_silence_is_minus_100_db(exported, name):
    config = CONFIGS[name]
    waveform = sound(silence, config)
    for spectrogram in (LogMel(config)(torch.from_numpy(waveform)).numpy(), exported(config, waveform)):
        np.testing.assert_allclose(spectrogram, -100.0, atol=1e-4)


def test_a_tone_lands_in_the_band_that_holds_its_frequency(exported):
    config = CONFIGS["32k"]
    centres = librosa.mel_frequencies(config.n_mels + 2, fmin=0.0, fmax=16000.0)[1:-1]
    for band in (20, 64, 110):
        time = np.arange(16000) / config.sample_rate
        waveform = np.sin(2 * np.pi * centres[band] * time).astype(np.float32)[None]
        assert exported(config, waveform)[0, 0, :, 25].argmax() == band


def test_half_the_amplitude_is_6_02_db_less(exported):
    config = CONFIGS["16k"]
    waveform = sound(noise, config)
    difference = exported(config, waveform) - exported(config, waveform / 2)
    np.testing.assert_allclose(difference, 20 * np.log10(2), atol=1e-3)


def test_autocast_leaves_the_training_form_in_float32():
    config = CONFIGS["16k"]
    waveform = torch.from_numpy(sound(speech_like, config))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectrogram = LogMel(config)(waveform)
    assert spectrogram.dtype == torch.float32
    assert torch.equal(spectrogram, LogMel(config)(waveform))


def test_gradients_reach_the_waveform_through_the_training_form():
    waveform = torch.from_numpy(sound(noise, CONFIGS["16k"])).requires_grad_()
    LogMel(CONFIGS["16k"])(waveform).sum().backward()
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(("fmin", "fmax"), [(0.0, None), (50.0, 14000.0), (1500.0, 8000.0)])
def test_mel_filterbank_is_librosas(scale, fmin, fmax):
    config = FrontendConfig(32000, 2048, 320, 80, fmin=fmin, fmax=fmax, mel_scale=scale)
    expected = librosa.filters.mel(
        sr=32000, n_fft=2048, n_mels=80, fmin=fmin, fmax=fmax, htk=scale == "htk", dtype=np.float64
    )
    np.testing.assert_allclose(mel_filterbank(config), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sample_rate": 0}, r"frontend\.sample_rate: found 0, expected above 0 Hz"),
        ({"n_fft": 1023}, r"frontend\.n_fft: found 1023, expected an even number"),
        ({"n_fft": 0}, r"frontend\.n_fft: found 0"),
        ({"hop_length": 1025}, r"frontend\.hop_length: found 1025, expected 16 to n_fft = 1024 samples"),
        ({"hop_length": 15}, r"frontend\.hop_length: found 15"),
        ({"n_mels": 0}, r"frontend\.n_mels: found 0"),
        ({"mel_scale": "bark"}, r"frontend\.mel_scale: found 'bark', expected 'slaney', 'htk' or 'kaldi'"),
        ({"fmax": 16001.0}, r"frontend\.fmax: found 16001\.0, expected above 0, at most 16000 Hz"),
        (
            {"fmin": 9000.0, "fmax": 8000.0},
            r"frontend\.fmin: found 9000\.0, expected 0 Hz to below fmax",
        ),
        ({"n_mels": 512}, r"frontend\.n_mels: \d+ of 512 mel bands hold no frequency .* Choose fewer bands"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FrontendConfig(**wrong)


@pytest.mark.parametrize("config", [FrontendConfig(16000, 512, hop, 32, amin=AMIN) for hop in (8, 512)])
def test_the_extreme_hops_are_exact(config):
    waveform = sound(speech_like, config, seconds=0.2)
    spectrogram = FactoredLogMel(config)(torch.from_numpy(waveform)).numpy()
    assert_close_in_db(spectrogram, by_librosa(waveform, config))


def test_silence_and_what_lies_below_amin_are_the_same():
    config = FrontendConfig(16000, 512, 160, 64)
    noise = 1e-7 * np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32)
    for waveform in (torch.zeros(1, 16000), torch.from_numpy(noise)):
        np.testing.assert_allclose(LogMel(config)(waveform), 10 * np.log10(config.amin), atol=1e-4)
