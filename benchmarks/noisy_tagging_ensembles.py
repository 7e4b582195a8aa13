"""Ensembles of `noisy_tagging.py`: members trained by fold on the curated clips, joined in every way, on the test part.

What joins them is fitted on out-of-fold scores of curated clips, as `earmark ensemble` does it; the test has no say.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from noisy_tagging_rows import MEMBERS, Row, Stage
from noisy_tagging_runs import settings_of

from earmark.data.manifest import Manifest
from earmark.ensemble import ENSEMBLES
from earmark.flows.ensemble import ensemble
from earmark.flows.train import train
from earmark.predictions import Predictions
from earmark.run import Run, write_json
from earmark.tagger import load_tagger, score_files
from earmark.tagger.combination import combine

KINDS = "ensembles"
BEST = "best.json"


def join_members(work: Path, members: dict[str, Stage], test: Manifest) -> None:
    """Train the members, fit every kind of ensemble, and keep what each says of the test clips."""
    folder = work / "ensembles"
    if (folder / BEST).is_file():
        return
    heard = []
    for name, stage in members.items():
        run = Run(folder / name)
        if not run.tagger.is_file():
            train(work / "data" / "folds.csv", run.folder, settings=member_settings(work, stage), progress=False)
        tagger = load_tagger(run.tagger)
        heard.append(score_files(tagger, test.clips(), level="window", threads=1)[0])
        heard[-1].to_clips(tagger.metadata.pool).save(heard_by(folder, name))
    standing = ensemble([folder / name for name in members], folder / "all")
    scores = np.stack([each.scores for each in heard], axis=1)
    for kind in ENSEMBLES:
        fits = json.loads((folder / "all" / "fits" / f"{kind}.json").read_text(encoding="utf-8"))
        joined = combine(scores, fits["final"], multi_label=True)
        first = heard[0]
        windows = Predictions(first.clip_ids, first.starts, first.ends, joined, first.labels, first.level)
        windows.to_clips(tagger.metadata.pool).save(heard_by(folder, kind))
    write_json(folder / BEST, {"best": standing.best_member, "correlations": standing.correlations.tolist()})


def member_settings(work: Path, stage: Stage) -> list[str]:
    """Of an ordinary run of the stage on the curated folds, its baseline left away: others have it."""
    return [*settings_of(work, stage), "ship=refit", "baseline=false"]


def heard_by(folder: Path, name: str) -> Path:
    return folder / f"test.{name}.csv"


def ensemble_rows(work: Path, test: Manifest) -> tuple[list[Row], dict[str, list[np.ndarray]]]:
    """Rows of members and ensembles with their scores (clips, classes) of the test; none before all are there."""
    folder = work / "ensembles"
    if not (folder / BEST).is_file():
        return [], {}
    best = json.loads((folder / BEST).read_text(encoding="utf-8"))["best"]
    rows = [Row(f"member_{name}", KINDS, f"alone: {title}", None, "") for name, title in MEMBERS.items()]
    rows += [Row(kind, KINDS, f"{kind} of the three", None, f"member_{best}") for kind in ENSEMBLES]
    scores = {}
    for row in rows:
        path = heard_by(folder, row.name.removeprefix("member_"))
        scores[row.name] = [Predictions.load(path).align(test.clip_ids).scores]
    return rows, scores
