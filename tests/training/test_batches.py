"""Which windows a batch holds, a pure function of seed, epoch and batch; and the schedule that moves the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.augment.pipeline import Augmentation, AugmentConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.training.dataset import TrainingBatches, ValidationWindows, join_windows
from earmark.training.module import TaggingModule
from earmark.training.optim_config import OptimConfig
from earmark.training.sampling import EpochBatches, seed_for
from earmark.windows import Framing

FRAMING = Framing(8000, 100, 50, "zeros")


def clips(lengths):
    """Clips that say who they are: number and, in the fraction, the sample."""
    return [number + np.arange(length, dtype=np.float32) / 1000 for number, length in enumerate(lengths)]


def make_batches(lengths=(150,) * 10, batch_size=4, seed=0) -> TrainingBatches:
    targets = np.eye(len(lengths), dtype=np.float32)
    return TrainingBatches(clips(lengths), targets, 1 + targets, FRAMING, batch_size, seed)


def test_a_batch_is_the_same_whatever_was_asked_before():
    batches, others = make_batches(), make_batches()
    _ = [others[0, 0], others[2, 1]]
    for key in ((0, 0), (3, 1)):
        assert all(torch.equal(one, other) for one, other in zip(batches[key], others[key], strict=True))


def test_epochs_and_seeds_differ():
    assert not torch.equal(make_batches()[0, 0][0], make_batches()[1, 0][0])
    assert not torch.equal(make_batches()[0, 0][0], make_batches(seed=1)[0, 0][0])


def test_windows_targets_and_weights_belong_together():
    windows, targets, weights = make_batches()[0, 0]
    assert windows.shape == (4, 100)
    assert torch.equal(weights, 1 + targets)
    assert windows[:, 0].int().tolist() == targets.argmax(dim=1).tolist()


def test_no_clip_comes_twice_in_an_epoch_and_the_rest_is_others_each_time():
    batches = make_batches()
    assert len(batches) == 2
    left_out = set()
    for epoch in range(5):
        heard = torch.cat([batches[epoch, batch][1].argmax(dim=1) for batch in range(2)]).tolist()
        assert len(set(heard)) == 8
        left_out |= set(range(10)) - set(heard)
    assert len(left_out) > 2


def test_a_set_smaller_than_a_batch_is_one_batch():
    batches = make_batches(lengths=(150,) * 3)
    assert len(batches) == 1
    assert len(batches[0, 0][0]) == 3


def test_windows_lie_anywhere_in_a_longer_clip_and_a_shorter_one_is_padded():
    batches = make_batches(lengths=(101, 60), batch_size=2)
    starts = set()
    for epoch in range(30):
        windows, targets, _ = batches[epoch, 0]
        long, short = windows[targets.argmax(dim=1).argsort()]
        starts.add(round(float(long[0]) * 1000))
        assert long[-1] - long[0] == pytest.approx(0.099, abs=1e-4)
        assert short[:60].tolist() == pytest.approx((1 + np.arange(60) / 1000).tolist())
        assert short[60:].tolist() == [0.0] * 40
    assert starts == {0, 1}


def test_validation_hears_every_window_of_every_clip():
    windows = ValidationWindows(clips([100, 170]), FRAMING)
    joined, owners = join_windows([windows[number] for number in range(len(windows))])
    assert owners.tolist() == [0, 1, 1, 1]
    starts = [round(1000 * float(window[0] - owner)) for window, owner in zip(joined, owners, strict=True)]
    assert starts == [0, 0, 50, 70]


def test_the_sampler_says_the_epoch():
    sampler = EpochBatches(2)
    sampler.set_epoch(5)
    assert list(sampler) == [(5, 0), (5, 1)]
    assert len(sampler) == 2


def test_seeds_of_neighbouring_steps_have_nothing_in_common():
    seeds = [seed_for(seed, epoch, batch) for seed in range(3) for epoch in range(3) for batch in range(3)]
    assert len(set(seeds)) == 27
    assert all(0 <= seed < 2**63 for seed in seeds)
    differing = [bin(one ^ other).count("1") for one, other in zip(seeds, seeds[1:], strict=False)]
    assert 20 < np.mean(differing) < 43  # of 63 bits, half


@pytest.fixture
def module() -> TaggingModule:
    net = build("tiny_cnn", FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16), 3, {"width": 8})
    config = OptimConfig(epochs=10, learning_rate=0.01, weight_decay=0.1, warm_up=0.3)
    augmentation = Augmentation(AugmentConfig())
    return TaggingModule(net, config, augmentation, multi_label=True, seed=0, steps_per_epoch=4)


def test_only_matrices_and_kernels_decay(module):
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(module.net.parameters()))


def test_the_rate_rises_to_its_peak_and_falls_to_almost_nothing(module):
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < 40 else None
    assert max(rates) == pytest.approx(0.01)
    assert int(np.argmax(rates)) == pytest.approx(0.3 * 40, abs=1)
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < 0.01 / 1000
