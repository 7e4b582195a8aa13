"""Panels drawn from a seed, and folders that look like finished runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from earmark.data.manifest import Manifest
from earmark.ensemble.panel import Panel
from earmark.predictions import Predictions
from earmark.run import Run

VECTORS = Path(__file__).parents[2] / "docs" / "tagger-file"
LABELS = ("tone, low", "tone, high", "noise")
N_CLIPS = 12


def draw(
    skills=(1.0, 1.0, 1.0), n_clips: int = 200, n_windows: int = 2, n_classes: int = 4, seed: int = 0, **fields
) -> Panel:
    """Members of some skill whose errors are independent; one label a clip, five folds."""
    generator = np.random.default_rng(seed)
    targets = np.eye(n_classes, dtype=np.float32)[generator.permutation(n_clips) % n_classes]
    clip_of = np.repeat(np.arange(n_clips), n_windows)
    noise = generator.normal(size=(len(clip_of), len(skills), n_classes))
    logits = np.array(skills)[None, :, None] * targets[clip_of][:, None] + noise - 1
    given = {
        "names": tuple(f"m{number}" for number in range(len(skills))),
        "labels": tuple("abcdefgh"[:n_classes]),
        "multi_label": False,
        "scores": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "starts": np.tile(np.arange(n_windows), n_clips).astype(float),
        "ends": np.tile(np.arange(n_windows), n_clips) + 1.0,
        "clip_of": clip_of,
        "pool": "mean",
        "clip_ids": np.array([f"{number}.wav" for number in range(n_clips)], dtype=object),
        "groups": np.arange(n_clips),
        "folds": np.arange(n_clips) // n_classes % 5,
        "targets": targets,
        "weights": np.ones_like(targets),
    }
    return Panel(**{**given, **fields})


@pytest.fixture(scope="session")
def make_panel() -> Callable[..., Panel]:
    """`make_panel(skills, n_clips=200, n_windows=2, n_classes=4, seed=0, **fields)`."""
    return draw


def write_run(
    folder: Path,
    kind: str = "cnn",
    *,
    labels: list[tuple[str, ...]] | None = None,
    folds: list[int] | None = None,
    order: list[int] | None = None,
    shown: dict[int, list[int]] | None = None,
    multi_label: bool = True,
    n_clips: int = N_CLIPS,
    seed: int = 0,
) -> Path:
    """A folder like that of a finished run of a vector's tagger, its scores drawn, on one-second clips.

    Args:
        order: of the clips in its table. shown: fold → clips scored in it, if not those it holds out.
    """
    generator = np.random.default_rng([seed, *kind.encode()])
    order = order or list(range(n_clips))
    labels = labels or [(LABELS[number % 3],) for number in range(n_clips)]
    folds = folds or [number // 3 % 2 for number in range(n_clips)]
    names = [f"{number}.wav" for number in range(n_clips)]
    run = Run(folder)
    folder.mkdir(parents=True)
    manifest = Manifest.build(
        folder, [names[n] for n in order], [labels[n] for n in order], folds=[folds[n] for n in order],
        multi_label=multi_label,
    )  # fmt: skip
    manifest.write(run.manifest)
    run.config.touch()
    document = edited(VECTORS / f"{kind}.tagger.onnx", run.tagger, multi_label)
    hop = document["hop_seconds"]
    for fold in sorted(set(folds)):
        clips = (shown or {}).get(fold) or [number for number in order if folds[number] == fold]
        starts = np.arange(0, 1 - document["window_seconds"] + 1e-9, hop)
        rows = [(names[number], start) for number in clips for start in starts]
        scores = generator.random((len(rows), 3)).astype(np.float32)
        begin = np.array([start for _, start in rows])
        ids = np.array([name for name, _ in rows], dtype=object)
        ends = begin + document["window_seconds"]
        Predictions(ids, begin, ends, scores, LABELS, "window").save(run.fold(fold, kind).predictions)
    return folder


def edited(source: Path, path: Path, multi_label: bool) -> dict:
    """Copy a tagger with the facts that `train` writes; its metadata."""
    shutil.copy(source, path)
    model = onnx.load(path)
    document = json.loads(model.metadata_props[0].value)
    document |= {"scores": {"model": source.name.split(".")[0]}, "multi_label": multi_label}
    onnx.helper.set_model_props(model, {"earmark": json.dumps(document)})
    path.write_bytes(model.SerializeToString())
    return document


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`make_run(folder, kind="cnn", **differences)`."""
    return write_run
