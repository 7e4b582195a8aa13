"""The story of `earmark train --diagnose`: the network is tried before anybody waits for it."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earmark import audio
from earmark.baselines import BASELINES
from earmark.data.manifest import Manifest
from earmark.errors import ConfigError, EarmarkError
from earmark.flows.augment_preview import Clips
from earmark.flows.cross_validate import NetworkFolds
from earmark.flows.experiment import Experiment
from earmark.flows.run_config import FINETUNED
from earmark.flows.workers import jobs_at_once, steps_of
from earmark.report.augment_page import Changed, Original, write_augment_page
from earmark.run import REFIT, write_json
from earmark.training.dataset import TrainingBatches
from earmark.training.diagnostics.rehearsal import Heard, Rehearsal, hear, rehearse
from earmark.training.fit import assemble
from earmark.training.module import TaggingModule

log = logging.getLogger("earmark")

SHOWN_CLIPS = 8
DECODED_CLIPS = 3
PICTURED_DB = 75.0  # what a picture spans
PAGE_WORDS = "The first clips that training hears, as they were cut and as they go into the network."


def diagnose(experiment: Experiment) -> Rehearsal:
    """Rehearse the first fold's training on copies of its network; write diagnostics.json and batch.html, and say it.

    Raises:
        ConfigError: the model is no network.
        EarmarkError: training would surely be in vain.
    """
    config, run = experiment.config, experiment.run
    if config.model in BASELINES:
        raise ConfigError(f"model: {config.model} is not trained step by step. --diagnose is for networks.")
    fold = experiment.manifest.fold_numbers[0]
    training = experiment.manifest.select(experiment.training_clips(fold))
    log.info("%s: diagnosis on the first fold's %d training clips", config.model, len(training))
    with _one_thread():
        module, batches = _assembled(experiment, fold, training)
        seconds = {"decode": _seconds_to_decode(training, experiment.framing.sample_rate)}
        found = rehearse(module, batches, config.precision)
        _write_page(experiment, training, module, batches)
    seconds |= found.seconds
    minutes = _minutes(experiment, sum(found.seconds.values()))
    document = {
        "model": config.model,
        "fold": fold,
        "n_clips": len(training),
        "alarms": [alarm.to_dict() for alarm in found.alarms],
        "checks": found.checks,
        "seconds": seconds,
        "forecast_minutes": minutes,
        "page": run.batch_page.name,
    }
    write_json(run.diagnostics, document)
    for line in lines_of(document, config.optim.batch_size):
        log.info("%s", line)
    for alarm in found.alarms:
        log.warning("%s", alarm.text)
    if certain := [alarm.text for alarm in found.alarms if alarm.is_certain]:
        raise EarmarkError(
            f"{config.model}: training would be in vain. What was found: {run.diagnostics}\n" + "\n".join(certain)
        )
    return found


def _assembled(experiment: Experiment, fold: int, training: Manifest) -> tuple[TaggingModule, TrainingBatches]:
    config, networks = experiment.config, NetworkFolds(experiment)
    return assemble(
        networks.start(fold, training),
        training,
        None,
        framing=config.framing,
        cache=experiment.cache,
        optim=config.optim,
        augment=config.augment,
        seed=config.seed,
        fresh=config.model != FINETUNED,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many as those have that will train, so that times hold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _seconds_to_decode(training: Manifest, sample_rate: int) -> float:
    """Seconds to decode a clip, once, before it is in the cache."""
    clips = training.clips()[:DECODED_CLIPS]
    started = time.perf_counter()
    for clip in clips:
        audio.load(clip.path, sample_rate, clip.start, clip.end)
    return round((time.perf_counter() - started) / len(clips), 6)


def _minutes(experiment: Experiment, step: float) -> float:
    """Of all networks of the run at so many seconds a step."""
    folds = [*experiment.manifest.fold_numbers, *([REFIT] if experiment.config.ship == "refit" else [])]
    return round(step * sum(steps_of(experiment, fold)[1] for fold in folds) / jobs_at_once(len(folds)) / 60, 5)


def lines_of(document: dict[str, Any], batch_size: int) -> list[str]:
    """What was found, for a terminal."""
    checks, seconds = document["checks"], document["seconds"]
    lines = []
    if "loss" in checks:
        lines.append(f"loss before training {checks['loss']:.3g}, of the class frequencies {checks['prior_loss']:.3g}")
    if "mixing" in checks:
        lines.append(f"gradient on other clips of the batch {checks['mixing']:.2g} (expected 0)")
    two = checks.get("two_clips")
    if isinstance(two, dict):
        losses = two["losses"]
        lines.append(f"two clips: loss {losses[0]:.3g}, after {len(losses)} steps {losses[-1]:.2g}")
    elif two:
        lines.append(f"two clips: {two}")
    if "zeroed_input" in checks:
        zeroed = checks["zeroed_input"]
        lines.append(f"these two without their sound: loss {zeroed['silence']:.3g} instead of {zeroed['sound']:.2g}")
    stages = ", ".join(f"{stage.replace('_', ' ')} {1000 * value:.3g}" for stage, value in seconds.items())
    lines.append(f"milliseconds, of a clip for decode and of a step of {batch_size} clips for the others: {stages}")
    lines.append(f"about {document['forecast_minutes']:.1f} min of training in all; the batch: {document['page']}")
    lines.append(f"{len(document['alarms']) or 'no'} alarms")
    return lines


def _write_page(experiment: Experiment, training: Manifest, module: TaggingModule, batches: TrainingBatches) -> None:
    """The batch as it is before it goes into the network, to see and to hear."""
    batch = hear(copy.deepcopy(module), batches, SHOWN_CLIPS)
    clips = training.select(np.array(batch.clips))
    n_classes = len(training.vocabulary)
    said = Clips(clips, batch.waveform, batch.targets, batch.weights).said
    originals = [
        Original(path, labels, waveform)
        for path, labels, waveform in zip(
            clips.table["path"], said(*_of_classes(batch, n_classes, heard=False)), batch.waveform.numpy(), strict=True
        )
    ]
    labels = said(*_of_classes(batch, n_classes, heard=True))
    words = "Augmented as in the first epoch; the lower picture is what goes into the network."
    change = Changed("the batch", words, "", True, labels, batch.heard.numpy(), _pictures(batch.spectrogram))
    rate = experiment.framing.sample_rate
    title, kind = Path(experiment.config.data.path).stem, "batch"
    write_augment_page(experiment.run.batch_page, title, rate, originals, [change], kind=kind, verdict=PAGE_WORDS)


def _of_classes(batch: Heard, n_classes: int, *, heard: bool) -> Sequence[Tensor]:
    """Targets and weights without the column that says what is noisy."""
    both = (batch.heard_targets, batch.heard_weights) if heard else (batch.targets, batch.weights)
    return [each[:, :n_classes] for each in both]


def _pictures(spectrogram: Tensor) -> np.ndarray | None:
    """Spectrograms (clips, mels, frames) whose range a picture shows, whatever their unit; None of a waveform."""
    if spectrogram.shape[2] == 1:
        return None
    seen = spectrogram[:, 0].numpy()
    highest, lowest = seen.max(axis=(1, 2), keepdims=True), seen.min(axis=(1, 2), keepdims=True)
    return PICTURED_DB * (seen - highest) / np.maximum(highest - lowest, 1e-9)
