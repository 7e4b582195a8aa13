"""The story of `earmark thresholds`: a finished run, other thresholds from its out-of-fold scores, nothing trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from earmark.config import read_yaml
from earmark.ensemble.members import read_member
from earmark.errors import RunError
from earmark.evaluation.calibration import AUTO
from earmark.evaluation.scorecard import Scorecard
from earmark.evaluation.thresholds import ThresholdConfig
from earmark.flows.calibration import SAYS, Calibrated, OutOfFold, calibrated, threshold_table
from earmark.flows.finishing import finish_run
from earmark.report.card import card_text
from earmark.report.report import write_report
from earmark.run import Run, write_text


@dataclass(frozen=True)
class Refitted:
    """A run with new thresholds, and how they were fitted."""

    run: Run
    calibrated: Calibrated

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and a row per label: the score of a clip from which it is named, and what is measured of its tags."""
        return threshold_table(self.calibrated.document)


def refit_thresholds(run: Path | str, *, precision: float | None = None, recall: float | None = None) -> Refitted:
    """Fit the thresholds of a finished run anew, and calibration as before; its tagger, card and report say so.

    Args:
        run: its folder.
        precision, recall: that every label's tags are to keep, one of them; neither = for the best F1.

    Raises:
        ConfigError: both are given, or they are not between 0 and 1.
        RunError: the folder holds no finished run, or an ensemble.
    """
    config = ThresholdConfig.keeping(precision, recall)
    run = Run(Path(run))
    if (run.folder / "members.json").is_file():
        raise RunError(
            f"{run.folder}: holds an ensemble. Give --precision or --recall to the `earmark ensemble` that made it; "
            "fits that are done are read."
        )
    member = read_member(run.folder)
    scored = OutOfFold.of(member.manifest, member.windows, member.tagger.metadata.pool, member.multi_label)
    found = calibrated(scored, read_yaml(run.config).get("calibration", AUTO), config, model=member.model)
    finish_run(run, member.file, found)
    card = Scorecard.load(run.scorecard)
    remarks = [remark for remark in card.remarks if not remark.startswith(SAYS)]
    replace(card, remarks=(*remarks, *found.sentences)).save(run.scorecard)
    write_text(run.card, card_text(run))
    write_report(run.folder)
    return Refitted(run, found)
