"""A ladder of models: what each rung scores and costs, and which is the cheapest that is not worse than the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earmark.baselines.importance import Importance, Strength
from earmark.evaluation.compare import Comparison
from earmark.evaluation.scorecard import Scorecard
from earmark.run import write_json

SAME_SPEED = 0.9  # times that differ by less differ from one measurement to the next
KINDS = {
    "summary": "summary features",
    "network": "network from scratch",
    "pretrained": "pretrained network with a head",
    "blend": "blend",
}
CHEAPEST_MEANS = (
    f"Cheapest means: tags fastest, decoding not counted; of those within {100 * (1 - SAME_SPEED):.0f} % of the "
    "fastest, the smallest file; of files as large, the one trained soonest."
)
CHEAPEST_RULE = f"Not worse means: the difference from the best rung is inside the noise. {CHEAPEST_MEANS}"


@dataclass(frozen=True)
class Cost:
    """What it takes to have and to use a rung's tagger.

    training_seconds: to train it once on all clips but a fold's, its features computed from the files.
    total_seconds: of all folds, trained and scored.
    realtime: seconds of sound that it tags in a second of one core, decoding not counted.
    realtime_from_files: the same from files, decoding and resampling counted.
    megabytes: of its file.
    """

    training_seconds: float
    total_seconds: float
    realtime: float
    realtime_from_files: float
    megabytes: float

    @property
    def seconds_per_hour(self) -> float:
        """Seconds of one core for an hour of sound, decoding not counted."""
        return 3600 / self.realtime


def cheapest(costs: Mapping[str, Cost]) -> str:
    """The name of the cheapest, see CHEAPEST_MEANS; files that agree in two digits are as large."""
    fastest = max(cost.realtime for cost in costs.values())
    near = [name for name, cost in costs.items() if cost.realtime >= SAME_SPEED * fastest]
    return min(near, key=lambda name: (float(f"{costs[name].megabytes:.2g}"), costs[name].training_seconds))


@dataclass(frozen=True)
class Rung:
    """One model of the ladder.

    kind: one of KINDS. about: what it is, in a line. cost: None where it was not climbed, for `reason`.
    estimate_seconds: what all its folds would take by a trial beforehand, None where there was none.
    """

    name: str
    kind: str
    about: str
    cost: Cost | None = None
    reason: str = ""
    estimate_seconds: float | None = None


@dataclass(frozen=True)
class Insight:
    """What the summary features tell.

    model: the rung whose features were shuffled group by group. importances: of the groups, the largest loss first.
    strongest: label → the features that tell it best alone.
    """

    model: str
    importances: tuple[Importance, ...]
    strongest: dict[str, tuple[Strength, ...]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "importances": [each.to_dict() for each in self.importances],
            "strongest": {label: [asdict(each) for each in found] for label, found in self.strongest.items()},
        }


@dataclass(frozen=True)
class Ladder:
    """The rungs of one data set, from the first to the last.

    data: what the data set is called. rungs: also those that were not climbed. scorecard: of those that were, all on
    the same clips and folds. share: of all the data's clips. budget_seconds: what all might take, None = anything.
    insight: None where no rung stands on summary features.
    """

    data: str
    rungs: tuple[Rung, ...]
    scorecard: Scorecard
    share: float = 1.0
    budget_seconds: float | None = None
    insight: Insight | None = None

    @property
    def climbed(self) -> list[Rung]:
        return [rung for rung in self.rungs if rung.cost]

    @property
    def best(self) -> Rung:
        return next(rung for rung in self.climbed if rung.name == self.scorecard.best)

    @property
    def level(self) -> list[Rung]:
        """The best rung and those whose difference from it is inside the noise."""
        return [rung for rung in self.climbed if self.is_level(rung.name)]

    @property
    def cheapest(self) -> Rung:
        """See CHEAPEST_RULE."""
        name = cheapest({rung.name: rung.cost for rung in self.level})
        return next(rung for rung in self.level if rung.name == name)

    def behind(self, name: str) -> Comparison | None:
        """The best rung minus this one; None for the best itself."""
        return next((each for each in self.scorecard.comparisons if each.b == name), None)

    def is_level(self, name: str) -> bool:
        """Whether a rung is not worse than the best, as far as these clips can tell."""
        against = self.behind(name)
        return against is None or against.interval.low <= 0 <= against.interval.high

    def full_seconds(self, rung: Rung) -> float:
        """About what all folds of a rung would take on all the data, as if everything grew with it."""
        seconds = rung.cost.total_seconds if rung.cost else rung.estimate_seconds or 0.0
        return seconds / self.share

    def to_dict(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "best": self.best.name,
            "cheapest": self.cheapest.name,
            "rule": CHEAPEST_RULE,
            "rungs": [asdict(rung) for rung in self.rungs],
            "share": self.share,
            "budget_seconds": self.budget_seconds,
            "insight": None if self.insight is None else self.insight.to_dict(),
            "scorecard": self.scorecard.to_dict(),
        }

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, self.to_dict())
