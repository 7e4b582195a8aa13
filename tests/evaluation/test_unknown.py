"""A run with unknown labels is scored as its known part alone, wherever the two can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from earmark.evaluation import best_f1_threshold, make_scorecard, metrics, paired_difference
from earmark.evaluation.bootstrap import draw, interval

LABELS = ("dog", "rain", "雨", "siren", "engine")
GROUPS = np.arange(240) // 3
FOLDS = GROUPS % 4


def example(seed=0):
    """Multi-label targets, scores of two models and known labels (four in five, and one class never)."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((240, 5)) < 0.3).astype(np.float32)
    scores = {name: skill * targets + generator.normal(size=targets.shape) for name, skill in (("a", 1.0), ("b", 1.5))}
    known = (generator.random(targets.shape) < 0.8).astype(np.float32)
    known[:, 2] = 0
    return targets, scores, known


def card(targets, scores, labels=LABELS, **changes):
    settings = {"groups": GROUPS, "folds": FOLDS, "multi_label": True, "n_resamples": 60} | changes
    return make_scorecard(targets, scores, labels=labels, **settings)


def test_each_class_has_the_value_of_the_clips_that_know_it_in_every_fold():
    targets, scores, known = example()
    found = card(targets, scores, weights=known).models["a"]
    for column, label in enumerate(LABELS):
        row = found.per_class[label]
        assert row["n_clips"] == (targets * known)[:, column].sum()
        if column == 2:
            assert np.isnan([row["average_precision"], row["roc_auc"], row["lwlrap"]]).all()
            continue
        for name, reference in (("average_precision", average_precision_score), ("roc_auc", roc_auc_score)):
            folds = [np.equal(FOLDS, fold) & (known[:, column] > 0) for fold in range(4)]
            values = [reference(targets[mine, column], scores["a"][mine, column]) for mine in folds]
            assert row[name] == pytest.approx(np.mean(values))


def test_a_class_that_nobody_knows_is_as_if_it_were_not_there_in_intervals_and_differences():
    targets, scores, known = example()
    rest = [0, 1, 3, 4]
    with_it = card(targets, scores, weights=known)
    without = card(
        targets[:, rest],
        {name: each[:, rest] for name, each in scores.items()},
        labels=[LABELS[column] for column in rest],
        weights=known[:, rest],
    )
    for name in metrics.METRICS:
        if name in with_it.models["a"].metrics:
            one, other = (each.models["a"].metrics[name] for each in (with_it, without))
            assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)
    one, other = (each.comparisons[0].interval for each in (with_it, without))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)
    assert [row["lwlrap"] for row in with_it.models["a"].folds] == pytest.approx(
        [row["lwlrap"] for row in without.models["a"].folds]
    )


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_what_is_unknown_changes_neither_interval_nor_difference(name):
    targets, scores, known = example()
    generator = np.random.default_rng(9)
    other_targets = np.where(known > 0, targets, 1 - targets)
    others = {model: np.where(known > 0, each, generator.normal(size=each.shape)) for model, each in scores.items()}
    resamples = draw(GROUPS, 40)
    for one, other in (("a", "a"), ("b", "b")):
        assert interval(name, targets, scores[one], resamples, folds=FOLDS, weights=known) == interval(
            name, other_targets, others[other], resamples, folds=FOLDS, weights=known
        )
    settings = {"metric": name, "groups": GROUPS, "folds": FOLDS, "weights": known, "n_resamples": 40}
    assert paired_difference(targets, scores["a"], scores["b"], **settings) == paired_difference(
        other_targets, others["a"], others["b"], **settings
    )


def test_weights_of_one_give_the_scorecard_without_weights():
    targets, scores, known = example()
    assert card(targets, scores, weights=np.ones_like(known)) == card(targets, scores)


def test_the_notes_say_how_many_labels_are_unknown():
    targets, scores, known = example()
    n_unknown = int((known == 0).sum())
    note = f"{n_unknown} of 1,200 labels ({100 * n_unknown / 1200:.2g} %) are unknown and do not count."
    assert note in card(targets, scores, weights=known, remarks=["Four folds."]).notes()
    assert not any("unknown" in note for note in card(targets, scores, weights=np.ones_like(known)).notes())


def test_the_threshold_is_the_best_for_the_known_labels():
    targets, scores, known = example()
    chances = 1 / (1 + np.exp(-scores["a"]))
    found = best_f1_threshold(targets, chances, known)
    mine = known > 0
    grid = [f1_score(targets[mine], chances[mine] >= each) for each in np.linspace(0.01, 0.99, 99)]
    assert f1_score(targets[mine], chances[mine] >= found) >= max(grid)
    spoilt = np.where(mine, chances, 1 - chances)
    assert best_f1_threshold(np.where(mine, targets, 1 - targets), spoilt, known) == found
    assert best_f1_threshold(targets, chances, np.zeros_like(known)) == 0.5
    assert best_f1_threshold(targets, chances, np.ones_like(known)) == best_f1_threshold(targets, chances)
