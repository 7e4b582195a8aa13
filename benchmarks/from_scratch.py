"""ESC-10 and ESC-50 from scratch on their five given folds, in pieces of a few minutes.

    .venv/bin/python benchmarks/from_scratch.py esc50 --data ../shared/data --work runs/from_scratch --minutes 12

trains seed after seed and stops cleanly when the minutes are over; the same command again goes on from the last
finished epoch, on a GPU where there is one. Folds that are finished are scored after every piece, out of fold, with
intervals over recordings; the last epoch counts and no held-out clip chooses anything. `--epochs 15` is the reduced
form for a CPU: the recipe with fewer epochs, what it does at some epoch in proportion. Writes
results/from_scratch_NAME.json and results/from_scratch.md, the table of all of them.

`../shared/data/esc50` is a copy at 16 kHz: its numbers are not those published for the full band.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from earmark.config import change, read_yaml
from earmark.data import read_manifest
from earmark.evaluation.scorecard import make_scorecard
from earmark.flows.run_config import RunConfig
from earmark.predictions import Predictions, concatenate
from earmark.run import Run, write_json, write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SETTINGS = {  # name → data below --data, recipe (none = the defaults), what it is
    "esc10": ("esc10", "", "ESC-10, 44.1 kHz, `se_cnn` at the defaults"),
    "esc50": ("esc50/esc50.csv", "recipes/esc50.yaml", "ESC-50 (16 kHz copy), `se_cnn`, most clips mixed"),
    "esc50_envnet": ("esc50/esc50.csv", "recipes/esc50_envnet.yaml", "ESC-50 (16 kHz copy), EnvNet-v2 with BC"),
}
SAVED_SECONDS = 20  # of a piece, for what comes after training
PUBLISHED = "Published for full-band ESC-50: EAT-S 92.15 %, AST (ImageNet) 88.7, ACDNet 87.1, EnvNet-v2 with BC 84.9."


def words_of(name: str, data: Path, folder: Path, seed: int, epochs: int) -> list[str]:
    """The command that trains one seed; `epochs` other than 0 takes the place of the recipe's."""
    data_set, recipe, _ = SETTINGS[name]
    words = ["train", str(data / data_set), "--out", str(folder), "--seed", str(seed), "--set", "ship=ensemble"]
    if name == "esc50_envnet":  # ten windows a clip: the cheap model would take as long as the network
        words += ["--set", "baseline=false"]
    if recipe:
        words += ["--recipe", recipe]
    if epochs:
        settings = read_yaml(ROOT / recipe) if recipe else {}
        share = epochs / int(settings["optim"]["epochs"]) if recipe else 1.0
        shorter = {"optim.epochs": epochs}
        if last := settings.get("augment", {}).get("off_for_last"):
            shorter["augment.off_for_last"] = round(int(last) * share)
        if steps := settings.get("optim", {}).get("schedule_options", {}).get("at"):
            shorter["optim.schedule_options.at"] = ",".join(str(max(1, round(int(step) * share))) for step in steps)
        words += [word for key, value in shorter.items() for word in ("--set", f"{key}={value}")]
    return words


def train_until(words: Sequence[str], deadline: float) -> bool:
    """Train until it is done or the time is over; whether it is done."""
    command = [sys.executable, "-m", "earmark", *words]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # what is finished is kept
    if process.returncode not in (0, 130, -signal.SIGINT):
        raise SystemExit(f"earmark {shlex.join(words)}: ended with {process.returncode}")
    return process.returncode == 0


def measured(run: Run) -> dict:
    """The finished folds of a run, scored together, and how far the others are."""
    config = change(RunConfig(), read_yaml(run.config), str(run.config))
    manifest = read_manifest(run.manifest)
    folders = {fold: run.fold(fold, config.model) for fold in manifest.fold_numbers}
    epochs = [len(folder.read_history()) for folder in folders.values()]
    rows = [row for folder in folders.values() for row in folder.read_history()]
    done = [fold for fold, folder in folders.items() if folder.result.exists()]
    facts = {
        "seed": config.seed,
        "folds": done,
        "epochs": epochs,
        "of_epochs": config.optim.epochs,
        "epoch_minutes": round(sum(row["seconds"] for row in rows) / 60, 1),
    }
    if not done:
        return facts
    scored = manifest.select(np.isin(manifest.folds, done))
    windows = concatenate([Predictions.load(folders[fold].predictions) for fold in done])
    scores = windows.to_clips(config.window.pool).align(scored.clip_ids).scores
    card = make_scorecard(
        scored.present(),
        {config.model: scores},
        labels=scored.vocabulary.labels,
        groups=scored.groups,
        folds=scored.folds,
        multi_label=scored.multi_label,
    )
    found = card.models[config.model]
    return {
        **facts,
        "n_clips": len(scored),
        "metrics": {name: asdict(found.metrics[name]) for name in ("accuracy", "map_macro", "lwlrap")},
        "fold_accuracy": [round(float(fold["accuracy"]), 4) for fold in found.folds],
    }


def table() -> str:
    """All results that are there, as Markdown."""
    lines = [
        "| what | epochs | seed | folds done | accuracy (95 % over recordings) | mAP | minutes of epochs | on |",
        "|---|--:|--:|---|--:|--:|--:|---|",
    ]
    for path in sorted(RESULTS.glob("from_scratch_*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for row in document["seeds"]:
            accuracy, precision = "none yet", ""
            if "metrics" in row:
                found = row["metrics"]["accuracy"]
                accuracy = f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})".replace("%", " %")
                precision = f"{row['metrics']['map_macro']['value']:.3f}"
            folds = f"{len(row['folds'])} of {len(row['epochs'])}"
            lines.append(
                f"| {document['what']} | {row['of_epochs']} | {row['seed']} | {folds} | {accuracy} | {precision} | "
                f"{row['epoch_minutes']:.1f} | {document['device']} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="holds esc10/ and esc50/")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "from_scratch", help="where the runs go")
    parser.add_argument("--minutes", type=float, default=12.0, help="of this piece; 0 only scores what is there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=0, help="in place of the recipe's")
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes - SAVED_SECONDS
    form = f"{given.name}_{given.epochs}_epochs" if given.epochs else given.name
    seeds: list[dict] = []
    for seed in given.seeds:
        run = Run(given.work.resolve() / f"{form}_seed{seed}")
        if time.monotonic() < deadline:
            train_until(words_of(given.name, given.data.resolve(), run.folder, seed, given.epochs), deadline)
        if run.manifest.exists():
            seeds.append(measured(run))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    document = {
        "what": SETTINGS[given.name][2],
        "command": shlex.join(sys.argv),
        "train": shlex.join(words_of(given.name, Path("DATA"), Path("RUN"), given.seeds[0], given.epochs)),
        "device": device,
        "torch": torch.__version__,
        "cpu_minutes_of_last_piece": round((used.ru_utime + used.ru_stime) / 60, 1),
        "seeds": seeds,
    }
    write_json(RESULTS / f"from_scratch_{form}.json", document)
    write_text(RESULTS / "from_scratch.md", f"# From scratch\n\n`benchmarks/from_scratch.py`. {PUBLISHED}\n\n{table()}")
    print(table())


if __name__ == "__main__":
    main()
