"""How evenly are several labels spread over five folds, recordings being kept whole, and how long does it take?

    .venv/bin/python benchmarks/split_balance.py ../shared/data

Real recordings with timed events are cut into windows, whose labels are the events they hear; a window's group is its
recording. Made data has heavy-tailed groups and classes, and a million rows. Beside the folds of Earmark stand those
of the library iterative-stratification: of the windows without groups, which bounds what is possible, and of the groups
by which classes occur in them.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

from earmark.data import Manifest, choose_folds
from earmark.data.splits import class_balance
from earmark.run import write_json, write_text

RESULTS = Path(__file__).parent / "results"
N_FOLDS = 5
ONSET_SECONDS = 0.05  # how long a drum is heard, where only its onset is known


def windows_of(folder: Path, events: str, seconds: float, column: str | None) -> Manifest:
    """Windows of a folder's recordings, grouped by a column of its manifest, or by recording."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        recordings = list(csv.DictReader(file))
    heard = defaultdict(list)
    with open(folder / events, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            onset = float(row["onset_s"])
            heard[row["path"]].append((onset, float(row.get("offset_s") or onset + ONSET_SECONDS), row["label"]))
    paths, labels, groups, starts = [], [], [], []
    for recording in recordings:
        path = recording["path"]
        for start in np.arange(0, float(recording["duration_s"]) - seconds / 2, seconds):
            inside = {name for onset, offset, name in heard[path] if onset < start + seconds and offset > start}
            paths.append(path)
            labels.append(tuple(sorted(inside)))
            groups.append(recording[column] if column else path)
            starts.append(start)
    return Manifest.build(folder, paths, labels, starts=starts, ends=np.add(starts, seconds), groups=groups)


def made(n_clips: int, n_classes: int, n_groups: int) -> Manifest:
    """Clips of one to three labels; few groups and classes have most of the clips, and groups prefer some classes."""
    generator = np.random.default_rng(0)
    odds = 1 / np.arange(1, n_classes + 1)
    odds /= odds.sum()
    weights = generator.pareto(1.5, n_groups) + 0.05
    groups = generator.choice(n_groups, n_clips, p=weights / weights.sum())
    preferred = generator.choice(n_classes, (n_groups, 3), p=odds)[groups, generator.integers(0, 3, n_clips)]
    first = np.where(generator.random(n_clips) < 0.7, preferred, generator.choice(n_classes, n_clips, p=odds))
    more = [
        np.where(generator.random(n_clips) < 0.25, generator.choice(n_classes, n_clips, p=odds), first) for _ in "12"
    ]
    names = [f"class {number}" for number in range(n_classes)]
    labels = [tuple(names[one] for one in sorted(set(row))) for row in np.stack([first, *more], axis=1).tolist()]
    return Manifest.build(
        Path("made"), [f"{n}.wav" for n in range(n_clips)], labels, groups=[f"g{group}" for group in groups]
    )


def library(manifest: Manifest, whole_groups: bool) -> Manifest:
    """Folds by iterative-stratification, of the clips or of the groups by the classes that occur in them."""
    rows = manifest.present().astype(int)
    units = pd.factorize(manifest.groups)[0] if whole_groups else np.arange(len(manifest))
    if whole_groups:
        counts = np.zeros((units.max() + 1, rows.shape[1]), dtype=int)
        np.add.at(counts, units, rows)
        rows = (counts > 0).astype(int)
    folds = np.empty(len(rows), dtype=np.int64)
    for fold, (_, held_out) in enumerate(
        MultilabelStratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(rows, rows)
    ):
        folds[held_out] = fold
    return manifest.with_folds(folds[units])


WAYS: dict[str, Callable[[Manifest], Manifest]] = {
    "groups whole: Earmark": lambda manifest: choose_folds(manifest, N_FOLDS, method="stratified_grouped")[0],
    "groups whole: library, by presence": lambda manifest: library(manifest, whole_groups=True),
    "clips free: Earmark": lambda manifest: choose_folds(manifest, N_FOLDS, method="stratified")[0],
    "clips free: library": lambda manifest: library(manifest, whole_groups=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with drums and esc10-mixtures")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    sets = {
        "drums, windows of 1 s by song": windows_of(arguments.data / "drums", "onsets.csv", 1.0, "group"),
        "mixtures, windows of 2 s by file": windows_of(arguments.data / "esc10-mixtures", "events.csv", 2.0, None),
        "made, heavy-tailed groups": made(20_000, 80, 2_000),
        "made, a million clips": made(1_000_000, 80, 100_000),
    }
    rows, found = [], []
    for name, manifest in sets.items():
        for way, fold in WAYS.items():
            started = time.perf_counter()
            folded = fold(manifest)
            seconds = time.perf_counter() - started
            balance = class_balance(folded)
            mean, largest = np.abs(balance.deviations).mean(), np.abs(balance.deviations).max()
            sizes = balance.sizes / len(manifest)
            n_groups = len(set(manifest.groups))
            found.append(
                {
                    "data": name,
                    "n_clips": len(manifest),
                    "n_classes": len(manifest.vocabulary),
                    "n_groups": n_groups,
                    "way": way,
                    "mean_deviation": float(mean),
                    "max_deviation": float(largest),
                    "smallest_fold": float(sizes.min()),
                    "largest_fold": float(sizes.max()),
                    "seconds": seconds,
                }
            )
            rows.append(
                f"| {name} | {len(manifest)} | {n_groups} | {way} | {mean:.3%} | {largest:.2%} | "
                f"{sizes.min():.1%} to {sizes.max():.1%} | {seconds:.1f} |"
            )
            print(rows[-1], flush=True)
    text = [
        f"# Balance of {N_FOLDS} folds of multi-label data\n",
        f"`benchmarks/split_balance.py`, {platform.machine()}, one thread. Deviation: the share of a class's clips "
        "that a fold holds, less the fold's share of all clips; mean and maximum over classes and folds.\n",
        "| data | clips | groups | way | mean deviation | max deviation | folds | seconds |",
        "|---|--:|--:|---|--:|--:|---|--:|",
        *rows,
    ]
    write_text(RESULTS / "split_balance.md", "\n".join(text) + "\n")
    write_json(RESULTS / "split_balance.json", {"n_folds": N_FOLDS, "rows": found})


if __name__ == "__main__":
    main()
