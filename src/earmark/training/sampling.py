"""Which clips a batch holds: a pure function of (seed, epoch, batch), so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def seed_for(*parts: int) -> int:
    """One well-mixed 63-bit seed from several small numbers, such as (seed, epoch, batch)."""
    # The length goes in too, because SeedSequence pads with zeros: (1, 2) would be (1, 2, 0).
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> 1)


class EpochBatches(Sampler[tuple[int, int]]):
    """Yields (epoch, batch) keys; the dataset makes the batch from the key alone. Lightning calls `set_epoch`."""

    def __init__(self, n_batches: int):
        self.n_batches = n_batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next pass is."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, batch) for batch in range(self.n_batches))
