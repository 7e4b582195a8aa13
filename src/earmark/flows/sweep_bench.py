"""Where the trials of a sweep are run: each a training run of its own, and none begun that does not fit the time."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import statistics
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from earmark.baselines import BASELINES
from earmark.baselines.ladder import Cost
from earmark.data.readers import read_manifest
from earmark.durations import duration
from earmark.errors import AudioError, ConfigError, FetchError, ManifestError, RunError, TaggerFileError
from earmark.flows.experiment import Experiment
from earmark.flows.ladder_costs import feature_seconds
from earmark.flows.prepare import Prepared
from earmark.flows.run_config import RunConfig
from earmark.flows.settings import decide
from earmark.flows.sweep_trials import Planned
from earmark.flows.train import train
from earmark.flows.workers import forecast, jobs_at_once, slowdown
from earmark.predictions import Predictions
from earmark.run import FoldFolder, Run, to_json, write_json, write_text
from earmark.tagger.speed import measure_speed
from earmark.tagger.tagger import load_tagger

log = logging.getLogger("earmark")

# What breaks a run but not the sweep: what is refused, and what torch and its like raise.
BREAKS = (
    *(AudioError, ConfigError, FetchError, ManifestError, RunError, TaggerFileError),
    *(ArithmeticError, MemoryError, RuntimeError, ValueError),
)
# What a run takes as long as none was measured, in seconds of an idle core: of a network's training steps so many times
# their own (augmentation comes to them); in each round of folds a process's start, export and scores; and besides, in
# every run, calibration, the tagger for use and the report.
MORE_THAN_STEPS = 1.3
A_ROUND = 12.0
BESIDES = 20.0
OTHER_FOLDS = "Its folds are others than the sweep's, so that it cannot be compared: copies are found at another rate."


class Bench:
    """Runs trials in folders of their own below a sweep's, and reads those that are done.

    Args:
        folder: of the sweep.
        prepared: the clips in folds, which every run has to find again.
        how: the arguments of `train` that all runs share, "data" among them.
        until: when the last run has to be done, in seconds of `time.monotonic`; None = whenever.
        reading: seconds that preparing took, which every run does again.
    """

    def __init__(self, folder: Path, prepared: Prepared, how: Mapping[str, Any], until: float | None, reading: float):
        self.folder = folder
        self.prepared = prepared
        self.how = how
        self.until = until
        self.reading = reading
        self.broken: dict[str, str] = {}  # trial → reason
        self.left_out: dict[str, list[int]] = {}  # trial → seeds that did not fit
        self.expected: dict[str, float] = {}  # trial → seconds a run
        self._measured: dict[str, list[float]] = {}  # trial → seconds of its runs
        self._of_kind: dict[tuple[str, str], list[float]] = {}  # (model, backbone) → seconds of runs
        self._shares: dict[tuple[str, str], list[float]] = {}  # (model, backbone) → measured over forecast
        self._forecasts: dict[str, float] = {}
        self._hearing: dict[str, float] = {}  # backbone → seconds that all cores take to hear all clips

    def config(self, planned: Planned) -> RunConfig:
        """A trial's settings with everything decided.

        Raises:
            EarmarkError: they contradict each other, or what they stand on is not here.
        """
        given = self.prepared.config.data
        return decide(self.prepared.defaults, given, None, assignments(planned.settings), self.prepared.longest_seconds)

    def recipe(self, planned: Planned) -> Path:
        """The file of a trial's settings, which `earmark train --recipe` takes too; written unless it is there.

        Raises:
            RunError: the folder holds other settings under this name.
        """
        path = self._place(planned.name) / "recipe.yaml"
        text = yaml.safe_dump(dict(planned.settings), sort_keys=False, allow_unicode=True)
        if not path.exists():
            write_text(path, text)
        elif path.read_text(encoding="utf-8") != text:
            raise RunError(f"{path}: holds other settings than {planned.name} has now. Choose another --out.")
        return path

    def run(self, planned: Planned, seed: int) -> Run:
        """The training run of a trial and seed."""
        return Run(self._place(planned.name) / f"seed_{seed}")

    def is_done(self, planned: Planned, seed: int) -> bool:
        """Whether a run has been made to its end."""
        return self._done(planned, seed).exists()

    def seconds(self, planned: Planned, seed: int) -> float:
        """What a finished run took; nan where a kill came between."""
        found = json.loads(self._done(planned, seed).read_text(encoding="utf-8"))["seconds"]
        return math.nan if found is None else found

    def attempt(self, planned: Planned, seed: int, at_once: int = 1) -> bool:
        """Run a trial with a seed, unless it is done or broken or would not be done in time.

        Args:
            at_once: how many of its runs have to fit.

        Returns:
            Whether the run is done now.
        """
        if planned.name in self.broken:
            return False
        if self.is_done(planned, seed):
            self._note(planned, seed)
            return True
        try:
            needed = at_once * self.expect(planned)
            if self.until is not None and time.monotonic() + needed >= self.until:
                self.left_out.setdefault(planned.name, []).append(seed)
                return False
            about = f", about {duration(needed / at_once)}" if needed else ""
            log.info("%s, seed %d%s", planned.name, seed, about)
            self._train(planned, seed)
        except BREAKS as error:
            self._break(planned, error)
            return False
        self._note(planned, seed)
        return True

    def expect(self, planned: Planned) -> float:
        """About how long a run of a trial takes, in seconds.

        What its other seeds took; else reading, and of a network the forecast, times what runs of the same model, or
        any network, were longer than theirs; of a classifier what runs of the same one took, or its own first forecast.
        """
        kind = kind_of(planned)
        if found := self._measured.get(planned.name):
            seconds = max(found)
        elif kind[0] in BASELINES:
            seconds = max(self._of_kind.get(kind, ()), default=0.0) or self.reading + self._first_of(kind[1])
        else:
            shares = self._shares.get(kind) or [each for found in self._shares.values() for each in found]
            seconds = self.reading + self.forecast(planned) * (statistics.median(shares) if shares else 1.0)
        self.expected[planned.name] = seconds
        return seconds

    def forecast(self, planned: Planned) -> float:
        """Seconds of a network's run but for reading, from a few steps that are timed and with what else the machine
        does meanwhile."""
        if planned.name not in self._forecasts:
            config = self.config(planned)
            experiment = Experiment(
                Run(self._place(planned.name) / "unbegun"), config, self.prepared.manifest, self.prepared.cache
            )
            folds: list[int | str] = list(self.prepared.manifest.fold_numbers)
            found, jobs = forecast(experiment, folds), jobs_at_once(len(folds))
            alone = BESIDES + A_ROUND * math.ceil(len(folds) / jobs) + MORE_THAN_STEPS * found.total / jobs
            self._forecasts[planned.name] = found.slowed * alone
        return self._forecasts[planned.name]

    def _first_of(self, on: str) -> float:
        """About what the first run of a classifier takes but for reading: on a backbone that no run stood on yet, all
        clips are heard. (What summary features and fitting take nobody knows before.)"""
        heard = not on or any(kind[1] == on for kind in self._of_kind)
        if heard or self.until is None:
            return slowdown() * BESIDES
        if on not in self._hearing:
            clips = self.prepared.manifest
            self._hearing[on] = feature_seconds(clips, measure_speed(load_tagger(on, threads=1), clips.clips()))
        return slowdown() * (BESIDES + self._hearing[on])

    def scores(self, planned: Planned, seed: int) -> np.ndarray:
        """Out-of-fold scores (clips, classes) of a finished run, of the clips that count."""
        manifest = self.prepared.manifest
        path = self.run(planned, seed).predictions(self._model(planned, seed))
        return Predictions.load(path).align(manifest.clip_ids[manifest.scored]).scores

    def cost(self, planned: Planned, seeds: Sequence[int]) -> Cost:
        """What the tagger of a trial's fold costs, measured once; total_seconds: the mean of its runs."""
        keep = self._place(planned.name) / "cost.json"
        known = [each for each in (self.seconds(planned, seed) for seed in seeds) if not math.isnan(each)]
        total = statistics.mean(known) if known else math.nan
        if keep.exists():
            return Cost(**{**json.loads(keep.read_text(encoding="utf-8")), "total_seconds": total})
        run, model = self.run(planned, seeds[0]), self._model(planned, seeds[0])
        folders = [run.fold(fold, model) for fold in self.prepared.manifest.fold_numbers]
        speed = measure_speed(load_tagger(folders[0].tagger, threads=1), self.prepared.manifest.clips())
        cost = Cost(
            training_seconds=statistics.median(map(_fit_seconds, folders)),
            total_seconds=total,
            realtime=speed.realtime,
            realtime_from_files=speed.realtime_from_files,
            megabytes=folders[0].tagger.stat().st_size / 1e6,
        )
        write_json(keep, asdict(cost))
        return cost

    def _train(self, planned: Planned, seed: int) -> None:
        """One run, from its beginning or from where a kill left it."""
        run = self.run(planned, seed)
        fresh = not run.config.exists()
        started = time.monotonic()
        settings = [f"seed={seed}"]
        spared = {"ship": "ensemble", "baseline": "false"}  # a tagger for use, and what another trial may be
        settings += [f"{key}={value}" for key, value in spared.items() if key not in planned.settings]
        trained = train(out=run.folder, recipe=self.recipe(planned), settings=settings, **self.how)
        seconds = round(time.monotonic() - started, 1)
        ours, theirs = self.prepared.manifest, read_manifest(run.manifest)
        if theirs.clip_ids.tolist() != ours.clip_ids.tolist() or theirs.folds.tolist() != ours.folds.tolist():
            raise ManifestError(OTHER_FOLDS)
        write_json(self._done(planned, seed), {"model": trained.model, "seconds": seconds if fresh else None})

    def _note(self, planned: Planned, seed: int) -> None:
        """Learn from a finished run how long the next ones take."""
        seconds = self.seconds(planned, seed)
        if math.isnan(seconds):
            return
        kind = kind_of(planned)
        self._measured.setdefault(planned.name, []).append(seconds)
        self._of_kind.setdefault(kind, []).append(seconds)
        if self.until is not None and kind[0] not in BASELINES:
            share = max(0.0, seconds - self.reading) / self.forecast(planned)
            self._shares.setdefault(kind, []).append(share)

    def _break(self, planned: Planned, error: BaseException) -> None:
        """Keep why a trial broke; the sweep goes on."""
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        self.broken[planned.name] = reason
        write_text(self._place(planned.name) / "error.txt", "".join(traceback.format_exception(error)))
        log.warning("%s broke: %s", planned.name, reason)

    def _place(self, name: str) -> Path:
        return self.folder / "trials" / folder_name(name)

    def _done(self, planned: Planned, seed: int) -> Path:
        return self._place(planned.name) / f"seed_{seed}.json"

    def _model(self, planned: Planned, seed: int) -> str:
        return json.loads(self._done(planned, seed).read_text(encoding="utf-8"))["model"]


def kind_of(planned: Planned) -> tuple[str, str]:
    """The model of a trial, and what it stands on: what runs have in common that take about as long."""
    return planned.settings["model"], planned.settings["backbone"]["on"]


def assignments(settings: Mapping[str, Any], above: str = "") -> list[str]:
    """Nested settings as those of `--set`.

    >>> assignments({"optim": {"epochs": "3"}, "branches": ["course"], "head": ""})
    ['optim.epochs="3"', 'branches=["course"]', 'head=""']
    """
    found = []
    for key, value in settings.items():
        name = f"{above}{key}"
        found += assignments(value, f"{name}.") if isinstance(value, Mapping) else [f"{name}={to_json(value)}"]
    return found


def folder_name(name: str) -> str:
    """A trial's name as that of a folder, of any system; names that would become alike stay apart.

    >>> folder_name("frontend.n_mels=64"), folder_name("without weight decay")
    ('frontend.n_mels=64', 'without_weight_decay-e2dae6')
    """
    plain = re.sub(r"[^\w.=+-]+", "_", name)[:80]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _fit_seconds(folder: FoldFolder) -> float:
    """What training a fold took: its epochs, or of a classifier all of it but the features."""
    history = folder.read_history()
    if history:
        return sum(row["seconds"] for row in history)
    return json.loads(folder.result.read_text(encoding="utf-8"))["seconds"]
