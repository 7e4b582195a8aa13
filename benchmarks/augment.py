"""Augmentations in milliseconds a batch, on one thread, or on a GPU.

    .venv/bin/python benchmarks/augment.py [--passes 7] [--device cpu] [--out benchmarks/results/augment]

A batch is 16 windows of 5 s at 32 kHz; every clip of it is changed, whatever share the settings would choose. Each time
is the best of several passes, rows in turns, so that a busy moment of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from earmark.augment.mixing import MIXES, Mixing
from earmark.augment.pipeline import SHARES, Augmentation, AugmentConfig
from earmark.augment.waveform import Sometimes
from earmark.models.frontend import FrontendConfig, LogMel

BATCH, SECONDS, RATE = 16, 5, 32_000


def rows(device: str) -> dict[str, Callable[[], object]]:
    """Every augmentation on the same batch, and the log-mel of it to compare with."""
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(BATCH, SECONDS * RATE, generator=generator).to(device)
    targets, weights = torch.eye(BATCH, device=device), torch.ones(BATCH, BATCH, device=device)
    frontend = LogMel(FrontendConfig(sample_rate=RATE)).to(device)
    spectrogram = frontend(waveform)
    config = AugmentConfig(**dict.fromkeys(SHARES, 1.0), crop=0.3, masks=2)
    augmentation = Augmentation(config, RATE, waveform[:8].cpu().half()).to(device).train()
    changes = {}
    for name, step in augmentation.on_waveform.items():
        change = step.change if isinstance(step, Sometimes) else step
        changes[name] = lambda change=change: change(waveform, generator)
    for name in MIXES:
        mixing = Mixing({name: 1.0}, sample_rate=RATE).train()
        changes[name] = lambda mixing=mixing: mixing(waveform, targets, weights, generator)
    for name, step in augmentation.on_spectrogram.items():
        changes[f"{name} (spectrogram)"] = lambda step=step: step(spectrogram, generator)
    return {**changes, "log-mel, to compare": lambda: frontend(waveform)}


def measure(passes: int, device: str) -> dict[str, float]:
    """Best milliseconds a batch of each row."""
    changes = rows(device)
    best = dict.fromkeys(changes, float("inf"))
    with torch.no_grad():
        for number in range(passes + 1):
            for name, change in changes.items():
                began = time.perf_counter()
                change()
                if device != "cpu":
                    torch.cuda.synchronize()
                if number:
                    best[name] = min(best[name], 1000 * (time.perf_counter() - began))
    return {name: round(value, 2) for name, value in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure augmentations.")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "augment")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.passes, options.device)
    where = platform.processor() or platform.machine() if options.device == "cpu" else torch.cuda.get_device_name()
    document = {
        "command": "python benchmarks/augment.py",
        "batch": f"{BATCH} windows of {SECONDS} s at {RATE} Hz",
        "device": where,
        "torch": torch.__version__,
        "milliseconds": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{name:24}{value:9.1f} ms a batch{value / BATCH:9.2f} ms a clip")


if __name__ == "__main__":
    main()
