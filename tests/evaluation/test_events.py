"""Event scores: by hand, against sed_eval's numbers, and against mir_eval and a slow count on drawn events."""

import json
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.evaluation.bootstrap import draw
from earmark.evaluation.events import active_segments, count_events, count_matches, merge_events
from earmark.evaluation.tags import class_f1_intervals, count_intervals

VECTORS = json.loads(Path(__file__).with_name("event_vectors.json").read_text(encoding="utf-8"))
LABELS = VECTORS["labels"]


def events(*pairs):
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def drawn_events(n_most=8, latest=300):
    """Starts and ends in hundredths of a second, by start; they may overlap."""
    pair = st.tuples(st.integers(0, latest), st.integers(1, 80))
    listed = st.lists(pair, max_size=n_most).map(sorted)
    return listed.map(lambda pairs: events(*((start / 100, (start + length) / 100) for start, length in pairs)))


def by_recording(case, side):
    return [{label: events(*pairs) for label, pairs in named.items()} for named in case[side].values()]


@pytest.mark.parametrize("number", range(len(VECTORS["cases"])))
def test_counts_are_those_of_sed_eval(number):
    case = VECTORS["cases"][number]
    counts = count_events(by_recording(case, "truth"), by_recording(case, "found"), LABELS)
    resamples = draw(np.arange(len(case["truth"])), n_resamples=0)
    for name, said in case["sed_eval"].items():
        ours = np.array([each.sum(axis=0) for each in counts[name]]).T
        assert ours.tolist() == [said["counts"][label] for label in LABELS]
        f1 = count_intervals(counts[name], resamples)["f1_micro"].value
        assert f1 == pytest.approx(said["f1_micro"], nan_ok=True)


@given(drawn_events(), drawn_events(), st.sampled_from([0.055, 0.205, 0.505]))
@settings(deadline=None, max_examples=150)
def test_matches_are_as_many_as_mir_eval_finds(truth, found, collar):
    """Of times whose differences never equal what is allowed, where floats would decide."""
    truth[:, 1] += 0.001
    onsets = len(mir_eval.util.match_events(truth[:, 0], found[:, 0], collar)) if len(truth) and len(found) else 0
    notes = mir_eval.transcription.match_notes(
        truth, np.ones(len(truth)), found, np.ones(len(found)),
        onset_tolerance=collar, offset_ratio=0.2, offset_min_tolerance=collar,
    ) if len(truth) and len(found) else []  # fmt: skip
    assert count_matches(truth, found, collar, offsets=False) == onsets
    assert count_matches(truth, found, collar) == len(notes)


@given(drawn_events(), st.sampled_from([0.5, 1.0]))
@settings(deadline=None, max_examples=100)
def test_segments_are_those_that_an_event_touches(those, length):
    n_segments = 10
    slow = [any(start < (k + 1) * length and end > k * length for start, end in those) for k in range(n_segments)]
    assert active_segments(those, n_segments, length).tolist() == slow


@given(drawn_events())
@settings(deadline=None, max_examples=100)
def test_merged_events_cover_the_same_time_and_never_overlap(those):
    merged = merge_events(those)
    assert (merged[1:, 0] >= merged[:-1, 1] - 1e-6).all()
    grid = np.arange(0.0, 4.0, 0.01) + 0.005
    covered = [((each[:, :1] <= grid) & (grid < each[:, 1:])).any(axis=0) for each in (those, merged)]
    assert np.array_equal(*covered)


def test_events_that_touch_stay_two_unless_they_are_to_be_joined():
    those = events((0, 1), (1, 2), (2.4, 3))
    assert merge_events(those).tolist() == those.tolist()
    assert merge_events(those, 0.0).tolist() == [[0, 2], [2.4, 3]]
    assert merge_events(those, 0.5).tolist() == [[0, 3]]


def test_onsets_without_ends_are_never_merged_but_the_same_one_counts_once():
    onsets = events((1.0, np.nan), (1.05, np.nan), (1.05, np.nan))
    assert merge_events(onsets)[:, 0].tolist() == [1.0, 1.05]
    assert merge_events(onsets, 1.0)[:, 0].tolist() == [1.0, 1.05]


def test_an_event_is_matched_once_and_the_matching_is_the_largest():
    # Taken greedily, 1.15 goes to 1.0 and leaves nothing for 1.3.
    assert count_matches(events((1.0, 2), (1.3, 2)), events((0.85, 2), (1.15, 2)), offsets=False) == 2
    assert count_matches(events((1.0, 2)), events((0.9, 2), (1.1, 2)), offsets=False) == 1


def test_a_collar_holds_at_its_very_edge():
    assert count_matches(events((1.0, 2.0)), events((1.2, 2.2))) == 1
    assert count_matches(events((1.0, 2.0)), events((1.21, 2.0))) == 0


def test_the_end_of_a_long_event_may_be_off_by_a_fifth_of_it():
    assert count_matches(events((0, 10.0)), events((0, 8.0))) == 1
    assert count_matches(events((0, 10.0)), events((0, 7.9))) == 0


def test_a_found_event_where_nothing_sounds_is_a_false_alarm():
    counts = count_events([{"dog": events((1, 2))}, {}], [{"dog": events((1, 2))}, {"dog": events((3, 5))}], ["dog"])
    assert [each.ravel().tolist() for each in counts["event"]] == [[1, 0], [1, 1], [1, 0]]
    assert [each.ravel().tolist() for each in counts["segment"]] == [[1, 0], [1, 2], [1, 0]]
    found = count_intervals(counts["event"], draw(np.arange(2), 10))
    assert found["precision_micro"].value == 0.5 and found["recall_micro"].value == 1


def test_a_label_that_never_sounds_counts_in_no_mean_but_its_false_alarms_do_over_all():
    counts = count_events([{"dog": events((1, 2))}], [{"dog": events((1, 2)), "owl": events((3, 4))}], ["dog", "owl"])
    found = count_intervals(counts["onset"], draw(np.arange(1), 10))
    assert found["f1_macro"].value == 1
    assert found["f1_micro"].value == pytest.approx(2 / 3)
    dog, owl = class_f1_intervals(counts["onset"], draw(np.arange(1), 10))
    assert dog.value == 1 and np.isnan(owl.value) and owl.n_groups == 0


def test_onsets_alone_are_judged_where_there_are_no_ends():
    there, found = {"dog": events((1, np.nan))}, {"dog": events((1.04, 1.1))}
    counts = count_events([there], [found], ["dog"], 0.05, onsets_only=True)
    assert list(counts) == ["onset"]
    assert [each.item() for each in counts["onset"]] == [1, 1, 1]


def test_the_interval_of_a_label_is_over_recordings_and_holds_its_value():
    generator = np.random.default_rng(0)
    truth = [{"dog": events((1, 2))} for _ in range(40)]
    found = [{"dog": events((1, 2))} if generator.random() < 0.6 else {} for _ in range(40)]
    counts = count_events(truth, found, ["dog"])["event"]
    (dog,) = class_f1_intervals(counts, draw(np.arange(40)))
    whole = count_intervals(counts, draw(np.arange(40)))["f1_micro"]
    assert dog == whole and 0.1 < dog.high - dog.low < 0.4 and dog.low < dog.value < dog.high
    paired = count_intervals(counts, draw(np.repeat(np.arange(2), 20)))["f1_micro"]
    assert paired.too_few_groups and paired.n_groups == 2
