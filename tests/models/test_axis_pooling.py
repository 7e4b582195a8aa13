"""Axis pools against loops, and the family that is built of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.errors import ConfigError
from earmark.models.axis_pooling import AXIS_POOLS, LEARNT, AxisPool
from earmark.models.fsd_cnn import FSDCNN, VARIANTS
from earmark.models.layers import SqueezeExcitation

# (along the first axis that is pooled, along the second): mel is rows, time is columns.
MEANINGS = {
    "max": lambda square: square.max(),
    "average": lambda square: square.mean(),
    "avemax1": lambda square: square.mean(axis=1).max(),
    "avemax2": lambda square: square.mean(axis=0).max(),
    "avemax3": lambda square: square.max(axis=0).mean(),
    "avemax4": lambda square: square.max(axis=1).mean(),
    "conv": lambda square: square.mean(),  # until it has learnt something
}


def by_loops(values: np.ndarray, kind: str, stride: int) -> np.ndarray:
    """Every square of a map (mels, frames), cut off at its edges."""
    before = 1 if stride == 1 else 0
    return np.array(
        [
            [
                MEANINGS[kind](values[max(row - before, 0) : row + 2, max(column - before, 0) : column + 2])
                for column in range(0, values.shape[1], stride)
            ]
            for row in range(0, values.shape[0], stride)
        ]
    )


def test_every_kind_has_its_meaning_here():
    assert set(MEANINGS) == {*AXIS_POOLS, LEARNT}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", AXIS_POOLS)
def test_pools_are_what_loops_over_squares_give(kind, stride):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    found = AxisPool(kind, 1, stride=stride)(torch.from_numpy(values)[None, None])[0, 0]
    np.testing.assert_allclose(found.numpy(), by_loops(values, kind, stride), rtol=1e-5, atol=1e-6)


def test_learnt_pool_starts_as_the_average_of_each_channel():
    values = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    found = AxisPool("conv", 2, stride=2)(torch.from_numpy(values)[None])[0].detach().numpy()
    for channel in range(2):
        np.testing.assert_allclose(found[channel], by_loops(values[channel], "average", 2), rtol=1e-5, atol=1e-6)


def test_unknown_pools_variants_and_widths_are_refused():
    with pytest.raises(ConfigError, match=r"'avemax5' is not an axis pool \(did you mean 'avemax"):
        FSDCNN(16, width=0.1, second_pool="avemax5")
    with pytest.raises(ConfigError, match="variant: found 'sa', expected conv or se or cat or se_cat"):
        FSDCNN(16, variant="sa")
    with pytest.raises(ConfigError, match="width: found 9, expected 0.1 to 4"):
        FSDCNN(16, width=9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_its_excitations_and_its_mixing(variant):
    net = FSDCNN(16, width=0.1, variant=variant)
    assert net(torch.zeros(1, 1, 16, 20)).shape == (1, 51, 2, 3)
    excitations = [module for module in net.modules() if isinstance(module, SqueezeExcitation)]
    assert len(excitations) == (8 if "se" in variant else 0)
    mixed = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1)]
    assert len(mixed) == (4 if "cat" in variant else 0)


def test_channels_are_those_of_the_system():
    net = FSDCNN(64)
    channels = [layer.out_channels for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert channels == [64, 96, 96, 128, 128, 256, 256, 512, 512]
    norms = [layer.momentum for layer in net.stem.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms == [0.15]


def test_the_coordinate_tells_the_same_sound_at_two_heights_apart():
    torch.manual_seed(0)
    net = FSDCNN(16, width=0.1, coordinate=True).eval()
    tone = torch.zeros(1, 1, 16, 20)
    low, high = tone.clone(), tone.clone()
    low[:, :, 5], high[:, :, 9] = 1.0, 1.0  # far enough from the edges, a whole number of squares apart
    both = torch.stack([net(each).amax() for each in (low, high)])
    assert not torch.isclose(*both)
