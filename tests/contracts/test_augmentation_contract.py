"""What every entry of AUGMENTATIONS must do, unasked."""

from __future__ import annotations

import pytest
import torch

from earmark.augment.mixing import MIXES
from earmark.augment.pipeline import AUGMENTATIONS, MIX_PROBABILITIES, Augmentation, AugmentConfig
from earmark.errors import ConfigError
from earmark.lookup import lookup

RATE = 8000
ARGUMENTS = {
    "roll": {},
    "audiomentations": {"names": ("Gain", "TanhDistortion"), "sample_rate": RATE},
    "speed": {"largest": 0.1},
    "polarity": {},
    "overdrive": {},
    "reverb": {"sample_rate": RATE, "seconds": (0.1, 0.5)},
    "background": {"windows": torch.randn(3, 400, generator=torch.Generator().manual_seed(2)), "snr_db": (5.0, 30.0)},
    "noise": {"sample_rate": RATE, "snr_db": (5.0, 30.0)},
    "filter": {"sample_rate": RATE},
    "peaks": {"sample_rate": RATE},
    "gain": {"range_db": 6.0},
    "codec": {"sample_rate": RATE},
    "dropouts": {"sample_rate": RATE, "packet_seconds": 0.001},
    "cutout": {},
    "mixing": {"probabilities": dict.fromkeys(MIXES, 1 / len(MIXES)), "sample_rate": RATE},
    "crop": {"largest": 0.3},
    "warp": {"time": 0.2, "mel": 0.1, "shift": 0.05},
    "equalise": {"range_db": 6.0},
    "mask": {"mel": 0.3, "time": 0.3},
}
ON_SPECTROGRAM = ("crop", "warp", "equalise", "mask")
WITHOUT_DRAWS = ("polarity",)
EVERYTHING = AugmentConfig(
    **dict.fromkeys(MIX_PROBABILITIES.values(), 1 / len(MIX_PROBABILITIES)),
    **dict.fromkeys(("polarity", "noise", "background", "filter", "peaks", "speed", "reverb"), 0.5),
    **dict.fromkeys(("overdrive", "codec", "dropouts", "cutout"), 0.5),
    crop=0.3,
    masks=2,
)


def test_every_entry_is_tried_here():
    assert set(ARGUMENTS) == set(AUGMENTATIONS)


@pytest.fixture(params=sorted(AUGMENTATIONS))
def augmented(request):
    """A function from (seed, training?) to the augmented signal, and the signal as it was."""
    if request.param == "audiomentations":
        pytest.importorskip("audiomentations")
    module = lookup(AUGMENTATIONS, request.param, "augmentation")(**ARGUMENTS[request.param])
    noise = torch.Generator().manual_seed(1)
    shape = (8, 1, 16, 40) if request.param in ON_SPECTROGRAM else (8, 400)
    signal = torch.randn(shape, generator=noise)

    def apply(seed: int, training: bool = True) -> torch.Tensor:
        module.train(training)
        generator = torch.Generator().manual_seed(seed)
        if request.param == "mixing":
            return module(signal, torch.eye(8), torch.ones(8, 8), generator)[0]
        return module(signal, generator)

    apply.module = module
    apply.draws = request.param not in WITHOUT_DRAWS
    return apply, signal


def test_evaluation_leaves_the_signal_alone(augmented):
    apply, signal = augmented
    assert apply(0, training=False) is signal


def test_the_same_seed_gives_the_same_output(augmented):
    apply, _ = augmented
    torch.manual_seed(5)
    first = apply(3)
    torch.manual_seed(6)  # the global seed has no part in it
    assert torch.equal(first, apply(3))
    assert torch.equal(first, apply(4)) != apply.draws


def test_the_signal_changes_and_keeps_shape_and_type(augmented):
    apply, signal = augmented
    before = signal.clone()
    output = apply(0)
    assert output.shape == signal.shape
    assert output.dtype == signal.dtype
    assert not torch.allclose(output, signal)
    assert torch.equal(signal, before)


@pytest.mark.parametrize("kind", ["silence", "an offset", "full scale", "nearly nothing"])
def test_whatever_comes_in_what_goes_out_is_finite(augmented, kind):
    apply, signal = augmented
    filled = {"silence": 0.0, "an offset": 0.5, "full scale": 1.0, "nearly nothing": 1e-20}[kind]
    signal.fill_(filled)
    if kind == "full scale":
        signal[:, ..., ::2] *= -1
    output = apply(1)
    assert output.isfinite().all()
    if kind == "silence" and signal.ndim == 2:
        assert (output == 0).all()


def test_a_window_of_a_prime_number_of_samples_is_like_any_other(augmented):
    apply, signal = augmented
    if signal.ndim == 2 and signal.shape[1] == 400:
        module, generator = apply.module.train(), torch.Generator().manual_seed(0)
        odd = signal[:, :397]
        if hasattr(module, "windows"):
            module.windows = module.windows[:, :397]
        labels = (torch.eye(8), torch.ones(8, 8)) if hasattr(module, "ways") else ()
        output = module(odd, *labels, generator)
        assert (output[0] if labels else output).shape == odd.shape


def test_pipeline_in_evaluation_changes_neither_sound_nor_labels():
    pipeline = Augmentation(EVERYTHING, RATE, torch.ones(1, 100).half()).eval()
    waveform, targets, spectrogram = torch.randn(4, 100), torch.eye(4), torch.randn(4, 1, 8, 20)
    generator, weights = torch.Generator(), torch.ones(4, 4)
    assert pipeline.waveform(waveform, targets, weights, generator) == (waveform, targets, weights)
    assert pipeline.spectrogram(spectrogram, generator) is spectrogram


def test_everything_set_to_zero_does_nothing():
    off = AugmentConfig(
        roll=False,
        gain_db=0,
        mixup_probability=0,
        warp_time=0,
        warp_mel=0,
        warp_shift=0,
        equalise_db=0,
        mask_mel=0,
        mask_time=0,
    )
    pipeline = Augmentation(off).train()
    waveform, targets, spectrogram = torch.randn(4, 100), torch.eye(4), torch.randn(4, 1, 8, 20)
    assert pipeline.waveform(waveform, targets, torch.ones(4, 4), torch.Generator())[0] is waveform
    assert pipeline.spectrogram(spectrogram, torch.Generator()) is spectrogram


def test_everything_at_once_gives_finite_sounds_and_labels_and_the_same_for_the_same_seed():
    pipeline = Augmentation(EVERYTHING, RATE, torch.randn(2, 4000).half()).train()
    assert len(pipeline.on_waveform) == 13 and len(pipeline.on_spectrogram) == 4
    waveform, targets, weights = torch.randn(16, 4000), torch.eye(16), torch.ones(16, 16)
    first, second = (
        pipeline.waveform(waveform, targets, weights, torch.Generator().manual_seed(7)) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, other)
    assert first[1].min() >= 0 and first[1].max() <= 1


def test_every_entry_can_be_turned_on():
    pipeline = Augmentation(EVERYTHING, RATE, torch.ones(1, 100).half())
    on = {*pipeline.on_waveform, *pipeline.on_spectrogram, "mixing"}
    assert on | {"audiomentations"} == set(AUGMENTATIONS)  # which tests/augment/test_borrowed.py turns on
    assert set(MIX_PROBABILITIES) == set(MIXES)


def test_backgrounds_that_are_not_there_are_left_out():
    assert "background" not in Augmentation(EVERYTHING, RATE).on_waveform


def test_clips_are_mixed_in_the_first_epochs_alone_if_so_asked():
    pipeline = Augmentation(AugmentConfig(roll=False, gain_db=0, mixup_probability=1, mix_epochs=3)).train()
    waveform, labels = torch.randn(4, 100), (torch.eye(4), torch.ones(4, 4))
    same = [
        pipeline.waveform(waveform, *labels, torch.Generator().manual_seed(1), epoch)[0] is waveform
        for epoch in range(5)
    ]
    assert same == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reverb": 1.5}, "augment.reverb: found 1.5, expected 0 to 1"),
        ({"audiomentations_share": 1.5}, "augment.audiomentations_share: found 1.5, expected 0 to 1"),
        ({"padding": "mirror"}, "augment.padding: found 'mirror', expected zeros or repeat or offset or wrap"),
        ({"mix_labels": "or"}, "augment.mix_labels: found 'or', expected share or either"),
        ({"snr_db": (30.0, 5.0)}, r"augment.snr_db: found \[30.0, 5.0\], expected two numbers"),
        ({"reverb_seconds": (1.0,)}, "augment.reverb_seconds: .*, the lower first"),
        ({"speed_range": 0.9}, "augment.speed_range: found 0.9, expected 0 to 0.5"),
        ({"trim_db": -1}, "augment.trim_db: found -1, expected 0 to 120 dB"),
        ({"masks": 0}, "augment.masks: found 0, expected 1 to 10"),
        ({"mix_epochs": -1}, "augment.mix_epochs: found -1, expected 0 or more epochs"),
        ({"mixup_probability": 0.7, "bc_probability": 0.6}, "found 1.3 in all, expected at most 1 in all"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**changes)
