"""No clip's own label has a say in the ensemble that it is scored by."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.ensemble import ENSEMBLES
from earmark.ensemble import stack as stack_module
from earmark.ensemble.nested import error_correlations, fit_nested, judge, nested_rows
from earmark.errors import ConfigError, EarmarkError
from earmark.evaluation.metrics import accuracy


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(stack_module, "EPOCHS", 2)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_the_labels_of_a_fold_do_not_change_its_scores(make_panel, kind):
    panel = make_panel(n_clips=60)
    inside = panel.folds == 2
    turned = panel.targets.copy()
    turned[inside] = np.roll(turned[inside], 1, axis=1)
    rows = nested_rows(panel, fit_nested(panel, kind)).scores
    again = nested_rows(panel, fit_nested(make_panel(n_clips=60, targets=turned), kind)).scores
    np.testing.assert_array_equal(rows[inside[panel.clip_of]], again[inside[panel.clip_of]])


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_nested_scores_are_of_the_rows_they_stand_beside(make_panel, kind):
    panel = make_panel(n_clips=60)
    rows = nested_rows(panel, fit_nested(panel, kind))
    assert rows.clip_ids.tolist() == panel.clip_ids[panel.clip_of].tolist()
    assert rows.starts.tolist() == panel.starts.tolist()
    assert accuracy(panel.targets, panel.pooled(rows).scores) > 0.5


def test_members_of_pure_noise_gain_nothing_by_nested_weights_and_in_sample_they_would(make_panel):
    """Weights fitted on the very clips look better than the best of ten guessers; nested ones do not beat chance."""
    nested, flattered, best = [], [], []
    for seed in range(10):
        panel = make_panel((0.0,) * 10, n_clips=60, n_windows=1, n_classes=2, seed=seed)
        fits = fit_nested(panel, "greedy")
        nested.append(accuracy(panel.targets, panel.pooled(nested_rows(panel, fits)).scores))
        flattered.append(accuracy(panel.targets, panel.pooled(panel.combined(fits.final)).scores))
        best.append(max(accuracy(panel.targets, panel.pooled(panel.of_member(name)).scores) for name in panel.names))
    assert np.mean(flattered) > np.mean(best)
    assert np.mean(nested) < np.mean(best) - 0.05
    assert np.mean(nested) == pytest.approx(0.5, abs=0.05)


def test_one_fold_cannot_be_nested_and_an_unknown_kind_is_named(make_panel):
    panel = make_panel(n_clips=20, folds=np.zeros(20, dtype=int))
    with pytest.raises(EarmarkError, match="the runs hold one fold, and an ensemble is fitted on folds apart"):
        fit_nested(panel, "mean")
    with pytest.raises(ConfigError, match="'means' is not an ensemble"):
        fit_nested(panel, "means")


def test_errors_of_independent_members_do_not_go_together(make_panel):
    panel = make_panel((1.0, 1.0), n_clips=400)
    twice = make_panel((1.0, 1.0), n_clips=400, scores=np.repeat(panel.scores[:, :1], 2, axis=1))
    apart, alike = error_correlations(panel), error_correlations(twice)
    np.testing.assert_allclose(np.diag(apart), 1, atol=1e-5)
    assert apart[0, 1] == pytest.approx(apart[1, 0])
    assert abs(apart[0, 1]) < 0.1
    assert alike[0, 1] == pytest.approx(1, abs=1e-5)


def test_the_simplest_kind_within_a_standard_error_of_the_best_is_taken(make_panel):
    panel = make_panel((1.0,), n_clips=200)
    scores = panel.pooled(panel.of_member("m0")).scores
    better = scores + 2 * panel.targets
    card, against, taken = judge(panel, {"m0": scores}, {"mean": scores, "rank": better, "stack": better})
    assert taken == "rank"
    assert [(each.a, each.b) for each in against] == [("mean", "m0"), ("rank", "m0"), ("stack", "m0")]
    assert against[0].interval.value == 0
    assert against[1].interval.low > 0
    assert card.n_clips == 200
