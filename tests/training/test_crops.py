"""What training alone does where it cuts: padding at a random offset, silence trimmed, backgrounds taken aside."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pytest
import torch

from earmark import audio
from earmark.augment.pipeline import MIX_PROBABILITIES, SHARES, TRAINING_PADDINGS, Augmentation, AugmentConfig
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.models.tagging_net import build
from earmark.run import FoldFolder
from earmark.training.dataset import (
    FRAMES_AT_ONCE,
    TrainingBatches,
    ValidationWindows,
    background_windows,
    sounding_span,
)
from earmark.training.fit import ON_SPECTROGRAM, fit
from earmark.training.optim_config import OptimConfig
from earmark.windows import PADDINGS, Framing, pad

RATE = 8000
FRAMING = Framing(RATE, 100, 50, "zeros")
SHORT = np.arange(1, 61, dtype=np.float32)


def windows_of(clip: np.ndarray, n_epochs: int = 60, **crops) -> np.ndarray:
    """The window of one clip in each epoch."""
    labels = np.ones((1, 1), dtype=np.float32)
    batches = TrainingBatches([clip], labels, labels, FRAMING, 2, 0, **crops)
    return np.stack([batches[epoch, 0][0][0].numpy() for epoch in range(n_epochs)])


def test_a_start_moves_the_sound_or_what_comes_first():
    sound = np.array([1.0, 2.0, 3.0])
    assert pad(sound, 6, "zeros", before=2).tolist() == [0, 0, 1, 2, 3, 0]
    assert pad(sound, 7, "repeat", before=2).tolist() == [3, 1, 2, 3, 1, 2, 3]


def test_padding_at_a_random_offset_keeps_the_sound_whole_with_silence_on_both_sides():
    windows = windows_of(SHORT, padding="offset")
    starts = (windows > 0).argmax(axis=1)
    for window, start in zip(windows, starts, strict=True):
        assert window[start : start + 60].tolist() == SHORT.tolist()
        assert np.count_nonzero(window) == 60
    assert len(set(starts)) > 15 and starts.max() > 30 and starts.min() < 10


def test_wrapping_begins_anywhere_in_the_sound_and_goes_round():
    windows = windows_of(SHORT, padding="wrap")
    assert set(np.diff(windows, axis=1).ravel()) == {1.0, -59.0}
    assert len(set(windows[:, 0])) > 20


def test_without_a_padding_of_its_own_training_pads_as_evaluation_does():
    assert (windows_of(SHORT) == pad(SHORT, 100, "zeros")).all()
    assert (windows_of(SHORT, padding="repeat") == pad(SHORT, 100, "repeat")).all()
    assert set(PADDINGS) < set(TRAINING_PADDINGS)


def gapped(before: int = 4000, sounding: int = 1600, after: int = 2400, floor: float = 0.0) -> np.ndarray:
    """Noise between two silences."""
    generator = np.random.default_rng(0)
    sound = 0.3 * generator.standard_normal(before + sounding + after).astype(np.float32)
    sound[:before] *= floor
    sound[before + sounding :] *= floor
    return sound


def test_silence_at_the_ends_is_not_trained_on_and_evaluation_hears_all_of_it():
    clip = gapped()
    assert (windows_of(clip)[:, :] == 0).all(axis=1).mean() > 0.5
    assert (windows_of(clip, trim_db=60.0) != 0).all()
    assert len(ValidationWindows([clip], FRAMING)[0][0]) == len(FRAMING.cut(clip)) == 159


def test_a_fainter_floor_than_the_threshold_is_cut_and_a_louder_one_kept():
    clip = gapped(floor=0.01)  # 40 dB down
    assert sounding_span(clip, 30.0, RATE) == (4000, 5600)
    assert sounding_span(clip, 50.0, RATE) == (0, 8000)


def test_silence_within_a_clip_stays():
    clip = np.concatenate([gapped(), gapped()])
    assert sounding_span(clip, 60.0, RATE) == (4000, 13_600)


@pytest.mark.parametrize("trim_db", [20.0, 40.0, 60.0])
def test_what_is_trimmed_is_what_librosa_trims_but_for_frames(trim_db):
    generator = np.random.default_rng(1)
    clip = np.exp(-np.abs(np.linspace(-12, 8, 2 * RATE))) * generator.standard_normal(2 * RATE)
    _, expected = librosa.effects.trim(clip, top_db=trim_db, frame_length=320, hop_length=160)
    assert np.abs(np.subtract(sounding_span(clip, trim_db, RATE), expected)).max() <= 1280


def test_a_long_clip_is_read_in_pieces_to_the_same_end():
    frame = round(0.02 * RATE)
    clip = np.zeros(FRAMES_AT_ONCE * frame + 5000, dtype=np.float16)
    clip[-3000:-1000] = 0.5
    first, stop = sounding_span(clip, 60.0, RATE)
    assert len(clip) - 3000 - frame < first <= len(clip) - 3000
    assert len(clip) - 1000 <= stop < len(clip) - 1000 + frame


@pytest.mark.parametrize("n_samples", [0, 1, 500])
def test_a_silent_clip_stays_as_it_is(n_samples):
    assert sounding_span(np.zeros(n_samples, dtype=np.float16), 60.0, RATE) == (0, n_samples)


@pytest.fixture(scope="module")
def with_background(tones, tmp_path_factory) -> Manifest:
    """The tones, a humming clip without any label, a silent one, and one of which too little is known."""
    folder = tmp_path_factory.mktemp("background")
    hum = (0.1 * np.sin(2 * np.pi * 100 * np.arange(6000) / RATE)).astype(np.float32)
    for name, sound in (("hum.wav", hum), ("silent.wav", 0 * hum), ("unsure.wav", hum[::-1])):
        audio.write(folder / name, sound, RATE)
    paths = [*map(str, tones.files), *(str(folder / name) for name in ("hum.wav", "silent.wav", "unsure.wav"))]
    return Manifest.build(
        folder, paths, [*tones.table["labels"], (), (), ()], unsure=[*[()] * 26, ("low",)], groups=list("abcdefghi") * 3
    )


def test_backgrounds_are_the_audible_clips_that_surely_hold_no_class(with_background, tones, cache):
    framing = Framing(RATE, 4000, 2000, "repeat")
    windows = background_windows(with_background, ClipAudio(with_background, cache, RATE), framing, 0)
    assert windows.shape == (1, 4000) and windows.dtype == torch.float32
    assert torch.fft.rfft(windows[0].float()).abs().argmax() == 50  # 100 Hz
    again = background_windows(with_background, ClipAudio(with_background, cache, RATE), framing, 0)
    assert torch.equal(windows, again)
    assert background_windows(tones, ClipAudio(tones, cache, RATE), framing, 0) is None


def trained(manifest, cache, folder, augment, stop_after=None) -> torch.Tensor:
    torch.manual_seed(0)
    net = build("tiny_cnn", FrontendConfig(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=16), 3, {"width": 8})
    optim = OptimConfig(epochs=3, batch_size=4, learning_rate=5e-3)
    settings = {"framing": Framing(RATE, 4000, 2000, "repeat"), "cache": cache, "optim": optim}
    result = fit(net, manifest, None, FoldFolder(folder), augment=augment, stop_after=stop_after, **settings)
    return torch.cat([p.detach().flatten() for p in result.net.parameters()])


def test_with_everything_on_a_stopped_run_ends_with_the_same_weights(with_background, cache, tmp_path):
    everything = AugmentConfig(
        **dict.fromkeys(MIX_PROBABILITIES.values(), 0.15),
        **dict.fromkeys(SHARES, 0.4),
        padding="offset",
        trim_db=60.0,
        mix_epochs=2,
        crop=0.2,
        masks=2,
    )
    whole = trained(with_background, cache, tmp_path / "whole", everything)
    assert whole.isfinite().all()
    trained(with_background, cache, tmp_path / "parts", everything, stop_after=1)
    assert torch.equal(trained(with_background, cache, tmp_path / "parts", everything), whole)
    without = dataclasses.replace(everything, background=0.0)
    assert not torch.equal(trained(with_background, cache, tmp_path / "other", without), whole)


def test_echoes_last_as_long_at_the_rate_of_the_clips(tones, cache, tmp_path, monkeypatch):
    rates = []
    made = Augmentation.__init__
    monkeypatch.setattr(Augmentation, "__init__", lambda self, *given: rates.append(given[1]) or made(self, *given))
    trained(tones, cache, tmp_path, AugmentConfig(), stop_after=1)
    assert rates == [RATE]


def test_the_training_step_says_which_epoch_it_is(tones, cache, tmp_path, monkeypatch):
    epochs = []
    change = Augmentation.waveform
    monkeypatch.setattr(Augmentation, "waveform", lambda self, *given: epochs.append(given[4]) or change(self, *given))
    trained(tones, cache, tmp_path, AugmentConfig(mix_epochs=1, off_for_last=1))
    assert epochs == 6 * [0] + 6 * [1]


def test_what_the_front_end_adds_is_off_in_the_last_epochs_too(tones, cache, tmp_path, monkeypatch):
    trains = []
    hear = LogMel.forward
    monkeypatch.setattr(LogMel, "forward", lambda self, heard: trains.append(self.training) or hear(self, heard))
    trained(tones, cache, tmp_path, AugmentConfig(off_for_last=1))
    assert trains[-6:] == 6 * [False] and trains[-12:-6] == 6 * [True]


def test_a_network_without_a_spectrogram_loses_all_that_would_change_one():
    everything = AugmentConfig(crop=0.2, masks=2)
    assert len(Augmentation(everything).on_spectrogram) == 4
    assert len(Augmentation(dataclasses.replace(everything, **dict.fromkeys(ON_SPECTROGRAM, 0.0))).on_spectrogram) == 0
