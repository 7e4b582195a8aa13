from __future__ import annotations

import pytest
import torch

from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.training.optim_config import OptimConfig
from earmark.training.pace import seconds_a_step
from earmark.windows import Framing

TWO, EIGHT = OptimConfig(batch_size=2), OptimConfig(batch_size=8)
FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80, n_mels=32)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_longer_windows_and_larger_batches_take_longer(precision):
    net = build("tiny_cnn", FRONTEND, 3)
    short, long = Framing(8000, 4000, 2000, "repeat"), Framing(8000, 32000, 16000, "repeat")
    small = seconds_a_step(net, short, TWO, precision)
    assert 0 < 3 * small < seconds_a_step(net, long, EIGHT, precision)  # 32 times the sound


def test_threads_are_as_before():
    before = torch.get_num_threads()
    seconds_a_step(build("tiny_cnn", FRONTEND, 3), Framing(8000, 4000, 2000, "repeat"), TWO, "float32")
    assert torch.get_num_threads() == before


def test_what_stays_as_it_is_gets_no_gradients():
    net = build("tiny_cnn", FRONTEND, 3)
    seconds_a_step(net, Framing(8000, 4000, 2000, "repeat"), OptimConfig(batch_size=2, open_depths=1), "float32")
    assert all(parameter.grad is None for parameter in net.backbone.parameters())
    assert all(parameter.grad is not None for parameter in net.head.parameters())
