"""Do calibrated scores mean what they say, and is a promised precision kept, on clips that were used for nothing?

One fold is locked: nothing is trained, calibrated or chosen on it. A head stands on a pretrained network, its
thresholds are fitted for a precision on the other folds, and the shipped file is held against the locked clips. Locked
clips whose recording was found in training too (leaks.csv) do not count.

    .venv/bin/python benchmarks/calibration.py esc50=../shared/data/esc50/esc50.csv \\
        mixtures=../shared/data/esc10-mixtures/manifest.csv --work /tmp/calibration

Audio lies beside each table, or in a folder audio/ there. Resumable: a run that is there is read again.
"""

from __future__ import annotations

import argparse
import csv
import platform
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.readers import read_manifest
from earmark.evaluation.bootstrap import Interval, draw
from earmark.evaluation.reliability import asked, calibration_error
from earmark.evaluation.tags import TagScore, judge_tags
from earmark.evaluation.thresholds import tags_of
from earmark.flows.thresholds import refit_thresholds
from earmark.flows.train import train
from earmark.run import REFIT, Run, write_json, write_text
from earmark.tagger import load_tagger, score_files

RESULTS = Path(__file__).parent / "results"
LABEL_COLUMNS, GROUP_COLUMNS = ("labels", "category"), ("src_file", "group")


def lock(table: Path, fold: str, out: Path) -> Path:
    """The table with a fold as its test split, every path whole."""
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    folder = table.parent
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels", "fold", "group", "split"])
        for row in rows:
            name = row.get("path") or row["filename"]
            path = folder / name if (folder / name).exists() else folder / "audio" / name
            label = next(row[column] for column in LABEL_COLUMNS if column in row)
            group = next((row[column] for column in GROUP_COLUMNS if column in row), name)
            split = "test" if row["fold"] == fold else "train"
            writer.writerow([path.resolve(), label, row["fold"], group, split])
    return out


def measure(table: Path, out: Path, on: str, head: str, precision: float) -> dict[str, Any]:
    """Train unless it is done, promise a precision, and look at the locked clips."""
    run = Run(out)
    if not run.scorecard.exists() or not run.tagger.exists():
        train(table, out, settings=[f"backbone.on={on}", f"model={head}"], allow_leak=True, progress=False)
    document = refit_thresholds(out, precision=precision).calibrated.document
    locked = read_manifest(table)
    locked = locked.select(locked.splits == "test")
    leaks = run.leaks.read_text(encoding="utf-8") if run.leaks.exists() else ""
    clean = np.array([Path(path).name not in leaks for path in locked.table["path"]])
    n_locked, locked = len(locked), locked.select(clean)
    tagger, before = load_tagger(run.tagger), load_tagger(run.fold(REFIT, document["model"]).tagger)
    locked = locked.with_vocabulary(tagger.labels)
    targets, weights, resamples = locked.present(), locked.label_weights(), draw(locked.groups)
    errors = {}
    for name, opened in (("before", before), ("after", tagger)):
        scores = score_files(opened, locked.clips())[0].align(locked.clip_ids).scores
        held_to = asked(targets, scores, weights, tagger.metadata.multi_label)
        errors[name] = calibration_error(*held_to, resamples)
    tags = tags_of(scores, tagger.metadata.thresholds["clip"], tagger.metadata.multi_label)
    found = judge_tags(targets, tags, resamples, tagger.labels, weights)
    nested = TagScore.from_dict(document["tags"]["clip"])
    named = [row["precision"].value for row in found.per_class.values() if row["n_tags"]]
    levels = document["levels"]
    return {
        "clips": document["n_clips"],
        "locked": len(locked),
        "locked_left_out": n_locked - len(locked),
        "kinds": {level: levels[level]["kind"] for level in levels},
        "ece": {
            "nested_before": levels["clip"]["ece_before"],
            "nested_after": levels["clip"]["ece"],
            "locked_before": errors["before"].to_dict(),
            "locked_after": errors["after"].to_dict(),
        },
        "promised": precision,
        "nested": {"precision": nested.precision.to_dict(), "recall": nested.recall.to_dict()},
        "measured": {name: item for name, item in found.to_dict().items() if name != "per_class"},
        "labels": len(tagger.labels),
        "labels_never_named": len(document["tags"]["clip"]["never"]),
        "labels_named_on_locked": len(named),
        "labels_that_kept_it_on_locked": int(np.sum(np.array(named) >= precision)),
        "false_tags_per_hour": tagger.metadata.reliability["false_tags_per_hour"],
    }


def markdown(document: dict[str, Any]) -> str:
    """The result as a page."""
    lines = ["# Calibrated scores and a promised precision, on a fold used for nothing", ""]
    lines += [f"`{document['command']}`, {document['machine']}.", ""]
    names = list(document["rows"])
    rows = {name: document["rows"][name] for name in names}

    def line(title: str, value) -> str:
        return f"| {title} | " + " | ".join(value(row) for row in rows.values()) + " |"

    def interval(*keys: str):
        def text(row: dict[str, Any]) -> str:
            for key in keys:
                row = row[key]
            return Interval.from_dict(row).text

        return text

    lines += ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    lines += [
        line("clips that were learned from", lambda row: str(row["clips"])),
        line("calibration of windows, of clips", lambda row: ", ".join(row["kinds"].values())),
        line("ECE before, nested", interval("ece", "nested_before")),
        line("ECE after, nested", interval("ece", "nested_after")),
        line("ECE before, locked fold", interval("ece", "locked_before")),
        line("ECE after, locked fold", interval("ece", "locked_after")),
        line("precision promised", lambda row: f"{row['promised']:g}"),
        line("precision, nested", interval("nested", "precision")),
        line("recall, nested", interval("nested", "recall")),
        line("**precision, locked fold**", interval("measured", "precision")),
        line("recall, locked fold", interval("measured", "recall")),
        line("clips unknown, locked fold", lambda row: f"{100 * row['measured']['unknown']:.0f} %"),
        line("labels never named", lambda row: f"{row['labels_never_named']} of {row['labels']}"),
        line(
            "labels that kept it there, of those named",
            lambda row: f"{row['labels_that_kept_it_on_locked']} of {row['labels_named_on_locked']}",
        ),
        *(
            line(f"tags an hour of {sound}", lambda row, sound=sound: f"{row['false_tags_per_hour'][sound]:g}")
            for sound in next(iter(rows.values()))["false_tags_per_hour"]
        ),
    ]
    left_out = ", ".join(f"{name} {row['locked_left_out']}" for name, row in rows.items())
    lines += ["", f"Locked clips left out because another recording of theirs was found: {left_out}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="NAME=TABLE", help="tables with a column fold")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--on", default="mn04_as")
    parser.add_argument("--heads", nargs="+", default=["logistic"])
    parser.add_argument("--locked", default="5", help="the fold")
    parser.add_argument("--precision", type=float, default=0.9)
    parser.add_argument("--out", type=Path, default=RESULTS / "calibration.json")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = {}
    for given in options.data:
        name, table = given.split("=", 1)
        locked = lock(Path(table), options.locked, options.work / f"{name}.csv")
        for head in options.heads:
            out = options.work / f"{name}-{head}"
            rows[f"{name}, {head}"] = measure(locked, out, options.on, head, options.precision)
    heads = " ".join(options.heads)
    document = {
        "command": f"benchmarks/calibration.py {' '.join(options.data)} --on {options.on} --heads {heads} --work WORK",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "rows": rows,
    }
    write_json(options.out, document)
    write_text(options.out.with_suffix(".md"), markdown(document))
    print(options.out.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
