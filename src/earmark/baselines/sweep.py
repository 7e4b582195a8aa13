"""A sweep of settings on one data set: what each scores from seed to seed, and which differences are no noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from earmark.baselines.ladder import Cost, cheapest
from earmark.evaluation.bootstrap import FEW_GROUPS, Interval
from earmark.evaluation.compare import Comparison, holm
from earmark.evaluation.metrics import TITLES

KINDS = {
    "model": "model with the given settings",
    "drawn": "settings drawn around the best model",
    "base": "what the others differ from",
    "varied": "one setting changed",
    "ablated": "one part switched off",
}
SEARCHED = ("model", "drawn")  # kinds of a sweep that looks for the best; the others are held against a base
LEVEL_P = 0.05
CSV_HEADER = ("trial", "kind", "changes", "seed", "metric", "value", "low", "high", "seconds", "reason")


@dataclass(frozen=True)
class TrialRun:
    """One run of a trial. seconds: that it took, nan where a kill came between."""

    seed: int
    score: Interval
    seconds: float


@dataclass(frozen=True)
class Trial:
    """One choice of settings.

    kind: one of KINDS. changes: setting → value, what it differs in from the given settings.
    runs: those that were made. score: their mean, with the noise of clips and seeds; None where nothing was made.
    spread: standard deviation from seed to seed, nan = unknown. cost: of a fold's tagger.
    reason: why runs are missing.
    """

    name: str
    kind: str
    changes: Mapping[str, str]
    runs: tuple[TrialRun, ...] = ()
    score: Interval | None = None
    spread: float = math.nan
    cost: Cost | None = None
    reason: str = ""

    @property
    def about(self) -> str:
        """What it changes, in a line."""
        return ", ".join(f"{key}={value or '(none)'}" for key, value in self.changes.items()) or "as given"


@dataclass(frozen=True)
class Nested:
    """What choosing the best is worth: each fold scored by what was best on the others. chosen: fold → trial."""

    score: Interval
    chosen: Mapping[int, str]


@dataclass(frozen=True)
class Sweep:
    """Trials of one data set on the same clips and folds.

    data: what the data set is called. trials: also those that were not made. reference: the trial that all others are
    held against, the best of a search, else the base. comparisons: of a search the reference minus each other one,
    else each other one minus the reference. nested: None where there is nothing to choose, or one fold.
    n_seeds: asked for. remarks: what a reader must know of the numbers.
    """

    data: str
    metric: str
    n_clips: int
    n_classes: int
    n_seeds: int
    trials: tuple[Trial, ...]
    reference: str
    comparisons: tuple[Comparison, ...] = ()
    nested: Nested | None = None
    budget_seconds: float | None = None
    remarks: tuple[str, ...] = ()

    @property
    def made(self) -> list[Trial]:
        """Those with a score, the best first."""
        return sorted((each for each in self.trials if each.score), key=lambda each: -each.score.value)

    @property
    def missing(self) -> list[Trial]:
        """Those with a reason why runs are missing."""
        return [each for each in self.trials if each.reason]

    @property
    def is_search(self) -> bool:
        """Whether the best was looked for, and not what one change does to a base."""
        return self.of(self.reference).kind in SEARCHED

    def of(self, name: str) -> Trial:
        """The trial of a name."""
        return next(each for each in self.trials if each.name == name)

    def against(self, name: str) -> Comparison | None:
        """A trial's comparison with the reference; None for the reference itself."""
        found = (each for each in self.comparisons if name in (each.a, each.b))
        return None if name == self.reference else next(found, None)

    @cached_property
    def p_values(self) -> dict[str, float]:
        """Trial → p value of its comparison, corrected for their number after Holm."""
        names = [each.b if self.is_search else each.a for each in self.comparisons]
        return dict(zip(names, holm([each.p_value for each in self.comparisons]).tolist(), strict=True))

    def is_level(self, name: str) -> bool:
        """Whether a trial cannot be told apart from the reference."""
        return self.p_values.get(name, 1.0) > LEVEL_P

    @property
    def level(self) -> list[Trial]:
        """The reference and those that cannot be told apart from it, the best first."""
        return [each for each in self.made if self.is_level(each.name)]

    @property
    def better(self) -> list[Trial]:
        """Those that are better than the reference beyond the noise."""
        return [each for each in self._apart() if each.score.value > self.of(self.reference).score.value]

    @property
    def worse(self) -> list[Trial]:
        """Those that are worse than the reference beyond the noise."""
        return [each for each in self._apart() if each.score.value < self.of(self.reference).score.value]

    def _apart(self) -> list[Trial]:
        return [each for each in self.made if not self.is_level(each.name)]

    @property
    def to_take(self) -> Trial:
        """What to go on with: the best that is better beyond the noise, else the cheapest of those level with it."""
        if self.better:
            return self.better[0]
        return self.of(cheapest({each.name: each.cost for each in self.level if each.cost}))

    def verdict(self) -> str:
        """What was found and what to do, in two or three sentences."""
        return _of_search(self) if self.is_search else _of_changes(self)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for a table, the best first."""
        rows = []
        for each in self.made:
            told = self.difference_texts(each)
            rows.append([each.name, each.score.text, self.seeds_text(each), *told, self.mark(each.name)])
        return ["trial", *self.titles(), ""], rows

    def titles(self) -> list[str]:
        """Of the columns that tell score and difference."""
        told = "behind the best" if self.is_search else "against the base"
        return [f"{TITLES[self.metric]} (95 % interval)", "seeds ± spread", told, "p (Holm)"]

    def mark(self, name: str) -> str:
        """What a trial stands out by."""
        role = "best" if self.is_search else "base"
        return ", ".join(word for word, other in ((role, self.reference), ("take", self.to_take.name)) if other == name)

    def seeds_text(self, trial: Trial) -> str:
        """How many seeds, and how far they are apart: "3 ± 0.012"."""
        spread = "" if math.isnan(trial.spread) else f" ± {trial.spread:.3f}"
        return f"{len(trial.runs)}{spread}"

    def difference_texts(self, trial: Trial) -> tuple[str, str]:
        """Difference to the reference with its interval, and the corrected p value."""
        found = self.against(trial.name)
        if found is None:
            return "", ""
        if math.isnan(found.interval.low):
            return "no value", ""
        p = self.p_values[trial.name]
        sign = "" if self.is_search else "+"
        return f"{found.interval.value:{sign}.3f} ({found.interval.bounds})", "< 0.001" if p < 0.001 else f"{p:.3f}"

    def notes(self) -> list[str]:
        """Sentences to stand below the table."""
        found = [self.verdict()]
        if self.nested:
            alike = sum(name == self.reference for name in self.nested.chosen.values())
            found.append(
                f"Chosen among {len(self.made)} on the very folds that it is scored on, {self.reference} is a little "
                f"flattered. Chosen for each fold by the others: {TITLES[self.metric]} {self.nested.score.text}; in "
                f"{alike} of {len(self.nested.chosen)} folds the choice was the same."
            )
        if len(self.comparisons) > 1:
            found.append(
                f"p is corrected for {len(self.comparisons)} comparisons (Holm); the intervals are not: each holds for "
                "itself."
            )
        if all(math.isnan(each.spread) for each in self.made):
            found.append("One seed each: the noise of training is in no interval. --seeds 3 shows it.")
        few = self.of(self.reference).score
        if few.too_few_groups:
            found.append(
                f"Too few groups: {few.n_groups} recordings, {FEW_GROUPS} are needed. The intervals are too narrow."
            )
        found += [f"{each.name}: {each.reason}" for each in self.missing]
        return [*found, *self.remarks]

    def csv_rows(self) -> list[tuple[object, ...]]:
        """A row per run, and one for each trial without any; see CSV_HEADER."""
        rows: list[tuple[object, ...]] = []
        for each in self.trials:
            first = (each.name, each.kind, " ".join(f"{key}={value}" for key, value in each.changes.items()))
            for run in each.runs:
                score = run.score
                rows.append((*first, run.seed, self.metric, score.value, score.low, score.high, run.seconds, ""))
            if each.reason:
                rows.append((*first, "", self.metric, "", "", "", "", each.reason))
        return rows

    def to_dict(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "metric": self.metric,
            "n_clips": self.n_clips,
            "n_classes": self.n_classes,
            "n_seeds": self.n_seeds,
            "reference": self.reference,
            "take": self.to_take.name,
            "verdict": self.verdict(),
            "trials": [asdict(each) for each in self.trials],
            "level": [each.name for each in self.level],
            "comparisons": [each.to_dict() for each in self.comparisons],
            "p_values": self.p_values,
            "nested": None if self.nested is None else asdict(self.nested),
            "budget_seconds": self.budget_seconds,
            "remarks": list(self.remarks),
        }


def _of_search(sweep: Sweep) -> str:
    """The best of a search, what cannot be told apart from it, and whether more draws are worth it."""
    best, level = sweep.of(sweep.reference), sweep.level
    first = f"{best.name} is best of {len(sweep.made)}: {TITLES[sweep.metric]} {best.score.text}."
    if len(sweep.made) == 1:
        return first
    if len(level) == 1:
        return f"{first} All others are worse, beyond the noise."
    told = _told_apart(sweep)
    drawn = [each for each in sweep.made if each.kind == "drawn"]
    undrawn = [each.name for each in level if each.kind == "model"]
    if drawn and undrawn:
        draws = f"{len(drawn)} draw{'s' if len(drawn) > 1 else ''}"
        told += (
            f" {draws} brought nothing that is surely better than {undrawn[0]} as given: more like these are not worth "
            "their time."
        )
    return f"{first} {told}"


def _of_changes(sweep: Sweep) -> str:
    """Which changes matter, and which are noise."""
    n = len(sweep.comparisons)
    if not n:
        return f"Nothing but the base, {sweep.reference}, was made."
    title = TITLES[sweep.metric]
    told = [
        f"{word}: {', '.join(each.name for each in found)}."
        for word, found in (("Better", sweep.better), ("Worse", sweep.worse))
        if found
    ]
    count = len(sweep.better) + len(sweep.worse)
    first = [f"{count} of {n} changes {'moves' if count == 1 else 'move'} {title} beyond the noise."] if count else []
    take = f"Take {sweep.to_take.name}." if sweep.better else _told_apart(sweep) if count < n else "Keep the base."
    return " ".join([*first, *told, take])


def _told_apart(sweep: Sweep) -> str:
    """The proposal where differences are noise."""
    level, take = sweep.level, sweep.to_take
    shown = ", ".join(each.name for each in level[:6]) + (", …" if len(level) > 6 else "")
    return f"{len(level)} cannot be told apart ({shown}): take the cheapest, {take.name}."
