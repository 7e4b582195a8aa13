"""Parts of the clips: their numbers, their intervals, and who is worse than the rest."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.evaluation import metrics
from earmark.evaluation.slices import UNKNOWN, bins_of, score_slices


def world(generator, n_groups=120, harm=0.0, n_sites=3):
    """Two clips of each recording at one of the sites; at the first the model hears worse by `harm`."""
    groups = np.repeat(np.arange(n_groups), 2)
    sites = np.array([f"site {group % n_sites}" for group in groups])
    targets = np.eye(4)[generator.integers(4, size=n_groups)][groups]
    luck = generator.normal(size=(n_groups, 4))[groups] + 0.3 * generator.normal(size=targets.shape)
    skill = np.where(sites == "site 0", 2 - harm, 2.0)[:, None]
    return targets, skill * targets + luck, groups, sites


def score(targets, scores, groups, sites, names=("accuracy",), **options):
    return score_slices("site", sites, targets, scores, groups=groups, metrics=names, **options)


@pytest.mark.parametrize("metric", ["accuracy", "lwlrap"])
def test_each_part_and_the_rest_are_scored_as_if_alone_and_the_worst_stands_first(metric):
    targets, scores, groups, sites = world(np.random.default_rng(0), harm=1.5)
    found = score(targets, scores, groups, sites, (metric, "map_macro"), n_resamples=100)
    values = [each.metrics[metric].value for each in found]
    assert values == sorted(values) and found[0].name == "site 0"
    for each in found:
        inside = sites == each.name
        assert each.metrics[metric].value == pytest.approx(getattr(metrics, metric)(targets[inside], scores[inside]))
        assert each.without == pytest.approx(getattr(metrics, metric)(targets[~inside], scores[~inside]))
        assert each.metrics["map_macro"].value == pytest.approx(metrics.map_macro(targets[inside], scores[inside]))
        assert (each.n_clips, each.n_groups) == (80, 40)
        assert each.against_rest.value == pytest.approx(each.metrics[metric].value - each.without)


def test_a_site_that_is_worse_is_named_and_equal_ones_are_not():
    targets, scores, groups, sites = world(np.random.default_rng(1), harm=1.8)
    found = {each.name: each.verdict for each in score(targets, scores, groups, sites)}
    assert found["site 0"] == "worse"
    false_alarms = 0
    for seed in range(40):
        drawn = world(np.random.default_rng(seed + 10), n_sites=6)
        false_alarms += any(each.verdict for each in score(*drawn, n_resamples=200))
    assert false_alarms <= 6  # of any of six sites: Holm keeps it near 2


def test_the_intervals_of_parts_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(2)
    targets, scores, _, _ = world(generator, 40_000)
    truth, hits, n = metrics.accuracy(targets, scores), 0, 0
    for seed in range(70):
        for each in score(*world(generator, 120), n_resamples=200, seed=seed):
            found = each.metrics["accuracy"]
            hits += found.low <= truth <= found.high
            n += 1
    assert 0.90 <= hits / n <= 0.99


def test_a_single_recording_has_a_value_but_no_interval():
    targets, scores, groups, _ = world(np.random.default_rng(3), 30)
    found = score_slices(
        "group", groups, targets, scores, groups=groups, metrics=("accuracy", "map_macro"), n_resamples=50
    )
    assert len(found) == 30 and all(each.n_groups == 1 for each in found)
    for each in found:
        assert np.isnan([each.metrics["accuracy"].low, each.metrics["map_macro"].high]).all()
        assert each.verdict == "" and not np.isnan(each.metrics["accuracy"].value)


def test_what_is_unknown_is_in_no_part():
    targets, scores, groups, sites = world(np.random.default_rng(4), 30)
    weights = np.ones_like(targets)
    weights[:10] = 0
    found = {each.name: each for each in score(targets, scores, groups, sites, weights=weights, n_resamples=50)}
    inside = (sites == "site 1") & (np.arange(60) >= 10)
    assert found["site 1"].metrics["accuracy"].value == metrics.accuracy(targets[inside], scores[inside])


def test_a_part_without_labels_stands_last_without_a_value(recwarn):
    targets, scores, groups, sites = world(np.random.default_rng(5), 30)
    targets[sites == "site 2"] = 0
    found = score(targets, scores, groups, sites, n_resamples=50)
    assert found[-1].name == "site 2" and np.isnan(found[-1].metrics["accuracy"].value)
    assert found[-1].to_dict()["verdict"] == "" and len(recwarn) == 0


def test_numbers_fall_into_bins_of_like_size_and_few_values_stay_themselves():
    numbers = np.random.default_rng(6).lognormal(size=400)
    numbers[0] = np.nan
    found = bins_of(numbers, " s")
    assert found[0] == UNKNOWN and found[1].endswith(" s")
    sizes = [found.count(name) for name in set(found) - {UNKNOWN}]
    assert len(sizes) == 4 and max(sizes) - min(sizes) <= 2
    assert bins_of([5.0, 5.0], " s") == ["5 s", "5 s"]
