"""What every entry of AUGMENTATIONS must do, unasked."""

from __future__ import annotations

import pytest
import torch

from earmark.augment.pipeline import AUGMENTATIONS, Augmentation, AugmentConfig
from earmark.lookup import lookup

ARGUMENTS = {
    "roll": {},
    "gain": {"range_db": 6.0},
    "mixup": {"alpha": 0.4, "probability": 1.0},
    "warp": {"time": 0.2, "mel": 0.1, "shift": 0.05},
    "equalise": {"range_db": 6.0},
    "mask": {"mel": 0.3, "time": 0.3},
}
ON_SPECTROGRAM = ("warp", "equalise", "mask")


def test_every_entry_is_tried_here():
    assert set(ARGUMENTS) == set(AUGMENTATIONS)


@pytest.fixture(params=sorted(AUGMENTATIONS))
def augmented(request):
    """A function from (seed, training?) to the augmented signal, and the signal as it was."""
    module = lookup(AUGMENTATIONS, request.param, "augmentation")(**ARGUMENTS[request.param])
    noise = torch.Generator().manual_seed(1)
    shape = (8, 1, 16, 40) if request.param in ON_SPECTROGRAM else (8, 400)
    signal = torch.randn(shape, generator=noise)

    def apply(seed: int, training: bool = True) -> torch.Tensor:
        module.train(training)
        generator = torch.Generator().manual_seed(seed)
        if request.param == "mixup":
            return module(signal, torch.eye(8), torch.ones(8, 8), generator)[0]
        return module(signal, generator)

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
    assert not torch.equal(first, apply(4))


def test_the_signal_changes_and_keeps_shape_and_type(augmented):
    apply, signal = augmented
    before = signal.clone()
    output = apply(0)
    assert output.shape == signal.shape
    assert output.dtype == signal.dtype
    assert not torch.allclose(output, signal)
    assert torch.equal(signal, before)


def test_pipeline_in_evaluation_changes_neither_sound_nor_labels():
    pipeline = Augmentation(AugmentConfig()).eval()
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
