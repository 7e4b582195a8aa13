"""Does training wait for its data, and what does the loop cost beside the bare network? On a GPU where there is one.

    .venv/bin/python benchmarks/training_speed.py [--models se_cnn tiny_cnn] [--clips 320] [--epochs 3]

For each network, in one run: `fit` on noise in files of 5 s at 32 kHz, with the default augmentation, running mean,
checkpoints and log; and the same network with its front end, loss and optimiser, on one batch of random waveforms that
lies on the device. Says the share of an epoch between the end of a step and the beginning of the next (`waiting` of
diagnostics.jsonl; on a GPU at most what its stages leave of the epoch), and clips a second of both. Exits with 1
where more than 5 % is waiting. On a CPU the seconds are the processor's, since others may be using it too. Writes
results/training_speed_DEVICE.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from earmark import audio
from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.data.manifest import Manifest
from earmark.models.frontend_config import FrontendConfig
from earmark.models.tagging_net import TaggingNet, build
from earmark.run import FoldFolder, write_json
from earmark.training.fit import fit, hardware, lightning_precision
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

RESULTS = Path(__file__).parent / "results"
RATE, SECONDS, N_CLASSES = 32_000, 5, 10
FRAMING = Framing(RATE, SECONDS * RATE, SECONDS * RATE // 2, "repeat")
MOST_WAITING = 0.05
ON_GPU = hardware() == "gpu"
clock = time.perf_counter if ON_GPU else time.process_time


def noise_files(folder: Path, n_clips: int) -> Manifest:
    """Clips of noise, their classes in turn."""
    generator = np.random.default_rng(0)
    names = [f"{number}.wav" for number in range(n_clips)]
    for name in names:
        audio.write(folder / name, 0.1 * generator.standard_normal(SECONDS * RATE).astype(np.float32), RATE)
    return Manifest.build(folder, names, [(f"class {number % N_CLASSES}",) for number in range(n_clips)])


def fresh(model: str) -> TaggingNet:
    torch.manual_seed(0)
    return build(model, FrontendConfig(), N_CLASSES, {})


def loop(model: str, manifest: Manifest, cache: Cache, folder: Path, epochs: int) -> tuple[float, float]:
    """Seconds that an epoch takes after the first, and the share of it that is waiting."""
    taken = []
    for n_epochs in (1, 1 + epochs):
        where = FoldFolder(folder / f"{model}_{n_epochs}")
        optim = OptimConfig(epochs=n_epochs)
        started = clock()
        fit(fresh(model), manifest, None, where, framing=FRAMING, cache=cache, optim=optim, augment=AugmentConfig())
        taken.append(clock() - started)
    rows = [row["seconds"] for row in where.read_diagnostics()[2:]]
    waited = sum(row["waiting"] for row in rows) / sum(row["epoch"] for row in rows)
    return (taken[1] - taken[0]) / epochs, waited


def bare(model: str, n_steps: int) -> float:
    """Seconds of some steps on one batch of random waveforms."""
    device, optim = ("cuda" if ON_GPU else "cpu"), OptimConfig()
    net = fresh(model).train().to(device)
    net.backbone.to(memory_format=torch.channels_last)
    optimiser = optim.optimiser_of([{"params": list(net.parameters()), "lr": 1e-4, "weight_decay": optim.weight_decay}])
    loss = optim.objective(multi_label=False)
    waveform = torch.randn(optim.batch_size, FRAMING.window_samples, device=device) / 10
    targets = torch.eye(N_CLASSES, device=device)[torch.arange(optim.batch_size) % N_CLASSES]
    half = lightning_precision("auto", hardware()).startswith("bf16")
    for step in range(2 + n_steps):
        if step == 2:
            if ON_GPU:
                torch.cuda.synchronize()
            started = clock()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            with torch.autocast(device, enabled=False):
                spectrogram = net.frontend(waveform).contiguous(memory_format=torch.channels_last)
            answers = net.answers(spectrogram, waveform)
        lost = sum(loss(each.float(), targets, torch.ones_like(targets)) * share for each, share in answers)
        optimiser.zero_grad()
        lost.backward()
        optimiser.step()
    if ON_GPU:
        torch.cuda.synchronize()
    return clock() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["se_cnn", "tiny_cnn"])
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    if not ON_GPU:
        torch.set_num_threads(1)
    batch = OptimConfig.batch_size
    n_steps = given.clips // batch
    rows = []
    with TemporaryDirectory() as work:
        manifest = noise_files(Path(work), given.clips)
        cache = Cache(Path(work) / "cache")
        cache.prepare(manifest.files, RATE)
        for model in given.models:
            before = bare(model, n_steps)
            epoch, waited = loop(model, manifest, cache, Path(work), given.epochs)
            step = (before + bare(model, n_steps)) / 2 / n_steps
            rows.append(
                {
                    "model": model,
                    "waiting": round(waited, 4),
                    "loop_clips_per_second": round(n_steps * batch / epoch, 1),
                    "bare_clips_per_second": round(batch / step, 1),
                    "loop_over_bare": round(step * n_steps / epoch, 3),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    name = torch.cuda.get_device_name() if ON_GPU else f"{platform.machine()} CPU, one thread, processor seconds"
    facts = {"command": shlex.join(sys.argv), "device": name, "torch": torch.__version__, "batch": batch}
    write_json(RESULTS / f"training_speed_{hardware()}.json", {**facts, "clips": given.clips, "rows": rows})
    if any(row["waiting"] > MOST_WAITING for row in rows):
        sys.exit(f"more than {MOST_WAITING:.0%} of an epoch is waiting for data")


if __name__ == "__main__":
    main()
