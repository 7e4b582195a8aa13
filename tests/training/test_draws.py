"""Which clips an epoch hears if not every one once: classes alike, curated and noisy clips by their shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.training.dataset import TrainingBatches
from earmark.training.sampling import clip_chances, deal, seed_for
from earmark.windows import Framing

SIZES = (60, 30, 10)  # clips of each class
TARGETS = np.repeat(np.eye(3, dtype=np.float32), SIZES, axis=0)
NOISY = np.arange(100) % 5 > 0  # four of five
KNOWN = np.ones_like(TARGETS)


def chances(balance: float = 0.0, noisy_share: float | None = None, targets=TARGETS, known=KNOWN) -> np.ndarray:
    return clip_chances(targets, known, NOISY, balance, noisy_share)


def batches(given: np.ndarray | None, batch_size: int = 10) -> TrainingBatches:
    waveforms = [np.full(4, clip, np.float32) for clip in range(100)]
    drawn = {"chances": given, "noisy": NOISY}
    return TrainingBatches(waveforms, TARGETS, KNOWN, Framing(8000, 4, 2, "zeros"), batch_size, 0, **drawn)


def heard(made: TrainingBatches, epoch: int) -> np.ndarray:
    """(batches, batch size) clip numbers."""
    return np.stack([made[epoch, batch][0][:, 0].numpy().astype(int) for batch in range(made.n_batches)])


def test_without_a_wish_an_epoch_is_the_permutation_that_it_always_was():
    assert chances() is None
    order = np.random.default_rng(seed_for(0, 3)).permutation(100)
    assert heard(batches(None), 3).ravel().tolist() == order.tolist()


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_classes_are_heard_by_a_power_of_their_size(balance):
    found = chances(balance) @ TARGETS
    expected = np.array(SIZES) ** (1 - balance)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-6)


def test_a_clip_of_several_labels_is_drawn_by_the_rarest_and_one_of_none_is_of_a_class_of_its_own():
    targets = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0]], np.float32)
    found = clip_chances(targets, np.ones_like(targets), np.zeros(6, bool), 1.0, None)
    np.testing.assert_allclose(found / found[3], [1 / 4, 1 / 4, 1 / 4, 1, 1 / 2, 1 / 2])
    known = np.ones_like(targets)
    known[3, 1] = 0  # nobody knows of the rare label
    found = clip_chances(targets, known, np.zeros(6, bool), 1.0, None)
    np.testing.assert_allclose(found / found[3], [1, 1, 1, 1, 2, 2])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_noisy_clips_have_their_share_of_every_batch_to_one(share):
    made = batches(chances(0.0, share))
    for epoch in range(3):
        per_batch = NOISY[heard(made, epoch)].sum(axis=1)
        assert abs(per_batch.sum() - share * per_batch.size * 10) < 1
        assert per_batch.max() - per_batch.min() <= 1


def test_an_epoch_is_as_long_as_the_clips_that_it_may_hear():
    assert batches(chances(0.0, 0.0)).n_batches == NOISY.size * 0.2 / 10
    assert batches(chances(0.0, 1.0)).n_batches == NOISY.size * 0.8 / 10
    assert batches(chances(1.0)).n_batches == 10
    assert [len(batch) for batch in heard(batches(chances(0.0, 0.0), 32), 0)] == [20]


def test_within_its_share_every_clip_comes_as_often_as_any_other_to_one():
    counts = np.bincount(heard(batches(chances(0.0, 0.5)), 0).ravel(), minlength=100)
    assert set(counts[~NOISY]) <= {2, 3}
    assert set(counts[NOISY]) <= {0, 1}


def test_balance_and_shares_go_together():
    found = chances(1.0, 0.25)
    assert found[NOISY].sum() == pytest.approx(0.25)
    np.testing.assert_allclose(found[~NOISY] @ TARGETS[~NOISY], 0.75 / 3, rtol=1e-6)


def test_a_clip_comes_once_in_a_batch_if_there_are_batches_enough():
    for row in deal(chances(1.0), NOISY, 10, 10, seed=0):
        assert len(set(row)) == len(row)


def test_a_drawn_batch_is_the_same_whatever_was_asked_before_and_epochs_differ():
    made, others = batches(chances(1.0)), batches(chances(1.0))
    _ = others[0, 3]
    assert torch.equal(made[2, 1][0], others[2, 1][0])
    assert heard(made, 0).tolist() != heard(made, 1).tolist()
