"""PSDS: the area under the polyphonic sound detection ROC, over all thresholds, exactly.

Sources: Bilen et al. (2020), A framework for the robust evaluation of sound event detection; Ebbers, Serizel and
Haeb-Umbach (2022), Threshold-independent evaluation of sound event detection scores; the two scenarios of DCASE 2022
task 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from earmark.evaluation.bootstrap import Interval, Resamples, summarise
from earmark.evaluation.events import NONE, Events
from earmark.tagger.events import SLACK_SECONDS

SECONDS_PER_HOUR = 3600.0
# Resamples look at fewer thresholds and rates: the interval is moved onto the value, which looks at all of them.
MOST_LEVELS, MOST_RATES = 1000, 500
REACH = 3.0  # thresholds with this many times the most false alarms stay above it in every resample


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

        known = n_true.sum(axis=0), seconds_true.sum(axis=0), seconds.sum()
        value, per_label[name] = _area(changes, *known, scenario)
        drawn = _resampled_areas(changes, n_true, seconds_true, seconds, resamples, scenario)
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
    changes: Sequence[_Changes], n_true: np.ndarray, seconds_true: np.ndarray, seconds: float, scenario: Scenario
) -> tuple[float, list[float]]:
    """The area of all labels together, and that of each, in [0, 1]."""
    most, areas = scenario.most_per_hour, [np.nan] * len(changes)
    curves = {}
    for column in np.flatnonzero(n_true > 0).tolist():
        found = np.cumsum(changes[column].found)[changes[column].last] / n_true[column]
        rates, shares = _curve(_rates(changes[column], column, seconds_true, seconds, scenario), found, most)
        curves[column] = rates, shares
        areas[column] = float((np.diff(np.append(rates, most)) * shares).sum() / most)
    if not curves:
        return np.nan, areas
    grid = np.unique(np.concatenate([rates for rates, _ in curves.values()]))
    stairs = np.stack([shares[np.searchsorted(rates, grid, side="right") - 1] for rates, shares in curves.values()])
    height = np.maximum(stairs.mean(axis=0) - scenario.spread_weight * stairs.std(axis=0), 0.0)
    return float((np.diff(np.append(grid, most)) * height).sum() / most), areas


def _rates(changes: _Changes, column: int, seconds_true: np.ndarray, seconds: float, scenario: Scenario) -> np.ndarray:
    """False alarms and weighted cross-triggers an hour at each threshold, as it falls."""
    rates = np.cumsum(changes.false)[changes.last] / seconds
    if scenario.cross_weight:
        crossed = np.cumsum(changes.cross, axis=0)[changes.last]
        rates = rates + scenario.cross_weight * crossed @ _shares_of_others(seconds_true, column)
    return rates * SECONDS_PER_HOUR


def _shares_of_others(seconds_true: np.ndarray, column: int) -> np.ndarray:
    """What a cross-trigger of each label weighs: one over its seconds, in the mean over the others that are there."""
    others = (seconds_true > 0) & (np.arange(len(seconds_true)) != column)
    return np.where(others, 1 / np.where(others, seconds_true, 1), 0) / max(others.sum(), 1)


def _curve(rates: np.ndarray, found: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Rates of false alarms, rising from 0 to the most, and the best share found by then."""
    rates, found = np.append(0.0, rates), np.append(0.0, found)
    order = np.argsort(rates, kind="stable")
    rates, found = rates[order], np.maximum.accumulate(found[order])
    last = np.append(np.diff(rates) > 0, True) & (rates <= most)
    return rates[last], found[last]


def _resampled_areas(
    changes: Sequence[_Changes],
    n_true: np.ndarray,
    seconds_true: np.ndarray,
    seconds: np.ndarray,
    resamples: Resamples,
    scenario: Scenario,
) -> np.ndarray:
    """The area of all labels together in every resample, (resamples,); all given by recording."""
    totals = seconds_true.sum(axis=0), seconds.sum(), scenario
    levels = [_Levels(each, column, len(seconds), *totals) for column, each in enumerate(changes)]
    parts = []
    for counts in resamples.counts(rows=MOST_LEVELS * 4):
        n, there_seconds, all_seconds = n_true.T @ counts, seconds_true.T @ counts, seconds @ counts
        sums, squares = np.zeros((2, MOST_RATES, counts.shape[1]))
        for column, level in enumerate(levels):
            stairs = level.stairs(counts, n[column], there_seconds, all_seconds)
            sums += stairs
            squares += stairs**2
        n_there = (n > 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = sums / n_there
            spread = np.sqrt(np.maximum(squares / n_there - mean**2, 0))
            parts.append(np.maximum(mean - scenario.spread_weight * spread, 0).mean(axis=0))
    return np.concatenate(parts or [np.empty(0)])


class _Levels:
    """Of one label, what changes from one threshold to the next in each recording: sparse (levels, recordings)."""

    def __init__(
        self,
        changes: _Changes,
        column: int,
        n_recordings: int,
        seconds_true: np.ndarray,
        seconds: float,
        scenario: Scenario,
    ):
        self.column, self.scenario = column, scenario
        rates = _rates(changes, column, seconds_true, seconds, scenario)
        kept = np.flatnonzero(rates <= REACH * scenario.most_per_hour)
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MOST_LEVELS)).astype(np.int64))]
        level = np.searchsorted(kept, np.searchsorted(changes.last, np.arange(len(changes.rows))))
        inside = level < len(kept)
        shape, where = (len(kept), n_recordings), (level[inside], changes.rows[inside])

        def matrix(values: np.ndarray) -> sparse.csr_array:
            return sparse.csr_array((values[inside].astype(np.float64), where), shape=shape)

        self.found, self.false = matrix(changes.found), matrix(changes.false)
        crossing = np.flatnonzero(changes.cross.any(axis=0)) if scenario.cross_weight else ()
        self.cross = {other: matrix(changes.cross[:, other]) for other in crossing}

    def stairs(
        self, counts: np.ndarray, n_true: np.ndarray, seconds_true: np.ndarray, seconds: np.ndarray
    ) -> np.ndarray:
        """The best share found by each of MOST_RATES rates, (rates, resamples); 0 where the label is not there.

        Args:
            counts: (recordings, resamples), how often each is drawn. The rest: of the resamples; seconds_true by label.
        """
        most = self.scenario.most_per_hour
        found = np.cumsum(self.found @ counts, axis=0) / np.maximum(n_true, 1)
        rates = np.cumsum(self.false @ counts, axis=0) / seconds
        if self.cross:
            weights = np.stack([_shares_of_others(each, self.column) for each in seconds_true.T], axis=1)
            for other, matrix in self.cross.items():
                rates += self.scenario.cross_weight * np.cumsum(matrix @ counts, axis=0) * weights[other]
        bins = np.ceil(rates * (SECONDS_PER_HOUR * MOST_RATES / most) - SLACK_SECONDS).astype(np.int64)
        best = np.zeros((MOST_RATES + 1, counts.shape[1]))
        columns = np.broadcast_to(np.arange(counts.shape[1]), bins.shape)
        np.maximum.at(best, (np.minimum(bins, MOST_RATES), columns), found)
        return np.where(n_true > 0, np.maximum.accumulate(best[:MOST_RATES], axis=0), 0.0)
