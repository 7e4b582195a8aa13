"""How members and ensembles stand: what `earmark ensemble` prints and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.evaluation.compare import Comparison
from earmark.evaluation.scorecard import Scorecard
from earmark.run import write_json

NESTED = "Ensembles are scored by fits that did not see the fold they are scored on."


@dataclass(frozen=True)
class Standing:
    """The outcome of one ensemble command.

    members: names of the runs. scorecard: of members and ensembles on the same clips.
    comparisons: each ensemble minus the best member. correlations: (members, members) of their errors.
    shipped: the kind of ensemble that the tagger is. used: the members in it. tagger: its path.
    """

    members: tuple[str, ...]
    scorecard: Scorecard
    comparisons: tuple[Comparison, ...]
    correlations: np.ndarray
    shipped: str
    used: tuple[str, ...]
    tagger: Path

    @property
    def best_member(self) -> str:
        """The run with the highest score."""
        return self.comparisons[0].b

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: the members, then each ensemble with its difference to the best member."""
        metric = self.scorecard.primary_metric
        rows = []
        for name in (*self.members, *(each.a for each in self.comparisons)):
            against = next((each for each in self.comparisons if each.a == name), None)
            says = "best member" if name == self.best_member else ""
            apart = ""
            if against:
                low, high = against.interval.low, against.interval.high
                apart = f"{against.interval.value:+.3f} ({low:+.3f} to {high:+.3f})"
                says = "inside the noise" if not (low > 0 or high < 0) else "better" if low > 0 else "worse"
                says += ", shipped" if name == self.shipped else ""
            rows.append([name, self.scorecard.models[name].metrics[metric].text, apart, says])
        return ["", metric, "minus best member", ""], rows

    def notes(self) -> list[str]:
        """What must be known of the numbers."""
        notes = [NESTED, *self.scorecard.remarks, *self.scorecard.models[self.best_member].notes()]
        if not any(each.interval.low > 0 for each in self.comparisons):
            notes.append(f"No ensemble is surely better than {self.best_member} alone, which is smaller and faster.")
        left_out = [name for name in self.members if name not in self.used]
        if left_out:
            notes.append(f"The shipped ensemble does without {', '.join(left_out)}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "members": list(self.members),
            "best_member": self.best_member,
            "scorecard": self.scorecard.to_dict(),
            "comparisons": [each.to_dict() for each in self.comparisons],
            "error_correlations": self.correlations.tolist(),
            "shipped": self.shipped,
            "used": list(self.used),
            "tagger": self.tagger.as_posix(),
            "notes": self.notes(),
        }

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, self.to_dict())

