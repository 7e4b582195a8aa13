"""What pretrained taggers say of ESC-50: how often the right label, and how many labels, at which threshold.

    .venv/bin/python benchmarks/pretrained_scores.py ../shared/data/esc50 [NAME …] [--out benchmarks/results/...]

Needs the taggers (`earmark models get NAME`). Every second clip of fold 1 in the 36 classes that AudioSet has, too. 5 s
are shorter than mn04_as's window of 10 s: heard again until it is full ("repeat"), or followed by silence ("zeros").
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from earmark import __version__, load_tagger, score_files
from earmark.data.corpora.esc import read_esc50
from earmark.tagger.tagger import Tagger

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
AUDIOSET = {
    "dog": "Dog",
    "rooster": "Chicken, rooster",
    "pig": "Pig",
    "cow": "Cattle, bovinae",
    "frog": "Frog",
    "cat": "Cat",
    "insects": "Insect",
    "sheep": "Sheep",
    "crow": "Crow",
    "rain": "Rain",
    "fireworks": "Fireworks",
    "sea_waves": "Waves, surf",
    "crackling_fire": "Fire",
    "crickets": "Cricket",
    "chirping_birds": "Bird",
    "thunderstorm": "Thunder",
    "crying_baby": "Crying, sobbing",
    "sneezing": "Sneeze",
    "clapping": "Clapping",
    "coughing": "Cough",
    "laughing": "Laughter",
    "snoring": "Snoring",
    "keyboard_typing": "Computer keyboard",
    "vacuum_cleaner": "Vacuum cleaner",
    "clock_alarm": "Alarm clock",
    "helicopter": "Helicopter",
    "wind": "Wind",
    "chainsaw": "Chainsaw",
    "siren": "Siren",
    "engine": "Engine",
    "train": "Train",
    "church_bells": "Church bell",
    "airplane": "Aircraft",
    "hand_saw": "Sawing",
    "toilet_flush": "Toilet flush",
    "clock_tick": "Tick-tock",
}


def measure(tagger: Tagger, paths: list[Path], labels: list[str]) -> dict:
    """Shares of clips, and labels a clip."""
    predictions, failures = score_files(tagger, paths, threads=1)
    assert not failures, failures[0].error
    right = predictions.scores[np.arange(len(labels)), [tagger.labels.index(label) for label in labels]]
    better = (predictions.scores > right[:, None]).sum(axis=1)
    rows = {}
    for threshold in THRESHOLDS:
        asserted = predictions.scores >= threshold
        rows[f"{threshold:g}"] = {
            "right label asserted": round(float((right >= threshold).mean()), 3),
            "labels a clip": round(float(asserted.sum(axis=1).mean()), 2),
            "clips without a label": round(float(1 - asserted.any(axis=1).mean()), 3),
        }
    best = {"right label is the best": round(float((better == 0).mean()), 3)}
    return {**best, "right label among the best 3": round(float((better < 3).mean()), 3), "at threshold": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("esc50", type=Path)
    parser.add_argument("names", nargs="*", default=["mn04_as", "yamnet"])
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    given = parser.parse_args()
    rows = read_esc50(given.esc50)
    clips = [
        (rows.home / path, AUDIOSET[label])
        for path, (label,), fold in zip(rows.paths, rows.labels, rows.folds, strict=True)
        if fold == 1 and label in AUDIOSET
    ][::2]
    paths, labels = map(list, zip(*clips, strict=True))
    found = {}
    for name in given.names:
        tagger = load_tagger(name)
        for padding in ("repeat", "zeros"):
            metadata = replace(tagger.metadata, padding=padding)
            found[f"{name}, {padding}"] = measure(Tagger(tagger.backend, metadata, tagger.path), paths, labels)
    command = " ".join(["benchmarks/pretrained_scores.py", given.esc50.name, *given.names])
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    result = {"clips": len(paths), "taggers": found, "command": command, "earmark": __version__, "machine": machine}
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
