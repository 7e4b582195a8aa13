"""Which noisy clips may be trusted: those with whose labels networks agree that never learnt from what is scored."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.config import change, read_yaml
from earmark.data.manifest import Manifest
from earmark.data.readers import read_manifest
from earmark.errors import RunError, summarise_rows
from earmark.evaluation.metrics import label_precision
from earmark.flows.experiment import Experiment
from earmark.flows.progress import bar
from earmark.flows.run_config import RunConfig
from earmark.run import REFIT, Run, write_atomically
from earmark.tagger.tag_files import default_threads, score_files
from earmark.tagger.tagger import load_tagger

log = logging.getLogger("earmark")


@dataclass(frozen=True)
class Judge:
    """A finished run that says how well it thinks a clip is labelled.

    model: what it ships. manifest: its clips, in folds.
    """

    run: Run
    model: str
    manifest: Manifest


def find_agreement(experiment: Experiment) -> None:
    """Write which noisy clips are trained on while each fold is held out, unless an earlier run of this has.

    The judges of a fold are the networks that held the same clips out, so that no label that is scored has any say in
    whom the model learns from; for the tagger for use all of them judge together. The scores of several are averaged.

    Raises:
        RunError: a judge is not finished, knows other labels, learnt from noisy clips, or drew other folds.
    """
    run, manifest, share = experiment.run, experiment.manifest, experiment.config.data.agree_share
    if run.agreement.is_file():
        return
    judges = [read_judge(Path(folder), manifest) for folder in experiment.config.data.agree_with]
    noisy = manifest.select(manifest.column("subset") == "noisy")
    folds = manifest.fold_numbers
    scores: dict[int | str, np.ndarray] = {}
    with bar("agreement", len(judges) * len(folds), "networks", experiment.progress) as update:
        for number, fold in enumerate(folds):
            heard = []
            for place, judge in enumerate(judges):
                heard.append(judge_clips(experiment, judge, fold, noisy))
                update(number * len(judges) + place + 1)
            scores[fold] = np.mean(heard, axis=0)
    scores[REFIT] = np.mean([scores[fold] for fold in folds], axis=0)
    rows = []
    for fold, each in scores.items():
        agreed, kept = agreement(noisy, each), agreeing(noisy, each, share)
        which = "for use" if fold == REFIT else f"that holds fold {fold} out"
        log.info("the network %s learns from %d of %d noisy clips, which agree", which, kept.sum(), len(noisy))
        rows += zip([fold] * len(noisy), noisy.clip_ids, agreed.round(6), kept.astype(int), strict=True)
    with write_atomically(run.agreement) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("fold", "clip_id", "agreement", "kept"), *rows])


def read_judge(folder: Path, manifest: Manifest) -> Judge:
    """A run that may judge the noisy clips of `manifest`.

    Raises:
        RunError: see `find_agreement`.
    """
    run = Run(folder)
    if not (run.config.is_file() and run.tagger.is_file()):
        raise RunError(f"{folder}: holds no finished run, and cannot judge noisy clips. {run.way_out}")
    config = change(RunConfig(), read_yaml(run.config), str(run.config))
    its = read_manifest(run.manifest, look_for_files=False)
    if its.vocabulary != manifest.vocabulary:
        raise RunError(f"{folder}: knows other labels than the clips that it should judge. Train both on one table.")
    noisy = set(manifest.clip_ids[manifest.column("subset") == "noisy"])
    if learnt := sorted(noisy & set(its.clip_ids)):
        raise RunError(
            f"{folder}: has learnt from {len(learnt)} of the noisy clips that it should judge, and would agree with "
            f"itself. Name a run of data.subset=curated.\n{summarise_rows(learnt)}"
        )
    held_out = {name: fold for name, fold in zip(its.clip_ids, its.folds.tolist(), strict=True) if fold >= 0}
    scored = manifest.scored
    ours = zip(manifest.clip_ids[scored], manifest.folds[scored].tolist(), strict=True)
    moved = [name for name, fold in ours if held_out.get(name) != fold]
    if moved:
        raise RunError(
            f"{folder}: has {len(moved)} clips in other folds than they are scored in here, so it knows their labels. "
            f"Train both with the same folds.\n{summarise_rows(moved)}"
        )
    return Judge(run, config.model_name, its)


def judge_clips(experiment: Experiment, judge: Judge, fold: int, clips: Manifest) -> np.ndarray:
    """Scores (clips, classes) by the network of a judge that held `fold` out.

    Raises:
        RunError: that network is not there, or a clip cannot be heard.
    """
    path = judge.run.fold(fold, judge.model).tagger
    if not path.is_file():
        raise RunError(f"{judge.run.folder}: has no network of fold {fold} (expected {path}). Let the run finish.")
    tagger = load_tagger(path, read=experiment.cache.blocks)
    predictions, failures = score_files(tagger, clips.clips(), threads=default_threads())
    if failures:
        reasons = summarise_rows([f"{failure.clip.path}: {failure.error}" for failure in failures])
        raise RunError(f"{len(failures)} noisy clips cannot be heard any more.\n{reasons}")
    return predictions.align(clips.clip_ids).scores


def agreement(manifest: Manifest, scores: np.ndarray) -> np.ndarray:
    """(clips,) how high a clip's own labels stand among all, 0 to 1: the mean of the precisions at their ranks.

    Args:
        scores: (clips, classes).
    """
    precision, weight = label_precision(manifest.present(), scores, manifest.label_weights())
    counts = weight.sum(axis=1)
    return (precision * weight).sum(axis=1) / np.where(counts > 0, counts, 1)


def agreeing(manifest: Manifest, scores: np.ndarray, share: float) -> np.ndarray:
    """(clips,) bool: each of the clip's labels is among the best agreed `share` of the clips that have it.

    By precision at the label's rank, then by its score; label by label, so that no class that is hard to hear is left
    without clips. Clips without a label stay out.

    >>> noisy = Manifest.build(Path(), ["a.wav", "b.wav", "c.wav"], [("dog",), ("dog",), ("cat",)])
    >>> agreeing(noisy, np.array([[0.2, 0.9], [0.7, 0.1], [0.9, 0.3]]), share=0.5).tolist()
    [True, False, True]
    """
    precision, weight = label_precision(manifest.present(), scores, manifest.label_weights())
    trusted = np.zeros(weight.shape, dtype=bool)
    for label, column in enumerate(weight.T > 0):
        rows = np.flatnonzero(column)
        best = rows[np.lexsort((-scores[rows, label], -precision[rows, label]))]
        trusted[best[: math.ceil(share * len(rows))], label] = True
    named = weight > 0
    return named.any(axis=1) & (trusted | ~named).all(axis=1)
