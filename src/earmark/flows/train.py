"""The story of `earmark train`: read, check, split, baseline, network, honest scores, one tagger file, a report."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.baselines import BASELINE, BASELINES, PLAIN_HEAD
from earmark.errors import FetchError, NotHereError
from earmark.evaluation.scorecard import Scorecard, make_scorecard
from earmark.flows.agreement import find_agreement
from earmark.flows.backbones import find_backbone, head_of, patched
from earmark.flows.calibration import Calibrated, OutOfFold, calibrated
from earmark.flows.classifier_folds import ClassifierFolds, ClipFeatures, fit_folds
from earmark.flows.cross_validate import NetworkFolds, cross_validate
from earmark.flows.experiment import Experiment, claim, learnt_clips
from earmark.flows.finishing import finish_run
from earmark.flows.prepare import prepare, write_failures, write_leaks
from earmark.flows.run_config import DataConfig, RunConfig
from earmark.flows.workers import train_folds
from earmark.predictions import Predictions
from earmark.report.card import card_text
from earmark.report.report import write_report
from earmark.run import REFIT, Run, write_json, write_text
from earmark.tagger.metadata import TaggerMetadata

log = logging.getLogger("earmark")

FROM_SCRATCH = "FROM SCRATCH, as --or-from-scratch says"


@dataclass(frozen=True)
class Trained:
    """What a training run made: its folder, the model it ships, the scores, and how many files were unreadable."""

    run: Run
    model: str
    scorecard: Scorecard
    n_failures: int


def train(
    data: Path | str,
    out: Path | str | None = None,
    *,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    segment: str | None = None,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    allow_leak: bool = False,
    corrections: Sequence[Path | str] = (),
    or_from_scratch: bool = False,
    diagnose: bool = False,
    progress: bool = True,
) -> Trained:
    """From labelled sounds to an honest score and one tagger file. The same call again goes on after a kill.

    Args:
        data: a table of files and labels, or a folder with a folder per class. Clips of a test split are set aside.
        out: the run's folder; default runs/NAME.
        audio_dir, encoding, folder_tricks, merge: how the data is read, see `read_manifest`.
        fraction: share of the data to use, in whole groups of every class: a quick try.
        segment: "activity" cuts recordings into their sounding stretches.
        recipe: YAML of the settings that differ from the defaults.
        settings: "section.key=value" each, over the recipe.
        allow_leak: go on although pieces of one recording are on both sides; every score is marked.
        corrections: files of decisions on labels (`earmark review`), applied to the rows, never to their source.
        or_from_scratch: train the default network where a published one to stand on cannot be had, and say so.
        diagnose: try the network first, on the first fold's training clips (docs/diagnostics.md).

    Raises:
        EarmarkError: the data or the settings are at fault, or the diagnosis says that training would be in vain;
            nothing has been trained yet.
    """
    data = Path(data)
    run = Run(Path(out) if out else default_folder(data))
    how = {"encoding": encoding, "folder_tricks": folder_tricks, "merge": merge, "fraction": fraction}
    how |= {"segment": segment, "allow_leak": allow_leak, "corrections": corrections}
    given = DataConfig.at(data, audio_dir, **how)
    recipe = Path(recipe) if recipe else None
    remarks: list[str] = []
    try:
        prepared = prepare(given, recipe, settings, run, progress)
    except (FetchError, NotHereError) as error:
        if not or_from_scratch:
            raise
        remarks = [f"{FROM_SCRATCH}, for the network to stand on cannot be had: {error}"]
        log.warning("%s", remarks[0])
        prepared = prepare(given, recipe, [*settings, "backbone.on=", f"model={RunConfig.model}"], run, progress)
    fresh = not run.config.exists()
    claim(run, prepared.config, prepared.manifest)
    write_failures(run, prepared.failures)
    write_leaks(run, prepared.leaks)
    experiment = Experiment(run, prepared.config, prepared.manifest, prepared.cache, progress)
    if prepared.config.data.subset == "agreeing":
        find_agreement(experiment)
    if diagnose:
        from earmark.flows.diagnose import diagnose as diagnose_network

        diagnose_network(experiment)
    started = time.perf_counter()
    scorecard = train_models(experiment, [*remarks, *prepared.remarks])
    if prepared.share < 1 and fresh:
        minutes = (time.perf_counter() - started) / 60
        most = minutes / prepared.share  # as if everything grew with the data, also what does not
        log.info("%.1f min for %.2g of the data: all of it takes at most about %.2g min", minutes, prepared.share, most)
    return Trained(run, prepared.config.model_name, scorecard, len(prepared.failures))


def default_folder(data: Path) -> Path:
    """runs/NAME, for a folder its whole name, for a table the name without its suffix."""
    path = data.resolve()
    return Path("runs") / (path.name if path.is_dir() else path.stem)


def train_models(experiment: Experiment, remarks: Sequence[str]) -> Scorecard:
    """Baseline and model on the same folds, their scores, and the tagger for use."""
    run, config, manifest = experiment.run, experiment.config, experiment.manifest
    models = models_of(experiment)
    fit_folds(experiment, [folds for folds in models.values() if isinstance(folds, ClassifierFolds)])
    if any(isinstance(folds, NetworkFolds) for folds in models.values()):
        train_networks(experiment)
    windows = {name: cross_validate(experiment, name, folds) for name, folds in models.items()}
    # The model first, wherever they are shown.
    clips = {
        name: pooled(experiment, windows[name]) for name in sorted(windows, key=lambda name: name != config.model_name)
    }
    for name, predictions in clips.items():
        predictions.save(run.predictions(name))
    main = config.model_name
    out_of_fold = OutOfFold.of(manifest, windows[main], config.window.pool, manifest.multi_label)
    found = calibrated(out_of_fold, config.calibration, config.thresholds, model=main)
    scored = out_of_fold.manifest
    scorecard = make_scorecard(
        scored.present(),
        {name: predictions.scores for name, predictions in clips.items()},
        labels=scored.vocabulary.labels,
        groups=scored.groups,
        folds=scored.folds,
        multi_label=scored.multi_label,
        weights=scored.label_weights(),
        remarks=[*remarks, *found.sentences],
    )
    scorecard.save(run.scorecard)
    ship(experiment, models[main], windows[main], found, scorecard)
    write_text(run.card, card_text(run))
    write_report(run.folder)
    return scorecard


def models_of(experiment: Experiment) -> dict[str, ClassifierFolds | NetworkFolds]:
    """What is trained, in order: the baseline, the frozen head that fine-tuning has to beat, the model itself."""
    config = experiment.config
    baseline, summaries = PLAIN_HEAD if config.backbone.on else BASELINE, ClipFeatures(experiment)
    found = [ClassifierFolds(summaries, baseline)] if config.baseline or config.model_name == baseline else []
    if head := config.backbone.on and head_of(config):
        found.append(ClassifierFolds(ClipFeatures(experiment, find_backbone(patched(config.backbone, head))), head))
    elif config.model in BASELINES and config.model != BASELINE:
        found.append(ClassifierFolds(summaries, config.model))
    models: dict[str, ClassifierFolds | NetworkFolds] = {folds.name: folds for folds in found}
    if config.model_name not in models:
        models[config.model_name] = NetworkFolds(experiment)
    return models


def train_networks(experiment: Experiment) -> None:
    """The folds' networks, and the one for use unless the folds are it; its number of epochs may wait for the folds."""
    folds, config = experiment.manifest.fold_numbers, experiment.config
    refit = [REFIT] if config.ship == "refit" else []
    if config.validation_fraction:
        train_folds(experiment, folds)
        train_folds(experiment, refit)
    else:
        train_folds(experiment, [*folds, *refit])


def pooled(experiment: Experiment, windows: Predictions) -> Predictions:
    """Out-of-fold window scores to the scores of the clips that count, in the manifest's order."""
    manifest = experiment.manifest
    return windows.to_clips(experiment.config.window.pool).align(manifest.clip_ids[manifest.scored])


def ship(
    experiment: Experiment,
    folds: ClassifierFolds | NetworkFolds,
    windows: Predictions,
    found: Calibrated,
    scorecard: Scorecard,
) -> None:
    """Make the tagger for use, unless a run before a kill has, and finish it with calibration and thresholds."""
    run, config = experiment.run, experiment.config
    folder = run.fold(REFIT, config.model_name)
    if not folder.result.exists():
        metadata = shipped_metadata(experiment, windows, scorecard)
        if config.ship == "ensemble" and isinstance(folds, NetworkFolds):
            folds.export_ensemble(folder, metadata)
        else:
            folds.export_refit(folder, metadata)
        write_json(folder.result, {"ship": config.ship, "n_clips": len(experiment.manifest)})
    finish_run(run, folder.tagger, found)


def shipped_metadata(experiment: Experiment, windows: Predictions, scorecard: Scorecard) -> TaggerMetadata:
    """The facts of the tagger for use: its scores are the recipe's, out of fold, not of these very weights."""
    manifest, model = experiment.manifest, experiment.config.model_name
    primary = scorecard.primary_metric
    found = scorecard.models[model].metrics[primary]
    lengths = windows.to_clips("max")
    return experiment.metadata(
        experiment.run.name,
        learnt_clips(manifest, experiment.config),
        clip_seconds_max=float(np.max(lengths.ends - lengths.starts)),
        scores={
            "of": "cross-validation of this recipe, not of these weights",
            "model": model,
            "metric": primary,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n_clips": scorecard.n_clips,
            **({"leaks": "said in the card; the value is too good"} if scorecard.has_leaks else {}),
        },
    )
