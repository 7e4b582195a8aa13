"""Folds trained side by side, each in a process of its own that knows nothing but the run's folder.

One thread a process: threads that share one small network wait for one another, and on a machine that does anything
else they wait forty times as long (docs/decisions/0004). A process hears through its closed stdin that the one that
started it is gone, and stops, so that a killed run leaves nothing behind that still writes.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from earmark.audio.cache import Cache
from earmark.config import change, read_yaml
from earmark.data.readers import read_manifest
from earmark.durations import duration
from earmark.errors import ConfigError, EarmarkError, RunError, own_words
from earmark.flows.cross_validate import NetworkFolds, cross_validate_fold
from earmark.flows.experiment import Experiment
from earmark.flows.progress import bar
from earmark.flows.run_config import RunConfig
from earmark.run import REFIT, FoldFolder, Run
from earmark.tagger.tag_files import default_threads
from earmark.training.diagnostics.alarms import when

log = logging.getLogger("earmark")

POLL_SECONDS = 0.3
SPUN_SECONDS = 0.2  # of one core: some of the scheduler's turns, hardly noticed by who waits
REFUSED = "refused: "  # what follows in a log is for the user, and may have several lines
BUSY = 1.3  # times as long as alone: worth a word
FOLD_FACTS = ("fold", "n_clips", "seconds")


@dataclass
class Worker:
    """A started process that trains its folds one after another, and what it prints."""

    process: subprocess.Popen
    log: Path


def train_folds(experiment: Experiment, folds: Sequence[int | str]) -> None:
    """Train, export and score the folds that are not done yet, one per core at a time; `refit` is trained only.

    Raises:
        ConfigError: there are fewer GPUs than one network shall have.
        EarmarkError: a fold's process says what is at fault.
        RunError: a fold's process broke; its log says where.
    """
    model = experiment.config.model
    open_folds: list[int | str] = []
    for fold in folds:
        folder = experiment.run.fold(fold, model)
        if not (folder.trained if fold == REFIT else folder.result).exists():
            open_folds.append(fold)
    if not open_folds:
        return
    jobs = jobs_at_once(len(open_folds), experiment.config.devices)
    n_folds = len(open_folds) - (REFIT in open_folds)
    and_refit = " and one network on all clips" if REFIT in open_folds else ""
    log.info("%s: training %d folds%s, %d at a time", model, n_folds, and_refit, jobs)
    found = forecast(experiment, open_folds)
    in_all = duration(found.total / jobs)
    log.info("%s: about %.1f s an epoch on one idle core, %s in all", model, found.epoch, in_all)
    if found.slowed > BUSY:
        in_all = duration(found.slowed * found.total / jobs)
        log.info("%s: this machine is busy: %s if it stays so", model, in_all)
    workers: list[Worker] = []
    try:
        for number in range(jobs):
            workers.append(_start(experiment, open_folds[number::jobs], number))
        _wait(experiment, open_folds, workers)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(number) for number in range(torch.cuda.device_count())]


@dataclass(frozen=True)
class Forecast:
    """Seconds that training takes on one idle core: an epoch of a fold, and all that is not done yet.

    slowed: how many times as long it takes with what else the machine does now, 1 or more.
    """

    epoch: float
    total: float
    slowed: float = 1.0


def forecast(experiment: Experiment, folds: Sequence[int | str]) -> Forecast:
    """About how long some folds' networks (or REFIT) will train, from a few steps that are timed now."""
    step = NetworkFolds(experiment).seconds_a_step()
    steps = [steps_of(experiment, fold) for fold in folds]
    slowed = 1.0 if visible_gpus() else slowdown()  # a GPU's steps are timed on the wall
    return Forecast(step * steps[-1][0], step * sum(left for _, left in steps), slowed)


def slowdown() -> float:
    """How many times as long a core's work takes as on an idle machine, with what else runs now; 1 or more."""
    began, worked = time.perf_counter(), time.process_time()
    while time.process_time() - worked < SPUN_SECONDS:
        pass
    return max(1.0, (time.perf_counter() - began) / SPUN_SECONDS)


def steps_of(experiment: Experiment, fold: int | str) -> tuple[int, int]:
    """Steps of training in an epoch of a fold, and those that are left of all its epochs."""
    config = experiment.config
    epoch = max(1, len(experiment.training_clips(fold)) // config.optim.batch_size)
    done = len(experiment.run.fold(fold, config.model).read_history())
    return epoch, max(0, config.optim.epochs - done) * epoch


def jobs_at_once(n_folds: int, devices: int = 1) -> int:
    """Networks that are trained side by side, on so many GPUs each, or without any on so many cores.

    Raises:
        ConfigError: there are fewer GPUs than one network shall have.
    """
    n_gpus = len(visible_gpus())
    if 0 < n_gpus < devices:
        raise ConfigError(f"devices: {devices} shall train one network, and {n_gpus} GPUs can be used. Lower it.")
    return min(n_folds, max(1, (n_gpus or default_threads()) // devices))


def _start(experiment: Experiment, folds: Sequence[int | str], number: int) -> Worker:
    """Start a process on some folds."""
    # The number of threads changes the last digits of sums, so it may not depend on how many folds are left.
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    search = os.pathsep.join(filter(None, sys.path))
    # The safe path: a file of the user's folder that is called like a module is none of ours.
    ours = {"OMP_NUM_THREADS": threads, "PYTHONPATH": search, "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}
    if gpus := visible_gpus():
        devices = experiment.config.devices
        ours["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[number * devices :][:devices])
    environment = os.environ | ours
    path = experiment.run.logs / f"{experiment.config.model}_{number}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "earmark.flows.workers", str(experiment.run.folder), *map(str, folds)]
    with open(path, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    return Worker(process, path)


def _wait(experiment: Experiment, folds: Sequence[int | str], workers: Sequence[Worker]) -> None:
    """Show how far the folds are until all processes have ended well."""
    model = experiment.config.model
    folders = [experiment.run.fold(fold, model) for fold in folds]
    said: set[FoldFolder] = set()
    alarms: set[str] = set()
    heard: dict[FoldFolder, int] = {}
    with bar(model, len(folders) * experiment.config.optim.epochs, "epochs", experiment.progress) as update:
        running = True
        while running:
            running = any(worker.process.poll() is None for worker in workers)
            _require_success(workers)
            update(sum(len(folder.read_history()) for folder in folders))
            _say_alarms(folders, model, alarms, heard)
            _say_finished(folders, model, said)
            time.sleep(POLL_SECONDS if running else 0)


def _say_alarms(folders: Sequence[FoldFolder], model: str, said: set[str], heard: dict[FoldFolder, int]) -> None:
    """Each alarm once, from whatever fold it comes; `heard` is how long their files were the last time."""
    for folder in folders:
        size = folder.diagnostics.stat().st_size if folder.diagnostics.exists() else 0
        if size == heard.get(folder, 0):
            continue
        heard[folder] = size
        for row in folder.read_diagnostics():
            for alarm in row["alarms"]:
                if alarm["name"] not in said:
                    said.add(alarm["name"])
                    log.warning("%s, %s: %s", model, when(row["epoch"]), alarm["text"])


def _say_finished(folders: Sequence[FoldFolder], model: str, said: set[FoldFolder]) -> None:
    """A line for each fold that has finished since the last time."""
    for folder in folders:
        if folder not in said and folder.result.exists():
            said.add(folder)
            facts = json.loads(folder.result.read_text(encoding="utf-8"))
            log.info("%s, fold %s: %d clips scored, %.0f s", model, *(facts[name] for name in FOLD_FACTS))


def _require_success(workers: Sequence[Worker]) -> None:
    """Stop all as soon as one has failed."""
    for worker in workers:
        code = worker.process.poll()
        if not code:
            continue
        text = worker.log.read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1:]
        if code == 2:
            raise RunError(text.rpartition(REFUSED)[2])
        if code == 130:
            raise KeyboardInterrupt
        raise RunError(
            f"{worker.log}: training broke off with exit code {code} ({''.join(last)}). The same command goes on from "
            "the last finished epoch; if it breaks again, the log says where."
        )


def main(folder: str, folds: Sequence[str]) -> int:
    """A worker's life: train its folds in turn. Returns the exit code."""
    threading.Thread(target=_stop_when_orphaned, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        experiment = load_experiment(Run(Path(folder)))
        network = NetworkFolds(experiment)
        for fold in folds:
            if fold == REFIT:
                network.train_refit()
            else:
                cross_validate_fold(experiment, experiment.config.model, int(fold), network)
    except EarmarkError as error:
        print(f"{REFUSED}{own_words(str(error))}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def load_experiment(run: Run) -> Experiment:
    """What a run's folder says: its settings and rows."""
    config = change(RunConfig(), read_yaml(run.config), str(run.config))
    return Experiment(run, config, read_manifest(run.manifest), Cache(), progress=False)


def _stop_when_orphaned() -> None:
    """The parent holds the other end of stdin; it closes when the parent ends, however it ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
