from __future__ import annotations

import pytest
import torch
from torch import nn

from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.training.optim_config import OptimConfig
from earmark.training.pace import seconds_a_step
from earmark.windows import Framing

TWO, EIGHT = OptimConfig(batch_size=2), OptimConfig(batch_size=8)
FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80, n_mels=32)


def test_what_counts_is_the_quickest_step_after_the_first(monkeypatch):
    ticks = iter([0.0, 9.0, 10.0, 13.0, 20.0, 22.0])  # 9 s, 3 s, 2 s
    monkeypatch.setattr("earmark.training.pace.time.process_time", lambda: next(ticks))
    monkeypatch.setattr("earmark.training.pace.hardware", lambda: "cpu")
    framing = Framing(8000, 4000, 2000, "repeat")
    assert seconds_a_step(build("tiny_cnn", FRONTEND, 3), framing, TWO, "float32") == 2.0


@pytest.mark.parametrize(("precision", "kind"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_each_step_hears_a_whole_batch_of_whole_windows_in_the_precision_of_training(precision, kind):
    net, heard, kinds = build("tiny_cnn", FRONTEND, 3), [], set()
    net.frontend.register_forward_pre_hook(lambda _, given: heard.append(tuple(given[0].shape)))
    convolution = next(layer for layer in net.backbone.modules() if isinstance(layer, nn.Conv2d))
    convolution.register_forward_hook(lambda *of_call: kinds.add(of_call[2].dtype))
    assert seconds_a_step(net, Framing(8000, 32000, 16000, "repeat"), EIGHT, precision) > 0
    assert heard == 3 * [(8, 32000)]
    assert kinds == {kind}


def test_threads_are_as_before():
    before = torch.get_num_threads()
    seconds_a_step(build("tiny_cnn", FRONTEND, 3), Framing(8000, 4000, 2000, "repeat"), TWO, "float32")
    assert torch.get_num_threads() == before


def test_what_stays_as_it_is_gets_no_gradients():
    net = build("tiny_cnn", FRONTEND, 3)
    seconds_a_step(net, Framing(8000, 4000, 2000, "repeat"), OptimConfig(batch_size=2, open_depths=1), "float32")
    assert all(parameter.grad is None for parameter in net.backbone.parameters())
    assert all(parameter.grad is not None for parameter in net.head.parameters())
