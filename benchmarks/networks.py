"""Does every network, at its defaults, train, export and tag? Every front end, too? And what does that take?

    .venv/bin/python benchmarks/networks.py WORK [--models rnn resnet …] [--frontends pcen mfcc …] [--epochs 2]
    .venv/bin/python benchmarks/networks.py WORK --matrix

Makes a small set of sounds in WORK and runs `earmark train` on it (two folds and the network for use), with each
family of MODELS on the default front end and with each of FRONTENDS under tiny_cnn; `--matrix` with every family on
every front end. Each tags a new recording with its file. Writes results/networks.json and the table of docs/models.md,
of the matrix results/networks_matrix.json alone. What is done is read, not done again. Scores after so few epochs on so
few made sounds mean nothing, and are not shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from earmark.data.synthetic import make_dataset, make_recording
from earmark.models.costs import family_costs
from earmark.models.tagging_net import MODELS
from earmark.run import Run, write_json, write_text

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "models.md"
TABLE = re.compile(r"(?<=<!-- benchmarks/networks.py -->\n).*?(?=<!-- end -->)", re.DOTALL)
CLASSES = ("alarm", "bird", "dog_bark", "rain")
N_CLIPS, CLIP_SECONDS, RECORDING_SECONDS = 48, 2.0, 10.0
SMALLEST, DEFAULT = "tiny_cnn", "default"
FRONTENDS = {  # words of `earmark train`
    DEFAULT: (),
    "recipes/frontend-fsd": ("--recipe", "recipes/frontend-fsd.yaml"),
    "recipes/frontend-fastai": ("--recipe", "recipes/frontend-fastai.yaml"),
    "reference=window": ("--set", "frontend.reference=window", "--set", "frontend.top_db=80"),
    "top_db=100": ("--set", "frontend.top_db=100"),
    "natural logarithm": ("--set", "frontend.compression=log"),
    "magnitude, pre-emphasis": ("--set", "frontend.power=1", "--set", "frontend.pre_emphasis=0.97"),
    "kaldi mel": ("--set", "frontend.mel_scale=kaldi"),
    "pcen": ("--set", "frontend.compression=pcen"),
    "n_mfcc=20": ("--set", "frontend.n_mfcc=20"),
    "n_deltas=2": ("--set", "frontend.n_deltas=2"),
    "noise=3": ("--set", "frontend.noise=3"),
    "learns=mel": ("--set", "frontend.learns=mel"),
    "learns=kernels": ("--set", "frontend.learns=kernels"),
    "learns=pcen": ("--set", "frontend.compression=pcen", "--set", "frontend.learns=pcen"),
}


def earmark(*words: str, cache: Path) -> tuple[float, str]:
    """Run a command: CPU seconds of it and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"EARMARK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "earmark", *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: ended with {done.returncode}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def measure(family: str, frontend: str, run: Run, labels: Path, recording: Path, epochs: int) -> dict:
    """Train, export and tag with one family on one front end."""
    cache = run.folder.parents[1] / "cache"
    settings = ("data.n_folds=2", f"optim.epochs={epochs}")
    words = [*FRONTENDS[frontend], *(word for setting in settings for word in ("--set", setting))]
    trained, _ = earmark("train", str(labels), "--out", str(run.folder), "--model", family, *words, cache=cache)
    tagged, printed = earmark(
        "tag", str(run.tagger), str(recording), "--timeline", "--format", "jsonl", "--all-scores", cache=cache
    )
    windows = [json.loads(line) for line in printed.splitlines()]
    assert windows
    assert all(0 <= score <= 1 for window in windows for score in window["scores"].values())
    return {
        "family": family,
        "frontend": frontend,
        "parameters": family_costs(family).n_parameters,
        "epoch_seconds": min(row["seconds"] for row in run.fold("refit", family).read_history()),
        "train_cpu_seconds": round(trained, 1),
        "tag_cpu_seconds": round(tagged, 2),
        "megabytes": run.tagger.stat().st_size / 1e6,
        "windows": len(windows),
    }


def table_of(rows: Sequence[dict]) -> str:
    """What was measured, as Markdown."""
    lines = [
        "| network | front end | s an epoch | CPU s to train all | CPU s to tag | MB of file |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        lines.append(
            f"| `{row['family']}` | {row['frontend']} | {row['epoch_seconds']:.1f} | {row['train_cpu_seconds']:.0f} | "
            f"{row['tag_cpu_seconds']:.1f} | {row['megabytes']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--frontends", nargs="*", choices=FRONTENDS, default=list(FRONTENDS))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--matrix", action="store_true", help="every family on every front end")
    given = parser.parse_args()
    work = given.work.resolve()
    labels = make_dataset(work / "sounds", n_clips=N_CLIPS, seconds=CLIP_SECONDS, classes=CLASSES, takes=4)
    recording = work / "recording.wav"
    make_recording(recording, RECORDING_SECONDS, classes=CLASSES)
    pairs = [(family, DEFAULT) for family in given.models]
    pairs += [(SMALLEST, frontend) for frontend in given.frontends if frontend != DEFAULT]
    if given.matrix:
        pairs = [(family, frontend) for family in given.models for frontend in given.frontends]
    rows = []
    for family, frontend in pairs:
        run = Run(work / "trained" / f"{family}-{re.sub('[^a-z0-9]+', '_', frontend)}")
        noted = run.folder.with_suffix(".json")
        if not noted.exists():
            write_json(noted, measure(family, frontend, run, labels, recording, given.epochs))
        rows.append(json.loads(noted.read_text(encoding="utf-8")))
        print(table_of(rows[-1:]).splitlines()[-1], flush=True)
    facts = {"command": " ".join(sys.argv), "machine": platform.machine(), "epochs": given.epochs, "rows": rows}
    write_json(RESULTS / ("networks_matrix.json" if given.matrix else "networks.json"), facts)
    if not given.matrix and given.models == list(MODELS) and given.frontends == list(FRONTENDS):
        page = PAGE.read_text(encoding="utf-8")
        write_text(PAGE, TABLE.sub(lambda _: table_of(rows), page))


if __name__ == "__main__":
    main()
