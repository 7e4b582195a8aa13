"""Figures show the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from earmark.report.figures import axis, co_errors, confusion, curves, matrix_figure
from earmark.report.mistakes import best, worst


@given(st.lists(st.floats(-1e4, 1e4, allow_nan=False), min_size=1), st.booleans())
def test_an_axis_holds_all_values_between_few_round_ticks(values, whole):
    line = axis(values, whole=whole)
    step = (line.high - line.low) / (len(line.ticks) - 1)
    assert line.low <= min(values) + 1e-6 * step
    assert line.high >= max(values) - 1e-6 * step
    assert 2 <= len(line.ticks) <= 7
    for text, position in line.ticks:
        assert line.at(float(text)) == pytest.approx(position, abs=0.01)
        assert not whole or float(text).is_integer()


def test_an_axis_of_nothing_is_zero_to_one():
    assert (axis([float("nan")]).low, axis([float("nan")]).high) == (0.0, 1.0)


def test_single_label_confusion_is_scikit_learns():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 200)
    scores = generator.random((200, 5))
    expected = confusion_matrix(truth, scores.argmax(axis=1), labels=range(5))
    counts, n_asked = confusion(np.eye(5)[truth], scores)
    assert np.array_equal(counts, expected)
    assert np.array_equal(n_asked[:, 0], expected.sum(axis=1))


def test_co_errors_count_absent_labels_that_are_tagged_beside_present_ones():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.2, 0.8], [0.9, 0.8, 0.3], [0.9, 0.9, 0.9]])
    counts, n_asked = co_errors(targets, scores >= 0.5, np.ones((3, 3)))
    assert counts.tolist() == [[2, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert n_asked.tolist() == [[2, 1, 2], [0, 1, 1], [0, 0, 0]]
    weights = np.ones((3, 3))
    weights[0, 2] = 0  # whether that tag is false, nobody knows
    counts, n_asked = co_errors(targets, scores >= 0.5, weights)
    assert (counts[0, 2], n_asked[0, 2], counts[1, 2], n_asked[1, 2]) == (0, 1, 0, 0)


def test_a_large_matrix_keeps_the_classes_with_the_most_errors():
    n_classes = 60
    truth = np.repeat(np.arange(n_classes), 3)
    said = truth.copy()
    said[0:3] = 59
    said[3:5] = 58
    counts, n_asked = confusion(np.eye(n_classes)[truth], np.eye(n_classes)[said])
    figure = matrix_figure(counts, n_asked, [f"c{n}" for n in range(n_classes)])
    assert len(figure.labels) == 30
    assert figure.n_left_out == 30
    assert {"c0", "c1", "c58", "c59"} <= set(figure.labels)
    assert figure.pairs == (("c0", "c59", 3, 3), ("c1", "c58", 2, 3))
    assert figure.rows[0][1][figure.labels.index("c59")] == (3, 1.0)


def test_curves_pass_through_their_points_and_skip_what_is_no_number():
    rows = [
        {"epoch": 0, "train_loss": 2.0, "validation_score": 0.2},
        {"epoch": 1, "train_loss": None, "validation_score": 0.8},
        {"epoch": 2, "train_loss": 0.0, "validation_score": 0.6},
    ]
    loss = curves({"0": rows}, {"train_loss": "training"}, "loss")
    ((kind, words, points),) = loss.lines
    assert (kind, words) == ("training", "training, fold 0")
    x = [loss.x.at(1), loss.x.at(3)]
    assert points == f"{x[0]:.2f},0.00 {x[1]:.2f},100.00"
    score = curves({"0": rows}, {"validation_score": "validation"}, "score", dot="validation_score")
    assert score.dots == ((score.x.at(2), score.y.at(0.8), "fold 0: epoch 2, 0.800"),)


def test_without_numbers_there_are_no_curves():
    assert curves({}, {"train_loss": "training"}, "loss") is None
    assert curves({"0": [{"epoch": 0}]}, {"train_loss": "training"}, "loss") is None


def test_the_worst_single_label_clips_are_the_confidently_wrong_and_never_right_ones():
    targets = np.eye(3)[[0, 0, 0, 1]]
    scores = np.array([[0.1, 0.9, 0.0], [0.4, 0.5, 0.1], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert worst(targets, scores, np.ones((4, 3)), False, 10).tolist() == [3, 0, 1]
    assert worst(targets, scores, np.ones((4, 3)), False, 1).tolist() == [3]


def test_the_worst_multi_label_clips_have_the_largest_loss():
    targets = np.array([[1, 1], [0, 0], [1, 0]])
    scores = np.array([[0.6, 0.6], [1.0, 0.0], [0.9, 0.1]])
    weights = np.ones((3, 2))
    assert worst(targets, scores, weights, True, 3).tolist() == [1, 0, 2]
    weights[1, 0] = 0  # whether that tag is wrong, nobody knows
    assert worst(targets, scores, weights, True, 3).tolist() == [0, 2, 1]


def test_the_best_clips_are_right_and_each_of_another_class():
    targets = np.eye(3)[[0, 0, 1, 2, 2]]
    scores = np.array([[0.9, 0.1, 0.0], [0.95, 0.0, 0.0], [0.2, 0.6, 0.2], [0.5, 0.2, 0.3], [0.6, 0.1, 0.3]])
    assert best(targets, scores, np.ones((5, 3)), False, 9).tolist() == [1, 2]
    assert best(targets, scores, np.ones((5, 3)), True, 1).tolist() == [1]
