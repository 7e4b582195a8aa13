"""What each option of the front end costs in the exported file, beside the plain log-mel in the same run.

    .venv/bin/python benchmarks/frontend_options.py [--passes 15] [--out benchmarks/results/frontend_options]

Writes OUT.json and OUT.md. One thread; windows of 5 s, one a call, noise; the best of several passes, in turns, as
benchmarks/frontend.py does it. Seconds are of the processor's time, because others may share the machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from frontend import machine, session_of, take_turns
from torch import Tensor, nn

from earmark.config import change, read_yaml
from earmark.models.derived import Derived
from earmark.models.frontend import LogMel
from earmark.models.frontend_config import FrontendConfig

SECONDS = 5
RECIPES = Path(__file__).parents[1] / "recipes"
PLAIN = FrontendConfig(32000, 1024, 320, 64)
MAGNITUDE = replace(PLAIN, power=1, compression="pcen")


def published(name: str) -> FrontendConfig:
    """The front end of a recipe."""
    recipe = RECIPES / f"frontend-{name}.yaml"
    return change(PLAIN, read_yaml(recipe)["frontend"], str(recipe))


OPTIONS = {
    "log-mel (32 kHz, n_fft 1024, hop 320, 64 mels)": PLAIN,
    "relative to the window, 80 dB": replace(PLAIN, reference="window", top_db=80.0),
    "PCEN": replace(PLAIN, compression="pcen"),
    "PCEN of the magnitude, learnt": replace(MAGNITUDE, learns=("pcen",)),
    "learnt mel weights": replace(PLAIN, learns=("mel",)),
    "learnt kernels": replace(PLAIN, learns=("kernels",)),
    "20 coefficients": replace(PLAIN, n_mfcc=20),
    "two slopes": replace(PLAIN, n_deltas=2),
    "20 coefficients and two slopes": replace(PLAIN, n_mfcc=20, n_deltas=2),
    "FSD system (44.1 kHz, 1024, 512, 64 mels)": published("fsd"),
    "fastai-audio (44.1 kHz, 2560, 256, 128 mels)": published("fastai"),
}


class Heard(nn.Module):
    """All that a network hears: the exported front end, and what is derived from it."""

    def __init__(self, config: FrontendConfig):
        super().__init__()
        self.frontend = LogMel(config).exportable()
        nothing = nn.Identity()
        nothing.n_features, nothing.dropout = 1, 0.0
        self.derived = Derived(config, nothing)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.derived.derive(self.frontend(waveform))


def measure(passes: int) -> dict[str, dict[str, float]]:
    """Option → seconds of sound for a second of processor time (best), and its time with the plain log-mel's as 1."""
    runs = {}
    for name, config in OPTIONS.items():
        n_samples = SECONDS * config.sample_rate
        sound = 0.1 * np.random.default_rng(0).standard_normal((1, n_samples)).astype(np.float32)
        runs[name] = partial(session_of(Heard(config), n_samples), sound)
    best = {name: min(seconds) for name, seconds in take_turns(runs, passes, time.process_time).items()}
    plain = next(iter(best.values()))
    return {
        name: {"times_realtime": round(SECONDS / seconds, 1), "time_to_plain": round(seconds / plain, 2)}
        for name, seconds in best.items()
    }


def as_markdown(document: dict) -> str:
    where = document["machine"]
    lines = [
        "# Options of the front end in the exported file, one thread",
        "",
        f"`{document['command']}` on {where['cpu']}, {where['cores']} cores, onnxruntime "
        f"{where['versions']['onnxruntime']}.",
        f"Best of {document['passes']} passes in turns, windows of {SECONDS} s, one a call; processor time.",
        "",
        "| front end | × realtime | time, plain = 1 |",
        "|---|---|---|",
    ]
    for name, row in document["results"].items():
        lines.append(f"| {name} | {row['times_realtime']:,.0f}× | {row['time_to_plain']:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the front end's options on one thread.")
    parser.add_argument("--passes", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "frontend_options")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    document = {
        "command": "python benchmarks/frontend_options.py",
        "passes": options.passes,
        "machine": machine(),
        "results": measure(options.passes),
    }
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(as_markdown(document))
    print(as_markdown(document))


if __name__ == "__main__":
    main()
