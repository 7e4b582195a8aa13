"""The small network: it learns what a line cannot part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from earmark.baselines import mlp
from earmark.baselines.classifier import Examples
from earmark.baselines.inner import log_loss
from earmark.baselines.linear import fit_logistic
from earmark.baselines.linear_solver import base_logits, labels_of
from earmark.baselines.mlp import fit_mlp
from earmark.training.losses import binary_cross_entropy, cross_entropy, mean_over_clips


def either_or(n_clips: int = 240, seed: int = 0) -> Examples:
    """The label is the sign of the product of two features."""
    features = np.random.default_rng(seed).normal(size=(n_clips, 2)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[(features.prod(axis=1) > 0).astype(int)]
    numbers = np.arange(n_clips)
    return Examples(features, targets, np.ones_like(targets), numbers, numbers % 4, False)


def right(classifier, examples: Examples) -> float:
    return float((classifier.predict(examples.features).argmax(1) == examples.targets.argmax(1)).mean())


def test_what_no_line_parts_is_learnt():
    examples, held = either_or(), either_or(seed=1)
    assert right(fit_mlp(examples, seed=0), held) > 0.85
    assert right(fit_logistic(examples, seed=0), held) < 0.65


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_first_guess_is_the_classes_shares_and_training_lowers_the_loss(make_examples, multi_label):
    examples = make_examples(multi_label=multi_label)
    state = mlp._Training(examples, seed=0)
    before = log_loss(examples, state.logits(examples.features))
    prior = log_loss(examples, np.tile(base_logits(examples), (len(examples), 1)))
    assert before == pytest.approx(prior, rel=0.3)
    state.train_to(20)
    assert log_loss(examples, state.logits(examples.features)) < 0.7 * before


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_step_goes_down_the_gradient_that_torch_finds(make_examples, multi_label):
    examples = make_examples(multi_label=multi_label)
    weights = examples.weights * (np.random.default_rng(0).random(examples.weights.shape) < 0.7)
    weights[:, 0] = examples.weights[:, 0]  # a clip that knows no label is left out
    examples = replace(examples, weights=weights.astype(np.float32))
    state = mlp._Training(examples, 0)
    features, kept = torch.from_numpy(examples.features), (torch.rand(len(examples), mlp.HIDDEN) < 0.7).float() / 0.7
    state._set_gradient(features, labels_of(examples), kept)
    layers = state._inward, state._threshold, state._outward, state._bias
    inward, threshold, outward, bias = (layer.detach().clone().requires_grad_() for layer in layers)
    logits = (torch.relu(features @ inward + threshold) * kept) @ outward + bias
    loss = binary_cross_entropy if multi_label else cross_entropy
    known = torch.from_numpy(examples.weights)
    mean_over_clips(loss(logits, torch.from_numpy(examples.targets), known), known).backward()
    for layer, free in zip(layers, (inward, threshold, outward, bias), strict=True):
        np.testing.assert_allclose(layer.grad.numpy(), free.grad.numpy(), atol=1e-6)


def test_epochs_added_later_are_epochs_at_once_and_the_world_outside_draws_undisturbed(make_examples):
    examples = make_examples()
    torch.manual_seed(5)
    untouched = torch.get_rng_state()
    once, slowly = (mlp._Training(examples, seed=0) for _ in range(2))
    once.train_to(6)
    for epochs in (2, 5, 6):
        slowly.train_to(epochs)
    np.testing.assert_array_equal(once.logits(examples.features), slowly.logits(examples.features))
    assert torch.equal(torch.get_rng_state(), untouched)


def test_another_seed_is_another_network(make_examples):
    examples = make_examples()
    one, other = (fit_mlp(examples, seed=seed).predict(examples.features) for seed in (0, 1))
    assert np.abs(one - other).max() > 1e-3


def test_noise_asks_for_fewer_epochs_than_signal(make_examples):
    noise, signal = (fit_mlp(make_examples(distance=given, n_features=30), seed=0) for given in (0.0, 3.0))
    assert noise.facts["epochs"] < signal.facts["epochs"]


def test_a_class_that_is_never_known_stays_at_its_first_guess(make_examples):
    examples = make_examples(multi_label=True)
    weights = examples.weights.copy()
    weights[:, 1] = 0
    scores = fit_mlp(replace(examples, weights=weights), seed=0).predict(examples.features)
    assert scores[:, 1].std() < 0.1 < scores[:, 0].std()
