"""Front ends under tiny_cnn on the first fold of ESC-10: clips named rightly, per front end and seed.

    .venv/bin/python benchmarks/frontend_esc10.py --data ../shared/data/esc10 [--epochs 15] [--seeds 2]

80 clips and few seeds: a first look. A score to be believed comes from `earmark train` on all folds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.data import read_manifest
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.models.frontend_config import FrontendConfig
from earmark.models.tagging_net import TaggingNet, build
from earmark.run import FoldFolder
from earmark.training.fit import fit
from earmark.training.optim_config import OptimConfig
from earmark.windows import Framing

RATE = 16000
LOGMEL = FrontendConfig(RATE, 512, 160, 64)
FRONTENDS = {
    "log-mel": LOGMEL,
    "PCEN": replace(LOGMEL, compression="pcen"),
    "relative to the window": replace(LOGMEL, reference="window", top_db=80.0),
}
FRAMING = Framing(RATE, 5 * RATE, 5 * RATE // 2, "repeat")


@torch.no_grad()
def named_rightly(net: TaggingNet, held_out: Manifest, cache: Cache) -> int:
    audio = ClipAudio(held_out, cache, RATE)
    answers = [int(net(torch.from_numpy(FRAMING.cut(audio[i]))).mean(dim=0).argmax()) for i in range(len(audio))]
    return int((held_out.targets().argmax(axis=1) == answers).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare front ends on one fold of ESC-10.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest = read_manifest(options.data / "esc50.csv", audio_dir=options.data / "audio")
    first = np.asarray(manifest.column("fold")).astype(int) == 1
    training, held_out = manifest.select(np.flatnonzero(~first)), manifest.select(np.flatnonzero(first))
    optim, cache = OptimConfig(epochs=options.epochs), Cache()
    for seed in range(options.seeds):
        for name, config in FRONTENDS.items():
            torch.manual_seed(seed)
            net = build("tiny_cnn", config, len(manifest.vocabulary))
            how = {"framing": FRAMING, "cache": cache, "optim": optim, "augment": AugmentConfig(), "seed": seed}
            with TemporaryDirectory() as folder:
                net = fit(net, training, None, FoldFolder(Path(folder)), precision="float32", **how).net
            print(f"{name}, seed {seed}: {named_rightly(net, held_out, cache)} of {len(held_out)}", flush=True)


if __name__ == "__main__":
    main()
