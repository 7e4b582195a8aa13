"""Transforms of audiomentations: drawn from our generator alone, and refused where they cannot be used."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch

from earmark.augment.borrowed import Borrowed
from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.config import change
from earmark.errors import ConfigError, MissingExtraError

RATE = 8000
CLIPS = torch.ones(6, 400)


def changed(*names: str, seed: int = 0) -> torch.Tensor:
    return Borrowed(names, RATE).train()(CLIPS, torch.Generator().manual_seed(seed))


def test_each_clip_is_changed_always_and_by_the_seed_alone(stand_in):
    random.seed(1)
    np.random.seed(1)
    first = changed("Gain", "AddGaussianNoise")
    random.seed(2)
    np.random.seed(2)
    assert torch.equal(first, changed("Gain", "AddGaussianNoise"))
    assert not torch.equal(first, changed("Gain", "AddGaussianNoise", seed=1))
    assert not (first == CLIPS).all(dim=1).any()
    noisy = first.std(dim=1) > 0
    assert noisy.any() and not noisy.all()  # one of the two, drawn for each clip
    assert len(first[~noisy, 0].unique()) == (~noisy).sum()  # and differently each time


def test_what_others_draw_from_the_same_generators_goes_on_undisturbed(stand_in):
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    changed("Gain", "AddGaussianNoise")
    assert (random.random(), np.random.rand()) == expected


def test_evaluation_silence_and_what_would_not_be_finite_stay_as_they_are(stand_in):
    generator = torch.Generator()
    assert Borrowed(["Gain"], RATE).eval()(CLIPS, generator) is CLIPS
    silence = torch.zeros(2, 400)
    assert torch.equal(Borrowed(["AddGaussianNoise"], RATE).train()(silence, generator), silence)
    assert torch.equal(changed("Normalize"), CLIPS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gian", r"'Gian' is none of the transforms of audiomentations \(did you mean 'Gain'\?\)"),
        ("Compose", "'Compose' is none of the transforms"),
        ("AddBackgroundNoise", "AddBackgroundNoise cannot do without settings .*sounds_path"),
        ("Trim", "Trim makes 399 samples of 400, and a window keeps its length"),
        ("Mp3Compression", "Mp3Compression needs a package .no module named fast_mp3_augment.. Install it"),
    ],
)
def test_transforms_that_cannot_be_used_are_refused(stand_in, name, message):
    with pytest.raises(ConfigError, match=message):
        changed(name)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'earmark\[augment\]'"):
        Borrowed(["Gain"], RATE)


def test_a_setting_names_them_and_how_many_clips_they_change(stand_in):
    given = {"audiomentations": ["Gain", "AddGaussianNoise"], "audiomentations_share": "0.5"}
    config = change(AugmentConfig(), given, "--set")
    steps = Augmentation(config, RATE).train().on_waveform
    found = steps["audiomentations"](torch.ones(2000, 4), torch.Generator().manual_seed(0))
    assert (found != 1).any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert "audiomentations" not in Augmentation(AugmentConfig(), RATE).on_waveform


def test_the_real_package_shifts_the_pitch_and_keeps_the_length():
    pytest.importorskip("audiomentations")
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)[None].repeat(4, 1)
    found = Borrowed(["PitchShift"], RATE).train()(tone, torch.Generator().manual_seed(0))
    loudest = torch.fft.rfft(found).abs().argmax(dim=1)
    assert found.shape == tone.shape
    assert (loudest != 440).any() and ((loudest > 340) & (loudest < 570)).all()  # at most four semitones
