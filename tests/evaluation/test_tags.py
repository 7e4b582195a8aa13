"""Precision and recall of tags against scikit-learn, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from earmark.evaluation.bootstrap import draw
from earmark.evaluation.tags import TagScore, judge_tags

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
