"""How well events are found: by segment, by onset, by onset and offset; overall and of each label.

Source: Mesaros, Heittola and Virtanen (2016), Metrics for polyphonic sound event detection; sed_eval, of which the
numbers are the same (decision 17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from earmark.evaluation.tags import Counts
from earmark.tagger.events import SLACK_SECONDS

COLLAR_SECONDS = 0.2  # an onset, and an offset, may be off by so much
OFFSET_SHARE = 0.2  # an offset may also be off by this share of the event's length
SEGMENT_SECONDS = 1.0

# Label → (events, 2): start and end in seconds, by start; no two overlap.
Events = Mapping[str, np.ndarray]
NONE = np.empty((0, 2))


def merge_events(events: np.ndarray, join_seconds: float | None = None) -> np.ndarray:
    """The events of one label by start, those that overlap as one: a score per label cannot tell them apart.

    Events that touch stay two, and so do onsets without ends (nan), but for the same one twice.

    Args:
        events: (events, 2), start and end in seconds, in any order.
        join_seconds: also as one where they lie no further apart.

    >>> merge_events(np.array([[2.0, 4.0], [0.0, 1.0], [3.0, 5.0], [1.0, 2.0]])).tolist()
    [[0.0, 1.0], [1.0, 2.0], [2.0, 5.0]]
    """
    events = np.nan_to_num(np.asarray(events, dtype=np.float64).reshape(-1, 2), nan=-1.0)  # two nan are not equal
    events = np.unique(events, axis=0)
    events[events[:, 1] < 0, 1] = np.nan
    if len(events) < 2:
        return events
    reached = np.fmax.accumulate(events[:, 1])
    gaps = events[1:, 0] - reached[:-1]
    apart = gaps > -SLACK_SECONDS if join_seconds is None else gaps > join_seconds + SLACK_SECONDS
    firsts = np.flatnonzero(np.concatenate([[True], apart | np.isnan(gaps)]))
    return np.stack([events[firsts, 0], reached[np.append(firsts[1:], len(events)) - 1]], axis=1)


def count_matches(
    truth: np.ndarray, found: np.ndarray, collar: float = COLLAR_SECONDS, *, offsets: bool = True
) -> int:
    """How many events are found: as many pairs as there can be, each event in one at most.

    Args:
        truth, found: (events, 2) of one label in one recording, by start.
        collar: seconds by which a start may be off; an end by this, or by OFFSET_SHARE of the true length if longer.
        offsets: whether ends count.

    >>> truth, found = np.array([[1.0, 2.0], [1.2, 2.2]]), np.array([[1.1, 2.1], [1.3, 4.0]])
    >>> count_matches(truth, found), count_matches(truth, found, offsets=False)
    (1, 2)
    """
    first = np.searchsorted(found[:, 0], truth[:, 0] - collar - SLACK_SECONDS)
    stop = np.searchsorted(found[:, 0], truth[:, 0] + collar + SLACK_SECONDS, side="right")
    counts = stop - first
    rows = np.repeat(np.arange(len(truth)), counts)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    if offsets:
        allowed = np.maximum(collar, OFFSET_SHARE * (truth[:, 1] - truth[:, 0]))
        near = np.abs(truth[rows, 1] - found[columns, 1]) <= allowed[rows] + SLACK_SECONDS
        rows, columns = rows[near], columns[near]
    if not len(rows):
        return 0
    pairs = sparse.csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(truth), len(found)))
    return int(np.count_nonzero(maximum_bipartite_matching(sparse.csr_matrix(pairs), perm_type="column") >= 0))


def active_segments(events: np.ndarray, n_segments: int, segment_seconds: float = SEGMENT_SECONDS) -> np.ndarray:
    """In which segments a label sounds, however shortly, boolean (segments,).

    >>> active_segments(np.array([[0.5, 1.0], [2.9, 3.1]]), 5).tolist()
    [True, False, True, True, False]
    """
    firsts = np.floor((events[:, 0] + SLACK_SECONDS) / segment_seconds).astype(np.int64)
    stops = np.maximum(np.ceil((events[:, 1] - SLACK_SECONDS) / segment_seconds).astype(np.int64), firsts + 1)
    changes = np.bincount(firsts, minlength=n_segments + 1) - np.bincount(stops, minlength=n_segments + 1)
    return np.cumsum(changes)[:n_segments] > 0


def count_events(
    truth: Sequence[Events],
    found: Sequence[Events],
    labels: Sequence[str],
    collar: float = COLLAR_SECONDS,
    *,
    onsets_only: bool = False,
) -> dict[str, Counts]:
    """What is found and right, all that is found, and all that is there, by recording and label.

    Args:
        truth, found: of each recording, its events by label (`merge_events`).
        labels: of the columns.
        collar: see `count_matches`. onsets_only: the events have no ends, so that only onsets can be judged.

    Returns:
        "segment" (seconds), "event" (onset and offset) and "onset", or "onset" alone; each of three arrays
        (recordings, labels), as `tags.count_intervals` takes them.
    """
    names = ("onset",) if onsets_only else ("event", "onset", "segment")
    counts = {name: np.zeros((3, len(truth), len(labels))) for name in names}
    for row, (there, heard) in enumerate(zip(truth, found, strict=True)):
        for column, label in enumerate(labels):
            own, its = there.get(label, NONE), heard.get(label, NONE)
            if not len(own) and not len(its):
                continue
            numbers = {"onset": _matches(own, its, collar, offsets=False)}
            if not onsets_only:
                numbers |= {"event": _matches(own, its, collar), "segment": _segments(own, its)}
            for name in names:
                counts[name][:, row, column] = numbers[name]
    return {name: tuple(values) for name, values in counts.items()}


def _matches(truth: np.ndarray, found: np.ndarray, collar: float, *, offsets: bool = True) -> tuple[int, int, int]:
    return count_matches(truth, found, collar, offsets=offsets), len(found), len(truth)


def _segments(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Segments in which both sound, in which it is found, in which it is there."""
    last = max(events[:, 1].max(initial=0.0) for events in (truth, found))
    n_segments = int(np.ceil(last / SEGMENT_SECONDS)) + 1
    there, heard = (active_segments(events, n_segments) for events in (truth, found))
    return int((there & heard).sum()), int(heard.sum()), int(there.sum())
