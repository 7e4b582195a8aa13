"""Which tagger to ship: one network refitted on all clips, or the average of the folds' networks?

Nested, so that neither has seen what it is scored on: each of the given folds is locked in turn, the other folds are
cross-validated as a user would, and both taggers score the locked fold.

    .venv/bin/python benchmarks/refit_or_ensemble.py ../shared/data/esc10/esc50.csv --work /tmp/nested

Resumable: the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data import read_manifest
from earmark.evaluation import evaluate, paired_difference
from earmark.flows.train import train
from earmark.predictions import Predictions, concatenate
from earmark.run import Run, write_json, write_text
from earmark.tagger import load_tagger, score_files

RESULTS = Path(__file__).parent / "results"


def score_locked(run: Run, model: str, folds: list[int], locked) -> dict[str, Predictions]:
    """Clip scores of the locked fold by the refitted tagger, and by the average of the folds' taggers."""
    refit = load_tagger(run.tagger)
    of_refit, _ = score_files(refit, locked.clips(), level="window")
    of_folds = [
        score_files(load_tagger(run.fold(fold, model).tagger), locked.clips(), level="window")[0] for fold in folds
    ]
    averaged = replace(of_refit, scores=np.mean([each.scores for each in of_folds], axis=0))
    return {"refit": refit.pool(of_refit), "ensemble": refit.pool(averaged)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a table with given folds")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="settings of every run")
    arguments = parser.parse_args()
    started = time.perf_counter()
    manifest = read_manifest(arguments.data)
    folds = np.unique(manifest.folds).tolist()
    parts: dict[str, list[Predictions]] = {"refit": [], "ensemble": []}
    for fold in folds:
        others = manifest.select(manifest.folds != fold)
        table = arguments.work / f"without_{fold}.csv"
        others.write(table)
        trained = train(table, arguments.work / f"locked_{fold}", settings=arguments.settings, progress=False)
        rest = [each for each in folds if each != fold]
        locked = manifest.select(manifest.folds == fold)
        for name, predictions in score_locked(trained.run, trained.model, rest, locked).items():
            parts[name].append(predictions)
        print(f"fold {fold} locked: {time.perf_counter() - started:.0f} s", flush=True)
    scores = {name: concatenate(each).align(manifest.clip_ids).scores for name, each in parts.items()}
    report(manifest, scores, arguments, time.perf_counter() - started)


def report(manifest, scores: dict[str, np.ndarray], arguments: argparse.Namespace, seconds: float) -> None:
    """Print both scores and the paired differences, and write them into results/."""
    common = {"groups": manifest.groups, "folds": manifest.folds}
    targets = manifest.targets()
    rows = {
        name: evaluate(
            targets, each, labels=manifest.vocabulary.labels, multi_label=manifest.multi_label, **common
        ).metrics
        for name, each in scores.items()
    }
    differences = {
        metric: paired_difference(targets, scores["ensemble"], scores["refit"], metric=metric, **common)
        for metric in rows["refit"]
    }
    options = " ".join(f"--set {each}" for each in arguments.settings)
    lines = [
        f"# Refit or fold ensemble, each fold of {arguments.data.name} locked in turn",
        "",
        f"`benchmarks/refit_or_ensemble.py {arguments.data} {options}`, "
        f"{seconds / 60:.0f} min, {platform.processor() or platform.machine()}, {len(manifest)} clips.",
        "",
        "| | refit on all but the locked fold | ensemble of the other folds' networks | ensemble − refit |",
        "|---|--:|--:|--:|",
        *(
            f"| {metric} | {rows['refit'][metric].text} | {rows['ensemble'][metric].text} | {found.text} |"
            for metric, found in differences.items()
        ),
    ]
    print("\n".join(lines))
    write_text(RESULTS / "refit_or_ensemble.md", "\n".join(lines) + "\n")
    document = {name: {metric: found.to_dict() for metric, found in each.items()} for name, each in rows.items()}
    document["difference"] = {metric: found.to_dict() for metric, found in differences.items()}
    write_json(RESULTS / "refit_or_ensemble.json", document)


if __name__ == "__main__":
    main()
