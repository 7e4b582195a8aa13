"""Does every network train, export and tag, and every front end? And what does that take?

    .venv/bin/python benchmarks/networks.py WORK [--models rnn resnet …] [--frontends pcen n_mfcc=20 …] [--epochs 2]
    .venv/bin/python benchmarks/networks.py WORK --matrix

Makes a small set of sounds in WORK and trains on it, as `earmark train` does, each family of MODELS on the default
front end and tiny_cnn on each of FRONTENDS; with `--matrix` every family on every front end. Each tags a new recording
with its exported file, whose scores have been held against torch's. Writes results/networks.json and the table of
docs/models.md, of the matrix results/networks_matrix.json alone. What is done is read, not done again. Scores after so
few epochs on so few made sounds mean nothing, and are not shown.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from earmark.audio.cache import Cache
from earmark.data import read_manifest
from earmark.data.manifest import Manifest
from earmark.data.synthetic import make_dataset, make_recording
from earmark.flows.cross_validate import NetworkFolds
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import DataConfig, defaults_for, resolve
from earmark.models.tagging_net import MODELS
from earmark.run import REFIT, Run, write_json, write_text
from earmark.tagger.tagger import load_tagger

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "models.md"
TABLE = re.compile(r"(?<=<!-- benchmarks/networks.py -->\n).*?(?=<!-- end -->)", re.DOTALL)
CLASSES = ("alarm", "bird", "dog_bark", "rain")
N_CLIPS, CLIP_SECONDS, RECORDING_SECONDS, SAMPLE_RATE = 48, 2.0, 10.0, 16_000
SMALLEST, DEFAULT = "tiny_cnn", "default"
FRONTENDS = {  # name → recipe, settings
    DEFAULT: ("", ()),
    "recipes/frontend-fsd.yaml": ("recipes/frontend-fsd.yaml", ()),
    "recipes/frontend-fastai.yaml": ("recipes/frontend-fastai.yaml", ()),
    "reference=window": ("", ("reference=window", "top_db=80")),
    "top_db=100": ("", ("top_db=100",)),
    "compression=log": ("", ("compression=log",)),
    "power=1, pre_emphasis=0.97": ("", ("power=1", "pre_emphasis=0.97")),
    "mel_scale=kaldi": ("", ("mel_scale=kaldi",)),
    "pcen": ("", ("compression=pcen",)),
    "n_mfcc=20": ("", ("n_mfcc=20",)),
    "n_deltas=2": ("", ("n_deltas=2",)),
    "noise=3": ("", ("noise=3",)),
    "learns=mel": ("", ("learns=mel",)),
    "learns=kernels": ("", ("learns=kernels",)),
    "pcen, learns=pcen": ("", ("compression=pcen", "learns=pcen")),
}


def measure(family: str, frontend: str, run: Run, manifest: Manifest, recording: Path, epochs: int) -> dict:
    """Train, export and tag with one family on one front end."""
    recipe, changes = FRONTENDS[frontend]
    settings = [f"model={family}", f"optim.epochs={epochs}", *(f"frontend.{change}" for change in changes)]
    defaults = defaults_for([SAMPLE_RATE], [CLIP_SECONDS])
    config = resolve(defaults, DataConfig(), ROOT / recipe if recipe else None, settings)
    cache = Cache(run.folder.parent / "cache")
    cache.prepare(manifest.files, config.frontend.sample_rate)
    networks, folder = NetworkFolds(Experiment(run, config, manifest, cache, progress=False)), run.fold(REFIT, family)
    started = time.process_time()
    networks(REFIT, np.arange(len(manifest)), folder)
    trained = time.process_time()
    windows = load_tagger(folder.tagger).score(recording)
    assert len(windows)
    assert ((windows.scores >= 0) & (windows.scores <= 1)).all()
    return {
        "family": family,
        "frontend": frontend,
        "parameters": sum(p.numel() for p in networks.blank(REFIT).parameters()),
        "train_and_export_seconds": round(trained - started, 1),
        "tag_seconds": round(time.process_time() - trained, 2),
        "megabytes": round(folder.tagger.stat().st_size / 1e6, 1),
        "windows": len(windows),
    }


def table_of(rows: Sequence[dict]) -> str:
    """What was measured, as Markdown."""
    lines = ["| network | front end | weights | s to train and export | s to tag | MB |", "|---|---|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| `{row['family']}` | {row['frontend']} | {row['parameters'] / 1e6:.2f} M | "
            f"{row['train_and_export_seconds']:.1f} | {row['tag_seconds']:.2f} | {row['megabytes']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--frontends", nargs="+", choices=FRONTENDS, default=list(FRONTENDS))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--matrix", action="store_true", help="every family on every front end")
    given = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    labels = make_dataset(given.work / "sounds", n_clips=N_CLIPS, seconds=CLIP_SECONDS, classes=CLASSES, takes=4)
    recording = given.work / "recording.wav"
    make_recording(recording, RECORDING_SECONDS, classes=CLASSES)
    manifest = read_manifest(labels)
    pairs = [(family, DEFAULT) for family in given.models]
    pairs += [(SMALLEST, frontend) for frontend in given.frontends if frontend != DEFAULT]
    if given.matrix:
        pairs = [(family, frontend) for family in given.models for frontend in given.frontends]
    rows = []
    for family, frontend in pairs:
        run = Run(given.work / f"{family}-{re.sub('[^a-z0-9]+', '_', frontend)}")
        noted = run.folder.with_suffix(".json")
        if not noted.exists():
            write_json(noted, measure(family, frontend, run, manifest, recording, given.epochs))
        rows.append(json.loads(noted.read_text(encoding="utf-8")))
        print(table_of(rows[-1:]).splitlines()[-1], flush=True)
    facts = {"command": shlex.join(sys.argv), "machine": f"{platform.machine()}, one thread", "epochs": given.epochs}
    write_json(RESULTS / ("networks_matrix.json" if given.matrix else "networks.json"), {**facts, "rows": rows})
    if not given.matrix and given.models == list(MODELS) and given.frontends == list(FRONTENDS):
        page = PAGE.read_text(encoding="utf-8")
        write_text(PAGE, TABLE.sub(lambda _: table_of(rows), page))


if __name__ == "__main__":
    main()
