"""Run folders as training leaves them, from computed sound and drawn scores: no model is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from earmark import audio
from earmark.data.manifest import Manifest
from earmark.evaluation import make_scorecard
from earmark.predictions import Predictions
from earmark.run import Run, write_text
from earmark.tagger.metadata import METADATA_KEY, TaggerMetadata

SAMPLE_RATE = 16_000
LABELS = ("dog bark", "rain", '<b>bold</b> & "quoted"', "نباح", "鸟 🐦", "engine")


def tones(label: int, take: int, seconds: float = 0.6) -> np.ndarray:
    """A sound that differs with class and take, (samples,) float32."""
    generator = np.random.default_rng([label, take])
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waveform = sum(np.sin(2 * np.pi * 220 * (label + 1) * k * time) / k for k in range(1, 4))
    return (0.2 * waveform + 0.02 * generator.normal(size=len(time))).astype(np.float32)


def drawn_scores(targets: np.ndarray, skill: float, multi_label: bool, seed: int) -> np.ndarray:
    """Scores (clips, classes) of a model that is right the more often the higher its skill."""
    logits = np.random.default_rng(seed).normal(size=targets.shape) + skill * targets
    if multi_label:
        return (1 / (1 + np.exp(2 - 2 * logits))).astype(np.float32)
    powers = np.exp(2 * logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def labels() -> tuple[str, ...]:
    """What the clips of `make_run` are given."""
    return LABELS


@pytest.fixture
def sound_of() -> Callable[..., np.ndarray]:
    """`sound_of(label number, take)`: the waveform in that file."""
    return tones


@pytest.fixture
def write_tagger() -> Callable[..., None]:
    """`write_tagger(path, metadata, matrix=zeros)`: the smallest graph that is a tagger, one matrix and a sigmoid."""

    def write(path: Path, metadata: TaggerMetadata, matrix: np.ndarray | None = None) -> None:
        n_samples, n_classes = metadata.window_samples, len(metadata.labels)
        matrix = np.zeros((n_samples, n_classes)) if matrix is None else matrix
        batch = {name: [None, size] for name, size in (("waveform", n_samples), ("scores", n_classes))}
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["waveform", "matrix"], ["embedding"]),
                helper.make_node("Sigmoid", ["embedding"], ["scores"]),
            ],
            "tagger",
            [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, batch["waveform"])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, batch["scores"])
                for name in ("scores", "embedding")
            ],
            [numpy_helper.from_array(matrix.astype(np.float32), "matrix")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)

    return write


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(multi_label=False, labels=LABELS, n_per_class=8, models=…) -> run folder`."""

    def make(
        *,
        multi_label: bool = False,
        labels: tuple[str, ...] = LABELS,
        n_per_class: int = 8,
        models: tuple[str, ...] = ("forest", "se_cnn"),
        folder: Path = tmp_path / "demo",
    ) -> Path:
        paths, given, groups = [], [], []
        for number in range(len(labels)):
            for take in range(n_per_class):
                path = folder.parent / "sounds" / f"{number}-{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                audio.write(path, tones(number, take), SAMPLE_RATE)
                paths.append(str(path))
                also = (labels[(number + take) % len(labels)],) if multi_label and take % 2 else ()
                given.append(tuple(dict.fromkeys((labels[number], *also))))
                groups.append(f"source {number}-{take // 2}")
        names = sorted(set(groups))
        folds = [names.index(group) % 4 for group in groups]
        manifest = Manifest.build(folder.parent, paths, given, folds=folds, groups=groups)
        write_run(Run(folder), manifest, multi_label, models)
        return folder

    return make


def write_run(run: Run, manifest: Manifest, multi_label: bool, models: tuple[str, ...]) -> None:
    """The files that the report reads."""
    targets = manifest.targets()
    scores = {}
    for number, model in enumerate(models):
        scores[model] = drawn_scores(targets, 1.8 if model == "forest" else 2.8, multi_label, number)
        Predictions(
            manifest.clip_ids,
            np.zeros(len(manifest)),
            np.full(len(manifest), 0.6),
            scores[model],
            manifest.vocabulary.labels,
        ).save(run.predictions(model))
    make_scorecard(
        targets,
        scores,
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        multi_label=multi_label,
        folds=manifest.folds,
        n_resamples=100,
        remarks=["Four folds, drawn."],
    ).save(run.scorecard)
    manifest.write(run.manifest)
    write_text(
        run.config, "data:\n  path: sounds\n  allow_leak: false\nmodel: se_cnn\nship: refit\nseed: 0\n"
    )
    write_text(run.environment, "python 3.11\ncommand /usr/bin/earmark train sounds --out 'demo <1>'\n")
    for fold in range(4):
        rows = [
            {
                "epoch": epoch,
                "train_loss": 1.5 * np.exp(-epoch / 4) + 0.02 * fold,
                "validation_loss": None if epoch == 1 else 1.6 * np.exp(-epoch / 5) + 0.05 * fold,
                "validation_score": 1 - 0.6 * np.exp(-epoch / 3) - 0.02 * fold,
                "learning_rate": 0.001,
                "seconds": 1.0,
            }
            for epoch in range(10)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_text(run.fold(fold, "se_cnn").history, text)
