"""Computed sounds, and `train` made small: tiny networks, few trees, folds trained in this process."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark import audio
from earmark.export.graph import export_tagger
from earmark.flows import workers
from earmark.flows.train import Trained
from earmark.flows.train import train as train_fully
from earmark.models.frontend import FrontendConfig
from earmark.models.tagging_net import build
from earmark.tagger.metadata import TaggerMetadata

RATE = 8000
CLASSES = {"low": 300.0, "high": 2500.0, "noise": 0.0}
SETTINGS = (
    *("model=tiny_cnn", "model_options.width=8", "precision=float32"),
    *("data.n_folds=2", "optim.epochs=2", "optim.batch_size=4", "window.seconds=0.5", "frontend.n_mels=16"),
)


def sound(label: str, number: int, seconds: float = 0.8) -> np.ndarray:
    """A tone of its own pitch in noise, or noise alone, (samples,) float32."""
    generator = np.random.default_rng([number, *label.encode()])
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = CLASSES[label] * generator.uniform(0.9, 1.1)
    noise = 0.05 * generator.standard_normal(len(time))
    return (noise + 0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.fixture(scope="session")
def sound_of() -> Callable[..., np.ndarray]:
    """`sound_of(label, number, seconds=0.8)`: the waveform in that class's file of that number."""
    return sound


@pytest.fixture(scope="session")
def make_folders() -> Callable[..., Path]:
    """Make a folder per class, some sounds in each: `make_folders(folder, n_per_class=5)`."""

    def make(folder: Path, n_per_class: int = 5) -> Path:
        for label in CLASSES:
            (folder / label).mkdir(parents=True)
            for number in range(n_per_class):
                audio.write(folder / label / f"{number}.wav", sound(label, number), RATE)
        return folder

    return make


@pytest.fixture(scope="session")
def write_table() -> Callable[..., Path]:
    """Write a CSV: `write_table(path, header, rows)`."""

    def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@dataclass
class Ended:
    """What stands for a worker's process that has ended."""

    code: int

    def poll(self) -> int:
        return self.code

    def kill(self) -> None:
        """Nothing is left to kill."""

    def wait(self) -> None:
        """Nothing is left to wait for."""


def work_here(experiment, folds: Sequence[str], number: int) -> workers.Worker:
    """What a worker's process does, in this one."""
    path = experiment.run.logs / f"worker_{number}.txt"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        code = workers.main(str(experiment.run.folder), folds)
    return workers.Worker(Ended(code), path)


@pytest.fixture(scope="session")
def small(cache_folder) -> Callable[[], contextlib.AbstractContextManager]:
    """`with small():` few trees, folds trained in this process, a cache of our own."""

    @contextlib.contextmanager
    def patched() -> Iterator[None]:
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EARMARK_CACHE", str(cache_folder))
            patch.setattr("earmark.baselines.trees.N_TREES", 20)
            patch.setattr(workers, "_start", work_here)
            patch.setattr(workers, "_stop_when_orphaned", lambda: None)
            try:
                yield
            finally:
                torch.set_num_threads(threads)

    return patched


@pytest.fixture(scope="session")
def settings() -> tuple[str, ...]:
    """Of a training run that takes seconds."""
    return SETTINGS


@pytest.fixture(scope="session")
def train(small) -> Callable[..., Trained]:
    """`train(data, out, *settings, **options)`: the whole flow."""

    def run(data: Path, out: Path, *settings: str, **options) -> Trained:
        others = any(each.startswith("model=") for each in settings)  # which do not have the options of this one
        usual = [each for each in SETTINGS if not (others and each.startswith("model"))]
        with small():
            return train_fully(data, out, settings=[*usual, *settings], progress=False, **options)

    return run


@pytest.fixture(scope="session")
def folders(make_folders, tmp_path_factory) -> Path:
    """15 sounds in a folder per class."""
    return make_folders(tmp_path_factory.mktemp("data") / "sounds")


@pytest.fixture(scope="session")
def trained(train, folders, tmp_path_factory) -> Trained:
    """A finished run on them."""
    return train(folders, tmp_path_factory.mktemp("runs") / "tones")


@pytest.fixture(scope="session")
def write_ears() -> Callable[..., None]:
    """`write_ears(path)`: the tagger file of a network of 16 kHz that has learnt nothing."""

    def write(path: Path, clips: str = "") -> None:
        """`clips`: a sketch of what it says it was trained on."""
        torch.manual_seed(0)
        rate = 16_000
        net = build("tiny_cnn", FrontendConfig(sample_rate=rate, n_mels=16), 2, {"width": "8"}).eval()
        trained_on = {"clips": clips} if clips else {}
        metadata = TaggerMetadata("ears", ("a", "b"), rate, 0.4, 0.2, True, trained_on=trained_on)
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(0).standard_normal((2, metadata.window_samples))
        export_tagger([net], metadata, path, noise.astype(np.float32))

    return write
