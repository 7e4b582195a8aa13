"""Heads on pretrained networks: one command from raw files, against a plain logistic regression on the embedding.

    .venv/bin/python benchmarks/heads.py DATA.csv --audio-dir AUDIO --on mn04_as yamnet [--finetune mn04_as] --work DIR

Every row is a run of `earmark train` on the folds of the data, in a cache of its own, so that its minutes begin at raw
files; differences to the plain row are paired, over groups. Runs that are done are read again, not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from earmark.data.readers import read_manifest
from earmark.evaluation.compare import Comparison, paired_difference
from earmark.predictions import Predictions
from earmark.run import Run

PLAIN = ("--head", "logistic", "--set", "backbone.outputs=embedding")


@dataclass(frozen=True)
class Row:
    """One run: its title, folder, options of `earmark train`, and the model of it that counts (None = its own)."""

    title: str
    folder: Path
    options: tuple[str, ...]


def rows_of(work: Path, on: list[str], finetune: list[str]) -> list[Row]:
    rows = []
    for name in on:
        rows.append(Row(f"{name}, plain logistic regression", work / f"{name}-plain", ("--on", name, *PLAIN)))
        rows.append(Row(f"{name}, chosen head", work / name, ("--on", name)))
    rows += [Row(f"{name}, fine-tuned", work / f"{name}-tuned", ("--on", name, "--finetune")) for name in finetune]
    return rows


def minutes_of(row: Row, data: Path, audio: Path | None, work: Path) -> float:
    """Run it unless it is done; the minutes that it took."""
    noted = work / f"{row.folder.name}.seconds"
    if not noted.exists():
        started = time.perf_counter()
        where = ("--audio-dir", str(audio)) if audio else ()
        command = [sys.executable, "-m", "earmark", "train", str(data), *where, "--out", str(row.folder), *row.options]
        environment = os.environ | {"EARMARK_CACHE": str(work / f"cache-{row.folder.name}")}
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{row.title}: ended with {done.returncode}")
        noted.write_text(str(time.perf_counter() - started))
    return float(noted.read_text()) / 60


def measure(data: Path, audio: Path | None, work: Path, on: list[str], finetune: list[str]) -> dict:
    """All rows with their intervals and their paired differences to the first."""
    work.mkdir(parents=True, exist_ok=True)
    table, scores = [], {}
    for row in rows_of(work, on, finetune):
        minutes = minutes_of(row, data, audio, work)
        card = json.loads(Run(row.folder).scorecard.read_text(encoding="utf-8"))
        model = next(iter(card["models"]))
        metric = card["primary_metric"]
        found = card["models"][model]["metrics"][metric]
        scores[row.title] = Predictions.load(Run(row.folder).predictions(model))
        table.append({"row": row.title, "model": model, "minutes": round(minutes, 2), "metric": metric, **found})
    manifest = read_manifest(Run(row.folder).manifest)
    scored = manifest.select(manifest.scored)
    aligned = {title: found.align(scored.clip_ids).scores for title, found in scores.items()}
    first = table[0]["row"]
    for entry in table[1:]:
        found = paired_difference(
            scored.present(),
            aligned[entry["row"]],
            aligned[first],
            metric=entry["metric"],
            groups=scored.groups,
            folds=scored.folds,
            weights=scored.label_weights(),
        )
        entry["against_first"] = Comparison(entry["row"], first, entry["metric"], found).sentence
    return {"data": data.parent.name, "clips": len(scored), "rows": table, "command": " ".join(sys.argv)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--audio-dir", type=Path)
    parser.add_argument("--on", nargs="+", default=["mn04_as", "yamnet"])
    parser.add_argument("--finetune", nargs="*", default=[])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = measure(given.data, given.audio_dir, given.work, given.on, given.finetune)
    for entry in result["rows"]:
        interval = f"{entry['value']:.4f} ({entry['low']:.4f} to {entry['high']:.4f})"
        print(f"{entry['row']:40s} {interval}  {entry['minutes']:5.1f} min  {entry.get('against_first', '')}")
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
