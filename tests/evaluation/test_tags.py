"""Precision and recall of tags against scikit-learn, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support, precision_score, recall_score

from earmark.evaluation.bootstrap import draw
from earmark.evaluation.tags import TagScore, judge_tags, tag_intervals, tags_per_class
from earmark.evaluation.thresholds import tags_of
from earmark.predictions import Predictions
from earmark.tagger.fake_backend import FakeBackend
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger import Tagger

GENERATOR = np.random.default_rng(0)
TARGETS = (GENERATOR.random((300, 3)) < 0.3).astype(float)
TAGS = GENERATOR.random((300, 3)) < 0.2 + 0.5 * TARGETS
LABELS = ("a", "b", "c")


def test_they_are_scikit_learns_with_an_interval_around_them():
    found = judge_tags(TARGETS, TAGS, draw(np.arange(300), 200), LABELS)
    for name, reference in (("precision", precision_score), ("recall", recall_score)):
        interval = getattr(found, name)
        assert interval.value == pytest.approx(reference(TARGETS, TAGS, average="micro"))
        assert interval.low < interval.value < interval.high
        each = reference(TARGETS, TAGS, average=None)
        assert [found.per_class[label][name].value for label in LABELS] == pytest.approx(each.tolist())
    assert found.unknown == pytest.approx(1 - TAGS.any(axis=1).mean())
    assert found.per_class["a"]["n_tags"] == TAGS[:, 0].sum()


def test_unknown_labels_count_neither_as_right_nor_as_wrong():
    weights = np.ones_like(TARGETS)
    weights[:100] = 0
    found = judge_tags(TARGETS, TAGS, draw(np.arange(300), 50), LABELS, weights)
    assert found.precision.value == pytest.approx(precision_score(TARGETS[100:], TAGS[100:], average="micro"))


def test_where_nothing_is_named_there_is_no_precision_and_the_recall_is_nothing():
    found = judge_tags(TARGETS, np.zeros_like(TAGS), draw(np.arange(300), 50), LABELS)
    assert np.isnan(found.precision.value)
    assert (found.recall.value, found.unknown) == (0.0, 1.0)


def test_a_label_that_few_recordings_have_says_so():
    targets = np.zeros((60, 2))
    targets[:, 0], targets[:3] = 1, (0, 1)
    found = judge_tags(targets, targets > 0, draw(np.arange(60), 50), ("often", "rare")).per_class
    assert [found["rare"][name].n_groups for name in ("precision", "recall")] == [3, 3]
    assert found["rare"]["precision"].too_few_groups and not found["often"]["precision"].too_few_groups


def test_it_comes_back_from_json():
    found = judge_tags(TARGETS, TAGS, draw(np.arange(300), 50), LABELS)
    assert TagScore.from_dict(found.to_dict()) == found


def example(seed=0, n_clips=120, n_classes=6):
    generator = np.random.default_rng(seed)
    targets = (generator.random((n_clips, n_classes)) < 0.3).astype(np.float32)
    scores = 1 / (1 + np.exp(-(2 * targets - 1 + generator.normal(size=targets.shape))))
    return targets, scores.astype(np.float32)


def test_tags_are_sklearns_macro_micro_and_per_class():
    targets, scores = example()
    tags = tags_of(scores, [0.5] * 6, multi_label=True)
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
    tags, groups = tags_of(scores, [0.5] * 6, multi_label=True), np.arange(40) // 2
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
    tags = tags_of(scores, [0.4] * 6, multi_label=True)
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
    tags = tags_of(scores, thresholds, multi_label)
    rows = Predictions(np.arange(30).astype(str), np.zeros(30), np.ones(30), scores, metadata.labels)
    for own, expected in zip(tags, tagger.tags(rows), strict=True):
        assert {metadata.labels[number] for number in np.flatnonzero(own)} == {tag.label for tag in expected}


def test_nothing_to_score_is_nan_without_a_warning(recwarn):
    for shape in ((0, 3), (4, 3)):
        nothing, resamples = np.zeros(shape), draw(np.arange(shape[0]), 10)
        found = tag_intervals(nothing, nothing > 0, resamples)
        assert all(np.isnan(each.value) for each in found.values())
        assert np.isnan(judge_tags(nothing, nothing > 0, resamples, LABELS).per_class["a"]["recall"].value)
    assert len(recwarn) == 0
