"""What the numbers of the branches steps and length would add if they were of the whole clip, as in the FSD system, and
not of the window, as in a tagger.

    .venv/bin/python benchmarks/whole_clip.py ../shared/data/esc50/esc50.csv --window 2
    .venv/bin/python benchmarks/whole_clip.py ../shared/data/instruments/manifest.csv --window 5

A stand-in that takes minutes on a processor: a random forest on what a window sounds like (mean, deviation and maximum
of each mel band), beside it the length and the 12 numbers of the steps (their mean, deviation, least and most over the
steps): of nothing, of the window, of the whole clip. Training hears random windows of each clip, scoring all of them;
the score of a clip is their mean. Clips shorter than a window are padded with silence, so that the window tells their
length.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from earmark.audio.cache import Cache
from earmark.data import read_manifest
from earmark.data.clip_audio import ClipAudio
from earmark.data.manifest import Manifest
from earmark.data.splits.methods import stratified
from earmark.evaluation import evaluate, paired_difference
from earmark.models.branches import LengthBranch
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.models.steps import step_statistics
from earmark.run import write_json
from earmark.windows import Framing, samples

RESULTS = Path(__file__).parent / "results"
RATE = 16000
HEARING = LogMel(FrontendConfig(RATE, 512, 160, 64)).eval()
LENGTH = LengthBranch(RATE)
N_TRAINING = 2  # windows of each clip
N_TREES = 200
BESIDE = ("nothing", "the window", "the whole clip")


@torch.no_grad()
def sounds_like(windows: torch.Tensor) -> np.ndarray:
    """Windows (windows, samples) to (windows, 3 · mels)."""
    bands = HEARING(windows)[:, 0]
    return torch.cat([bands.mean(dim=2), bands.std(dim=2), bands.amax(dim=2)], dim=1).numpy()


@torch.no_grad()
def branch_numbers(waveforms: torch.Tensor) -> np.ndarray:
    """Waveforms (batch, samples) to what the branches begin with, (batch, 4 · 12 + 1)."""
    steps = step_statistics(waveforms)
    summed = [steps.mean(dim=1), steps.std(dim=1), steps.amin(dim=1), steps.amax(dim=1)]
    return torch.cat([*summed, LENGTH(waveforms)], dim=1).numpy()


def examples_of(waveform: np.ndarray, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Features of a clip's windows, with each of what may stand beside."""
    heard = torch.from_numpy(np.ascontiguousarray(windows))
    sound, whole = sounds_like(heard), branch_numbers(torch.from_numpy(np.array(waveform, np.float32))[None])
    return {
        "nothing": sound,
        "the window": np.hstack([sound, branch_numbers(heard)]),
        "the whole clip": np.hstack([sound, whole.repeat(len(sound), axis=0)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a table with one label a clip; without folds, five are drawn")
    parser.add_argument("--window", type=float, required=True, help="seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest = read_manifest(options.data)
    folds = np.asarray(manifest.folds)
    if len(set(folds.tolist())) < 2:
        folds = stratified(manifest, (0.2,) * 5, 0)
    window = samples(options.window, RATE)
    framing = Framing(RATE, window, window // 2, "zeros")
    audio, generator = ClipAudio(manifest, Cache(), RATE), np.random.default_rng(0)
    training, scoring, lengths = [], [], []
    for number in range(len(audio)):
        waveform = audio[number]
        starts = generator.integers(0, max(0, len(waveform) - window) + 1, N_TRAINING)
        drawn = np.concatenate([framing.cut(waveform[start : start + window])[:1] for start in starts])
        training.append(examples_of(waveform, drawn))
        scoring.append(examples_of(waveform, framing.cut(waveform)))
        lengths.append(len(waveform) / RATE)
    targets = manifest.targets().argmax(axis=1)
    scores = {beside: np.zeros((len(manifest), len(manifest.vocabulary))) for beside in BESIDE}
    for fold in sorted(set(folds.tolist())):
        rest, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for beside in BESIDE:
            forest = RandomForestClassifier(N_TREES, random_state=0)
            forest.fit(np.concatenate([training[row][beside] for row in rest]), targets[rest].repeat(N_TRAINING))
            for row in held_out:
                scores[beside][row, forest.classes_] = forest.predict_proba(scoring[row][beside]).mean(axis=0)
        print(f"fold {fold} is scored", flush=True)
    report(manifest, scores, np.array(lengths), options)


def report(manifest: Manifest, scores: dict[str, np.ndarray], lengths: np.ndarray, options: argparse.Namespace) -> None:
    """Print the scores and their differences, paired over groups, and keep them."""
    name = options.data.parent.name
    document = {
        "command": f"benchmarks/whole_clip.py {name}/{options.data.name} --window {options.window:g}",
        "machine": platform.machine(),
        "n_clips": len(manifest),
        "share_longer_than_the_window": round(float((lengths > options.window).mean()), 3),
        "rows": {},
        "differences": {},
    }
    targets = manifest.targets()
    for beside, found in scores.items():
        card = evaluate(
            targets, found, labels=manifest.vocabulary.labels, multi_label=False, groups=manifest.groups
        ).metrics
        document["rows"][beside] = {metric: card[metric].to_dict() for metric in ("accuracy", "lwlrap")}
        print(f"{beside}: {card['accuracy'].text}, lwlrap {card['lwlrap'].text}")
    for a, b in ((BESIDE[1], BESIDE[0]), (BESIDE[2], BESIDE[1])):
        for metric in ("accuracy", "lwlrap"):
            found = paired_difference(targets, scores[a], scores[b], metric=metric, groups=manifest.groups)
            document["differences"][f"{a} − {b}, {metric}"] = found.to_dict()
            print(f"{a} − {b}, {metric}: {found.text}")
    write_json(RESULTS / f"whole_clip_{name}.json", document)


if __name__ == "__main__":
    main()
