"""Does validation track the score from outside? Pairs of both, kept beside the runs, and what they say.

For judging the validation only: nothing here chooses a run, for a board that chooses is soon fitted to itself.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from earmark.config import read_yaml
from earmark.errors import RunError
from earmark.evaluation.bootstrap import FEW_GROUPS, Interval, summarise
from earmark.evaluation.metrics import TITLES
from earmark.evaluation.scorecard import Scorecard
from earmark.lookup import did_you_mean
from earmark.run import Run, write_atomically

FILE = "leaderboard.csv"
FEW_PAIRS = 5  # below this a correlation says nothing
GAINS = (0.0, 0.005, 0.01, 0.02, 0.05, np.inf)  # edges of the table of gains that came true
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """One run's validation score and the score it got outside.

    run: the run's folder, seen from the one that holds the leaderboard.
    name: where the outside score is from, such as "public".
    model, metric: what the validation score is of.
    leak: whether the run was allowed a leak, so that its validation score may be too good.
    """

    run: str
    name: str
    model: str
    metric: str
    validation: float
    outside: float
    leak: bool = False


@dataclass(frozen=True)
class Gains:
    """Of all pairs of runs whose validation scores differ by `low` to `high`: how many, and how many agree outside."""

    low: float
    high: float
    n: int
    n_agree: int


@dataclass(frozen=True)
class Tracking:
    """What the pairs of one outside score and one metric say of the validation.

    n_leaks: of how many of them the validation score may be too good.
    pearson, spearman: correlations with 95 % intervals over resampled runs.
    offset, slope: of the straight line outside = offset + slope · validation.
    gap: median of outside − validation.
    safe_gain: the smallest validation gain such that it, and every larger one, came with a gain outside; nan if
        not even the largest did.
    """

    name: str
    metric: str
    n_pairs: int
    n_leaks: int
    pearson: Interval
    spearman: Interval
    slope: float
    offset: float
    gap: float
    safe_gain: float
    gains: tuple[Gains, ...]

    @property
    def sentences(self) -> list[str]:
        """In plain words."""
        title = TITLES.get(self.metric, self.metric)
        said = [f"{self.name}: {self.n_pairs} pairs of validation {title} and outside score."]
        if self.n_pairs < FEW_PAIRS:
            return [f"{said[0]} Too few pairs: {FEW_PAIRS} are needed to say whether validation tracks."]
        if np.isnan(self.pearson.value):
            return [f"{said[0]} All validation or all outside scores are equal, so nothing can be said."]
        together = ", ".join(
            f"{name} {found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
            for name, found in (("Pearson", self.pearson), ("Spearman", self.spearman))
        )
        if self.pearson.low > 0:
            said.append(f"They go together: {together}.")
        else:
            said.append(f"That they go together is not shown: {together}.")
        if self.pearson.too_few_groups:
            said.append(f"From so few pairs these intervals are too narrow ({FEW_GROUPS} are needed).")
        said.append(
            f"Outside = {self.offset:.3f} + {self.slope:.2f} · validation; typically outside is "
            f"{abs(self.gap):.3f} {'lower' if self.gap < 0 else 'higher'}."
        )
        said.append(
            "Not even the largest validation gain was one outside."
            if np.isnan(self.safe_gain)
            else f"Every validation gain of {self.safe_gain:.4f} or more was one outside, too."
        )
        for each in self.gains:
            size = f"of {each.low:g} to {each.high:g}" if np.isfinite(each.high) else f"of {each.low:g} or more"
            said.append(f"Gains {size}: {each.n_agree} of {each.n} were gains outside.")
        if self.n_leaks:
            said.append(f"{self.n_leaks} runs were allowed a leak: their validation scores may be too good.")
        return said

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sentences": self.sentences}


def add_pair(run_folder: Path, outside: float, *, name: str = "outside", metric: str = "") -> tuple[Pair, Pair | None]:
    """Put a finished run and its outside score into leaderboard.csv, in the folder that holds the run.

    Args:
        outside: score, 0 to 1.
        name: where it is from; the same run and name again replace the old score.
        metric: of the run's scorecard; empty = its primary metric.

    Returns:
        The new pair, and the one that it replaced, if any.

    Raises:
        RunError: the run has no scorecard, or the scorecard not that metric; the score is not in 0 to 1.
    """
    run = Run(Path(run_folder))
    if not 0 <= outside <= 1:
        raise RunError(f"{run.name}: the outside score is {outside:g}, expected 0 to 1. Write 71 % as 0.71.")
    scorecard = Scorecard.load(run.scorecard)
    model, metric = _shipped(run, scorecard), metric or scorecard.primary_metric
    found = scorecard.models[model].metrics
    if metric not in found:
        raise RunError(
            f"{run.scorecard}: has no score '{metric}'{did_you_mean(metric, found)}. Take one of {', '.join(found)}."
        )
    if np.isnan(found[metric].value):
        raise RunError(f"{run.scorecard}: '{metric}' has no value, so there is nothing to pair. Take another --metric.")
    pair = Pair(run.name, name, model, metric, found[metric].value, outside, scorecard.has_leaks)
    folder = run.folder.resolve().parent
    pairs = read_pairs(folder) if (folder / FILE).exists() else []
    same = [number for number, each in enumerate(pairs) if (each.run, each.name) == (pair.run, pair.name)]
    replaced = [pairs.pop(number) for number in same[::-1]]
    pairs.insert(same[0] if same else len(pairs), pair)
    _write(folder / FILE, pairs)
    return pair, replaced[-1] if replaced else None


def read_pairs(folder: Path) -> list[Pair]:
    """The pairs in a folder's leaderboard.csv.

    Raises:
        RunError: there is none, or a row cannot be read.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise RunError(f"{path}: there is no leaderboard yet. `earmark leaderboard add RUN --score 0.71` begins one.")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = []
    for number, row in enumerate(rows, start=2):
        try:
            scores = {name: float(row[name]) for name in ("validation", "outside")}
            texts = {name: row[name] for name in ("run", "name", "model", "metric")}
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} row {number}: is no pair of scores ({error}). Mend or delete the row.") from error
        if not np.isfinite(list(scores.values())).all():
            raise RunError(f"{path} row {number}: a score is not a finite number. Mend or delete the row.")
        pairs.append(Pair(**texts, **scores, leak=row.get("leak") == "yes"))
    return pairs


def track(pairs: Sequence[Pair], seed: int = 0) -> list[Tracking]:
    """What the pairs say, for each outside score and metric on its own, in order of appearance.

    Args:
        seed: of the resamples.
    """
    kinds = dict.fromkeys((pair.name, pair.metric) for pair in pairs)
    return [
        _track(name, metric, [pair for pair in pairs if (pair.name, pair.metric) == (name, metric)], seed)
        for name, metric in kinds
    ]


def _track(name: str, metric: str, pairs: Sequence[Pair], seed: int) -> Tracking:
    """What pairs of one kind say."""
    validation, outside = np.array([(pair.validation, pair.outside) for pair in pairs]).T
    slope = offset = np.nan
    if np.ptp(validation) > 0:
        offset, slope = np.polynomial.polynomial.polyfit(validation, outside, 1).tolist()
    # Of every two runs the one with the better validation score comes first; equal ones are no gain.
    first, second = np.nonzero(validation[:, None] > validation[None, :])
    gains = np.round(validation[first] - validation[second], 9)  # so that equal gains are equal
    agree = outside[first] > outside[second]
    return Tracking(
        name,
        metric,
        len(pairs),
        sum(pair.leak for pair in pairs),
        _correlation(validation, outside, False, seed),
        _correlation(validation, outside, True, seed),
        slope,
        offset,
        float(np.median(outside - validation)),
        _safe_gain(gains, agree),
        tuple(
            Gains(low, high, int(here.sum()), int(agree[here].sum()))
            for low, high in pairwise(GAINS)
            if (here := (gains >= low) & (gains < high)).any()
        ),
    )


def _safe_gain(gains: np.ndarray, agree: np.ndarray) -> float:
    """The smallest gain that no gain of its size or larger fails to repeat; nan if there is none."""
    failed = gains[~agree]
    safe = gains[gains > failed.max()] if len(failed) else gains
    return float(safe.min()) if len(safe) else np.nan


def _correlation(first: np.ndarray, second: np.ndarray, ranked: bool, seed: int) -> Interval:
    """Pearson's or Spearman's correlation and its interval over resampled pairs; nan where there are too few pairs."""
    n = len(first)
    if n < FEW_PAIRS:
        return summarise(np.nan, np.empty(0), 0, n, least=-1.0)
    drawn = np.vstack([np.arange(n), np.random.default_rng(seed).integers(n, size=(N_RESAMPLES, n))])
    pair = first[drawn], second[drawn]
    value, *values = _pearson(*(rankdata(each, axis=1) for each in pair) if ranked else pair)
    return summarise(float(value), np.array(values), int(np.isnan(values).sum()), n, least=-1.0)


def _pearson(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of each row (rows,), nan where either does not vary."""
    varies = (np.ptp(first, axis=1) > 0) & (np.ptp(second, axis=1) > 0)
    first, second = (each - each.mean(axis=1, keepdims=True) for each in (first, second))
    spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return np.where(varies, (first * second).sum(axis=1) / np.where(varies, spread, 1), np.nan)


def _shipped(run: Run, scorecard: Scorecard) -> str:
    """The model that the run ships, or the best where its settings do not say."""
    model = read_yaml(run.config).get("model") if run.config.exists() else None
    return model if model in scorecard.models else scorecard.best


def _write(path: Path, pairs: Sequence[Pair]) -> None:
    """Write the table, whole or not at all."""
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Pair)])
        writer.writeheader()
        writer.writerows(asdict(pair) | {"leak": "yes" if pair.leak else ""} for pair in pairs)
