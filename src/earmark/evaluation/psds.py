"""PSDS: the area under the polyphonic sound detection ROC, over all thresholds, exactly.

Sources: Bilen et al. (2020), A framework for the robust evaluation of sound event detection; Ebbers, Serizel and
Haeb-Umbach (2022), Threshold-independent evaluation of sound event detection scores; the two scenarios of DCASE 2022
task 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.evaluation.bootstrap import Interval, Resamples, summarise
from earmark.evaluation.events import NONE, SLACK_SECONDS, Events

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Scenario:
    """What counts as found, and what false alarms cost.

    detection_share: of a found event that must lie in true ones, else it is a false alarm.
    truth_share: of a true event that found ones must cover.
    cross_share: of a false alarm that must lie in another label's events to count as that label's cross-trigger.
    cross_weight: of the cross-triggers, beside the false alarms. spread_weight: of the spread over the labels.
    most_per_hour: false alarms up to which the area goes.
    """

    detection_share: float
    truth_share: float
    cross_share: float
    cross_weight: float
    spread_weight: float
    most_per_hour: float = 100.0


# The first asks for the right times, the second for the right label.
SCENARIOS = {"psds1": Scenario(0.7, 0.7, 0.3, 0.0, 1.0), "psds2": Scenario(0.1, 0.1, 0.3, 0.5, 1.0)}


@dataclass(frozen=True)
class Heard:
    """One recording's scores over time.

    edges: (steps + 1,) seconds, rising. scores: (steps, labels), nan = not heard.
    """

    edges: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class _Changes:
    """Of one label, what changes as the threshold falls, in all recordings, by falling score.

    rows: (changes,) the recording. last: of each distinct score its last change.
    found, false: (changes,); cross: (changes, labels).
    """

    rows: np.ndarray
    last: np.ndarray
    found: np.ndarray
    false: np.ndarray
    cross: np.ndarray


def psds_intervals(
    truth: Sequence[Events], heard: Sequence[Heard], labels: Sequence[str], resamples: Resamples
) -> tuple[dict[str, Interval], dict[str, list[float]]]:
    """PSDS in each of SCENARIOS with its interval, and that of each label alone (its own area, nan if it never is).

    Labels that are not there count in no mean. An event is any stretch that reaches the threshold, whatever rule events
    are written by. True events without a length cannot be covered, and do not count.

    Args:
        truth: of each recording, its events by label. heard: its scores.
        labels: of the columns. resamples: what `draw` gave for the recordings.
    """
    there = [[_with_length(events.get(label, NONE)) for label in labels] for events in truth]
    n_true = np.array([[len(each) for each in row] for row in there], dtype=np.float64)
    seconds_true = np.array([[np.diff(each, axis=1).sum() for each in row] for row in there])
    seconds = np.array([each.edges[-1] - each.edges[0] if len(each.edges) else 0.0 for each in heard])
    found, per_label = {}, {}
    for name, scenario in SCENARIOS.items():
        changes = [_all_changes(there, heard, column, scenario) for column in range(len(labels))]

        def area(weights: np.ndarray, scenario=scenario, changes=changes) -> tuple[float, list[float]]:
            known = weights @ n_true, weights @ seconds_true, weights @ seconds
            return _area(changes, weights, *known, scenario)

        value, per_label[name] = area(np.ones(len(truth)))
        # Of few groups there are few draws, and the same ones come again.
        draws, which = np.unique(resamples.group_counts, axis=0, return_inverse=True)
        drawn = np.array([area(counts[resamples.group_index].astype(np.float64))[0] for counts in draws])
        drawn = drawn[which.reshape(-1)]
        missing = int(np.isnan(drawn).sum())
        found[name] = summarise(value, drawn, missing, resamples.n_groups, least=0.0)
    return found, per_label


def _with_length(events: np.ndarray) -> np.ndarray:
    return events[events[:, 1] - events[:, 0] > SLACK_SECONDS]


def _all_changes(there: list[list[np.ndarray]], heard: Sequence[Heard], column: int, scenario: Scenario) -> _Changes:
    """Of one label, the changes of all recordings in one order."""
    parts = [
        changes_of(each.edges, each.scores[:, column], truths, column, scenario)
        for each, truths in zip(heard, there, strict=True)
    ]
    scores, found, false, cross = (np.concatenate(each) for each in zip(*parts, strict=True))
    rows = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, len(order) > 0))
    return _Changes(rows[order], last, found[order], false[order], cross[order])


def changes_of(
    edges: np.ndarray, scores: np.ndarray, truths: Sequence[np.ndarray], column: int, scenario: Scenario
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What changes in one recording as the threshold of one label falls to each of its scores.

    Args:
        edges: (steps + 1,) seconds. scores: (steps,), nan = not heard.
        truths: of each label (events, 2), by start, none overlapping. column: of the label.

    Returns:
        Scores at which something changes, and by how much: true events that are found, false alarms, and of each label
        (changes, labels) cross-triggers. A score may come several times.

    >>> found = changes_of(np.arange(4.0), np.array([0.9, 0.2, 0.5]), [np.array([[0.0, 1.0]])], 0, SCENARIOS["psds1"])
    >>> [each.tolist() for each in found[:3]]
    [[0.9, 0.5, 0.2, 0.2, 0.2], [1, 0, 0, 0, -1], [0, 1, 1, -1, 0]]
    """
    first, stop, birth, death = _stretches(scores)
    begins, ends = edges[first], edges[stop]
    lengths = ends - begins
    inside = np.stack([_covered(events, ends) - _covered(events, begins) for events in truths], axis=1)
    right = inside[:, column] >= scenario.detection_share * lengths - SLACK_SECONDS
    crossing = ~right[:, None] & (inside >= scenario.cross_share * lengths[:, None] - SLACK_SECONDS)
    crossing[:, column] = False
    counts = crossing.astype(np.int64)
    parts = [(birth, np.zeros(len(birth), dtype=np.int64), (~right).astype(np.int64), counts)]
    died = np.isfinite(death)
    parts.append((death[died], np.zeros(died.sum(), dtype=np.int64), -(~right[died]).astype(np.int64), -counts[died]))
    for begin, end in truths[column]:
        near = right & (begins < end) & (ends > begin)
        turns, signs = _turns(begin, end, begins[near], ends[near], birth[near], death[near], scenario.truth_share)
        none = np.zeros(len(turns), dtype=np.int64)
        parts.append((turns, signs, none, np.zeros((len(turns), len(truths)), dtype=np.int64)))
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    moving = (joined[1] != 0) | (joined[2] != 0) | joined[3].any(axis=1)
    order = np.flatnonzero(moving)[np.argsort(-joined[0][moving], kind="stable")]
    return tuple(each[order] for each in joined)


def _turns(begin, end, begins, ends, birth, death, share) -> tuple[np.ndarray, np.ndarray]:
    """The scores at which one true event comes to be found (+1) or is lost (−1), from the right stretches over it."""
    covers = np.minimum(ends, end) - np.maximum(begins, begin)
    died = np.isfinite(death)
    scores = np.concatenate([birth, death[died]])
    changes = np.concatenate([covers, -covers[died]])
    levels, where = np.unique(-scores, return_inverse=True)
    covered = np.cumsum(np.bincount(where, changes, len(levels)))
    is_found = covered >= share * (end - begin) - SLACK_SECONDS
    signs = np.diff(np.concatenate([[0], is_found.astype(np.int64)]))
    turns = np.flatnonzero(signs)
    return -levels[turns], signs[turns]


def _covered(events: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Seconds of events up to each time; the events by start, none overlapping."""
    if not len(events):
        return np.zeros(len(times))
    knots = events.ravel()
    totals = np.concatenate([[0.0], np.cumsum(np.diff(events, axis=1).ravel())])
    values = np.stack([totals[:-1], totals[1:]], axis=1).ravel()
    return np.interp(times, knots, values)


def _stretches(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every stretch of steps that reaches some threshold with none beside it that does.

    Returns:
        First step, step after the last, the highest threshold at which it is there (birth), and that at which it is
        part of a longer one (death, −inf if never), each (stretches,).
    """
    n_steps = len(scores)
    order = np.flatnonzero(~np.isnan(scores))
    order = order[np.argsort(-scores[order], kind="stable")]
    values = scores.tolist()
    left, right = list(range(n_steps)), list(range(1, n_steps + 1))  # of a stretch, at its last and its first step
    on = [False] * (n_steps + 2)  # with a step before the first and one after the last
    rows: list[list[float]] = []
    alive: dict[int, int] = {}  # first step → row
    touched: list[int] = []
    for position, step in enumerate(order.tolist()):
        score = values[step]
        begin = left[step - 1] if on[step] else step
        stop = right[step + 1] if on[step + 2] else step + 1
        on[step + 1] = True
        right[begin], left[stop - 1] = stop, begin
        for start in (begin, step + 1):
            if start in alive:
                rows[alive.pop(start)][3] = score
        touched.append(begin)
        if position + 1 == len(order) or values[order[position + 1]] != score:
            for start in dict.fromkeys(touched):
                if not on[start]:  # no other of this score has come before it
                    alive[start] = len(rows)
                    rows.append([start, right[start], score, -np.inf])
            touched.clear()
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3]


def _area(
    changes: Sequence[_Changes],
    weights: np.ndarray,
    n_true: np.ndarray,
    seconds_true: np.ndarray,
    seconds: float,
    scenario: Scenario,
) -> tuple[float, list[float]]:
    """The area of all labels together, and that of each, in [0, 1]; how often each recording counts in `weights`."""
    most = scenario.most_per_hour
    there = np.flatnonzero(n_true > 0)
    known = weights, n_true, seconds_true, seconds, scenario
    curves = {column: _curve(changes[column], column, *known) for column in there}
    areas = [np.nan] * len(changes)
    for column, (rates, shares) in curves.items():
        areas[column] = float((np.diff(np.append(rates, most)) * shares).sum() / most)
    if not curves:
        return np.nan, areas
    grid = np.unique(np.concatenate([rates for rates, _ in curves.values()]))
    stairs = np.stack([shares[np.searchsorted(rates, grid, side="right") - 1] for rates, shares in curves.values()])
    height = np.maximum(stairs.mean(axis=0) - scenario.spread_weight * stairs.std(axis=0), 0.0)
    return float((np.diff(np.append(grid, most)) * height).sum() / most), areas


def _curve(changes, column, weights, n_true, seconds_true, seconds, scenario) -> tuple[np.ndarray, np.ndarray]:
    """False alarms per hour, rising from 0 to the most, and the best share found by then."""
    weighted = weights[changes.rows]
    found = np.cumsum(changes.found * weighted)[changes.last] / n_true[column]
    rates = np.cumsum(changes.false * weighted)[changes.last] / seconds
    if scenario.cross_weight:
        others = np.flatnonzero((seconds_true > 0) & (np.arange(len(n_true)) != column))
        crossed = np.cumsum(changes.cross[:, others] * weighted[:, None], axis=0)[changes.last] / seconds_true[others]
        if len(others):
            rates = rates + scenario.cross_weight * crossed.mean(axis=1)
    rates, found = np.append(0.0, rates * SECONDS_PER_HOUR), np.append(0.0, found)
    order = np.argsort(rates, kind="stable")
    rates, found = rates[order], np.maximum.accumulate(found[order])
    last = np.append(np.diff(rates) > 0, True) & (rates <= scenario.most_per_hour)
    return rates[last], found[last]
