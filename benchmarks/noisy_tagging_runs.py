"""The trainings of `noisy_tagging.py`: each stage a run's folder, made once, two at a time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection
from pathlib import Path

import torch
from noisy_tagging_rows import Stage

from earmark.audio.cache import Cache
from earmark.augment.pipeline import AugmentConfig
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.flows.agreement import find_agreement
from earmark.flows.cross_validate import NetworkFolds, cross_validate
from earmark.flows.experiment import Experiment, claim
from earmark.flows.prepare import prepare
from earmark.flows.run_config import FINETUNED, FINETUNING, DataConfig, RunConfig, defaults_for, resolve
from earmark.flows.sides import take_subset
from earmark.run import Run


def prepared(work: Path) -> Manifest:
    """All clips, decoded, held against leaks and in their one fold, as `earmark train` begins; read if it is done."""
    run = Run(work / "clips")
    if not run.manifest.is_file():
        found = prepare(DataConfig.at(work / "data" / "labels.csv"), None, ["model=tiny_cnn"], run, False)
        found.manifest.write(run.manifest)
    return read_manifest(run.manifest)


def folder_of(work: Path, stage: Stage) -> Run:
    return Run(work / "stages" / stage.name)


def settings_of(work: Path, stage: Stage) -> list[str]:
    """What `earmark train` would be told. What goes on from another network keeps the settings of one from scratch."""
    if not stage.after:
        return list(stage.settings)
    on = folder_of(work, stage.after).folder.resolve()
    usual = [f"augment.{name}={getattr(AugmentConfig, name)}" for name in FINETUNING["augment"]]
    kept = [each for each in stage.settings if not each.startswith(("model=", "frontend."))]
    return [f"model={FINETUNED}", f"backbone.on={on}", "backbone.frozen_head=", "optim.layer_decay=1", *usual, *kept]


def config_of(work: Path, stage: Stage, seconds: float) -> RunConfig:
    """A stage's settings, resolved."""
    settings = [*settings_of(work, stage), f"data.subset={stage.subset}", "ship=ensemble"]
    if stage.judges:
        judges = ",".join(str(folder_of(work, each).folder.resolve()) for each in stage.judges)
        settings.append(f"data.agree_with={judges}")
    first = stage
    while first.after:
        first = first.after
    settings += [each for each in first.settings if each.startswith("frontend.")]  # which the network has learnt with
    return resolve(defaults_for([16_000], [seconds]), DataConfig.at(work / "data" / "labels.csv"), None, settings)


def train_stage(work: Path, stage: Stage, seconds: float) -> None:
    """Train and score a stage unless it is done: the network of an `earmark train`, without its baseline and report,
    which would take longer than the training."""
    run = folder_of(work, stage)
    if run.tagger.is_file():
        return
    torch.set_num_threads(1)
    logging.getLogger("earmark").setLevel(logging.ERROR)
    started = time.perf_counter()
    config = config_of(work, stage, seconds)
    manifest, _ = take_subset(prepared(work), stage.subset)
    experiment = Experiment(run, config, manifest, Cache(), progress=False)
    claim(run, config, manifest)
    if stage.judges:
        find_agreement(experiment)
    windows = cross_validate(experiment, config.model, NetworkFolds(experiment))
    windows.to_clips(config.window.pool).save(run.predictions(config.model))
    shutil.copyfile(run.fold(0, config.model).tagger, run.tagger)
    print(f"{stage.name}: {time.perf_counter() - started:.0f} s  {' '.join(stage.settings)}", flush=True)


def train_stages(
    work: Path, stages: Sequence[Stage], seconds: float, n_jobs: int, done: Callable[[], None]
) -> None:
    """Train stages, each as soon as those before it are done, `n_jobs` at a time; `done` is called after each."""
    waiting = [stage for stage in stages if not folder_of(work, stage).tagger.is_file()]
    running: dict[Future, Stage] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_jobs, mp_context=context, initializer=stop_when_orphaned) as pool:
        while waiting or running:
            for stage in list(waiting):
                ready = all(folder_of(work, each).tagger.is_file() for each in stage.before)
                if len(running) < n_jobs and ready:
                    running[pool.submit(train_stage, work, stage, seconds)] = stage
                    waiting.remove(stage)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                del running[future]
                future.result()
            done()


def stop_when_orphaned() -> None:
    """End this process with the one that started it, so that no two ever train the same stage."""

    def watch() -> None:
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
