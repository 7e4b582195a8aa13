"""Tags and chances: equal to scikit-learn and to loops, with intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from earmark.errors import EarmarkError
from earmark.evaluation.assertions import (
    calibration_interval,
    d_prime_interval,
    make_tags,
    reliability,
    tag_intervals,
    tags_per_class,
)
from earmark.evaluation.bootstrap import draw, interval
from earmark.evaluation.metrics import d_prime, expected_calibration_error
from earmark.predictions import Predictions
from earmark.tagger.fake_backend import FakeBackend
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger import Tagger


def example(seed=0, n_clips=120, n_classes=6):
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_clips, n_classes)) < 0.3).astype(np.float32)
    scores = 1 / (1 + np.exp(-(2 * targets - 1 + generator.normal(size=targets.shape))))
    return targets, scores.astype(np.float32)


def test_tags_are_sklearns_macro_micro_and_per_class():
    targets, scores = example()
    tags = make_tags(scores, [0.5] * 6, multi_label=True)
    found = tag_intervals(targets, tags, draw(np.arange(120), 20))
    for average in ("macro", "micro"):
        expected = precision_recall_fscore_support(targets, tags, average=average)[:3]
        assert [found[f"{name}_{average}"].value for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    per_class = tags_per_class(targets, tags)
    expected = precision_recall_fscore_support(targets, tags, average=None)[:3]
    for name, column in zip(("tag_precision", "tag_recall", "tag_f1"), expected, strict=True):
        np.testing.assert_allclose(per_class[name], column)


def test_every_resample_is_the_measure_on_repeated_clips():
    targets, scores = example(1, 40)
    tags, groups = make_tags(scores, [0.5] * 6, multi_label=True), np.arange(40) // 2
    resamples = draw(groups, 30, seed=2)
    counts = np.concatenate(list(resamples.counts()), axis=1).astype(int)
    for name, found in tag_intervals(targets, tags, resamples).items():
        each = [
            tag_intervals(np.repeat(targets, n, axis=0), np.repeat(tags, n, axis=0), once_of(n.sum()))[name].value
            for n in counts.T
        ]
        low, high = np.quantile(each, [0.025, 0.975]) + found.value - np.mean(each)
        assert (found.low, found.high) == pytest.approx((low, min(high, 1.0)))


def once_of(n_clips):
    return draw(np.arange(n_clips), 1)


def test_a_class_without_clips_is_nan_and_one_never_tagged_has_precision_zero():
    targets = np.array([[1, 0, 0], [1, 1, 0]])
    tags = np.array([[True, False, True], [False, False, False]])
    found = tags_per_class(targets, tags)
    assert found["n_tagged"].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found["tag_precision"], [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(found["tag_recall"], [0.5, 0.0, np.nan])
    whole = tag_intervals(targets, tags, draw(np.arange(2), 10))
    assert whole["precision_macro"].value == 0.5 and whole["precision_micro"].value == 0.5


def test_what_is_unknown_counts_neither_as_tag_nor_as_label():
    targets, scores = example(3)
    tags = make_tags(scores, [0.4] * 6, multi_label=True)
    known = np.random.default_rng(4).random(targets.shape) < 0.7
    other = np.where(known, targets, 1 - targets)
    resamples = draw(np.arange(120), 20)
    assert tag_intervals(targets, tags, resamples, known) == tag_intervals(other, tags, resamples, known)


@pytest.mark.parametrize("multi_label", [True, False])
def test_tags_are_those_of_the_tagger(multi_label, tmp_path):
    _, scores = example(5, 30)
    scores[0] = 0.35
    thresholds = (0.35, 0.5, 0.2, 0.9, 0.6, 0.1)
    metadata = TaggerMetadata("t", tuple("abcdef"), 8000, 1.0, 1.0, multi_label, thresholds={"clip": thresholds})
    (tmp_path / "t.json").write_text(metadata.to_json(), encoding="utf-8")
    tagger = Tagger(FakeBackend(tmp_path / "t.json"), metadata)
    tags = make_tags(scores, thresholds, multi_label)
    rows = Predictions(np.arange(30).astype(str), np.zeros(30), np.ones(30), scores, metadata.labels)
    for own, expected in zip(tags, tagger.tags(rows), strict=True):
        assert {metadata.labels[number] for number in np.flatnonzero(own)} == {tag.label for tag in expected}


def slow_ece(targets, scores, n_bins=15):
    items = list(zip(targets.ravel(), scores.ravel(), strict=True))
    error = 0.0
    for number in range(n_bins):
        inside = [each for each in items if min(int(each[1] * n_bins), n_bins - 1) == number]
        if inside:
            error += abs(sum(s for _, s in inside) - sum(t for t, _ in inside))
    return error / len(items)


def test_the_calibration_error_is_that_of_plain_loops():
    targets, scores = example(6)
    scores = scores.astype(np.float64)
    scores[0, :2] = (0.0, 1.0)
    assert expected_calibration_error(targets, scores) == pytest.approx(slow_ece(targets, scores))
    found = calibration_interval(targets, scores, draw(np.arange(120), 50), multi_label=True)
    assert found.value == pytest.approx(slow_ece(targets, scores)) and found.low < found.value < found.high


def test_where_one_label_holds_the_highest_score_is_the_chance_of_being_right():
    targets = np.eye(3)[[0, 1, 2, 0]]
    scores = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
    assert expected_calibration_error(targets, scores, multi_label=False) == pytest.approx(0.8 - 0.75)
    [row] = reliability(targets, scores, multi_label=False)
    assert (row.n, row.mean_score, row.share_true) == (4, pytest.approx(0.8), 0.75)
    assert row.low <= 0.8 < row.high


def test_scores_drawn_as_chances_are_calibrated_and_shrunken_ones_are_not():
    generator = np.random.default_rng(7)
    chances = generator.random((4000, 2))
    targets = (generator.random(chances.shape) < chances).astype(float)
    assert expected_calibration_error(targets, chances) < 0.02
    assert expected_calibration_error(targets, 0.5 + 0.3 * (chances - 0.5)) > 0.1


def test_scores_that_are_no_chances_have_no_calibration():
    targets, scores = example(8)
    with pytest.raises(EarmarkError, match=r"scores from .* are no chances \(expected 0 to 1\)"):
        expected_calibration_error(targets, 3 * scores)


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


def test_nothing_to_score_is_nan_without_a_warning(recwarn):
    for shape in ((0, 3), (4, 3)):
        nothing, resamples = np.zeros(shape), draw(np.arange(shape[0]), 10)
        found = tag_intervals(nothing, nothing > 0, resamples)
        assert all(np.isnan(each.value) for each in found.values())
        assert np.isnan(expected_calibration_error(nothing, nothing, multi_label=False))
        assert reliability(nothing, nothing, multi_label=False) == ()
    assert len(recwarn) == 0
