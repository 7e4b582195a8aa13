"""Intervals: exact on the resamples, over groups, deterministic, and as wide as they should be."""

from __future__ import annotations

import time

import numpy as np
import pytest

from earmark.errors import ConfigError, EarmarkError
from earmark.evaluation import bootstrap, metrics
from earmark.evaluation.bootstrap import Interval, d_prime_interval, draw, interval, resampled_values
from earmark.evaluation.metrics import d_prime


def example(seed=0, n_clips=120, n_classes=6):
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_clips, n_classes)) < 0.2).astype(np.float32)
    scores = np.round(targets + generator.normal(size=targets.shape), 1)
    return targets, scores, np.arange(n_clips) // 3, np.arange(n_clips) // 3 % 4


@pytest.mark.parametrize("metric", metrics.PER_FOLD)
def test_areas_are_computed_per_fold_then_averaged_on_every_resample(metric):
    targets, scores, groups, folds = example()
    resamples = draw(groups, n_resamples=10, seed=1)
    function = getattr(metrics, metric)
    per_class = {
        "map_macro": metrics.average_precision_per_class,
        "roc_auc": metrics.roc_auc_per_class,
        "map_micro": lambda *arrays: np.array([function(*arrays)]),
    }[metric]
    _, values, _ = resampled_values(metric, targets, scores, resamples, folds=folds)
    for times, value in zip(
        np.concatenate(list(resamples.counts()), axis=1).T.astype(int), values, strict=True
    ):
        table = []
        for fold in range(4):
            rows = np.repeat(np.flatnonzero(folds == fold), times[folds == fold])
            table.append(per_class(targets[rows], scores[rows]))
        assert value == pytest.approx(np.nanmean(np.nanmean(table, axis=0)), abs=1e-12)


def test_folds_on_different_scales_do_not_mix():
    targets = np.tile(np.eye(2), (10, 1))
    scores = np.where(targets > 0, 0.9, 0.6)
    folds = np.arange(20) // 10
    scores[folds == 1] -= 0.5  # the second fold's network is shy: still perfect in itself
    resamples = draw(np.arange(20), n_resamples=5)
    assert resampled_values("map_macro", targets, scores, resamples, folds=folds)[0] == 1.0
    assert resampled_values("map_macro", targets, scores, resamples)[0] < 1.0


def test_lwlrap_and_accuracy_pool_the_clips_of_all_folds():
    targets, scores, groups, _ = example()
    folds = np.zeros(len(targets), dtype=int)
    folds[:5] = 1
    for metric in ("lwlrap", "accuracy"):
        value, _, _ = resampled_values(metric, targets, scores, draw(groups, 5), folds=folds)
        assert value == pytest.approx(getattr(metrics, metric)(targets, scores))


def test_clips_of_a_group_are_drawn_together():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    counts = np.concatenate(list(draw(groups, n_resamples=200, seed=2).counts()), axis=1)
    for name in "abc":
        mine = counts[groups == name]
        assert (mine == mine[0]).all()
    assert (counts[[1, 0, 3]].sum(axis=0) == 3).all()
    assert len(np.unique(counts, axis=1).T) > 5


def test_copies_of_a_recording_do_not_make_the_interval_narrower():
    generator = np.random.default_rng(3)
    targets = np.eye(4)[generator.integers(4, size=60)]
    scores = targets + generator.normal(size=targets.shape)
    once = interval("accuracy", targets, scores, draw(np.arange(60)))
    copied = np.repeat(targets, 5, axis=0), np.repeat(scores, 5, axis=0)
    grouped = interval("accuracy", *copied, draw(np.repeat(np.arange(60), 5)))
    naive = interval("accuracy", *copied, draw(np.arange(300)))
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.6 * (grouped.high - grouped.low)


def test_same_seed_same_interval_another_seed_another():
    targets, scores, groups, folds = example()

    def of(seed):
        return interval("map_macro", targets, scores, draw(groups, 200, seed), folds=folds)

    assert of(1) == of(1) != of(2)


def test_the_size_of_the_pieces_does_not_change_the_counts():
    resamples = draw(np.arange(50) // 2, n_resamples=37)
    whole = np.concatenate(list(resamples.counts()), axis=1)
    pieces = list(resamples.counts(most_cells=300))
    assert len(pieces) > 5
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_fewer_than_twenty_groups_are_flagged_and_said():
    targets, scores, _, _ = example()
    few = interval("lwlrap", targets, scores, draw(np.arange(120) % 19, 50))
    enough = interval("lwlrap", targets, scores, draw(np.arange(120) % 20, 50))
    assert (few.n_groups, few.too_few_groups) == (19, True)
    assert (enough.n_groups, enough.too_few_groups) == (20, False)
    assert "too few groups" in few.text and "too few" not in enough.text


def test_classes_missing_from_resamples_are_counted_not_averaged():
    targets, scores, _, _ = example()
    targets[:, 0] = 0
    targets[:3, 0] = 1
    resamples = draw(np.arange(120), n_resamples=400, seed=4)
    counts = np.concatenate(list(resamples.counts()), axis=1)
    missing = int((counts[:3].sum(axis=0) == 0).sum())
    assert missing > 5
    assert interval("map_macro", targets, scores, resamples).n_nan == missing
    assert not np.isnan(resampled_values("map_macro", targets, scores, resamples)[1]).any()
    targets[:, 0] = 0
    assert interval("map_macro", targets, scores, resamples).n_nan == 400


def test_nothing_to_score_gives_no_value_and_no_interval(recwarn):
    for n_clips in (0, 5):
        nothing = np.zeros((n_clips, 3))
        for metric in metrics.METRICS:
            found = interval(metric, nothing, nothing, draw(np.arange(n_clips), 10))
            assert np.isnan([found.value, found.low, found.high]).all()
            assert found.text == "no value"
    assert len(recwarn) == 0


def test_a_metric_without_a_fast_form_is_called_with_counts_as_weights(monkeypatch):
    targets, scores, groups, folds = example(n_clips=60)
    resamples = draw(groups, n_resamples=20, seed=5)
    for metric in ("lwlrap", "map_micro"):
        fast = resampled_values(metric, targets, scores, resamples, folds=folds)
        monkeypatch.delitem(bootstrap._FAST, metric)
        slow = resampled_values(metric, targets, scores, resamples, folds=folds)
        np.testing.assert_allclose(slow[1], fast[1], atol=1e-12)
        assert slow[0] == pytest.approx(fast[0])


@pytest.mark.parametrize("metric", ["accuracy", "map_macro"])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(metric):
    generator = np.random.default_rng(6)

    def world(n_groups):
        """Two clips of each recording, which share most of their luck."""
        groups = np.repeat(np.arange(n_groups), 2)
        targets = np.eye(4)[generator.integers(4, size=n_groups)][groups]
        luck = generator.normal(size=(n_groups, 4))[groups] + 0.3 * generator.normal(size=targets.shape)
        return targets, 2 * targets + luck, groups

    truth = getattr(metrics, metric)(*world(40_000)[:2])
    hits = 0
    for seed in range(200):
        targets, scores, groups = world(80)
        found = interval(metric, targets, scores, draw(groups, 200, seed))
        hits += found.low <= truth <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_interval_holds_the_value_although_repeated_clips_raise_average_precision():
    generator = np.random.default_rng(7)
    targets = np.eye(40)[generator.integers(40, size=400)]
    scores = 2 * targets + generator.normal(size=targets.shape)
    folds = np.arange(400) % 5
    resamples = draw(np.arange(400) // 5 * 5 + folds, 300)
    value, values, _ = resampled_values("map_macro", targets, scores, resamples, folds=folds)
    assert np.quantile(values, 0.025) > value - 0.02  # plain percentiles lean far upward
    found = interval("map_macro", targets, scores, resamples, folds=folds)
    assert found.high - found.value == pytest.approx(found.value - found.low, rel=0.3)


def test_an_interval_stays_within_the_possible_values():
    targets = np.eye(2)[[0] * 9 + [1] * 21]
    found = interval("accuracy", targets, targets + 0.0, draw(np.arange(30)))
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_close_bounds_get_a_third_digit():
    assert Interval(0.912, 0.884, 0.943, 40, False, 0, 0.01).text == "0.912 (0.88 to 0.94)"
    assert Interval(0.912, 0.9084, 0.9163, 40, False, 0, 0.01).text == "0.912 (0.908 to 0.916)"


def test_unknown_metrics_and_misfitting_groups_are_refused():
    targets, scores, groups, _ = example()
    with pytest.raises(ConfigError, match="did you mean 'lwlrap'"):
        interval("lwlrp", targets, scores, draw(groups, 5))
    with pytest.raises(EarmarkError, match="one entry for each of the 120 clips"):
        interval("lwlrap", targets, scores, draw(groups[:-1], 5))
    with pytest.raises(EarmarkError, match="one entry for each of the 120 clips"):
        interval("lwlrap", targets, scores, draw(groups, 5), folds=groups[:-1])


def test_all_metrics_on_two_thousand_clips_take_seconds():
    generator = np.random.default_rng(8)
    targets = np.eye(80)[generator.integers(80, size=2000)]
    scores = (2 * targets + generator.normal(size=targets.shape)).astype(np.float32)
    start = time.process_time()
    resamples = draw(np.arange(2000) // 2)
    for metric in metrics.METRICS:
        interval(metric, targets, scores, resamples)
    assert time.process_time() - start < 10


def test_d_prime_is_how_far_two_normal_distributions_stand_apart():
    generator = np.random.default_rng(9)
    scores = np.concatenate([generator.normal(1.5, 1, 20_000), generator.normal(0, 1, 20_000)])[:, None]
    targets = np.repeat([1.0, 0.0], 20_000)[:, None]
    resamples = draw(np.arange(40_000) % 40, 20)
    found = d_prime_interval(targets, scores, resamples)
    assert found.value == pytest.approx(1.5, abs=0.03)
    auc = interval("roc_auc", targets, scores, resamples)
    assert (found.low, found.high) == (d_prime(auc.low), d_prime(auc.high))
    assert np.isinf(d_prime(1.0)) and d_prime(0.5) == 0
