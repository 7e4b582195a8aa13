"""How much too good is a score when pieces of one recording stand on both sides of the split?

Every clip is cut into slices, as many published sets are; the slices are dealt out once at random and once by
recording, and the same model is trained and scored on both. Nothing else differs.

    .venv/bin/python benchmarks/leaky_folds.py ../shared/data/esc10 ../shared/data/instruments --work /tmp/leaky

Resumable: the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.data import Manifest, choose_folds, read_manifest
from earmark.evaluation.scorecard import Scorecard
from earmark.flows.train import train
from earmark.run import write_json, write_text

RESULTS = Path(__file__).parent / "results"
AUDIBLE_DB = -30.0  # a slice counts if its level is at most this far below that of its clip's loudest
N_FOLDS = 5


def sliced(manifest: Manifest, seconds: float) -> Manifest:
    """Each clip as consecutive slices, nearly silent ones left out; the group is the recording it came from."""
    rows: list[tuple[str, tuple[str, ...], float, float, str]] = []
    columns = zip(
        manifest.table["path"], manifest.files, manifest.table["labels"], manifest.groups.tolist(), strict=True
    )
    for path, file, labels, group in columns:
        rate = audio.probe(file).sample_rate
        waveform = audio.load(file, rate)
        size = round(seconds * rate)
        starts = range(0, len(waveform) - size + 1, size)
        levels = np.array([float(np.sqrt(np.mean(waveform[start : start + size] ** 2))) for start in starts])
        for number in np.flatnonzero(levels > levels.max(initial=0) * 10 ** (AUDIBLE_DB / 20)):
            rows.append((path, labels, number * seconds, (number + 1) * seconds, group))
    paths, labels, starts, ends, groups = zip(*rows, strict=True)
    return Manifest.build(manifest.root, paths, labels, starts=starts, ends=ends, groups=groups)


def both_ways(data: Path, seconds: float, settings: list[str], seed: int, work: Path) -> dict[str, Scorecard]:
    """Scorecards of the same slices in random folds and in folds that keep recordings whole."""
    manifest = sliced(read_manifest(data), seconds)
    shuffled = np.random.default_rng(seed).permutation(len(manifest)) % N_FOLDS
    folds = {"random": shuffled, "by recording": choose_folds(manifest, N_FOLDS, seed)[0].folds}
    found = {}
    for name, numbers in folds.items():
        table = work / f"{data.name}_{name.replace(' ', '_')}_{seed}.csv"
        manifest.with_folds(numbers).write(table)
        found[name] = train(
            table, work / table.stem, settings=[*settings, f"seed={seed}"], allow_leak=True, progress=False
        ).scorecard
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="tables or folders of clips")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a slice")
    parser.add_argument("--seeds", type=int, default=3, help="how many times the folds are drawn")
    parser.add_argument(
        "--set", dest="settings", action="append", default=["model=forest"], help="settings of each run"
    )
    arguments = parser.parse_args()
    started = time.perf_counter()
    rows, found = [], []
    for data in arguments.data:
        for seed in range(arguments.seeds):
            scorecards = both_ways(data, arguments.seconds, arguments.settings, seed, arguments.work)
            row = {"data": data.name, "seed": seed}
            for name, scorecard in scorecards.items():
                for model, score in scorecard.models.items():
                    value = score.metrics[scorecard.primary_metric]
                    row[f"{model}, {name}"] = {"value": value.value, "low": value.low, "high": value.high}
                row |= {"metric": scorecard.primary_metric, "n_slices": scorecard.n_clips}
            found.append(row)
            shown = [
                f"{cell['value']:.3f} ({cell['low']:.2f} to {cell['high']:.2f})"
                for cell in row.values()
                if isinstance(cell, dict)
            ]
            rows.append(f"| {data.name} | {row['n_slices']} | {row['metric']} | {seed} | {' | '.join(shown)} |")
            print(rows[-1], flush=True)
    heads = [name for name, cell in found[0].items() if isinstance(cell, dict)]
    text = "\n".join(
        [
            f"# Random folds against folds by recording, slices of {arguments.seconds:g} s\n",
            f"`benchmarks/leaky_folds.py`, {' '.join(arguments.settings)}, {platform.machine()}, "
            f"{(time.perf_counter() - started) / 60:.0f} min. Score, and 95 % interval over recordings.\n",
            f"| data | slices | metric | seed | {' | '.join(heads)} |",
            "|---|--:|---|--:|" + "---|" * len(heads),
            *rows,
        ]
    )
    write_text(RESULTS / "leaky_folds.md", text + "\n")
    write_json(
        RESULTS / "leaky_folds.json", {"seconds": arguments.seconds, "settings": arguments.settings, "rows": found}
    )


if __name__ == "__main__":
    main()
