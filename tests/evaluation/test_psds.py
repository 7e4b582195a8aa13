"""PSDS: against sed_scores_eval's numbers, a slow count over every threshold, and by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.evaluation import psds
from earmark.evaluation.bootstrap import draw
from earmark.evaluation.psds import SCENARIOS, Heard, changes_of, psds_intervals

VECTORS = json.loads(Path(__file__).with_name("event_vectors.json").read_text(encoding="utf-8"))
LABELS = VECTORS["labels"]


def events(*pairs):
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def steps(*scores):
    """One recording of one-second steps; a row per label."""
    values = np.array(scores, dtype=np.float64).T
    return Heard(np.arange(len(values) + 1.0), values)


@pytest.mark.parametrize("most", [100, 1000])
@pytest.mark.parametrize("number", range(0, len(VECTORS["cases"]), 2))
def test_psds_is_that_of_sed_scores_eval(number, most, monkeypatch):
    case = VECTORS["cases"][number]
    edges = np.arange(0, VECTORS["seconds"] + VECTORS["step"], VECTORS["step"])
    truth = [{label: events(*pairs) for label, pairs in named.items()} for named in case["truth"].values()]
    heard = [Heard(edges, np.array(scores)) for scores in case["scores"].values()]
    wide = {name: replace(each, most_per_hour=float(most)) for name, each in SCENARIOS.items()}
    monkeypatch.setattr(psds, "SCENARIOS", wide)
    found, per_label = psds_intervals(truth, heard, LABELS, draw(np.arange(len(truth)), n_resamples=0))
    for name in SCENARIOS:
        said = case["sed_scores_eval"][f"{name} {most}"]
        assert found[name].value == pytest.approx(said["value"], abs=1e-9)
        assert per_label[name] == pytest.approx([said["labels"][label] for label in LABELS], abs=1e-9)


def slowly(edges, scores, truths, column, scenario, threshold):
    """True events found, false alarms and cross-triggers at one threshold, as the definition says it."""
    on = np.nan_to_num(scores, nan=-1) >= threshold
    turns = np.flatnonzero(np.diff(np.concatenate([[0], on, [0]])))
    found = [(edges[a], edges[b]) for a, b in zip(turns[::2], turns[1::2], strict=True)]

    def common(a, b):
        return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))

    right, false, cross = [], 0, np.zeros(len(truths))
    for event in found:
        shares = [sum(common(event, each) for each in those) / (event[1] - event[0]) for those in truths]
        if shares[column] >= scenario.detection_share - 1e-9:
            right.append(event)
            continue
        false += 1
        cross += [n != column and share >= scenario.cross_share - 1e-9 for n, share in enumerate(shares)]
    covered = [sum(common(each, event) for event in right) / (each[1] - each[0]) for each in truths[column]]
    return sum(share >= scenario.truth_share - 1e-9 for share in covered), false, cross


pairs = st.lists(st.integers(1, 59), max_size=8, unique=True).map(
    lambda times: events(*np.reshape(sorted(times)[: len(times) // 2 * 2], (-1, 2)) / 4)
)
scores = st.lists(st.one_of(st.integers(0, 6).map(lambda n: n / 8), st.just(np.nan)), min_size=1, max_size=15)


@given(scores, st.lists(pairs, min_size=2, max_size=3), st.sampled_from(sorted(SCENARIOS)))
@settings(deadline=None, max_examples=150)
def test_every_threshold_counts_as_the_definition_says(values, truths, name):
    values, edges = np.array(values), np.arange(len(values) + 1.0)
    at, found, false, cross = changes_of(edges, values, truths, 0, SCENARIOS[name])
    for threshold in [0.0, *np.unique(values[~np.isnan(values)])]:
        reached = at >= threshold
        ours = found[reached].sum(), false[reached].sum(), cross[reached].sum(axis=0).tolist()
        slow = slowly(edges, values, truths, 0, SCENARIOS[name], threshold)
        assert ours == (slow[0], slow[1], slow[2].tolist())


def test_perfect_scores_are_1_and_scores_that_say_nothing_0():
    truth = [{"dog": events((1, 3)), "owl": events((4, 6))}]
    perfect = steps([0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1])
    wrong = steps([1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0])
    known = ["dog", "owl"], draw(np.arange(1), 5)
    assert {name: found.value for name, found in psds_intervals(truth, [perfect], *known)[0].items()} == {
        "psds1": 1.0,
        "psds2": 1.0,
    }
    assert psds_intervals(truth, [wrong], *known)[0]["psds1"].value == 0


def test_false_alarms_push_what_is_found_to_the_right_by_their_rate():
    # One false alarm in an hour before the only event is found: of 100 an hour the area lacks the first.
    heard = Heard(np.array([0.0, 10, 20, 30, 3600]), np.array([[0.9], [0.0], [0.5], [0.0]]))
    found, per_label = psds_intervals([{"dog": events((20, 30))}], [heard], ["dog"], draw(np.arange(1), 5))
    assert found["psds1"].value == pytest.approx(0.99)
    assert per_label["psds1"] == [pytest.approx(0.99)]


def test_a_label_that_never_sounds_has_no_area_and_counts_in_no_mean():
    truth, heard = [{"dog": events((1, 3))}], [steps([0, 1, 1, 0], [1, 0, 0, 0])]
    found, per_label = psds_intervals(truth, heard, ["dog", "owl"], draw(np.arange(1), 5))
    assert found["psds1"].value == 1
    assert np.isnan(per_label["psds1"][1])
    nothing, _ = psds_intervals([{}], heard, ["dog", "owl"], draw(np.arange(1), 5))
    assert np.isnan(nothing["psds1"].value) and nothing["psds1"].text == "no value"


def test_events_without_a_length_and_stretches_that_nobody_heard_do_not_count():
    truth, heard = [{"dog": events((0.5, 0.5), (1, 3))}], [steps([np.nan, 1, 1, np.nan])]
    found, _ = psds_intervals(truth, heard, ["dog"], draw(np.arange(1), 5))
    assert found["psds2"].value == 1


def test_the_interval_narrows_with_the_recordings_and_holds_the_value():
    widths = []
    for n_recordings in (24, 120):
        generator = np.random.default_rng(1)
        truth = [{"dog": events((1, 3))}] * n_recordings
        heard = [steps([0, *([0.9] * 2 if generator.random() < 0.5 else [0, 0]), 0]) for _ in truth]
        found, _ = psds_intervals(truth, heard, ["dog"], draw(np.arange(n_recordings), 200))
        assert found["psds1"].low < found["psds1"].value < found["psds1"].high
        widths.append(found["psds1"].high - found["psds1"].low)
    assert 1.5 < widths[0] / widths[1] < 3.5
