"""What the steps of a training run share: where it stands, on what, with which settings."""

from __future__ import annotations

import csv
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.cache import Cache
from earmark.baselines import BASELINES
from earmark.config import change, read_yaml, to_yaml
from earmark.data.clip_audio import ClipAudio
from earmark.data.leakage import hash_contents
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.data.seen import sketch
from earmark.errors import RunError
from earmark.flows.run_config import RunConfig
from earmark.run import REFIT, Run, write_text
from earmark.tagger.metadata import TaggerMetadata
from earmark.windows import Framing

PACKAGES = ("earmark", "torch", "lightning", "numpy", "scikit-learn", "onnx", "onnxruntime", "soundfile", "soxr")
CHECKED_CLIPS = 16  # real clips that an exported file and its model must agree on


@dataclass(frozen=True)
class Experiment:
    """One training run, everything decided.

    manifest: clips whose files could be read; those without a fold are in every training side.
    progress: draw progress bars.
    """

    run: Run
    config: RunConfig
    manifest: Manifest
    cache: Cache
    progress: bool = True

    @property
    def framing(self) -> Framing:
        return self.config.framing

    def training_clips(self, fold: int | str) -> np.ndarray:
        """Positions of the clips that are trained on while a fold is held out, or REFIT for the tagger for use."""
        manifest = self.manifest
        heard = np.ones(len(manifest), dtype=bool) if fold == REFIT else manifest.folds != fold
        if self.config.data.subset == "agreeing":
            noisy = manifest.column("subset") == "noisy"
            heard &= ~noisy | np.isin(manifest.clip_ids, list(read_agreeing(self.run)[str(fold)]))
        return np.flatnonzero(heard)

    def audio(self, manifest: Manifest) -> ClipAudio:
        """The clips' sound at this run's rate."""
        return ClipAudio(manifest, self.cache, self.framing.sample_rate)

    def sample_windows(self) -> np.ndarray:
        """First windows of a few clips spread over the set, (n, window_samples) float32."""
        audio = self.audio(self.manifest)
        chosen = np.unique(np.linspace(0, len(audio) - 1, CHECKED_CLIPS).astype(int))
        return np.stack([self.framing.cut(audio[clip])[0] for clip in chosen])

    def metadata(
        self,
        name: str,
        trained_on: Manifest,
        *,
        clip_seconds_max: float | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> TaggerMetadata:
        """The facts that ride in a tagger file fitted on the clips of `trained_on`."""
        hashes = hash_contents(trained_on, hash_file=self.cache.content_hash)
        return TaggerMetadata(
            name=name,
            labels=self.manifest.vocabulary.labels,
            sample_rate=self.framing.sample_rate,
            window_seconds=self.config.window.seconds,
            hop_seconds=self.config.window.hop_seconds,
            multi_label=self.manifest.multi_label,
            padding=self.config.window.padding,
            pool=self.config.window.pool,
            views=self.config.window.views,
            view_seconds=self.config.window.view_seconds,
            # A softmax always has a best class; until thresholds are fitted it is named.
            thresholds={} if self.manifest.multi_label else no_thresholds(self.manifest),
            clip_seconds_max=clip_seconds_max,
            trained_on={
                "content_hash": trained_on.content_hash(hashes),
                "n_clips": len(trained_on),
                "data": Path(self.config.data.path).name,
                "run": self.run.name,
                "clips": sketch(trained_on, hashes),
            },
            scores=scores or {},
            versions=package_versions(),
            licences=("of the training data: see its own terms",),
        )


def learnt_clips(manifest: Manifest, config: RunConfig) -> Manifest:
    """The clips that the tagger for use has learnt from: of an ensemble of the folds those that some fold trains on,
    which are all but for a single fold."""
    folds = manifest.fold_numbers
    if config.ship == "ensemble" and config.model not in BASELINES and len(folds) == 1:
        return manifest.select(manifest.folds != folds[0])
    return manifest


def read_agreeing(run: Run) -> dict[str, set[str]]:
    """Noisy clips that are trained on, by the fold that is held out (or REFIT), as `flows.agreement` has found them."""
    with open(run.agreement, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, set[str]] = {row["fold"]: set() for row in rows}
    for row in rows:
        if row["kept"] == "1":
            found[row["fold"]].add(row["clip_id"])
    return found


def no_thresholds(manifest: Manifest) -> dict[str, tuple[float, ...]]:
    """Thresholds that every score clears."""
    zeros = (0.0,) * len(manifest.vocabulary)
    return {"window": zeros, "clip": zeros}


def claim(run: Run, config: RunConfig, manifest: Manifest) -> None:
    """Write a new run's settings and rows, or make sure that an existing folder holds the very same ones.

    Raises:
        RunError: the folder belongs to other settings or other rows, or holds something that is no run.
    """
    settings = to_yaml(config)
    before_a_run = {path.name for path in (run.failures, run.rate_curve, run.rate_plot)}
    if run.config.exists():
        # Read, not compared as text: settings that the version which began it did not have are at their defaults.
        there = to_yaml(change(RunConfig(), read_yaml(run.config), str(run.config)))
        if there != settings:
            raise RunError(
                f"{run.folder}: holds a run with other settings ({_first_difference(there, settings)}). "
                "Choose another --out, or delete the folder."
            )
        if run.manifest.exists() and read_manifest(run.manifest) != manifest:
            raise RunError(
                f"{run.folder}: holds a run on other rows (the data has changed since). "
                "Choose another --out, or delete the folder."
            )
    elif run.folder.exists() and any(
        not entry.name.startswith(".") and entry.name not in before_a_run for entry in run.folder.iterdir()
    ):
        raise RunError(f"{run.folder}: is not empty and holds no run. Choose another --out.")
    else:
        write_text(run.config, settings)  # first: a folder with settings is a run, however early it is killed
    if not run.manifest.exists():
        manifest.write(run.manifest)
    environment = environment_text(config.seed)
    before = run.environment.read_text(encoding="utf-8") if run.environment.exists() else ""
    if not before.endswith(environment):  # a run that goes on elsewhere, or with other versions, says so
        write_text(run.environment, before + ("\n" if before else "") + environment)


def _first_difference(there: str, settings: str) -> str:
    """The first line that differs, as "key: there, now other"."""
    before, now = there.splitlines(), settings.splitlines()
    for old, new in zip(before, now, strict=False):
        if old != new:
            return f"{old.strip()}; now {new.strip()}"
    return f"{len(before)} lines; now {len(now)}"


def package_versions() -> dict[str, str]:
    """Installed versions of what makes the numbers."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def environment_text(seed: int) -> str:
    """Versions, machine, commit, command and seed, a line each."""
    lines = [f"python {platform.python_version()}", f"platform {platform.platform()}"]
    lines += [f"{name} {number}" for name, number in package_versions().items()]
    lines += [f"git {_commit()}", f"command {shlex.join(sys.argv)}", f"seed {seed}"]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    """The commit of the folder the command was given in, if it is under git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "none"
