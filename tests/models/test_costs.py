"""What networks cost and how far they hear: against sums by hand and against what others have published."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from earmark.errors import ConfigError
from earmark.models.costs import Reach, ReachMode, family_costs
from earmark.models.frontend import FrontendConfig

FRONTEND = FrontendConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mels=32)


def reach(module: nn.Module, *shape: int) -> Reach:
    heard = torch.empty(shape, device="meta")
    with torch.no_grad(), ReachMode(heard) as mode:
        return mode.of(module.to("meta")(heard))


class Beside(nn.Module):
    """Two ways for one input, added or joined."""

    def __init__(self, near: nn.Module, far: nn.Module, joined: bool):
        super().__init__()
        self.near, self.far, self.joined = near, far, joined

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.near(x), self.far(x)], dim=1) if self.joined else self.near(x) + self.far(x)


def test_a_stack_reaches_as_far_as_by_hand():
    # 5; the maximum of two at a stride of 2: 5 + 1 * 2 = 7; then 3 with gaps of 2 at 4 to a step: 7 + 2 * 2 * 4 = 23
    stack = nn.Sequential(
        nn.Conv2d(1, 2, (3, 5), (1, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, dilation=2, padding=2)
    )
    assert reach(stack, 1, 1, 16, 100) == Reach(23, 4)


def test_one_dimension_and_a_mean_count_like_two_and_a_maximum():
    # 7 at a stride of 4; the mean of three every step: 7 + 2 * 4 = 15
    assert reach(nn.Sequential(nn.Conv1d(1, 2, 7, 4), nn.AvgPool1d(3, 1)), 1, 1, 100) == Reach(15, 4)


@pytest.mark.parametrize("joined", [False, True])
def test_of_two_ways_the_farther_one_counts(joined):
    near, far = nn.Conv2d(1, 2, 1, 2), nn.Conv2d(1, 2, 9, 2, padding=4)
    assert reach(Beside(near, far, joined), 1, 1, 16, 64) == Reach(9, 2)


@pytest.mark.parametrize(
    ("family", "options", "n_frames"),
    [
        ("mobilenet_v1", {}, 315),  # Araujo et al. 2019, Distill: Computing receptive fields of CNNs
        ("resnet", {"depth": 18}, 435),
        ("se_cnn", {}, 5 + 4 * (4 + 1 + 2 * 4 + 2 + 4 * 4 + 4 + 8 * 4)),
    ],
)
def test_known_receptive_fields_are_found(family, options, n_frames):
    found = family_costs(family, options, FRONTEND).receptive_seconds
    assert found == pytest.approx(((n_frames - 1) * 160 + 512) / 16000)


def test_parameters_and_multiply_adds_are_those_of_the_layers_by_hand():
    # 32 bands, 501 frames: 16 × 126 places of 8 channels by 15 weights, 8 × 63 of 16 by 72, 4 × 32 of 24 by 144
    by_hand = 16 * 126 * 8 * 15 + 8 * 63 * 16 * 72 + 4 * 32 * 24 * 144
    costs = family_costs("tiny_cnn", {"width": 8}, FRONTEND)
    assert costs.multiply_adds == by_hand / 5
    assert costs.n_parameters == 8 * 15 + 16 * 72 + 24 * 144 + 2 * (32 + 8 + 16 + 24)


def test_recurrences_count_every_weight_once_a_step_and_way():
    width, steps = 16, 126  # of 501 frames, four to a step
    convolution = steps * 32 * width * 4
    first = 2 * steps * 3 * width * (width + width)
    second = 2 * steps * 3 * width * (2 * width + width)
    costs = family_costs("rnn", {"width": width}, FRONTEND)
    assert costs.multiply_adds == (convolution + first + second) / 5
    assert costs.whole_window == ("recurrence",)


def test_what_hears_the_whole_window_is_told():
    assert family_costs("mn", {}, FRONTEND).whole_window == ("squeeze-and-excitation",)
    assert family_costs("transformer", {}, FRONTEND).whole_window == ("attention",)
    assert family_costs("cnn1d", {}, FRONTEND).whole_window == ()


def test_a_network_on_the_waveform_is_told_in_its_samples():
    slow = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80)
    fast, slow = (family_costs("wave_cnn", {}, frontend) for frontend in (FRONTEND, slow))
    assert slow.receptive_seconds == 2 * fast.receptive_seconds
    assert slow.n_parameters == fast.n_parameters


def test_an_unknown_family_or_option_is_refused():
    with pytest.raises(ConfigError, match=r"'resnt' is not a model \(did you mean 'resnet'"):
        family_costs("resnt")
    with pytest.raises(ConfigError, match="model_options of resnet: depth: found 19, expected one of 18, 34, 50"):
        family_costs("resnet", {"depth": 19})
