"""The story of `earmark train`: read, check, split, baseline, network, honest scores, one tagger file, a report."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.audio.cache import Cache
from earmark.audio.decode import region_samples
from earmark.audio.probe import probe
from earmark.baselines import BASELINE
from earmark.data.leakage import find_leaks, hash_contents, refuse_leaks
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.data.splits import choose_folds, inner_split
from earmark.errors import AudioError, ManifestError, summarise_rows
from earmark.evaluation.scorecard import LEAK, Scorecard, make_scorecard
from earmark.evaluation.thresholds import best_f1_threshold
from earmark.flows.cross_validate import ForestFolds, NetworkFolds, cross_validate
from earmark.flows.experiment import Experiment, claim
from earmark.flows.progress import bar
from earmark.flows.run_config import DataConfig, RunConfig, defaults_for, resolve
from earmark.flows.workers import train_folds
from earmark.predictions import Predictions
from earmark.report.card import card_text
from earmark.report.report import write_report
from earmark.run import REFIT, Run, write_atomically, write_json, write_text
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tag_files import default_threads
from earmark.tagger.tagger import load_tagger

log = logging.getLogger("earmark")


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
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    allow_leak: bool = False,
    progress: bool = True,
) -> Trained:
    """From labelled sounds to an honest score and one tagger file. The same call again goes on after a kill.

    Args:
        data: a table of files and labels, or a folder with a folder per class.
        out: the run's folder; default runs/NAME.
        audio_dir: where the table's files are, if not beside it.
        recipe: YAML of the settings that differ from the defaults.
        settings: "section.key=value" each, over the recipe.
        allow_leak: go on although pieces of one recording are in several folds; every score is marked.

    Raises:
        EarmarkError: the data or the settings are at fault; nothing has been trained yet.
    """
    data, audio_dir = Path(data), Path(audio_dir) if audio_dir else None
    run = Run(Path(out) if out else default_folder(data))
    manifest = read_manifest(data, audio_dir=audio_dir)
    manifest, failures, defaults = survey(manifest)
    given = DataConfig(str(data.resolve()), str(audio_dir.resolve()) if audio_dir else None, allow_leak=allow_leak)
    config = resolve(defaults, given, Path(recipe) if recipe else None, settings)
    cache = Cache()
    manifest, more = decode(manifest, cache, config.frontend.sample_rate, progress)
    failures += more
    manifest, method, how = choose_folds(manifest, config.data.n_folds, seed=config.data.fold_seed)
    log.info("%d clips, %d classes; %s", len(manifest), len(manifest.vocabulary), how)
    hashes = hash_contents(manifest, default_threads(), cache.content_hash)
    config = replace(config, data=replace(config.data, content_hash=manifest.content_hash(hashes)))
    leaks = find_leaks(manifest, hashes)
    if method != "given" and not config.data.allow_leak:
        refuse_leaks(leaks)  # folds that come with the data are kept for comparison's sake, their leaks said
    for leak in leaks:
        log.warning("leak: %s", leak)
    require_inner_splits(config, manifest)
    claim(run, config, manifest)
    write_failures(run, failures)
    experiment = Experiment(run, config, manifest, cache, progress)
    scorecard = train_models(experiment, remarks=[how, *(f"{LEAK}{leak}." for leak in leaks)])
    return Trained(run, config.model, scorecard, len(failures))


def default_folder(data: Path) -> Path:
    """runs/NAME, for a folder its whole name, for a table the name without its suffix."""
    path = data.resolve()
    return Path("runs") / (path.name if path.is_dir() else path.stem)


def survey(manifest: Manifest) -> tuple[Manifest, list[tuple[str, str]], RunConfig]:
    """Read every file's header: the readable rows, (path, reason) of the others, and the defaults that follow."""
    rates, seconds, failures, readable = [], [], [], []
    headers: dict[Path, tuple[int, float] | None] = {}
    for row, clip in enumerate(manifest.clips()):
        if clip.path not in headers:
            try:
                info = probe(clip.path)
                headers[clip.path] = (info.sample_rate, info.seconds)
            except AudioError as error:
                headers[clip.path] = None
                failures.append((str(clip.path), str(error)))
        header = headers[clip.path]
        if header is None:
            continue
        rate, length = header
        try:
            first, stop = region_samples(clip.path, clip.start, clip.end, round(length * rate), rate)
        except AudioError as error:
            failures.append((clip.clip_id, str(error)))
            continue
        readable.append(row)
        rates.append(rate)
        seconds.append((stop - first) / rate)
    require_some(manifest, readable, failures)
    return manifest.keep(np.array(readable)), failures, defaults_for(rates, seconds)


def decode(
    manifest: Manifest, cache: Cache, sample_rate: int, progress: bool
) -> tuple[Manifest, list[tuple[str, str]]]:
    """Decode every file into the cache: the rows whose file is whole, and (path, reason) of the others."""
    log.info("decoding %d clips to %d Hz (cache: %s)", len(manifest), sample_rate, cache.folder)
    files = list(dict.fromkeys(manifest.files))
    with bar("decoding", len(files), "files", progress) as update:
        unread = cache.prepare(files, sample_rate, default_threads(), lambda done, _: update(done))
    failures = [(str(path), reason) for path, reason in unread]
    broken = {path for path, _ in failures}
    whole = [row for row, path in enumerate(manifest.files) if str(path) not in broken]
    require_some(manifest, whole, failures)
    return manifest.keep(np.array(whole)), failures


def require_some(manifest: Manifest, rows: Sequence[int], failures: Sequence[tuple[str, str]]) -> None:
    """Stop when hardly anything can be read, or nothing of some class."""
    reasons = summarise_rows([reason for _, reason in failures])
    if len(rows) < len(manifest) / 2:
        raise ManifestError(
            f"{len(failures)} files cannot be read, more than half of the clips. Repair them or leave them out.\n"
            f"{reasons}"
        )
    heard = {label for row in rows for label in manifest.table["labels"].iloc[row]}
    lost = [label for label in manifest.vocabulary if label not in heard]
    if lost:
        raise ManifestError(
            f"{manifest.root}: no clip with these labels can be read: {', '.join(lost)}. Repair them, or leave the "
            f"labels out.\n{reasons}"
        )


def require_inner_splits(config: RunConfig, manifest: Manifest) -> None:
    """Stop before anything is trained if some fold's training side has no clips to choose the epoch by."""
    for fold in np.unique(manifest.folds) if config.validation_fraction else ():
        inner_split(manifest.select(manifest.folds != fold), config.validation_fraction, seed=config.data.fold_seed)


def train_models(experiment: Experiment, remarks: Sequence[str]) -> Scorecard:
    """Baseline and network on the same folds, their scores, and the tagger for use."""
    run, config, manifest = experiment.run, experiment.config, experiment.manifest
    models = {BASELINE: ForestFolds(experiment)}
    windows = {BASELINE: cross_validate(experiment, BASELINE, models[BASELINE])}
    if config.model != BASELINE:
        models[config.model] = NetworkFolds(experiment)
        train_networks(experiment)
        windows[config.model] = cross_validate(experiment, config.model, models[config.model])
    clips = {name: pooled(experiment, scores) for name, scores in windows.items()}
    for name, predictions in clips.items():
        predictions.save(run.predictions(name))
    scorecard = make_scorecard(
        manifest.targets(),
        {name: predictions.scores for name, predictions in clips.items()},
        labels=manifest.vocabulary.labels,
        groups=manifest.groups,
        folds=manifest.folds,
        multi_label=manifest.multi_label,
        remarks=remarks,
    )
    scorecard.save(run.scorecard)
    ship(experiment, models[config.model], windows[config.model], clips[config.model], scorecard)
    write_text(run.card, card_text(run))
    write_report(run.folder)
    return scorecard


def train_networks(experiment: Experiment) -> None:
    """The folds' networks, and the one for use unless the folds are it; its number of epochs may wait for the folds."""
    folds, config = np.unique(experiment.manifest.folds).tolist(), experiment.config
    refit = [REFIT] if config.ship == "refit" else []
    if config.validation_fraction:
        train_folds(experiment, folds)
        train_folds(experiment, refit)
    else:
        train_folds(experiment, [*folds, *refit])


def pooled(experiment: Experiment, windows: Predictions) -> Predictions:
    """Out-of-fold window scores to clip scores, in the manifest's order."""
    return windows.to_clips(experiment.config.window.pool).align(experiment.manifest.clip_ids)


def ship(
    experiment: Experiment,
    folds: ForestFolds | NetworkFolds,
    windows: Predictions,
    clips: Predictions,
    scorecard: Scorecard,
) -> None:
    """Make the tagger for use, with thresholds from the out-of-fold scores, unless a run before a kill has made it."""
    run, config = experiment.run, experiment.config
    folder = run.fold(REFIT, config.model)
    if not folder.result.exists():
        metadata = shipped_metadata(experiment, windows, clips, scorecard)
        if config.ship == "ensemble" and isinstance(folds, NetworkFolds):
            folds.export_ensemble(folder, metadata)
        else:
            folds.export_refit(folder, metadata)
        load_tagger(folder.tagger)
        write_json(folder.result, {"ship": config.ship, "n_clips": len(experiment.manifest)})
    with write_atomically(run.tagger) as temporary:
        temporary.write_bytes(folder.tagger.read_bytes())


def shipped_metadata(
    experiment: Experiment, windows: Predictions, clips: Predictions, scorecard: Scorecard
) -> TaggerMetadata:
    """The facts of the tagger for use: its scores are the recipe's, out of fold, not of these very weights."""
    manifest, model = experiment.manifest, experiment.config.model
    primary = scorecard.primary_metric
    found = scorecard.models[model].metrics[primary]
    lengths = windows.to_clips("max")
    return experiment.metadata(
        experiment.run.name,
        manifest,
        thresholds=fitted_thresholds(experiment, windows, clips),
        clip_seconds_max=float(np.max(lengths.ends - lengths.starts)),
        scores={
            "of": "cross-validation of this recipe, not of these weights",
            "model": model,
            "metric": primary,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n_clips": len(manifest),
        },
    )


def fitted_thresholds(
    experiment: Experiment, windows: Predictions, clips: Predictions
) -> dict[str, tuple[float, ...]]:
    """Multi-label: the score that gives the best F1 out of fold, at each level. Single-label: 0, the best is named."""
    manifest = experiment.manifest
    if not manifest.multi_label:
        return experiment.no_thresholds()
    targets = manifest.targets()
    row_of = {name: row for row, name in enumerate(manifest.clip_ids)}
    owners = np.array([row_of[name] for name in windows.clip_ids])
    n_classes = len(manifest.vocabulary)
    return {
        "window": (best_f1_threshold(targets[owners], windows.scores),) * n_classes,
        "clip": (best_f1_threshold(targets, clips.scores),) * n_classes,
    }


def write_failures(run: Run, failures: Sequence[tuple[str, str]]) -> None:
    """The table of files that could not be read, (path, reason); no file where there is none."""
    if not failures:
        return
    with write_atomically(run.failures) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "reason"), *failures])
