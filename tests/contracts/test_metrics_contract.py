"""What every metric in METRICS must do, whatever it measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import draw, resampled_values
from earmark.evaluation.metrics import METRICS, PER_FOLD, TITLES
from earmark.lookup import lookup

NAMES = sorted(METRICS)


def metric_of(name):
    return lookup(METRICS, name, "metric")


def example(seed=0, n_clips=40, n_classes=5, ties=True):
    """Targets with clips of none to several labels and scores that are a bit better than chance."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_clips, n_classes)) < 0.3).astype(np.float32)
    scores = targets + generator.normal(size=targets.shape)
    return targets, np.round(scores, 0 if ties else 12).astype(np.float64)


# Plain loops, written from the definitions, with one weight per (clip, class).


def slow_area(items, kind):
    """Average precision or AUC of a list of (target, score, weight); "labels": average precision of a clip's labels,
    which may be all there are."""
    items = [item for item in items if item[2] > 0]
    positives = [item for item in items if item[0]]
    negatives = [item for item in items if not item[0]]
    total = sum(w for _, _, w in positives)
    if not positives or (kind != "labels" and not negatives):
        return float("nan")
    if kind == "auc":
        wins = 0.0
        for _, high, weight in positives:
            for _, low, other in negatives:
                wins += weight * other * ((high > low) + 0.5 * (high == low))
        return wins / total / sum(w for _, _, w in negatives)
    area = 0.0
    for _, score, weight in positives:
        found = sum(w for t, s, w in items if t and s >= score)
        area += weight * found / sum(w for _, s, w in items if s >= score)
    return area / total


def slow_macro(kind):
    def metric(targets, scores, weights):
        columns = [
            list(zip(*column, strict=True)) for column in zip(targets.T, scores.T, weights.T, strict=True)
        ]
        values = [value for value in (slow_area(items, kind) for items in columns) if value == value]
        return sum(values) / len(values) if values else float("nan")

    return metric


def slow_micro(targets, scores, weights):
    return slow_area(list(zip(targets.ravel(), scores.ravel(), weights.ravel(), strict=True)), "ap")


def slow_lwlrap(targets, scores, weights):
    total = weight = 0.0
    for row in zip(targets, scores, weights, strict=True):
        items = list(zip(*row, strict=True))
        mine = sum(w for t, _, w in items if t)
        if mine:
            total += mine * slow_area(items, "labels")
            weight += mine
    return total / weight if weight else float("nan")


def slow_accuracy(targets, scores, weights):
    right = total = 0.0
    for row in zip(targets, scores, weights, strict=True):
        items = [item for item in zip(*row, strict=True) if item[2] > 0]
        labels = [s for t, s, _ in items if t]
        if labels:
            weight = max(w for t, _, w in items if t)
            total += weight
            right += weight * all(max(labels) > s for t, s, _ in items if not t)
    return right / total if total else float("nan")


def slow_balanced_accuracy(targets, scores, weights):
    right, total = [0.0] * targets.shape[1], [0.0] * targets.shape[1]
    for row in zip(targets, scores, weights, strict=True):
        items = [item for item in zip(*row, strict=True) if item[2] > 0]
        labels = [s for t, s, _ in items if t]
        for number, (target, _, weight) in enumerate(zip(*row, strict=True)):
            if target and weight > 0:
                total[number] += weight
                right[number] += weight * all(max(labels) > s for t, s, _ in items if not t)
    values = [good / all_ for good, all_ in zip(right, total, strict=True) if all_]
    return sum(values) / len(values) if values else float("nan")


def slow_map_at_3(targets, scores, weights):
    value = total = 0.0
    for row in zip(targets, scores, weights, strict=True):
        items = [item for item in zip(*row, strict=True) if item[2] > 0]
        labels = [(s, w) for t, s, w in items if t]
        precision = 0.0
        for own, _ in labels:
            rank = sum(s >= own for _, s, _ in items)
            precision += sum(s >= own for s, _ in labels) / rank if rank <= 3 else 0.0
        if labels:
            weight = max(w for _, w in labels)
            value += weight * precision / min(len(labels), 3)
            total += weight
    return value / total if total else float("nan")


SLOW = {
    "accuracy": slow_accuracy,
    "balanced_accuracy": slow_balanced_accuracy,
    "lwlrap": slow_lwlrap,
    "map_macro": slow_macro("ap"),
    "map_micro": slow_micro,
    "map_at_3": slow_map_at_3,
    "roc_auc": slow_macro("auc"),
}


def test_every_metric_has_a_slow_reference_and_a_title():
    assert set(SLOW) == set(METRICS) <= set(TITLES)
    assert set(PER_FOLD) < set(METRICS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_agrees_with_plain_loops(name, ties, weighted):
    for seed in range(5):
        targets, scores = example(seed, ties=ties)
        weights = np.random.default_rng(seed).integers(0, 4, size=targets.shape) if weighted else None
        expected = SLOW[name](targets, scores, np.ones(targets.shape) if weights is None else weights)
        assert metric_of(name)(targets, scores, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_scores_are_best_and_reversed_ones_are_worse(name):
    targets, _ = example()
    noise = np.random.default_rng(1).random(targets.shape) * 0.5
    metric = metric_of(name)
    assert metric(targets, targets + noise) == 1.0
    assert metric(targets, -targets - noise) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_order_of_clips_and_of_classes_does_not_matter(name):
    targets, scores = example(2)
    generator = np.random.default_rng(3)
    clips, classes = generator.permutation(len(targets)), generator.permutation(targets.shape[1])
    shuffled = metric_of(name)(targets[clips][:, classes], scores[clips][:, classes])
    assert shuffled == pytest.approx(metric_of(name)(targets, scores), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_order_of_scores_counts(name):
    targets, scores = example(4)
    assert metric_of(name)(targets, np.exp(3 * scores) - 5) == pytest.approx(metric_of(name)(targets, scores))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_a_constant_predictor_does_not_beat_a_random_one(name, constant):
    generator = np.random.default_rng(5)
    targets = (generator.random((60, 6)) < 0.3).astype(float)
    metric = metric_of(name)
    chance = np.mean([metric(targets, generator.random(targets.shape)) for _ in range(200)])
    assert metric(targets, np.full(targets.shape, constant)) <= chance + 0.005


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_clips_changes_nothing_but_the_competition(name):
    targets, scores = example(6)
    extended = np.column_stack([targets, np.zeros(len(targets))])
    # Scored below everything, the empty class is never in the way.
    with_empty = metric_of(name)(extended, np.column_stack([scores, np.full(len(scores), -99.0)]))
    assert with_empty == pytest.approx(metric_of(name)(targets, scores), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_score_is_nan_without_a_warning(name, recwarn):
    for shape in ((0, 3), (4, 3)):
        assert np.isnan(metric_of(name)(np.zeros(shape), np.ones(shape)))
    assert np.isnan(metric_of(name)(np.ones((4, 3)), np.ones((4, 3)), np.zeros((4, 3))))
    assert len(recwarn) == 0


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_drops_a_clip(name):
    targets, scores = example(7)
    keep = np.random.default_rng(8).random(len(targets)) < 0.6
    weights = np.repeat(keep[:, None], targets.shape[1], axis=1)
    assert metric_of(name)(targets, scores, weights) == pytest.approx(
        metric_of(name)(targets[keep], scores[keep]), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_drops_a_class(name):
    targets, scores = example(9)
    weights = np.ones(targets.shape)
    weights[:, 2] = 0
    keep = [0, 1, 3, 4]
    assert metric_of(name)(targets, scores, weights) == pytest.approx(
        metric_of(name)(targets[:, keep], scores[:, keep]), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_unknown_cannot_change_the_value(name):
    targets, scores = example(10)
    generator = np.random.default_rng(11)
    unknown = generator.random(targets.shape) < 0.3
    other_targets = np.where(unknown, 1 - targets, targets)
    other_scores = np.where(unknown, generator.normal(size=scores.shape), scores)
    assert metric_of(name)(other_targets, other_scores, ~unknown) == pytest.approx(
        metric_of(name)(targets, scores, ~unknown), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_weight_is_a_repeated_clip(name):
    targets, scores = example(12)
    times = np.random.default_rng(13).integers(0, 4, size=len(targets))
    weights = np.repeat(times[:, None], targets.shape[1], axis=1)
    repeated = metric_of(name)(np.repeat(targets, times, axis=0), np.repeat(scores, times, axis=0))
    assert metric_of(name)(targets, scores, weights) == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [True, False])
def test_every_resampled_value_is_the_metric_on_repeated_clips(name, weighted):
    targets, scores = example(14)
    known = (
        np.random.default_rng(15).random(targets.shape) < 0.8 if weighted else np.ones(targets.shape, bool)
    )
    resamples = draw(np.arange(len(targets)) // 2, n_resamples=25, seed=16)
    value, values, _ = resampled_values(name, targets, scores, resamples, weights=known)
    counts = np.concatenate(list(resamples.counts()), axis=1).astype(int)
    expected = [
        SLOW[name](*(np.repeat(array, times, axis=0) for array in (targets, scores, known * 1)))
        for times in counts.T
    ]
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert value == pytest.approx(metric_of(name)(targets, scores, known), abs=1e-12)


@st.composite
def wild_inputs(draw_value):
    """Few clips and classes, many ties, scores all zero or of any size, some labels unknown."""
    shape = (draw_value(st.integers(1, 7)), draw_value(st.integers(1, 4)))
    targets = draw_value(hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))
    elements = draw_value(
        st.sampled_from(
            [
                st.just(0.0),
                st.sampled_from([0.0, 0.5, 1.0]),
                st.floats(-1e300, 1e300),
                st.floats(0, 1, width=32),
            ]
        )
    )
    scores = draw_value(hnp.arrays(np.float64, shape, elements=elements))
    weights = draw_value(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 1.0, 2.0])))
    return targets, scores, weights


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(wild_inputs())
def test_wild_inputs_give_the_slow_value_within_zero_and_one_or_nan(name, inputs):
    value = metric_of(name)(*inputs)
    assert value == pytest.approx(SLOW[name](*inputs), abs=1e-12, nan_ok=True)
    assert np.isnan(value) or 0 <= value <= 1 + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_bad_arrays_are_refused_with_the_reason(name):
    metric = metric_of(name)
    good = np.ones((2, 3))
    with pytest.raises(EarmarkError, match=r"one shape \(clips, classes\)"):
        metric(good, np.ones((3, 2)))
    with pytest.raises(EarmarkError, match="neither 0 nor 1"):
        metric(good * 0.5, good)
    with pytest.raises(EarmarkError, match=r"1 clips have scores that are not finite \(first: row 1\)"):
        metric(good, np.array([[1, 1, 1], [1, np.nan, np.nan]]))
    with pytest.raises(EarmarkError, match="weight is negative"):
        metric(good, good, -good)
