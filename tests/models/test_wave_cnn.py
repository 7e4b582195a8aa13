"""wave_cnn's EnvNet-v2 beside the published one: layer by layer, but for what its docstring says is otherwise."""

from __future__ import annotations

import torch
from torch import nn

from earmark.models.wave_cnn import WaveCNN

CHANNELS = (32, 64, 32, 32, 64, 64, 128, 128, 256, 256)
KERNELS = ((64,), (16,), *2 * [(9, 9)], *6 * [(1, 3)])  # published: 8×8 twice, 1×4 twice, 1×2 four times, unpadded
POOLS = (64, (5, 3), (1, 2), (1, 2), (1, 2))
PUBLISHED_SAMPLES = 66_650  # 1.51 s at 44.1 kHz


def test_envnet_has_the_published_filters_channels_and_pools_in_order():
    net = WaveCNN(design="envnet", width=32)
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d)]
    assert tuple(layer.out_channels for layer in convolutions) == CHANNELS
    assert tuple(layer.kernel_size for layer in convolutions) == KERNELS
    assert [layer.stride for layer in convolutions[:2]] == [(2,), (2,)]
    pools = [layer for layer in net.modules() if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d)]
    assert tuple(layer.kernel_size for layer in pools) == POOLS
    assert all(layer.ceil_mode for layer in pools)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == len(CHANNELS)


def test_a_published_window_becomes_256_features_on_13_rows_of_filters():
    """Unpadded, the published network has 10 rows and 8 steps."""
    with torch.no_grad():
        features = WaveCNN(design="envnet", width=32).eval()(torch.zeros(1, 1, 1, PUBLISHED_SAMPLES))
    assert features.shape == (1, 256, 13, 11)
