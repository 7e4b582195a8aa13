"""The stacker begins as the mean and learns which member knows which class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.ensemble import stack as stack_module
from earmark.ensemble.blend import class_weights
from earmark.ensemble.stack import Stacker, stack
from earmark.tagger.combination import combine


def test_it_starts_as_the_mean_exactly(make_panel, monkeypatch):
    monkeypatch.setattr(stack_module, "EPOCHS", 0)
    panel = make_panel()
    started = stack(panel)
    mean = combine(panel.scores, class_weights(panel), False)
    np.testing.assert_allclose(combine(panel.scores, started, False), (np.tanh(mean - 1.6) + 1) / 2, atol=1e-6)
    assert started["weights"][:-1] == [[0.0] * 4] * 3
    assert started["weights"][-1] == [1.0] * 4
    assert started["layer"] == np.eye(4).tolist()


def test_what_it_ships_is_what_torch_computes():
    torch.manual_seed(0)
    stacker = Stacker(2, 3)
    with torch.no_grad():
        stacker.weights += 0.3 * torch.randn(3, 3)
        stacker.layer += 0.3 * torch.randn(3, 3)
        stacker.normalise()
    scores = torch.rand(20, 2, 3)
    expected = stacker(torch.cat([scores, scores.mean(dim=1, keepdim=True)], dim=1)).detach().numpy()
    combination = {
        "kind": "stack",
        "mean_weights": [[0.5] * 3] * 2,
        "weights": stacker.weights.tolist(),
        "layer": stacker.layer.tolist(),
    }
    np.testing.assert_allclose(combine(scores.numpy(), combination, True), expected, atol=1e-6)


def test_weights_of_every_class_keep_length_1_and_training_lowers_the_loss(make_panel, monkeypatch):
    panel = make_panel((3.0, 0.0), n_clips=100)

    def loss(combination) -> float:
        scores = combine(panel.scores, combination, False)
        return -np.mean(np.log(np.where(panel.row_targets > 0, scores, 1 - scores)))

    losses = []
    for epochs in (0, 40):
        monkeypatch.setattr(stack_module, "EPOCHS", epochs)
        fitted = stack(panel)
        losses.append(loss(fitted))
        np.testing.assert_allclose(np.linalg.norm(fitted["weights"], axis=0), 1, atol=1e-5)
    assert losses[1] < losses[0]
    better, worse, _ = np.array(fitted["weights"])
    assert (better > worse).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_stacker(make_panel, monkeypatch, seed):
    monkeypatch.setattr(stack_module, "EPOCHS", 2)
    panel = make_panel(n_clips=40)
    assert stack(panel, seed) == stack(panel, seed)


def test_unknown_labels_do_not_teach_it(make_panel, monkeypatch):
    monkeypatch.setattr(stack_module, "EPOCHS", 2)
    panel = make_panel(n_clips=40)
    weights = panel.weights.copy()
    weights[::2, 0] = 0
    turned = panel.targets.copy()
    turned[::2, 0] = 1 - turned[::2, 0]
    assert stack(make_panel(n_clips=40, weights=weights)) == stack(
        make_panel(n_clips=40, weights=weights, targets=turned)
    )
