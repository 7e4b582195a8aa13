"""What heads make of a feature map, against the slow way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.lookup import lookup
from earmark.models.heads import HEADS, AttentionHead, GeneralisedMeanHead, MaximumHead, MeanHead, PixelShuffleHead


@pytest.fixture
def features() -> torch.Tensor:
    return torch.rand(2, 6, 4, 10, generator=torch.Generator().manual_seed(0))


def test_pixel_shuffle_folds_pairs_of_mel_rows_into_channels(features):
    found = PixelShuffleHead(6, 3).pool(features).numpy()
    assert PixelShuffleHead(512, 3).pool(torch.zeros(1, 512, 8, 2)).shape == (1, 1024)
    values = features.numpy()
    for channel in range(6):
        for half in (0, 1):  # of a pair: the lower row, the upper row
            rows = values[:, channel, half::2].max(axis=2)
            np.testing.assert_allclose(found[:, 2 * channel + half], rows.mean(axis=1), rtol=1e-6)


def test_of_an_odd_number_of_rows_the_last_stands_twice(features):
    head = PixelShuffleHead(6, 3)
    twice = torch.cat([features, features[:, :, -1:]], dim=2)[:, :, 1:]  # rows 1, 2, 3, 3
    torch.testing.assert_close(head.pool(features[:, :, 1:]), head.pool(twice))


def test_generalised_mean_lies_between_mean_and_maximum(features):
    head = GeneralisedMeanHead(6, 3)
    expected = (features.numpy() ** 3.0).mean(axis=(2, 3)) ** (1 / 3)
    np.testing.assert_allclose(head.pool(features).detach().numpy(), expected, rtol=1e-5)
    with torch.no_grad():
        head.power.fill_(1.0)
    torch.testing.assert_close(head.pool(features), MeanHead(6, 3).pool(features))


def test_maximum_is_over_time_of_the_mean_over_mel(features):
    expected = features.numpy().mean(axis=2).max(axis=2)
    np.testing.assert_allclose(MaximumHead(6, 3).pool(features).numpy(), expected, rtol=1e-6)


def test_attention_starts_as_the_mean_and_learns_where_to_look(features):
    head = AttentionHead(6, 3)
    torch.testing.assert_close(head.pool(features), MeanHead(6, 3).pool(features))
    with torch.no_grad():
        head.attention.weight[0, 2] = 1e4  # to the step where channel 2 is largest, and nowhere else
    steps = features.mean(dim=2)
    best = steps[:, 2].argmax(dim=1)
    torch.testing.assert_close(head.pool(features), steps[torch.arange(2), :, best])


def test_logits_of_a_window_are_the_attended_mean_of_those_of_its_steps(features):
    torch.manual_seed(0)
    head = AttentionHead(6, 3, n_beside=2)
    torch.nn.init.normal_(head.attention.weight)
    embedding = torch.cat([head.pool(features), torch.tensor([[0.3, -1.0], [2.0, 0.5]])], dim=1)
    steps = head.classify_steps(features, embedding)
    weights = torch.softmax(head.attention(features.mean(dim=2).transpose(1, 2)), dim=1)
    torch.testing.assert_close((weights * steps).sum(dim=1), head.classify(embedding))


@pytest.mark.parametrize("name", HEADS)
def test_heads_give_the_same_for_one_row_and_one_frame(name):
    head = lookup(HEADS, name, "head")(6, 3).eval()
    assert head(torch.rand(2, 6, 1, 1)).isfinite().all()
