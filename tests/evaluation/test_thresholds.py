"""The global threshold against trying them all; thresholds per class, and the promises that they keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from earmark.errors import ConfigError, EarmarkError
from earmark.evaluation import best_f1_threshold
from earmark.evaluation.thresholds import ThresholdConfig, fit_thresholds, tags_of


def micro_f1(targets, scores, threshold):
    tags = scores >= threshold
    return 2 * (tags * targets).sum() / max(tags.sum() + targets.sum(), 1)


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(np.float32, (6, 3), elements=st.sampled_from([0.0, 1.0])),
    hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 1.0])),
)
def test_no_threshold_is_better(targets, scores):
    threshold = best_f1_threshold(targets, scores)
    assert 0 <= threshold <= 1
    if targets.any() and len(np.unique(scores)) > 1:
        best = max(micro_f1(targets, scores, each) for each in np.unique(scores))
        assert micro_f1(targets, scores, threshold) == pytest.approx(best)


def test_it_is_sklearns_best_micro_f1_on_noisy_scores():
    generator = np.random.default_rng(0)
    targets = (generator.random((200, 10)) < 0.1).astype(int)
    scores = (1 / (1 + np.exp(2 - 3 * targets - generator.normal(size=targets.shape)))).astype(np.float32)
    found = best_f1_threshold(targets, scores)
    grid = [f1_score(targets, scores >= each, average="micro") for each in np.linspace(0.01, 0.99, 99)]
    assert f1_score(targets, scores >= found, average="micro") >= max(grid)


def test_it_lies_midway_between_tags_and_the_rest():
    targets, scores = np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.7, 0.3, 0.1]])
    assert best_f1_threshold(targets, scores) == pytest.approx(0.5)


def test_neighbouring_numbers_are_still_told_apart():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([[high, low]], dtype=np.float32)
    assert (scores >= best_f1_threshold(np.array([[1, 0]]), scores)).tolist() == [[True, False]]


def test_where_nothing_can_be_learned_it_is_one_half():
    assert best_f1_threshold(np.zeros((3, 2)), np.random.default_rng(0).random((3, 2))) == 0.5
    assert best_f1_threshold(np.eye(2), np.full((2, 2), 0.9)) == 0.5
    assert best_f1_threshold(np.zeros((0, 2)), np.zeros((0, 2))) == 0.5


def test_everything_is_tagged_when_everything_is_right():
    assert best_f1_threshold(np.ones((1, 2)), np.array([[0.4, 0.2]])) == pytest.approx(0.1)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(EarmarkError, match="not finite"):
        best_f1_threshold(np.eye(2), np.full((2, 2), np.nan))


def draw_rows(seed: int, n_rows: int = 400, skills=(3.0, 2.0, 1.0, 0.0), share: float = 0.3):
    """Scores that tell each class as well as its skill; true log odds."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_rows, len(skills))) < share).astype(float)
    skills = np.array(skills)
    evidence = generator.normal(size=targets.shape) + skills * (targets - 0.5)
    odds = skills * evidence + np.log(share / (1 - share))
    return targets, (1 / (1 + np.exp(-odds))).astype(np.float32)


def precision_of(targets, tags):
    return (tags * targets).sum(axis=0) / np.maximum(tags.sum(axis=0), 1)


@pytest.mark.parametrize("goal", ["precision", "recall"])
def test_a_promise_is_kept_on_fresh_rows_nine_times_in_ten(goal):
    kept, named = [], []
    for seed in range(25):
        targets, scores = draw_rows(seed)
        limits = fit_thresholds(ThresholdConfig(goal, 0.8), targets, scores, None, np.arange(400), True)
        fresh, fresh_scores = draw_rows(seed + 1000, 6000)
        tags = tags_of(fresh_scores, limits, True)
        found = precision_of(fresh, tags) if goal == "precision" else (tags * fresh).sum(axis=0) / fresh.sum(axis=0)
        is_named = np.array([limit is not None for limit in limits])
        kept += (found >= 0.8)[is_named].tolist()
        named.append(is_named)
    assert np.mean(kept) > 0.85
    if goal == "precision":
        assert np.mean(named, axis=0)[0] == 1.0  # told well enough
        assert np.mean(named, axis=0)[3] < 0.1  # chance: nothing to promise
    else:
        assert np.all(named)


def test_a_precision_costs_no_more_recall_than_it_must():
    targets, scores = draw_rows(0, 20000)
    limits = fit_thresholds(ThresholdConfig("precision", 0.8), targets, scores, None, np.arange(20000), True)
    found = precision_of(targets, tags_of(scores, limits, True))
    assert 0.8 <= found[0] < 0.83
    lower = [None if limit is None else 0.97 * limit for limit in limits]
    assert precision_of(targets, tags_of(scores, lower, True))[0] < found[0]


def test_rows_of_one_recording_tell_as_much_as_one():
    targets, scores = draw_rows(1, 60, (3.0, 3.0))
    many = np.repeat(targets, 20, axis=0), np.repeat(scores, 20, axis=0)
    config = ThresholdConfig("precision", 0.8)
    alone = fit_thresholds(config, targets, scores, None, np.arange(60), True)
    together = fit_thresholds(config, *many, None, np.arange(1200) // 20, True)
    assert together == pytest.approx(alone)
    assert fit_thresholds(config, *many, None, np.arange(1200), True)[0] < alone[0]


def test_a_rare_class_leans_on_what_all_classes_show():
    targets, scores = draw_rows(2, 4000, (3.0, 3.0, 3.0))
    weights = np.ones_like(targets)
    weights[12:, 2] = 0
    limits = fit_thresholds(ThresholdConfig("precision", 0.9), targets, scores, weights, np.arange(4000), True)
    assert limits[2] is None or limits[2] > limits[0]
    rare = draw_rows(2, 4000, (3.0, 3.0, 3.0))[0]
    rare[:, 2] = 0
    assert fit_thresholds(ThresholdConfig("precision", 0.9), rare, scores, None, np.arange(4000), True)[2] is None


def test_where_one_label_holds_only_the_best_can_be_named():
    scores = np.array([[0.6, 0.4], [0.3, 0.7], [0.55, 0.45]] * 40, dtype=np.float32)
    targets = np.array([[1, 0], [0, 1], [0, 1]] * 40, dtype=float)
    assert fit_thresholds(ThresholdConfig(), targets, scores, None, np.arange(120), False) == (0.0, 0.0)
    limits = fit_thresholds(ThresholdConfig("precision", 0.9), targets, scores, None, np.arange(120), False)
    assert 0.55 < limits[0] <= 0.6
    assert limits[1] == pytest.approx(0.35)  # 0.45 is never the best
    assert tags_of(scores[:3], limits, False).tolist() == [[True, False], [False, True], [False, False]]


def test_the_best_f1_of_a_class_counts_by_its_positives():
    targets, scores = draw_rows(3, 3000, (2.0, 2.0))
    bent = scores.copy()
    bent[:, 1] = scores[:, 1] ** 2
    own = fit_thresholds(ThresholdConfig(), targets, bent, None, np.arange(3000), True)
    assert own[1] == pytest.approx(own[0] ** 2, abs=0.06)
    few = np.ones_like(targets)
    few[20:, 1] = 0
    drawn = fit_thresholds(ThresholdConfig(), targets, bent, few, np.arange(3000), True)
    assert abs(drawn[1] - drawn[0]) < abs(own[1] - own[0])
    nobody = targets.copy()
    nobody[:, 1] = 0
    common = best_f1_threshold(nobody, bent)
    assert fit_thresholds(ThresholdConfig(), nobody, bent, None, np.arange(3000), True)[1] == pytest.approx(common)


def test_impossible_wishes_are_refused():
    with pytest.raises(ConfigError, match="thresholds.goal: 'accuracy' is none of f1, precision, recall"):
        ThresholdConfig("accuracy")
    with pytest.raises(ConfigError, match="thresholds.least"):
        ThresholdConfig("precision", 1.0)
    with pytest.raises(ConfigError, match="a threshold keeps one of them"):
        ThresholdConfig.keeping(0.9, 0.9)
    assert ThresholdConfig.keeping(None, 0.8) == ThresholdConfig("recall", 0.8)
