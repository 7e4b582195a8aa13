from __future__ import annotations

import pytest
import torch

from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.training.pace import seconds_a_step
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80, n_mels=32)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_longer_windows_and_larger_batches_take_longer(precision):
    net = build("tiny_cnn", FRONTEND, 3)
    short, long = Framing(8000, 4000, 2000, "repeat"), Framing(8000, 32000, 16000, "repeat")
    small = seconds_a_step(net, short, 2, precision)
    assert 0 < 3 * small < seconds_a_step(net, long, 8, precision)  # 32 times the sound


def test_threads_are_as_before():
    before = torch.get_num_threads()
    seconds_a_step(build("tiny_cnn", FRONTEND, 3), Framing(8000, 4000, 2000, "repeat"), 2, "float32")
    assert torch.get_num_threads() == before
