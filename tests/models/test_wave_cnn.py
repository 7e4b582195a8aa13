"""wave_cnn: its EnvNet-v2 beside the published one, layer by layer, and what a step of its other design is."""

from __future__ import annotations

import torch
from torch import nn

from earmark.models.wave_cnn import WaveCNN

CHANNELS = (32, 64, 32, 32, 64, 64, 128, 128, 256, 256)
KERNELS = ((64,), (16,), *2 * [(9, 9)], *6 * [(1, 3)])  # published: 8×8 twice, 1×4 twice, 1×2 four times, unpadded
POOLS = ((1, 64), (5, 3), (1, 2), (1, 2), (1, 2))
PUBLISHED_SAMPLES = 66_650  # 1.51 s at 44.1 kHz


def test_envnet_has_the_published_filters_channels_and_pools_in_order():
    net = WaveCNN(design="envnet", width=32)
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d)]
    assert tuple(layer.out_channels for layer in convolutions) == CHANNELS
    assert tuple(layer.kernel_size for layer in convolutions) == KERNELS
    assert [layer.stride for layer in convolutions[:2]] == [(2,), (2,)]
    pools = [layer for layer in net.modules() if isinstance(layer, nn.MaxPool2d)]
    assert tuple(layer.kernel_size for layer in pools) == POOLS
    assert all(layer.ceil_mode for layer in pools)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == len(CHANNELS)


def test_a_published_window_becomes_256_features_on_13_rows_of_filters():
    """Unpadded, the published network has 10 rows and 8 steps."""
    with torch.no_grad():
        features = WaveCNN(design="envnet", width=32).eval()(torch.zeros(1, 1, 1, PUBLISHED_SAMPLES))
    assert features.shape == (1, 256, 13, 11)


def test_a_step_of_eat_is_1024_samples_wherever_it_stands():
    torch.manual_seed(0)
    stages = WaveCNN(width=4).eval().layers.stages
    waveform = torch.randn(1, 1, 256 * 1024)
    with torch.no_grad():
        there, later = stages(waveform), stages(torch.roll(waveform, 1024, dims=2))
    assert there.shape == (1, 32, 256)
    torch.testing.assert_close(later[:, :, 121:137], there[:, :, 120:136], rtol=1e-4, atol=1e-5)  # far from the ends


def test_eat_filters_each_channel_over_rising_stretches_and_then_attends_over_steps():
    layers = WaveCNN(width=4, n_layers=2).layers
    filters = [layer for layer in layers.modules() if isinstance(layer, nn.Conv1d) and layer.groups > 1]
    assert all(layer.groups == layer.in_channels for layer in filters)
    assert [layer.dilation[0] for layer in filters] == [1, 1, *2 * [1, 3, 9]]
    assert [layer.out_channels for layer in filters] == [8, 32, *3 * [32], *3 * [64]]
    assert len(layers.blocks) == 2
