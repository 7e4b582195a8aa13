"""Earmark's own defaults: what is each part worth, and would another value be better?

    .venv/bin/python benchmarks/defaults.py ../shared/data/esc10/esc50.csv --work DIR [--budget 8h] [--seeds 3]

`earmark sweep` on a network with its default settings: every part that is on switched off, and some settings varied,
one at a time. Resumable: the same command goes on after a kill, and a longer budget adds to what is there. What fits
into the budget is written to results/defaults.json, with what was left out.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from earmark.flows.sweep import sweep
from earmark.run import write_json

RESULTS = Path(__file__).parent / "results" / "defaults.json"
VARIED = (
    "optim.learning_rate=1e-3,4e-3",
    "optim.weight_decay=0.005,0.08",
    "optim.smoothing=0.1",
    "augment.mixup_probability=0.5",
    "frontend.n_mels=40,128",
    "window.seconds=2.5",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a table with given folds")
    parser.add_argument("--work", type=Path, required=True, help="the sweep's folder")
    parser.add_argument("--model", default="se_cnn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", help="such as 8h")
    parser.add_argument("--vary", nargs="*", default=VARIED, help="in place of what is varied here")
    parser.add_argument("--no-ablate", action="store_true", help="only vary")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the data")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="settings of every run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    swept = sweep(
        arguments.data,
        arguments.work,
        models=[arguments.model],
        n_seeds=arguments.seeds,
        budget=arguments.budget,
        vary=arguments.vary,
        ablate=not arguments.no_ablate,
        fraction=arguments.fraction,
        settings=arguments.settings,
        progress=False,
    )
    header, rows = swept.found.table()
    print("\n".join(" | ".join(row) for row in [header, *rows]))
    print("\n".join(swept.found.notes()))
    given = {name: value for name, value in vars(arguments).items() if name not in ("work", "results")}
    about = {"arguments": {name: str(value) for name, value in given.items()}, "machine": platform.platform()}
    write_json(arguments.results, {**about, **swept.found.to_dict()})


if __name__ == "__main__":
    main()
