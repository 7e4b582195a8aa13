"""The blend: who is in it, and that no clip's own label has a say in that."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.evaluation.blend import MOST_MEMBERS, blend, mean_scores, pick_members
from earmark.evaluation.metrics import accuracy


def drawn(n_clips: int = 300, n_classes: int = 4, n_models: int = 6, skill: float = 1.0):
    """Targets, scores of equally good models whose errors are independent, folds."""
    targets = np.eye(n_classes)[np.arange(n_clips) % n_classes]
    generator = np.random.default_rng(0)
    scores = {f"m{n}": skill * targets + generator.normal(size=targets.shape) for n in range(n_models)}
    return targets, scores, np.arange(n_clips) // n_classes % 5


def test_models_whose_errors_differ_are_better_together():
    targets, scores, folds = drawn()
    blended, members = blend(targets, scores, folds, "accuracy")
    assert accuracy(targets, blended) > max(accuracy(targets, each) for each in scores.values()) + 0.03
    assert all(2 <= len(each) <= MOST_MEMBERS for each in members.values())


def test_a_model_that_is_always_right_stays_alone():
    targets, scores, _ = drawn()
    assert pick_members(targets, {**scores, "oracle": targets}, "accuracy") == ("oracle",)


def test_the_first_member_is_the_best_and_none_is_taken_twice():
    targets, scores, _ = drawn()
    best = max(scores, key=lambda name: accuracy(targets, scores[name]))
    members = pick_members(targets, scores, "accuracy")
    assert members[0] == best
    assert len(set(members)) == len(members)


def test_the_labels_of_a_fold_do_not_change_its_scores():
    targets, scores, folds = drawn()
    blended, members = blend(targets, scores, folds, "accuracy")
    inside = folds == 2
    turned = targets.copy()
    turned[inside] = np.roll(targets[inside], 1, axis=1)
    again, also = blend(turned, scores, folds, "accuracy")
    np.testing.assert_array_equal(again[inside], blended[inside])
    assert also[2] == members[2]


def test_picking_on_the_clips_that_are_scored_would_flatter_where_nothing_is_learned():
    """Models that know nothing: members picked on the very clips look better than chance, nested ones do not."""
    nested, flattered = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        targets = np.eye(2)[generator.integers(2, size=100)]
        scores = {f"m{n}": generator.random(targets.shape) for n in range(30)}
        folds = np.arange(100) % 5
        nested.append(accuracy(targets, blend(targets, scores, folds, "accuracy")[0]))
        members = pick_members(targets, scores, "accuracy")
        flattered.append(accuracy(targets, mean_scores(scores, members)))
    assert np.mean(flattered) > 0.6
    assert np.mean(nested) == pytest.approx(0.5, abs=0.03)


def test_unknown_labels_have_no_say():
    targets, scores, folds = drawn()
    weights = np.ones_like(targets)
    weights[:150, 0] = 0
    turned = targets.copy()
    turned[:150, 0] = 1 - turned[:150, 0]
    for metric in ("lwlrap", "map_macro"):
        assert pick_members(targets, scores, metric, weights) == pick_members(turned, scores, metric, weights)
        assert blend(targets, scores, folds, metric, weights)[1] == blend(turned, scores, folds, metric, weights)[1]


def test_a_metric_without_a_value_still_gives_members():
    _, scores, _ = drawn()
    nothing = np.zeros((300, 4))
    assert len(pick_members(nothing, scores, "lwlrap")) == 1
