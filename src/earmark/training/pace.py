"""How fast a network trains on this machine: a few steps of it, timed before anybody waits for them."""

from __future__ import annotations

import time

import torch

from earmark.models.tagging_net import TaggingNet
from earmark.training.fit import hardware, lightning_precision
from earmark.training.optim_config import OptimConfig
from earmark.training.unfreezing import depth_groups, open_groups
from earmark.windows import Framing

TIMED_STEPS = 2  # after one that warms up; the quicker counts


def seconds_a_step(net: TaggingNet, framing: Framing, optim: OptimConfig, precision: str) -> float:
    """Seconds that a training step takes: front end, network, gradients of all that ever learns; no augmentation.

    Of one core, not on the wall, on a CPU (others may share the machine, and folds are trained on a core each); on
    the wall on a GPU.

    Args:
        net: its batch normalisation hears noise, so its statistics are of no use afterwards.
        precision: as for `fit`.
    """
    on_gpu = hardware() == "gpu"
    device = "cuda" if on_gpu else "cpu"
    clock = time.perf_counter if on_gpu else time.process_time
    half = lightning_precision(precision, hardware()).startswith("bf16")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net.train().to(device).backbone.to(memory_format=torch.channels_last)
    groups = depth_groups(net)
    open_groups(groups, optim.open_depths or len(groups))
    waveform = torch.randn(optim.batch_size, framing.window_samples, device=device) / 10
    taken = []
    try:
        for _ in range(1 + TIMED_STEPS):
            started = clock()
            with torch.autocast(device, torch.bfloat16, enabled=half):
                logits = net(waveform)
            logits.float().square().mean().backward()
            if on_gpu:
                torch.cuda.synchronize()
            taken.append(clock() - started)
    finally:
        torch.set_num_threads(threads)
    return min(taken[1:])
