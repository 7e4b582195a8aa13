"""Choices on inner folds: what is compared, on whom, and by which loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss

from earmark.baselines import inner
from earmark.baselines.inner import brier, choose, clip_score, draw_parts, inner_folds, log_loss
from earmark.evaluation.metrics import accuracy, lwlrap
from earmark.training.losses import binary_cross_entropy, cross_entropy, mean_over_clips


@dataclass(frozen=True)
class Constant:
    """Says the same of everything."""

    value: float
    n_classes: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        return np.full((len(features), self.n_classes), self.value, np.float32)


@pytest.mark.parametrize("multi_label", [False, True])
def test_log_loss_is_the_loss_that_networks_train_on(make_examples, multi_label):
    generator = np.random.default_rng(0)
    examples = make_examples(multi_label=multi_label, several_windows=True)
    weights = examples.weights * (generator.random(examples.weights.shape) < 0.7)
    examples = replace(examples, weights=weights.astype(np.float32))
    logits = (5 * generator.normal(size=weights.shape)).astype(np.float32)
    theirs = binary_cross_entropy if multi_label else cross_entropy
    known = torch.from_numpy(examples.weights)
    expected = mean_over_clips(theirs(*map(torch.from_numpy, (logits, examples.targets)), known), known)
    assert log_loss(examples, logits) == pytest.approx(float(expected), rel=1e-5)


def test_brier_loss_is_scikit_learns(make_examples):
    examples = make_examples(n_classes=2, multi_label=True)
    scores = np.random.default_rng(0).random(examples.targets.shape).astype(np.float32)
    expected = sum(brier_score_loss(examples.targets[:, label], scores[:, label]) for label in range(2))
    assert brier(examples, scores) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_clips_score_is_the_mean_of_its_windows(make_examples, multi_label):
    examples = make_examples(multi_label=multi_label, several_windows=True)
    scores = np.random.default_rng(0).random(examples.targets.shape)
    clips = np.unique(examples.clips)
    means = np.stack([scores[examples.clips == clip].mean(axis=0) for clip in clips])
    targets = np.stack([examples.targets[examples.clips == clip][0] for clip in clips])
    assert clip_score(examples, scores) == pytest.approx((lwlrap if multi_label else accuracy)(targets, means))


def test_rows_that_no_fold_held_out_do_not_count(make_examples):
    examples = make_examples()
    logits = np.random.default_rng(0).normal(size=examples.targets.shape)
    some = examples.clips < 50
    partial = np.where(some[:, None], logits, np.nan)
    assert log_loss(examples, partial) == log_loss(examples.select(some), logits[some])
    assert brier(examples, partial) == brier(examples.select(some), logits[some])
    assert clip_score(examples, partial) == clip_score(examples.select(some), logits[some])


def test_a_fold_is_held_out_from_all_others_and_some_clips_never_are(make_examples):
    examples = make_examples()
    examples = replace(examples, parts=np.where(examples.parts == 3, -1, examples.parts))
    folds = inner_folds(examples)
    assert len(folds) == 3
    for training, held in folds:
        assert len(np.unique(examples.parts[held])) == 1
        assert not set(training) & set(held)
        assert set(np.flatnonzero(examples.parts == -1)) <= set(training)
        assert len(training) + len(held) == len(examples)


def test_no_more_folds_are_held_out_than_tell_settings_apart(make_examples, monkeypatch):
    examples = make_examples()
    every = inner_folds(examples)
    n_clips = len(np.unique(examples.clips[every[0][1]]))
    monkeypatch.setattr(inner, "ENOUGH_CLIPS", n_clips + 1)
    assert [held.tolist() for _, held in inner_folds(examples)] == [held.tolist() for _, held in every[:2]]
    monkeypatch.setattr(inner, "ENOUGH_CLIPS", n_clips)
    assert len(inner_folds(examples)) == 1


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Groups of 600 clips and their labels: several classes a clip, a few clips without."""
    generator = np.random.default_rng(seed)
    groups = np.array([f"g{number}" for number in generator.integers(200, size=600)])
    return groups, generator.random((600, 6)) < np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("seed", range(5))
def test_drawn_parts_hold_whole_groups_and_every_class_about_evenly(seed):
    groups, present = drawn(seed)
    parts = draw_parts(groups, present, 4, seed)
    assert set(parts) == {0, 1, 2, 3}
    assert all(len(set(parts[groups == group])) == 1 for group in set(groups))
    counts = np.array([present[parts == part].sum(axis=0) for part in range(4)])
    assert (counts.min(axis=0) > counts.mean(axis=0) / 2).all()


def test_what_one_group_alone_shows_is_never_held_out_and_all_else_is():
    groups, present = drawn()
    lone = groups == groups[0]
    present = np.column_stack([present, lone])
    parts = draw_parts(groups, present, 4)
    assert set(parts[lone]) == {-1}
    assert set(parts[~lone]) == {0, 1, 2, 3}


def test_what_two_groups_show_stands_in_two_parts():
    groups = np.array(list("aaabbccd"))
    parts = draw_parts(groups, np.eye(3)[[0, 0, 0, 0, 0, 1, 1, 1]], 4)
    assert len({parts[0], parts[3]}) == len({parts[5], parts[7]}) == 2


def test_parts_are_drawn_alike_from_one_seed_and_otherwise_from_another():
    groups, present = drawn()
    np.testing.assert_array_equal(draw_parts(groups, present, 4, 1), draw_parts(groups, present, 4, 1))
    assert (draw_parts(groups, present, 4, 1) != draw_parts(groups, present, 4, 2)).any()


def test_groups_of_one_class_each_leave_nothing_to_hold_out():
    assert draw_parts(np.array(["a", "a", "b"]), np.eye(2)[[0, 0, 1]], 4).tolist() == [-1, -1, -1]


def test_one_fold_leaves_nothing_to_choose_by(make_examples):
    examples = make_examples()
    choice = choose(replace(examples, parts=np.zeros_like(examples.parts)), [1, 2], 7, None, log_loss)
    assert choice.setting == 7
    assert np.isnan(choice.outputs).all()
    assert "default" in choice.facts["chosen_by"]


def test_the_smallest_loss_wins_and_settings_beyond_a_rise_are_not_tried(make_examples):
    examples = make_examples()
    tried = []

    def fit(training, setting, start):
        tried.append((setting, start and start.value))
        return Constant(setting, training.n_classes)

    def loss(given, outputs):
        return float(np.square(outputs - 3).mean())

    choice = choose(examples, [1, 2, 3, 5, 3], 0, fit, loss)
    assert (choice.setting, choice.loss, choice.n_folds) == (3, 0, 4)
    assert [setting for setting, _ in tried] == [1] * 4 + [2] * 4 + [3] * 4 + [5] * 4
    assert tried[4] == (2, 1) and tried[-1] == (5, 3)  # each goes on from the one before
    assert (choice.outputs == 3).all()
    assert choose(examples, [2, 0, 3], 0, fit, loss, patience=2).setting == 3
    assert choose(examples, [2, 0, 3], 0, fit, loss).setting == 2


def test_where_fitting_takes_long_one_fold_is_held_out(make_examples):
    examples = make_examples()
    choice = choose(examples, [1.0], 0, lambda *_: Constant(1.0, 3), log_loss, most_folds=1)
    assert np.isfinite(choice.outputs).all(axis=1).tolist() == (examples.parts == 0).tolist()
    assert choice.facts["chosen_by"] == "one inner fold"
