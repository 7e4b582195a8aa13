"""The story of `earmark demo`: sounds made from physics, then everything one does with sounds of one's own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from earmark.data.check import check
from earmark.data.synthetic import make_dataset, make_recording
from earmark.flows.train import Trained, train
from earmark.tagger import Tag, load_tagger

log = logging.getLogger("earmark")

# Small enough for a few minutes on two cores: a recipe, kept where the installed package has it.
SETTINGS = (
    "model=tiny_cnn",
    "data.n_folds=4",
    "optim.epochs=50",
    "optim.learning_rate=4e-3",
    "frontend.hop_length=256",
    "augment.warp_time=0.1",
    "augment.equalise_db=3",
)


@dataclass(frozen=True)
class Demo:
    """What the demo made: the training run, a recording, and the tags found in it."""

    trained: Trained
    recording: Path
    tags: list[Tag]


def demo(folder: Path | str, *, seed: int = 0, progress: bool = True) -> Demo:
    """Make a labelled sound set, check it, train, score and report, and tag a new recording.

    Args:
        folder: gets sounds/, demo/ (the run) and recording.wav; given again, what is there is kept and finished.
    """
    folder = Path(folder)
    log.info("making sounds in %s", folder / "sounds")
    labels = make_dataset(folder / "sounds", seed=seed)
    found = check(labels)
    log.info("checked: %d clips, %d findings", found.summary["n_clips"], len(found.findings))
    trained = train(labels, folder / "demo", settings=[*SETTINGS, f"seed={seed}"], progress=progress)
    recording = folder / "recording.wav"
    make_recording(recording, seed=seed + 1)
    tagger = load_tagger(trained.run.tagger)
    tags = [tag for window in tagger.tags(tagger.score(recording)) for tag in window]
    return Demo(trained, recording, tags)
