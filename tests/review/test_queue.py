"""What to label next: typical, unsure, rare."""

from __future__ import annotations

import numpy as np

from earmark.review.queue import queue, rarity, typical, uncertainty


def heaps() -> tuple[np.ndarray, np.ndarray]:
    """Directions around three middles, 30, 25 and 15 of them; the heap of each."""
    generator = np.random.default_rng(0)
    of = np.repeat([0, 1, 2], [30, 25, 15])
    return np.eye(3)[of] * 5 + 0.3 * generator.standard_normal((70, 3)), of


def test_one_of_each_heap_is_taken_the_largest_first():
    vectors, of = heaps()
    assert of[typical(vectors, 3)].tolist() == [0, 1, 2]


def test_loudness_of_a_vector_does_not_matter():
    vectors, _ = heaps()
    scaled = vectors * np.linspace(0.1, 9, len(vectors))[:, None]
    assert typical(scaled, 3).tolist() == typical(vectors, 3).tolist()


def test_of_copies_one_is_enough():
    assert len(typical(np.ones((5, 3)), 4)) == 1
    assert len(typical(np.zeros((0, 3)), 4)) == 0


def test_only_the_better_half_is_taken_from():
    vectors, of = heaps()
    worth = (of != 0).astype(float)
    assert set(of[queue(vectors, 4, worth)]) == {1, 2}
    assert len(set(queue(vectors, 70, worth).tolist())) == 70


def test_a_coins_throw_is_as_unsure_as_can_be():
    assert uncertainty(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), False).tolist() == [1.0, 0.0]
    assert uncertainty(np.array([[0.5, 0.0], [1.0, 0.0]]), True).tolist() == [1.0, 0.0]
    assert uncertainty(np.ones((2, 1)), False).tolist() == [1.0, 1.0]


def test_what_has_no_label_yet_is_rarest():
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.0, 0.0]])
    found = rarity(scores, np.array([20, 0]))
    assert found[1] > found[0] > found[2] == 0
