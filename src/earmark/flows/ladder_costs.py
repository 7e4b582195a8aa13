"""What a rung costs: measured once it is climbed, estimated beforehand from one fold of a part of the data."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from earmark import audio
from earmark.baselines.ladder import Cost
from earmark.data.manifest import Manifest
from earmark.flows.ladder_rungs import Candidate, Stage
from earmark.flows.workers import jobs_at_once
from earmark.run import write_json
from earmark.tagger.speed import Speed, measure_speed
from earmark.tagger.tag_files import default_threads
from earmark.tagger.tagger import load_tagger

TRIAL_CLIPS = 200  # at most half of all, and of every class at least two recordings
TRIAL_EPOCHS = 2  # of a network: the second one's time is what an epoch takes
# Ten times what a slow core takes: a network that would fit into the budget even so is not tried.
MOST_SECONDS_PER_SECOND = 0.1  # of training, for a second of window in an epoch
MOST_SECONDS_BESIDES = 120.0  # of a fold's process: its start, export and scoring


def measured_cost(stage: Stage, candidate: Candidate) -> Cost:
    """What a climbed rung has cost and costs; measured once, then read."""
    keep = stage.cost_file(candidate)
    if keep.exists():
        return Cost(**json.loads(keep.read_text(encoding="utf-8")))
    path = stage.folder_of(candidate, stage.folds[0]).tagger
    speed = measure_speed(load_tagger(path, threads=1), stage.manifest.clips())
    results = stage.results(candidate)
    fit_seconds = statistics.median(result["fit_seconds"] for result in results)
    scored = sum(result["n_clips"] for result in results) / len(results)  # in a fold
    features = feature_seconds(stage.manifest, speed) if candidate.head else 0.0
    cost = Cost(
        training_seconds=fit_seconds + features * (1 - scored / len(stage.manifest)),
        total_seconds=features + sum(result["seconds"] for result in results) / n_jobs(candidate, len(results)),
        realtime=speed.realtime,
        realtime_from_files=speed.realtime_from_files,
        megabytes=path.stat().st_size / 1e6,
    )
    write_json(keep, asdict(cost))
    return cost


def feature_seconds(manifest: Manifest, speed: Speed) -> float:
    """About what all cores take to hear all clips once, decoding included."""
    return sum(clip_seconds(manifest)) / (speed.realtime_from_files * default_threads())


def clip_seconds(manifest: Manifest) -> list[float]:
    """The length of each clip."""
    lengths: dict[Path, float] = {}
    found = []
    for clip in manifest.clips():
        end = clip.end
        if end is None:
            if clip.path not in lengths:
                lengths[clip.path] = audio.probe(clip.path).seconds
            end = lengths[clip.path]
        found.append(end - clip.start)
    return found


def n_jobs(candidate: Candidate, n_folds: int) -> int:
    """Folds of a rung that are made at once: networks have a process for each core or GPU, classifiers use all in
    turn."""
    return 1 if candidate.head else jobs_at_once(n_folds)


def most_seconds(candidate: Candidate, manifest: Manifest) -> float:
    """What all folds of a network surely do not exceed, without a trial."""
    n_folds, config = len(manifest.fold_numbers), candidate.config
    epoch = MOST_SECONDS_PER_SECOND * config.window.seconds * len(manifest)
    rounds = math.ceil(n_folds / n_jobs(candidate, n_folds))
    return rounds * (config.optim.epochs * epoch + MOST_SECONDS_BESIDES)


def is_own_trial(candidate: Candidate, manifest: Manifest) -> bool:
    """Whether a rung's own first fold, which is kept, serves as its trial: a classifier's, of few clips."""
    return bool(candidate.head) and len(manifest) <= 2 * TRIAL_CLIPS


def for_trial(candidate: Candidate) -> Candidate:
    """The rung with few epochs, and none of its few clips kept back to choose one by."""
    config = candidate.config
    return replace(
        candidate,
        config=replace(config, optim=replace(config.optim, epochs=TRIAL_EPOCHS), validation_fraction=0.0),
    )


@dataclass(frozen=True)
class Estimate:
    """What a rung would take, in seconds: its features, which those of one `place` share, and all its folds."""

    place: str
    features: float
    folds: float

    @property
    def seconds(self) -> float:
        return self.features + self.folds


def estimate(trial: Stage, candidate: Candidate, manifest: Manifest) -> Estimate:
    """What all folds of a rung would take on `manifest`, after the trial's first fold.

    Fitting, epochs and scoring grow with the clips; what a network's process needs besides does not. Where the trial is
    the rung itself, its features are there already.
    """
    result = trial.results(candidate)[0]
    folder = trial.folder_of(candidate, trial.folds[0])
    growth = len(manifest) / len(trial.manifest)
    n_folds = len(manifest.fold_numbers)
    if trial.manifest is manifest:
        return Estimate(candidate.place, 0.0, n_folds * result["seconds"])
    speed = measure_speed(load_tagger(folder.tagger, threads=1), trial.manifest.clips())
    if candidate.head:
        return Estimate(candidate.place, feature_seconds(manifest, speed), n_folds * growth * result["seconds"])
    epochs = [row["seconds"] for row in folder.read_history()]
    training = candidate.config.optim.epochs * epochs[-1] * growth
    scoring = sum(clip_seconds(manifest)) / n_folds / speed.realtime_from_files
    besides = max(0.0, result["seconds"] - sum(epochs))
    rounds = math.ceil(n_folds / n_jobs(candidate, n_folds))
    return Estimate(candidate.place, 0.0, rounds * (training + scoring + besides))


def joined_cost(costs: Sequence[Cost], sample_rates: Sequence[int]) -> Cost:
    """What several taggers cost that are all asked about every sound, decoded once for each sample rate."""
    decoding: dict[int, float] = {}  # seconds for a second of sound
    for cost, rate in zip(costs, sample_rates, strict=True):
        decoding[rate] = max(decoding.get(rate, 0.0), 1 / cost.realtime_from_files - 1 / cost.realtime)
    computing = sum(1 / cost.realtime for cost in costs)
    return Cost(
        training_seconds=sum(cost.training_seconds for cost in costs),
        total_seconds=sum(cost.total_seconds for cost in costs),
        realtime=1 / computing,
        realtime_from_files=1 / (computing + sum(decoding.values())),
        megabytes=sum(cost.megabytes for cost in costs),
    )


def within(estimates: Mapping[str, Estimate], seconds: float) -> tuple[set[str], float]:
    """Which rungs fit into a time, the quickest first, features counted once for all that share them; what is left.

    >>> within({"a": Estimate("", 5, 2), "b": Estimate("b", 0, 60)}, 10)
    ({'a'}, 3)
    """
    chosen, begun = set(), set()
    for name, each in sorted(estimates.items(), key=lambda item: item[1].folds):
        needed = each.folds + (0 if each.place in begun else each.features)
        if needed <= seconds:
            seconds -= needed
            chosen.add(name)
            begun.add(each.place)
    return chosen, seconds
