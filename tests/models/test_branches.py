"""What a network hears beside its spectrogram: the course of the window, and how long it sounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.models.branches import LengthBranch, StepsBranch
from earmark.models.frontend import FrontendConfig
from earmark.models.steps import step_statistics
from earmark.models.tagging_net import build

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16)


def test_steps_are_numpys_statistics_of_spans_of_two():
    waveform = np.random.default_rng(0).normal(size=(2, 1280)).astype(np.float32)
    found = step_statistics(torch.from_numpy(waveform)).numpy()
    assert found.shape == (2, 128, 12)
    for step in (0, 70, 126):
        span = waveform[:, 10 * step : 10 * step + 20]
        percentiles = np.percentile(span, (0, 1, 25, 30, 50, 60, 75, 99, 100), axis=1)
        expected = np.stack([span.mean(axis=1), span.std(axis=1), np.ptp(span, axis=1), *percentiles], axis=1)
        np.testing.assert_allclose(found[:, step], expected, atol=1e-5)


def test_the_branch_hears_what_a_spectrogram_does_not():
    torch.manual_seed(0)
    branch = StepsBranch(8000).eval()
    waveform = torch.rand(1, 4000)  # all above zero
    assert not torch.allclose(branch(waveform), branch(-waveform))


@pytest.mark.parametrize(("start", "stop"), [(0, 8000), (1600, 3200), (7840, 8000)])
def test_length_is_the_stretch_that_sounds_in_units_of_ten_seconds(start, stop):
    waveform = torch.full((2, 8000), 2e-4)
    waveform[:, start:stop] = 0.5  # 68 dB above the rest
    expected = (stop - start) / 80000
    torch.testing.assert_close(LengthBranch(8000)(waveform), torch.full((2, 1), expected))


def test_length_counts_what_is_quiet_but_not_faint_and_gaps_within():
    waveform = torch.zeros(1, 8000)
    waveform[:, :160], waveform[:, 4000:4160] = 0.5, 0.001  # 54 dB below
    torch.testing.assert_close(LengthBranch(8000)(waveform), torch.tensor([[4160 / 80000]]))


def test_length_of_silence_is_nothing_and_a_last_frame_ends_with_the_window():
    branch = LengthBranch(8000)
    assert branch(torch.zeros(1, 8000)).item() == 0
    torch.testing.assert_close(branch(torch.ones(1, 1000)), torch.tensor([[1000 / 80000]]))


def test_branches_stand_beside_the_pooled_features():
    torch.manual_seed(0)
    net = build("tiny_cnn", FRONTEND, 3, {"width": 8}, branches=("steps", "length")).eval()
    waveform = 0.1 * torch.randn(2, 4000)
    embedding = net.embed(waveform)
    assert embedding.shape == (2, 24 + 128 + 1) and net.head.last.in_features == 153
    torch.testing.assert_close(embedding[:, 24:152], net.branches[0](waveform))
    torch.testing.assert_close(embedding[:, 152:], net.branches[1](waveform))
