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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from earmark.audio.cache import Cache
from earmark.config import change, read_yaml
from earmark.data.readers import read_manifest
from earmark.errors import EarmarkError, RunError
from earmark.flows.cross_validate import NetworkFolds, cross_validate_fold
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import RunConfig
from earmark.run import FoldFolder, Run

log = logging.getLogger("earmark")

POLL_SECONDS = 0.3
REFIT = "refit"
FOLD_FACTS = ("fold", "n_clips", "seconds")


@dataclass
class Worker:
    """A started process and the folds it trains, one after another."""

    process: subprocess.Popen
    folds: Sequence[str]
    log: Path


def train_folds(experiment: Experiment, folds: Sequence[int | str], jobs: int | None = None) -> None:
    """Train, export and score the folds that are not done yet; `refit` is trained only.

    Args:
        jobs: processes at a time; None = one per core, on a GPU one.

    Raises:
        EarmarkError: a fold's process says what is at fault.
        RunError: a fold's process broke; its log says where.
    """
    model = experiment.config.model
    open_folds = []
    for fold in folds:
        folder = experiment.run.fold(fold, model)
        if not (folder.trained if fold == REFIT else folder.result).exists():
            open_folds.append(str(fold))
    if not open_folds:
        return
    cores = os.cpu_count() or 1
    jobs = min(len(open_folds), jobs or (1 if torch.cuda.is_available() else cores))
    log.info("%s: training %d folds, %d at a time", model, len(open_folds), jobs)
    shares = [open_folds[first::jobs] for first in range(jobs)]
    workers = [_start(experiment, share, max(1, cores // jobs)) for share in shares]
    try:
        _wait(experiment, open_folds, workers)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def _start(experiment: Experiment, folds: Sequence[str], threads: int) -> Worker:
    """Start a process on some folds."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    path = experiment.run.logs / f"{experiment.config.model}_fold_{'_'.join(folds)}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "earmark.flows.workers", str(experiment.run.folder), *folds]
    with open(path, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    return Worker(process, folds, path)


def _wait(experiment: Experiment, folds: Sequence[str], workers: Sequence[Worker]) -> None:
    """Show how far the folds are until all processes have ended well."""
    model = experiment.config.model
    folders = [experiment.run.fold(fold if fold == REFIT else int(fold), model) for fold in folds]
    with _progress(experiment, len(folders)) as update:
        while any(worker.process.poll() is None for worker in workers):
            _require_success(workers)
            update(folders)
            time.sleep(POLL_SECONDS)
        _require_success(workers)
        update(folders)


@contextmanager
def _progress(experiment: Experiment, n_folds: int) -> Iterator:
    """A bar on stderr, if that is a terminal: epochs done of all folds' epochs, and the time left."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} epochs"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (experiment.progress and sys.stderr.isatty()),
    )
    with bar:
        model = experiment.config.model
        task = bar.add_task(model, total=n_folds * experiment.config.optim.epochs)

        open_folders: set[FoldFolder] = set()

        def update(folders: Sequence[FoldFolder]) -> None:
            bar.update(task, completed=sum(len(folder.read_history()) for folder in folders))
            for folder in folders:
                if not folder.result.exists():
                    open_folders.add(folder)
                elif folder in open_folders:
                    open_folders.discard(folder)
                    facts = json.loads(folder.result.read_text(encoding="utf-8"))
                    log.info("%s, fold %s: %d clips scored, %.0f s", model, *(facts[k] for k in FOLD_FACTS))

        yield update


def _require_success(workers: Sequence[Worker]) -> None:
    """Stop all as soon as one has failed."""
    for worker in workers:
        code = worker.process.poll()
        if not code:
            continue
        last = worker.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        if code == 2:
            raise EarmarkError("".join(last))
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
        print(error)
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
