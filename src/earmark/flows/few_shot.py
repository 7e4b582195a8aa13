"""The story of `earmark few-shot`: how many clips of each class does a head need, and on what does it need fewest?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earmark.baselines import BASELINE, BASELINES, SEQUENCE_HEADS
from earmark.baselines.feature_graph import WindowFeatures
from earmark.baselines.few_shot import FewShot, LabelledClips, few_shot, n_fits, usable_shots
from earmark.errors import ConfigError
from earmark.flows.backbones import find_backbone, usual_backbone
from earmark.flows.classifier_folds import ClipFeatures, one_thread
from earmark.flows.experiment import Experiment
from earmark.flows.first_look import require_backbone
from earmark.flows.prepare import Prepared, leak_remarks, prepare, write_failures, write_leaks
from earmark.flows.progress import bar
from earmark.flows.run_config import DataConfig, RunConfig, frontend_for
from earmark.flows.source_audit import audit_all
from earmark.flows.train import default_folder
from earmark.lookup import lookup
from earmark.report.few_shot import write_few_shot
from earmark.run import Run, write_json
from earmark.training.dataset import loss_weights

SUMMARY = "summary features"
JSON = "few-shot.json"
MISSING = "No pretrained network is on this machine, so that there is but one curve. `earmark models get mn04_as`."


@dataclass(frozen=True)
class Shown:
    """What was made: the folder, the curves, the page, and how many files were unreadable."""

    folder: Path
    found: FewShot
    page: Path
    n_failures: int


def show_few_shot(
    data: Path | str,
    out: Path | str | None = None,
    *,
    on: Sequence[str] = (),
    head: str = "logistic",
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    n_draws: int = 5,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    allow_leak: bool = False,
    progress: bool = True,
) -> Shown:
    """Curves of score against clips per class, of a head on each backbone and on summary features.

    Features are computed once for all draws, and kept in the cache.

    Args:
        data: a table of files and labels, or a folder with a folder per class.
        out: folder for few-shot.html, few-shot.svg and few-shot.json; default runs/NAME-few-shot.
        on: pretrained networks, tagger files or runs; default the best small one that is here.
        head: a name in BASELINES.
        shots: numbers of clips of each class. n_draws: how often they are drawn.
        audio_dir, encoding, folder_tricks, merge, fraction, recipe, settings, allow_leak, progress: as for `train`.

    Raises:
        EarmarkError: the data, the settings or the names are at fault.
    """
    if head in SEQUENCE_HEADS:
        raise ConfigError(f"--head: {head} hears the patches of a window, summary features have none. Try logistic.")
    fit = lookup(BASELINES, head, "head")
    backbones = list(dict.fromkeys(on or usual_backbone()))
    for each in backbones:
        require_backbone(each)  # before minutes of decoding
    data = Path(data)
    folder = Path(out) if out else default_folder(data).with_name(f"{default_folder(data).name}-few-shot")
    how = {"encoding": encoding, "folder_tricks": folder_tricks, "merge": merge, "fraction": fraction}
    given = DataConfig.at(data, audio_dir, allow_leak=allow_leak, **how)
    run = Run(folder)
    prepared = prepare(given, Path(recipe) if recipe else None, settings, run, progress)
    write_failures(run, prepared.failures)
    clips = labelled(prepared)
    usable_shots(clips, shots, n_draws)  # before minutes of features
    configs = configs_of(prepared.config, backbones)
    sources = [config.backbone.on for config in configs.values() if config.backbone.on]
    known = prepared.config.backbone.on
    leaks = audit_all(sources, prepared.manifest, prepared.cache, allow_leak=allow_leak, audited=known)
    write_leaks(run, [*prepared.leaks, *leaks])
    features = {
        name: features_of(Experiment(run, config, prepared.manifest, prepared.cache, progress))
        for name, config in configs.items()
    }
    total = n_fits(clips, len(features), shots, n_draws)
    with bar("fitting heads", total, "heads", progress) as update, one_thread():
        found = few_shot(
            clips,
            features,
            fit,
            data=data.resolve().stem,
            head=head,
            shots=shots,
            n_draws=n_draws,
            seed=prepared.config.seed,
            progress=update,
        )
    told = [*prepared.remarks, *leak_remarks(leaks)]
    told += [MISSING] if list(features) == [SUMMARY] else []
    found = replace(found, remarks=(*found.remarks, *told))
    write_json(folder / JSON, found.to_dict())
    return Shown(folder, found, write_few_shot(found, folder), len(prepared.failures))


def labelled(prepared: Prepared) -> LabelledClips:
    """What is known of the clips that are left."""
    manifest = prepared.manifest
    return LabelledClips(
        manifest.vocabulary.labels,
        manifest.targets(),
        loss_weights(manifest),
        manifest.folds,
        manifest.groups,
        manifest.multi_label,
    )


def configs_of(config: RunConfig, on: Sequence[str]) -> dict[str, RunConfig]:
    """The settings of each kind of features by its name: backbones first, each at its own rate, then summary features.

    Raises:
        TaggerFileError: a backbone is not on this machine.
        ConfigError: two have one name.
    """
    plain = replace(config, model=BASELINE, model_options={}, backbone=replace(config.backbone, on=""))
    found: dict[str, RunConfig] = {}
    for each in on:
        backbone = find_backbone(replace(config.backbone, on=each))
        if backbone.name in found:
            raise ConfigError(f"--on: two backbones are called {backbone.name}. Rename a file, or leave one out.")
        found[backbone.name] = replace(plain, backbone=backbone.config, frontend=frontend_for(backbone.sample_rate))
    return {**found, SUMMARY: plain}


def features_of(experiment: Experiment) -> WindowFeatures:
    """The features of all clips' windows."""
    on = experiment.config.backbone
    return ClipFeatures(experiment, find_backbone(on) if on.on else None).of("embedding")
