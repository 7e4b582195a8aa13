"""Does every network, at its defaults, train, export and tag? And what does that take?

    .venv/bin/python benchmarks/networks.py WORK [--models rnn resnet …] [--epochs 2]

Makes a small set of sounds in WORK, runs `earmark train` on it with each family of MODELS (two folds and the network
for use), tags a new recording with the file, and writes results/networks.md and .json. What is done is read, not done
again. Scores after so few epochs on so few made sounds mean nothing, and are not shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

from earmark.data.synthetic import make_dataset, make_recording
from earmark.models.costs import family_costs
from earmark.models.tagging_net import MODELS
from earmark.run import Run, write_json, write_text

RESULTS = Path(__file__).parent / "results"
CLASSES = ("alarm", "bird", "dog_bark", "rain")
N_CLIPS, CLIP_SECONDS, RECORDING_SECONDS = 48, 2.0, 10.0


def earmark(*words: str, cache: Path) -> tuple[float, str]:
    """Run a command: CPU seconds of it and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"EARMARK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "earmark", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: ended with {done.returncode}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def measure(family: str, work: Path, labels: Path, recording: Path, epochs: int) -> dict:
    """Train, export and tag with one family."""
    run = Run(work / family)
    settings = ("data.n_folds=2", f"optim.epochs={epochs}")
    words = [word for setting in settings for word in ("--set", setting)]
    trained, _ = earmark(
        "train", str(labels), "--out", str(run.folder), "--model", family, *words, cache=work / "cache"
    )
    tagged, printed = earmark(
        "tag", str(run.tagger), str(recording), "--timeline", "--format", "jsonl", "--all-scores", cache=work / "cache"
    )
    windows = [json.loads(line) for line in printed.splitlines()]
    assert windows
    assert all(0 <= score <= 1 for window in windows for score in window["scores"].values())
    return {
        "family": family,
        "parameters": family_costs(family).n_parameters,
        "epoch_seconds": min(row["seconds"] for row in run.fold("refit", family).read_history()),
        "train_cpu_seconds": round(trained, 1),
        "tag_cpu_seconds": round(tagged, 2),
        "megabytes": run.tagger.stat().st_size / 1e6,
        "windows": len(windows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    labels = make_dataset(
        given.work / "sounds", n_clips=N_CLIPS, seconds=CLIP_SECONDS, classes=CLASSES, takes=4
    )
    recording = given.work / "recording.wav"
    make_recording(recording, RECORDING_SECONDS, classes=CLASSES)
    rows, lines = [], []
    for family in given.models:
        noted = given.work / f"{family}.json"
        if not noted.exists():
            write_json(noted, measure(family, given.work, labels, recording, given.epochs))
        rows.append(json.loads(noted.read_text(encoding="utf-8")))
        row = rows[-1]
        lines.append(
            f"| `{family}` | {row['parameters'] / 1e6:.2f} M | {row['epoch_seconds']:.1f} | "
            f"{row['train_cpu_seconds']:.0f} | {row['tag_cpu_seconds']:.1f} | {row['megabytes']:.1f} |"
        )
        print(lines[-1], flush=True)
    text = [
        "# Every network trains, exports and tags\n",
        f"`benchmarks/networks.py`, {platform.machine()}, one thread a process, a machine that others use too. "
        f"{N_CLIPS} made sounds of {CLIP_SECONDS:g} s, two folds and the network for use, {given.epochs} epochs each, "
        f"at the defaults of each family; then a recording of {RECORDING_SECONDS:g} s tagged with the file. An epoch's "
        "seconds are on the wall, the rest are of the processor, the forest that `train` fits beside them included.\n",
        "| model | parameters | s an epoch | CPU s to train all | CPU s to tag | MB of file |",
        "|---|--:|--:|--:|--:|--:|",
        *lines,
    ]
    write_text(RESULTS / "networks.md", "\n".join(text) + "\n")
    write_json(RESULTS / "networks.json", {"epochs": given.epochs, "rows": rows})


if __name__ == "__main__":
    main()
