"""Choosing the best of many: what is chosen for a fold does not know the fold."""

from __future__ import annotations

import numpy as np

from earmark.evaluation.choice import choose_nested
from earmark.evaluation.metrics import accuracy

FOLDS = np.repeat([0, 1, 2], 20)
TARGETS = np.eye(2)[np.arange(60) % 2]


def right_on(*folds: int) -> np.ndarray:
    """Scores that are right on the clips of some folds and wrong on all others."""
    return np.where(np.isin(FOLDS, folds)[:, None], TARGETS, 1 - TARGETS).astype(np.float32)


def test_a_folds_model_is_the_best_on_the_other_folds():
    scores = {"a": [right_on(0)], "b": [right_on(1, 2)]}
    [found], chosen = choose_nested(TARGETS, scores, FOLDS, "accuracy")
    assert chosen == {0: "b", 1: "a", 2: "a"}  # without fold 1, a and b are right on one fold each: the first is taken
    assert accuracy(TARGETS, found) == 0.0
    np.testing.assert_array_equal(found[FOLDS == 0], scores["b"][0][FOLDS == 0])


def test_labels_of_a_fold_do_not_change_what_is_chosen_for_it():
    generator = np.random.default_rng(0)
    scores = {name: [generator.random((60, 2)) for _ in range(2)] for name in "abcdef"}
    before, chosen = choose_nested(TARGETS, scores, FOLDS, "accuracy")
    other = np.where((FOLDS == 1)[:, None], 1 - TARGETS, TARGETS)
    after, again = choose_nested(other, scores, FOLDS, "accuracy")
    assert again[1] == chosen[1]
    np.testing.assert_array_equal(before[0][FOLDS == 1], after[0][FOLDS == 1])


def test_of_noise_the_chosen_one_is_no_better_than_chance_where_the_best_looks_better():
    generator = np.random.default_rng(1)
    nested, best = [], []
    for _ in range(40):
        scores = {str(number): [generator.random((60, 2))] for number in range(12)}
        [found], _ = choose_nested(TARGETS, scores, FOLDS, "accuracy")
        nested.append(accuracy(TARGETS, found))
        best.append(max(accuracy(TARGETS, each) for [each] in scores.values()))
    assert np.mean(best) > 0.57
    assert abs(np.mean(nested) - 0.5) < 0.03


def test_the_mean_over_runs_decides_and_fewer_runs_are_said_again():
    scores = {"steady": [right_on(0, 1)], "lucky": [right_on(0, 1, 2), right_on()]}
    found, chosen = choose_nested(TARGETS, scores, FOLDS, "accuracy")
    assert set(chosen.values()) == {"steady"}
    np.testing.assert_array_equal(found[0], found[1])


def test_unknown_labels_do_not_choose():
    weights = np.ones_like(TARGETS)
    weights[FOLDS == 2] = 0
    scores = {"a": [right_on(2)], "b": [right_on(0, 1)]}
    _, chosen = choose_nested(TARGETS, scores, FOLDS, "accuracy", weights)
    assert set(chosen.values()) == {"b"}
