"""Which clips a batch holds: a pure function of (seed, epoch, batch), so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def seed_for(*parts: int) -> int:
    """One well-mixed 63-bit seed from several small numbers, such as (seed, epoch, batch)."""
    # The length goes in too, because SeedSequence pads with zeros: (1, 2) would be (1, 2, 0).
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> 1)


def clip_chances(
    targets: np.ndarray, weights: np.ndarray, noisy: np.ndarray, balance: float, noisy_share: float | None
) -> np.ndarray | None:
    """How often each clip is drawn, (clips,) in shares of 1; None = every clip as often as any other.

    Args:
        targets, weights: (clips, classes); a label of target 0.5 or more and weight above 0 is there.
        noisy: (clips,) bool.
        balance: β of 1/n^β, n being the clips that have the clip's rarest label; clips without any label are a class of
            their own. 0 to 1.
        noisy_share: of all draws, those of noisy clips, 0 to 1; None = as it falls.

    Source: Kang et al. 2020, arXiv 1910.09217 (β there 1 − q); the rarest label as in Gong et al. 2021, arXiv
    2102.01243 (PSLA), but of several labels the rarest counts, not their sum.
    """
    if not balance and noisy_share is None:
        return None
    there = (targets >= 0.5) & (weights > 0)
    there = np.column_stack([there, ~there.any(axis=1)])
    sizes = np.where(there, there.sum(axis=0), np.inf).min(axis=1)
    chances = sizes**-balance
    if noisy_share is not None:
        for subset, share in ((noisy, noisy_share), (~noisy, 1 - noisy_share)):
            chances[subset] *= share / max(chances[subset].sum(), 1e-300)
    return chances / chances.sum()


def deal(chances: np.ndarray, noisy: np.ndarray, n_batches: int, batch_size: int, seed: int) -> np.ndarray:
    """Clips drawn for an epoch and dealt out like cards, (n_batches, batch_size) positions.

    A clip whose chances make 2.3 draws is drawn twice or three times; every batch has its share of noisy clips, to
    one; a clip comes twice in a batch only if it is drawn more often than there are batches.

    >>> deal(np.array([0.1, 0.1, 0.8]), np.array([True, True, False]), 2, 5, seed=0).tolist()
    [[0, 2, 2, 2, 2], [2, 2, 2, 1, 2]]
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(chances))
    order = order[np.argsort(noisy[order], kind="stable")]
    n_draws = n_batches * batch_size
    ends = np.cumsum(chances[order])
    places = (np.arange(n_draws) + generator.random()) / n_draws * ends[-1]
    drawn = order[np.searchsorted(ends, places, side="right").clip(max=len(order) - 1)]
    return generator.permuted(drawn.reshape(batch_size, n_batches).T, axis=1)


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
