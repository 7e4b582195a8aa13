"""Events: equal to a slow reference, within the recording, never overlapping, monotone in thresholds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.errors import ConfigError
from earmark.predictions import Predictions
from earmark.tagger.events import Event, EventFinder, EventRule, by_start, find_events

LABELS = ("owl", "frog")


def predictions(rows: list[tuple[float, float, float, float]], labels=LABELS) -> Predictions:
    """Windows of (start, end, a score per label)."""
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 2 + len(labels))
    ids = np.full(len(rows), "a.wav", dtype=object)
    return Predictions(ids, table[:, 0], table[:, 1], table[:, 2:].astype(np.float32), labels, "window")


def slow_events(scores: Predictions, limits, rule: EventRule, multi_label: bool) -> list[Event]:
    """The same as it is written down: step by step, label by label, in fractions that floats hold exactly."""
    edges = sorted({*scores.starts.tolist(), *scores.ends.tolist()})
    steps = []  # (start, end, scores of all labels, or None)
    for start, end in zip(edges, edges[1:], strict=False):
        over = [row for row in range(len(scores)) if scores.starts[row] <= start and end <= scores.ends[row]]
        values = [math.fsum(map(float, scores.scores[over, n])) / len(over) for n in range(2)] if over else None
        steps.append((start, end, values))
    found = []
    for number, label in enumerate(scores.labels):
        events, open_event = [], None
        for start, end, values in steps:
            counts = values is not None and (multi_label or values.index(max(values)) == number)
            score = np.float32(values[number]) if counts else -1
            if open_event is None and score >= np.float32(limits[number]):
                open_event = [start, end]
            elif open_event and score >= np.float32(limits[number]) * np.float32(rule.keep_share):
                open_event[1] = end
            elif open_event:
                events.append(open_event)
                open_event = None
        events += [open_event] if open_event else []
        joined = []
        for event in events:
            if joined and event[0] - joined[-1][1] <= rule.join_seconds:
                joined[-1][1] = event[1]
            else:
                joined.append(event)
        for start, end in joined:
            if end - start >= rule.min_seconds:
                inside = [(b - a, np.float32(v[number])) for a, b, v in steps if v and start <= a and b <= end]
                mean = math.fsum(d * float(v) for d, v in inside) / math.fsum(d for d, _ in inside)
                found.append(Event(label, float(max(v for _, v in inside)), start, end, mean))
    return sorted(found, key=lambda event: event.start)


EIGHTHS = st.integers(0, 8).map(lambda number: number / 8)
WINDOWS = st.lists(st.tuples(st.integers(0, 24), st.integers(1, 6), EIGHTHS, EIGHTHS), min_size=1, max_size=20).map(
    lambda rows: predictions([(a / 4, (a + length) / 4, *values) for a, length, *values in rows])
)
RULES = st.builds(
    EventRule,
    keep_share=st.sampled_from([0.25, 0.5, 1.0]),
    min_seconds=st.sampled_from([0.0, 0.5, 1.5]),
    join_seconds=st.sampled_from([0.0, 0.25, 1.0]),
)
LIMITS = st.tuples(EIGHTHS, EIGHTHS)


def covered(events: list[Event], label: str) -> set[int]:
    """The quarters of a second in which a label sounds."""
    return {
        quarter
        for event in events
        if event.label == label
        for quarter in range(round(event.start * 4), round(event.end * 4))
    }


@settings(max_examples=150, deadline=None)
@given(WINDOWS, LIMITS, RULES, st.booleans())
def test_events_equal_the_slow_reference(scores, limits, rule, multi_label):
    found = find_events(scores, np.array(limits), rule, multi_label)
    expected = slow_events(scores, limits, rule, multi_label)
    assert [(event.label, event.start, event.end) for event in found] == [(e.label, e.start, e.end) for e in expected]
    numbers = [[(e.score, e.mean_score) for e in events] for events in (found, expected)]
    np.testing.assert_allclose(*numbers, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(WINDOWS, LIMITS, RULES, st.booleans())
def test_events_lie_in_the_recording_and_those_of_a_label_apart(scores, limits, rule, multi_label):
    events = find_events(scores, np.array(limits), rule, multi_label)
    for label in LABELS:
        own = [event for event in events if event.label == label]
        assert all(one.end + rule.join_seconds < other.start for one, other in zip(own, own[1:], strict=False))
    for event in events:
        assert scores.starts.min() <= event.start < event.end <= scores.ends.max()
        assert event.end - event.start >= rule.min_seconds
        assert limits[LABELS.index(event.label)] <= event.score <= 1
        assert event.mean_score <= event.score + 1e-6


@settings(max_examples=100, deadline=None)
@given(WINDOWS, EIGHTHS, EIGHTHS, RULES, st.booleans())
def test_a_higher_threshold_or_share_never_hears_more(scores, limit, more, rule, multi_label):
    def of(limit, rule):
        return find_events(scores, np.full(2, limit), rule, multi_label)

    stricter = (of(limit + more, rule), of(limit, replace(rule, keep_share=1.0)))
    for label in LABELS:
        for events in stricter:
            assert covered(events, label) <= covered(of(limit, rule), label)


def test_a_step_has_the_mean_of_the_windows_over_it():
    scores = predictions([(0, 2, 0.0), (1, 3, 1.0), (2, 4, 0.5)], ("owl",))
    (event,) = find_events(scores, np.array([0.75]), EventRule())
    assert event == Event("owl", 0.75, 2, 4, 0.625)


def test_of_labels_that_exclude_one_another_events_never_overlap():
    scores = predictions([(0, 1, 0.6, 0.4), (1, 2, 0.45, 0.55), (2, 3, 0.7, 0.3)])
    limits = np.array([0.4, 0.4])
    both = find_events(scores, limits, EventRule(), multi_label=True)
    assert [(e.label, e.start, e.end) for e in both] == [("owl", 0, 3), ("frog", 0, 3)]
    one = find_events(scores, limits, EventRule(), multi_label=False)
    assert [(e.label, e.start, e.end) for e in one] == [("owl", 0, 1), ("frog", 1, 2), ("owl", 2, 3)]


def test_what_no_window_covers_ends_an_event_and_a_label_without_threshold_has_none():
    scores = predictions([(0, 1, 0.9, 0.9), (2, 3, 0.9, 0.9)])
    limits = np.array([0.5, np.inf])
    assert [(e.start, e.end) for e in find_events(scores, limits, EventRule())] == [(0, 1), (2, 3)]
    (joined,) = find_events(scores, limits, EventRule(join_seconds=1.0))
    assert (joined.label, joined.start, joined.end) == ("owl", 0, 3)
    assert joined.mean_score == pytest.approx(0.9)


def test_no_windows_have_no_events():
    assert find_events(predictions([]), np.array([0.5, 0.5]), EventRule()) == []


def test_the_scores_of_a_day_leave_no_rounding_behind():
    generator = np.random.default_rng(3)
    starts = np.arange(0, 86400, 2.5)
    values = generator.uniform(0, 1, (len(starts), 2))
    values[-1000:] = 0.35
    scores = predictions(np.column_stack([starts, starts + 5, values]).tolist())
    *_, last = find_events(scores, np.array([0.35, np.inf]), EventRule(keep_share=1.0))
    assert (last.end, last.score) == (starts[-1] + 5, np.float32(0.35))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep_share": 0.0}, "keep_share: is 0 .expected above 0"),
        ({"keep_share": 1.1}, "keep_share: is 1.1 .expected above 0"),
        ({"min_seconds": -1.0}, "min_seconds: is -1 .expected seconds of 0 or more"),
        ({"join_seconds": math.nan}, "join_seconds: is nan .expected seconds of 0 or more"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        EventRule(**fields)


def found_in_pieces(scores, limits, rule, multi_label, sizes):
    """Events of windows that come a few at a time, in the order in which they end."""
    finder = EventFinder(LABELS, np.array(limits), rule, multi_label)
    in_order = scores.rows(np.argsort(scores.starts, kind="stable"))
    events, first = [], 0
    for size in [*sizes, len(scores)]:
        events += finder.push(in_order.rows(slice(first, first + size)))
        first += size
    return events + finder.close()


@settings(max_examples=150, deadline=None)
@given(WINDOWS, LIMITS, RULES, st.booleans(), st.lists(st.integers(0, 4), max_size=12))
def test_windows_a_few_at_a_time_have_the_same_events(scores, limits, rule, multi_label, sizes):
    whole = find_events(scores, np.array(limits), rule, multi_label)
    assert by_start(found_in_pieces(scores, limits, rule, multi_label, sizes), LABELS) == whole


@settings(max_examples=100, deadline=None)
@given(WINDOWS, LIMITS, RULES)
def test_an_event_comes_once_and_never_before_what_was_called_undecided(scores, limits, rule):
    finder = EventFinder(LABELS, np.array(limits), rule)
    undecided = -math.inf
    for row in np.argsort(scores.starts, kind="stable"):
        ended = finder.push(scores.rows([row]))
        assert all(event.start >= undecided for event in ended)
        assert finder.undecided_from >= undecided
        undecided = finder.undecided_from
        assert all(event.start >= undecided for event in finder.sounding)
    assert all(event.start >= undecided for event in finder.close())
    assert (finder.sounding, finder.undecided_from) == ([], math.inf)


def test_what_sounds_is_known_while_it_sounds_and_little_is_held():
    finder = EventFinder(("owl",), np.array([0.5]), EventRule())
    for start in range(1000):
        windows = predictions([(start, start + 4, float(start > 500))], ("owl",))
        assert finder.push(windows) == []
    (event,) = finder.sounding
    assert (event.start, event.end, event.score) == (502, 999, 1.0)
    assert len(finder._scores) <= 4
