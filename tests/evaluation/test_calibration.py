"""Calibration finds what was done to true scores, leaves true scores alone, and chooses without looking."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from earmark.evaluation import calibration
from earmark.evaluation.calibration import Evidence, choose, cross_fit, fit, kinds_for, log_loss, parts_of
from earmark.tagger.metadata import calibrate


def evidence(scores, targets, multi_label, parts=None, weights=None) -> Evidence:
    parts = np.arange(len(targets)) % 5 if parts is None else parts
    return Evidence(targets, scores, np.ones_like(targets) if weights is None else weights, parts, multi_label)


def several(n_rows=3000, scale=(1.0, 1.0, 1.0), bias=(0.0, 0.0, 0.0), seed=0) -> Evidence:
    """True log odds, bent by a scale and a bias per class."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (n_rows, 3))
    targets = (generator.random(logits.shape) < expit(logits)).astype(float)
    return evidence(expit((logits - np.array(bias)) / np.array(scale)), targets, True)


def one_of(n_rows=3000, temperature=1.0, seed=0) -> Evidence:
    """One label a row, drawn by a softmax whose logits are then divided by a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (n_rows, 4))
    labels = [generator.choice(4, p=row) for row in softmax(logits, axis=1)]
    return evidence(softmax(logits / temperature, axis=1), np.eye(4)[labels], False)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_temperature_is_undone(temperature):
    for found in (fit("temperature", one_of(temperature=temperature)),
                  fit("temperature", several(scale=(temperature,) * 3))):  # fmt: skip
        assert found["temperature"] == pytest.approx(1 / temperature, rel=0.06)


def test_platt_undoes_what_was_done_to_each_class():
    scale, bias = (0.5, 1.0, 2.0), (1.0, 0.0, -1.0)
    found = fit("platt", several(20000, scale, bias))
    np.testing.assert_allclose(found["scale"], scale, rtol=0.06)
    np.testing.assert_allclose(found["bias"], bias, atol=0.1)


def test_a_class_with_much_evidence_is_fitted_as_scikit_learn_does_and_one_with_little_is_drawn_to_all(monkeypatch):
    data = several(4000, (0.5, 1.0, 1.0), (1.0, 0.0, 0.0))
    weights = np.ones_like(data.targets)
    weights[20:, 2] = 0
    data = evidence(data.scores, data.targets, True, weights=weights)
    found = fit("platt", data)
    plain = LogisticRegression(C=np.inf).fit(logit(data.scores[:, :1]), data.targets[:, 0])
    assert found["scale"][0] == pytest.approx(plain.coef_[0, 0], rel=0.05)
    assert found["bias"][0] == pytest.approx(plain.intercept_[0], abs=0.1)
    scales = []
    for pull in (0.0, 1e9):
        monkeypatch.setattr(calibration, "SCALE_PULL", pull)
        monkeypatch.setattr(calibration, "BIAS_PULL", pull)
        scales.append(np.array(fit("platt", data)["scale"]))
    own, of_all = scales
    moved = np.abs(found["scale"] - own) / np.abs(of_all - own)
    assert moved[0] < 0.1 < moved[2]
    np.testing.assert_allclose(of_all, of_all[0], rtol=1e-3)


def test_the_order_within_a_class_never_turns_round():
    data = several(200)
    found = fit("platt", evidence(1 - data.scores, data.targets, True))
    assert min(found["scale"]) > 0


def test_unknown_labels_and_labels_nobody_has_move_nothing():
    data = several(500)
    weights = np.ones_like(data.targets)
    weights[:100, 0] = 0
    wrong = data.targets.copy()
    wrong[:100, 0] = 1 - wrong[:100, 0]
    for kind in ("temperature", "platt"):
        same = [fit(kind, evidence(data.scores, each, True, weights=weights)) for each in (data.targets, wrong)]
        assert same[0] == same[1]
        assert fit(kind, evidence(data.scores, np.zeros_like(wrong), True)) is None


def test_the_kind_is_the_one_that_the_scores_need():
    kinds = kinds_for("auto", multi_label=True)
    assert choose(kinds, several(100, (3.0, 3.0, 3.0))) == "temperature"
    assert choose(kinds, several(3000, (1.0, 1.0, 1.0), (2.0, -2.0, 0.0))) == "platt"
    assert choose(kinds_for("auto", multi_label=False), one_of(temperature=3.0)) == "temperature"
    assert kinds_for("auto", multi_label=False) == ("none", "temperature")
    assert kinds_for("none", multi_label=True) == ("none",)
    alone = one_of(50, temperature=3.0)
    assert choose(("none", "temperature"), evidence(alone.scores, alone.targets, False, np.zeros(50))) == "none"


def test_a_part_never_fits_its_own_calibration():
    data = several(400, (2.0, 1.0, 0.5))
    turned = data.targets.copy()
    mine = data.parts == 3
    turned[mine] = 1 - turned[mine]
    for kind in ("temperature", "platt"):
        honest = cross_fit(kind, data)
        again = cross_fit(kind, evidence(data.scores, turned, True, data.parts))
        np.testing.assert_array_equal(honest[mine], again[mine])
        assert not np.array_equal(honest[~mine], again[~mine])


def test_calibration_lowers_the_loss_on_rows_it_never_saw():
    bent, fresh = several(2000, (2.0, 0.7, 1.0), (1.0, 0.5, 0.0)), several(2000, (2.0, 0.7, 1.0), (1.0, 0.5, 0.0), 1)
    ones = np.ones_like(fresh.targets)
    before = log_loss(fresh.targets, fresh.scores, ones, True)
    after = log_loss(fresh.targets, calibrate(fresh.scores, fit("platt", bent), True), ones, True)
    assert after < before - 0.01
    assert log_loss(np.eye(2), np.full((2, 2), 0.5), np.ones((2, 2)), False) == pytest.approx(np.log(2))


def test_where_folds_are_too_few_whole_groups_are_left_out():
    groups = np.array(["c", "a", "a", "b", "c"])
    assert parts_of(np.array([0, 1, 2, 1, 0]), groups).tolist() == [0, 1, 2, 1, 0]
    parts = parts_of(np.zeros(5), groups)
    assert parts[0] == parts[4]
    assert parts[1] == parts[2]
    assert len(set(parts)) == 3


@pytest.mark.parametrize("kind", ["temperature", "platt"])
def test_many_rows_are_summed_up_without_another_answer(kind, monkeypatch):
    known = several(6000, scale=(0.5, 1.0, 2.0), bias=(1.0, 0.0, -1.0))
    known.weights[::7] = 0
    found = fit(kind, known)
    monkeypatch.setattr(calibration, "BINNED_FROM", 10_000)
    row_by_row = fit(kind, known)
    assert found != row_by_row
    scores = np.linspace(0.01, 0.99, 50)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(calibrate(scores, found, True), calibrate(scores, row_by_row, True), atol=1e-3)
