"""How good a model is on parts of the clips: by what the table says about them, and by their length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from earmark.evaluation.bootstrap import Interval, draw, interval
from earmark.report.reading import RunContents

FEWEST_CLIPS = 20
MOST_VALUES = 12  # of a column: one of more is a name, not a kind
MOST_SLICES = 24
N_RESAMPLES = 200
UNLIKE = 1.5  # times: lengths that differ by less are alike


@dataclass(frozen=True)
class Slice:
    """Clips that have a value in a column. differs: whether the interval leaves out the score of all clips."""

    column: str
    value: str
    n_clips: int
    found: Interval
    differs: bool


def slices(contents: RunContents) -> list[Slice]:
    """The primary metric of the report's model on every slice that has enough clips, the worst first."""
    manifest, metric = contents.manifest, contents.scorecard.primary_metric
    scores, overall = contents.scores[contents.main], contents.scorecard.models[contents.main].metrics[metric].value
    targets, weights, groups = manifest.present(), manifest.label_weights(), manifest.groups
    found = []
    for column, values in _columns(contents):
        for value in sorted(set(values) - {""}):
            rows = np.flatnonzero(values == value)
            if not FEWEST_CLIPS <= len(rows) <= len(manifest) - FEWEST_CLIPS:
                continue
            resamples = draw(groups[rows], N_RESAMPLES)
            score = interval(metric, targets[rows], scores[rows], resamples, weights=weights[rows])
            if np.isfinite(score.value):
                found.append(Slice(column, value, len(rows), score, not score.low <= overall <= score.high))
    return sorted(found, key=lambda each: each.found.value)[:MOST_SLICES]


def _columns(contents: RunContents) -> Iterator[tuple[str, np.ndarray]]:
    """(name, values as text) of what may part the clips."""
    manifest, lengths = contents.manifest, contents.lengths
    for name in manifest.extras:
        values = manifest.column(name).astype(str).astype(object)
        pairs = set(zip(manifest.table["labels"], values, strict=True))
        follows_from_labels = len(pairs) == len({labels for labels, _ in pairs})
        if 2 <= len(set(values)) <= MOST_VALUES and not follows_from_labels:
            yield name, values
    low, high = (float(value) for value in np.quantile(lengths, [1 / 3, 2 / 3]))
    if high > UNLIKE * low:
        names = (f"up to {low:.3g} s", f"{low:.3g} to {high:.3g} s", f"over {high:.3g} s")
        yield "length", np.array(names, dtype=object)[(lengths > low).astype(int) + (lengths > high)]
