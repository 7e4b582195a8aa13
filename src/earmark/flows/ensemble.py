"""The story of `earmark ensemble`: finished runs, their out-of-fold scores, honest ensembles of them, one tagger."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from earmark.audio.cache import content_hash
from earmark.data.seen import join
from earmark.ensemble import ENSEMBLES
from earmark.ensemble.graph import ensemble_graph
from earmark.ensemble.members import Member, make_panel, read_members, rows_of, share_windows
from earmark.ensemble.nested import Fits, error_correlations, fit_nested, judge, nested_rows
from earmark.ensemble.panel import Panel
from earmark.ensemble.standing import Standing
from earmark.errors import RunError
from earmark.evaluation.calibration import AUTO
from earmark.evaluation.scorecard import LEAK, Scorecard
from earmark.evaluation.thresholds import ThresholdConfig
from earmark.export.calibration import finish_tagger
from earmark.export.graph import write_tagger
from earmark.flows.calibration import CLIP, Calibrated, OutOfFold, calibrated
from earmark.flows.experiment import package_versions
from earmark.flows.finishing import finish
from earmark.flows.pretrained import probes
from earmark.lookup import lookup
from earmark.predictions import LEVELS, Predictions
from earmark.run import TAGGER_SUFFIX, Run, write_json
from earmark.tagger.combination import combine
from earmark.tagger.home import FOLDER_SUFFIX
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tagger_folder import write_folder

log = logging.getLogger("earmark")

ALL = "all"
MEMBERS = "members.json"
STANDING = "ensemble.json"


def ensemble(
    runs: Sequence[Path | str],
    out: Path | str,
    *,
    how: str = ALL,
    seed: int = 0,
    precision: float | None = None,
    recall: float | None = None,
) -> Standing:
    """Join finished runs: nested scores of each kind of ensemble, and the tagger of one. Fits that are done are read.

    Args:
        runs: folders of runs on the same clips, labels and folds; each takes part with the model that it ships.
        out: the ensemble's folder.
        how: a name in ENSEMBLES, or "all": of these the simplest is shipped within one standard error of the best.
        seed: of the stacker.
        precision, recall: that every label's tags are to keep, one of them; neither = for the best F1.

    Raises:
        EarmarkError: the runs do not belong together, or the folder belongs to others.
    """
    config = ThresholdConfig.keeping(precision, recall)
    kinds = list(ENSEMBLES) if how == ALL else [how]
    lookup({**ENSEMBLES, ALL: ENSEMBLES["mean"]}, how, "ensemble")
    members = read_members(runs)
    run = Run(Path(out))
    claim_members(run, members)
    panel = make_panel(members)
    fits = {kind: fitted(run, panel, kind, seed) for kind in kinds}
    rows = {kind: nested_rows(panel, fits[kind]) for kind in kinds}
    clips = {kind: panel.pooled(rows[kind]) for kind in kinds}
    for kind, predictions in clips.items():
        predictions.save(run.predictions(kind))
    alone = {name: panel.pooled(panel.of_member(name)).scores for name in panel.names}
    card, comparisons, shipped = judge(
        panel, alone, {kind: each.scores for kind, each in clips.items()}, leaks_of(members)
    )
    used, combination = without_idle(members, fits[shipped].final)
    scored = OutOfFold.of(members[0].manifest, rows[shipped], panel.pool, panel.multi_label)
    levels = LEVELS if share_windows(used) else (CLIP,)  # where several graphs are asked, none can calibrate the whole
    found = calibrated(scored, AUTO, config, levels=levels, model=shipped)
    card = replace(card, remarks=(*card.remarks, *found.sentences))
    metadata = shipped_metadata(run, used, panel, shipped, clips[shipped], card)
    tagger = finish(run, partial(ship, run, used, combination, found), metadata, found)
    members[0].manifest.write(run.manifest)
    names = tuple(member.name for member in used)
    standing = Standing(panel.names, card, comparisons, error_correlations(panel), shipped, names, tagger)
    standing.save(run.folder / STANDING)
    return standing


def claim_members(run: Run, members: Sequence[Member]) -> None:
    """Write who takes part into a new folder, or make sure that an existing one is of the very same.

    Raises:
        RunError: it is of others, or holds something else.
    """
    named = [
        {
            "name": member.name,
            "model": member.model,
            "tagger": content_hash(member.file),
            "scores": digest(member.windows.scores),
        }
        for member in members
    ]
    path = run.folder / MEMBERS
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != named:
            raise RunError(
                f"{run.folder}: holds an ensemble of other members, or a run has changed since. Choose another --out, "
                "or delete the folder."
            )
    elif run.folder.exists() and (not run.folder.is_dir() or any(run.folder.iterdir())):
        raise RunError(f"{run.folder}: is there already and holds no ensemble. Choose another --out.")
    else:
        write_json(path, named)


def fitted(run: Run, panel: Panel, kind: str, seed: int) -> Fits:
    """The fits of a kind of ensemble, read if they are there and of the same scores and labels."""
    path = run.folder / "fits" / f"{kind}.json"
    of = digest(panel.scores, panel.targets, panel.weights, panel.folds, np.array([seed]))
    if path.is_file():
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["of"] == of:
            return Fits({int(fold): each for fold, each in document["without"].items()}, document["final"])
    log.info("%s: fitting without each fold, then on all", kind)
    fits = fit_nested(panel, kind, seed)
    write_json(path, {"of": of, **asdict(fits)})
    return fits


def digest(*arrays: np.ndarray) -> str:
    """Of the numbers of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def leaks_of(members: Sequence[Member]) -> list[str]:
    """What the runs say of sounds on both sides of their folds, each once."""
    said = [
        remark
        for member in members
        if member.run.scorecard.is_file()
        for remark in Scorecard.load(member.run.scorecard).remarks
        if remark.startswith(LEAK)
    ]
    return list(dict.fromkeys(said))


def without_idle(
    members: Sequence[Member], combination: Mapping[str, Any]
) -> tuple[list[Member], dict[str, Any]]:
    """The members that have some weight, and the combination of these."""
    if combination["kind"] != "mean":
        return list(members), dict(combination)
    weights = np.array(combination["weights"])
    used = np.flatnonzero(weights.any(axis=1))
    return [members[number] for number in used], {"kind": "mean", "weights": weights[used].tolist()}


def shipped_metadata(
    run: Run,
    members: Sequence[Member],
    panel: Panel,
    kind: str,
    clips: Predictions,
    card: Scorecard,
) -> TaggerMetadata:
    """The facts of the tagger: the score is that of nested fits."""
    lead = members[rows_of(members)].tagger.metadata
    trained = [member.tagger.metadata.trained_on for member in members]
    found = card.models[kind].metrics[card.primary_metric]
    return TaggerMetadata(
        name=run.name,
        labels=panel.labels,
        sample_rate=lead.sample_rate,
        window_seconds=lead.window_seconds,
        hop_seconds=lead.hop_seconds,
        multi_label=panel.multi_label,
        padding=lead.padding,
        pool=panel.pool,
        views=lead.views,
        view_seconds=lead.view_seconds,
        clip_seconds_max=float(np.max(clips.ends - clips.starts)),
        trained_on={
            "n_clips": trained[0].get("n_clips", 0),
            "data": trained[0].get("data", ""),
            "run": run.name,
            "ensemble": kind,
            "members": ", ".join(f"{member.name} ({member.model})" for member in members),
            "clips": join(*(str(facts.get("clips", "")) for facts in trained)),
        },
        scores={
            "of": "nested cross-validation of this ensemble, not of these weights",
            "model": kind,
            "metric": card.primary_metric,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n_clips": card.n_clips,
            **({"leaks": "said by its members; the value is too good"} if card.has_leaks else {}),
        },
        versions=package_versions(),
        licences=tuple(dict.fromkeys(each for member in members for each in member.tagger.metadata.licences)),
    )


def ship(
    run: Run,
    members: Sequence[Member],
    combination: Mapping[str, Any],
    found: Calibrated,
    metadata: TaggerMetadata,
) -> Path:
    """Write the tagger: one file if the members hear the same windows, else a folder. Its path."""
    folder = run.folder / f"{run.name}{FOLDER_SUFFIX}"
    if not share_windows(members):
        files = {f"{member.name}{TAGGER_SUFFIX}": member.file for member in members}
        write_folder(folder, files, rows_of(members), combination, metadata)
        run.tagger.unlink(missing_ok=True)  # of another kind of ensemble
        return folder
    windows = probes(metadata.window_samples, metadata.sample_rate)
    scores = np.stack([member.tagger.backend.run(windows)[0] for member in members], axis=1)
    models = [onnx.load(member.file) for member in members]
    graph = ensemble_graph(models, combination, metadata.multi_label)
    write_tagger(graph, metadata, run.tagger, windows, combine(scores, combination, metadata.multi_label))
    finish_tagger(graph, run.tagger, metadata, found.window, windows)
    if folder.exists():
        shutil.rmtree(folder)
    return run.tagger
