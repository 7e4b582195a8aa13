"""Where the time of a training step goes."""

from __future__ import annotations

import time

import torch
from torch.utils.hooks import RemovableHandle

from earmark.models.tagging_net import TaggingNet

STAGES = ("augment", "front_end", "forward", "backward", "optimiser")


class StageClock:
    """Seconds of the stages of those steps that are timed, and of waiting for the batches of all.

    A GPU works on while its caller goes on: in a timed step each stage is waited for.

    Args:
        net: whose front end and first layer say where a stage ends.
    """

    def __init__(self, net: TaggingNet):
        self.net = net
        self._handles: list[RemovableHandle] = []
        self._last = self._ended = time.perf_counter()
        self.start_epoch()

    def start_epoch(self) -> None:
        """Forget what was measured."""
        self._started = self._ended = time.perf_counter()
        self._sums = dict.fromkeys(STAGES, 0.0)
        self._n_timed = 0
        self._waited = 0.0
        self._n_steps = 0

    def begin(self, timed: bool) -> None:
        """A step has its batch."""
        now = time.perf_counter()
        self._waited += now - self._ended
        self._n_steps += 1
        if not timed:
            return
        self._n_timed += 1
        frontend, first = self.net.frontend, next(
            layer for layer in self.net.backbone.modules() if not any(True for _ in layer.children())
        )
        self._handles = [
            frontend.register_forward_pre_hook(lambda *_: self.mark("augment")),
            frontend.register_forward_hook(lambda *_: self.mark("front_end")),
            first.register_forward_pre_hook(lambda *_: self.mark("augment")),
        ]
        _wait()
        self._last = time.perf_counter()

    def mark(self, stage: str) -> None:
        """A stage has ended, if this step is timed."""
        if not self._handles:
            return
        _wait()
        now = time.perf_counter()
        self._sums[stage] += now - self._last
        self._last = now

    def end(self) -> None:
        """A step is done."""
        self.mark("optimiser")
        self.detach()
        self._ended = time.perf_counter()

    def detach(self) -> None:
        """Stop timing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self, epochs_left: int) -> dict[str, float]:
        """Seconds: of each stage in a step, where one was timed; of the epoch, of it waiting for batches, and about
        what is left of the training at this pace."""
        epoch = time.perf_counter() - self._started
        stages = {stage: round(sum_ / self._n_timed, 6) for stage, sum_ in self._sums.items() if self._n_timed}
        waited = self._waited
        if torch.cuda.is_available() and stages:  # what is waited for while the GPU works is no loss
            waited = min(waited, max(0.0, epoch - self._n_steps * sum(stages.values())))
        return {
            **stages,
            "waiting": round(waited, 4),
            "epoch": round(epoch, 3),
            "left": round(epochs_left * epoch, 1),
        }


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
