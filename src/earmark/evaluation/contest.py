"""Several models on the same clips: every pair with its interval, corrected for how many there are, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from earmark.evaluation.bootstrap import CLASS_PARTS, Interval, Resamples, draw, summarise
from earmark.evaluation.compare import Comparison, detectable_errors, holm, sign_flip_p
from earmark.evaluation.metrics import TITLES, check
from earmark.evaluation.repeats import Repeats, difference_of_means, mean_interval, measure_repeats, seed_spread
from earmark.evaluation.scorecard import MULTI_LABEL_METRICS, SINGLE_LABEL_METRICS, primary_metric
from earmark.evaluation.slices import PARTS, SURE


@dataclass(frozen=True)
class Contender:
    """One model: its scores (clips, classes), once for each seed that it was trained with."""

    name: str
    scores: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Entry:
    """How one contender stands: each metric's mean over seeds with its interval, and its value for each seed.

    The interval holds the noise of clips and, of several seeds, that of training.
    """

    name: str
    metrics: Mapping[str, Interval]
    seeds: Mapping[str, tuple[float, ...]]

    def spread(self, metric: str) -> float:
        """Standard deviation between seeds; nan of one."""
        values = self.seeds[metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


@dataclass(frozen=True)
class Pair:
    """The better and the worse of two. p: of the first metric, corrected for the `n_pairs` that are compared; where
    there are several seeds their noise is in it, as in the intervals."""

    comparisons: Mapping[str, Comparison]
    p: float
    n_pairs: int
    metric: str

    @property
    def first(self) -> Comparison:
        """In the metric that ranks."""
        return self.comparisons[self.metric]

    @property
    def is_sure(self) -> bool:
        """Whether the better one is better beyond chance."""
        return self.p <= SURE and not self.first.interval.low <= 0 <= self.first.interval.high

    @property
    def smallest_detectable(self) -> float:
        """The true difference that clips like these would show four times in five, with so many comparisons."""
        return detectable_errors(self.n_pairs) * self.first.interval.standard_error

    @property
    def p_text(self) -> str:
        """For tables."""
        return "< 0.001" if self.p < 0.001 else f"{self.p:.3f}"

    @property
    def sentence(self) -> str:
        """What may be said of the two."""
        found = self.first.interval
        if self.is_sure or np.isnan(found.low) or found.low <= 0 <= found.high:
            return self.first.sentence
        title = TITLES[self.metric]
        why = f"corrected for {self.n_pairs} comparisons" if self.n_pairs > 1 else "by turning recordings round"
        return (
            f"{self.first.a} and {self.first.b}: the difference is inside the noise ({found.value:+.3f} in {title}, "
            f"p = {self.p:.2f} {why})."
        )


@dataclass(frozen=True)
class Part:
    """The better minus the worse of the leading pair in one class or fold; p is corrected for the number of parts."""

    name: str
    n_clips: int
    a: float
    b: float
    difference: Interval
    p: float

    @property
    def verdict(self) -> str:
        """Whether the leading one is "better" or "worse" here; "" inside the noise."""
        if not self.p <= SURE or self.difference.low <= 0 <= self.difference.high:
            return ""
        return "better" if self.difference.value > 0 else "worse"


@dataclass(frozen=True)
class Contest:
    """Contenders on the same clips, the best first.

    pairs: of all contenders; the first is the best and the next best, whose classes, folds and clips are told.
    clips: (2, clips) how right the two are on each clip, 0 to 1: its share of seeds that are right, or its precision.
    remarks: sentences that belong to the numbers.
    """

    n_clips: int
    n_classes: int
    n_groups: int
    multi_label: bool
    metric: str
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    classes: tuple[Part, ...]
    folds: tuple[Part, ...]
    clips: np.ndarray
    remarks: tuple[str, ...] = ()

    @property
    def power(self) -> str:
        """What these clips could show at all."""
        least = self.pairs[0].smallest_detectable
        many = f", corrected for {len(self.pairs)} comparisons" if len(self.pairs) > 1 else ""
        return (
            f"{self.n_clips:,} clips of {self.n_groups:,} recordings: a true difference of {least:.3f} in "
            f"{TITLES[self.metric]} would be seen four times in five{many}; a smaller one more rarely."
        )

    @property
    def wins(self) -> np.ndarray:
        """Clips that the best has right and the next wrong; of several labels, those it ranks better."""
        return self._better(0)

    @property
    def losses(self) -> np.ndarray:
        """Clips the other way round."""
        return self._better(1)

    def _better(self, one: int) -> np.ndarray:
        mine, other = self.clips[one], self.clips[1 - one]
        return (
            np.flatnonzero(mine > other + 1e-9) if self.multi_label else np.flatnonzero((mine > 0.5) & (other <= 0.5))
        )

    def seed_notes(self) -> list[str]:
        """How far seeds of one recipe lie apart, or that nobody knows."""
        notes = []
        for entry in self.entries:
            values = entry.seeds[self.metric]
            if len(values) > 1:
                notes.append(
                    f"{entry.name}: {TITLES[self.metric]} from {min(values):.3f} to {max(values):.3f} over its "
                    f"{len(values)} seeds (standard deviation {entry.spread(self.metric):.3f}; it is in the intervals "
                    "and p of models, not in those of classes and folds)."
                )
        if any(len(entry.seeds[self.metric]) == 1 for entry in self.entries):
            notes.append("What another seed would change is not in an interval of one seed: train with two or three.")
        return notes

    def notes(self) -> list[str]:
        """Sentences to stand below the table."""
        n_wins, n_losses = len(self.wins), len(self.losses)
        best, other = (entry.name for entry in self.entries[:2])
        what = "ranks better than" if self.multi_label else "has right and"
        end = "" if self.multi_label else " wrong"
        return [
            self.power,
            *(pair.sentence for pair in self.pairs),
            f"{n_wins:,} clips {best} {what} {other}{end}; {n_losses:,} the other way round.",
            *self.seed_notes(),
            *self.remarks,
        ]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: metrics by contender."""
        header = ["", *(entry.name for entry in self.entries)]
        names = self.entries[0].metrics
        return header, [[TITLES[name], *(entry.metrics[name].text for entry in self.entries)] for name in names]

    def pair_table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: the difference of each pair in each metric."""
        header = ["", *(f"{TITLES[name]}" for name in self.entries[0].metrics), "p (Holm)", ""]
        rows = []
        for pair in self.pairs:
            cells = [signed(each.interval) for each in pair.comparisons.values()]
            verdict = "better" if pair.is_sure else "inside the noise"
            rows.append([f"{pair.first.a} minus {pair.first.b}", *cells, pair.p_text, verdict])
        return header, rows

    def part_tables(self, n_shown: int = 5) -> list[tuple[list[str], list[list[str]], str]]:
        """Header, rows and title: folds, and the classes that differ most."""
        best, other = (entry.name for entry in self.entries[:2])
        tables = []
        few = len(self.classes) <= 2 * n_shown
        classes = self.classes if few else (*self.classes[:n_shown], *self.classes[-n_shown:])
        title = "classes" if few else f"the {2 * n_shown} of {len(self.classes)} classes that differ most"
        for what, parts, said in (("fold", self.folds, "folds"), ("class", classes, title)):
            header = [what, "clips", best, other, "difference", ""]
            rows = [
                [each.name, str(each.n_clips), f"{each.a:.3f}", f"{each.b:.3f}", signed(each.difference), each.verdict]
                for each in parts
            ]
            if rows:
                tables.append((header, rows, said))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "n_clips": self.n_clips,
            "n_classes": self.n_classes,
            "n_groups": self.n_groups,
            "metric": self.metric,
            "entries": [
                {
                    "name": entry.name,
                    "metrics": {name: found.to_dict() for name, found in entry.metrics.items()},
                    "seeds": {name: list(values) for name, values in entry.seeds.items()},
                }
                for entry in self.entries
            ],
            "pairs": [
                {
                    "comparisons": [each.to_dict() for each in pair.comparisons.values()],
                    "p_holm": pair.p,
                    "smallest_detectable": pair.smallest_detectable,
                    "sure": pair.is_sure,
                    "sentence": pair.sentence,
                }
                for pair in self.pairs
            ],
            "classes": [_part_dict(each) for each in self.classes],
            "folds": [_part_dict(each) for each in self.folds],
            "n_wins": len(self.wins),
            "n_losses": len(self.losses),
            "notes": self.notes(),
        }


def signed(found: Interval) -> str:
    """A difference with its interval, for tables.

    >>> signed(Interval(0.05, -0.012, 0.112, 40, False, 0, 0.03))
    '+0.050 (-0.012 to +0.112)'
    """
    if np.isnan(found.value):
        return "no value"
    value = f"{found.value:+.3f}"
    return value if np.isnan(found.low) else f"{value} ({found.low:+.3f} to {found.high:+.3f})"


def hold_contest(
    contenders: Sequence[Contender],
    targets: np.ndarray,
    *,
    labels: Sequence[str],
    groups: np.ndarray,
    multi_label: bool,
    folds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    remarks: Sequence[str] = (),
) -> Contest:
    """Compare two or more contenders on the same clips and resamples.

    Seeds of a contender are scored one by one and the scores averaged: a recipe is judged, not a blend of its runs. How
    far they lie apart is in the intervals of scores and differences, by each contender's own standard deviation.

    Args:
        targets, labels, groups, multi_label, folds, weights, n_resamples, seed: as for `make_scorecard`.
        remarks: sentences that belong to the numbers.
    """
    resamples = draw(groups, n_resamples, seed)
    names = MULTI_LABEL_METRICS if multi_label else SINGLE_LABEL_METRICS
    first = primary_metric(multi_label)
    known = {"folds": folds, "weights": weights}
    drawn = {
        each.name: {
            name: measure_repeats(name, targets, dict(enumerate(each.scores)), resamples, **known) for name in names
        }
        for each in contenders
    }
    order = sorted(contenders, key=lambda each: -np.nan_to_num(drawn[each.name][first].mean, nan=-1.0))
    entries = [_entry(each.name, drawn[each.name]) for each in order]
    sums = {each.name: _mean_parts(PARTS[first], targets, each, weights) for each in contenders}
    pairs = _pairs(order, drawn, sums, first, resamples)
    best, other = order[:2]
    columns = [_mean_parts(CLASS_PARTS[first], targets, each, weights) for each in (best, other)]
    classes = _parts(labels, columns[0][0], columns[1][0], columns[0][1], resamples)
    return Contest(
        len(targets),
        len(labels),
        resamples.n_groups,
        multi_label,
        first,
        tuple(entries),
        pairs,
        tuple(sorted(classes, key=lambda each: np.nan_to_num(each.difference.value))),
        _folds(folds, sums[best.name], sums[other.name], resamples),
        np.stack([_of_clips(sums[each.name]) for each in (best, other)]),
        tuple(remarks),
    )


def _entry(name: str, drawn: Mapping[str, Repeats]) -> Entry:
    intervals = {metric: mean_interval(each, seed_spread([each])) for metric, each in drawn.items()}
    return Entry(name, intervals, {metric: tuple(each.values.values()) for metric, each in drawn.items()})


def _pairs(
    order: Sequence[Contender],
    drawn: Mapping[str, Mapping[str, Repeats]],
    sums: Mapping[str, tuple[np.ndarray, np.ndarray]],
    first: str,
    resamples: Resamples,
) -> tuple[Pair, ...]:
    """All pairs, the better one first, by the metric `first`."""
    compared, p_values = [], []
    for a, b in combinations(order, 2):
        comparisons = {metric: _differ(a.name, b.name, metric, drawn) for metric in drawn[a.name]}
        p = float(sign_flip_p((sums[a.name][0] - sums[b.name][0])[:, None], resamples.group_index)[0])
        if max(len(a.scores), len(b.scores)) > 1:  # turning recordings round knows nothing of seeds
            p = max(p, comparisons[first].p_value)
        compared.append(comparisons)
        p_values.append(p)
    corrected = holm(p_values).tolist()
    return tuple(Pair(each, p, len(p_values), first) for each, p in zip(compared, corrected, strict=True))


def _differ(a: str, b: str, metric: str, drawn: Mapping[str, Mapping[str, Repeats]]) -> Comparison:
    pair = [drawn[name][metric] for name in (a, b)]
    return Comparison(a, b, metric, difference_of_means(*pair, *(seed_spread([each]) for each in pair)))


def _mean_parts(parts, targets, contender: Contender, weights) -> tuple[np.ndarray, np.ndarray]:
    """Numerator, its mean over seeds, and denominator of a metric that is a ratio of sums over clips."""
    found = [parts(*check(targets, scores, weights)) for scores in contender.scores]
    return np.mean([numerator for numerator, _ in found], axis=0), found[0][1]


def _of_clips(sums: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(clips,) the metric on each clip alone, 0 where it has no label."""
    return np.divide(sums[0], sums[1], out=np.zeros(len(sums[0])), where=sums[1] > 0)


def _folds(folds, a, b, resamples: Resamples) -> tuple[Part, ...]:
    """The difference in each fold."""
    if folds is None:
        return ()
    numbers = np.unique(folds)
    inside = (np.asarray(folds)[:, None] == numbers).astype(np.float64)
    columns = [each[:, None] * inside for each in (a[0], b[0], a[1])]
    return _parts([str(number) for number in numbers], *columns, resamples)


def _parts(
    names: Sequence[str], a: np.ndarray, b: np.ndarray, denominator: np.ndarray, resamples: Resamples
) -> tuple[Part, ...]:
    """The difference in each column of sums (clips, parts) that has clips."""
    total = denominator.sum(axis=0)
    kept = np.flatnonzero(total > 0)
    apart = a - b
    with np.errstate(invalid="ignore"):
        drawn = [(apart.T @ counts) / (denominator.T @ counts) for counts in resamples.counts()]
    values = np.concatenate(drawn, axis=1)
    p_values = holm(sign_flip_p(apart[:, kept], resamples.group_index)) if len(kept) else []
    found = []
    for number, p in zip(kept.tolist(), p_values, strict=True):
        n_groups = len(np.unique(resamples.group_index[denominator[:, number] > 0]))
        missing = int(np.isnan(values[number]).sum())
        differs = summarise(apart[:, number].sum() / total[number], values[number], missing, n_groups, least=-1.0)
        n_clips = int((denominator[:, number] > 0).sum())
        means = [float(each[:, number].sum() / total[number]) for each in (a, b)]
        found.append(Part(names[number], n_clips, *means, differs, float(p)))
    return tuple(found)


def _part_dict(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "n_clips": part.n_clips,
        "a": part.a,
        "b": part.b,
        "difference": part.difference.to_dict(),
        "p_holm": part.p,
        "verdict": part.verdict,
    }
