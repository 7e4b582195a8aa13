"""The story of `earmark ladder`: cheap models first, then dearer ones, all on the same folds, each with its price."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.baselines.ladder import Ladder, Rung
from earmark.config import parse_assignments, read_yaml
from earmark.data.fraction import take_fraction
from earmark.durations import duration, parse_time
from earmark.errors import ConfigError
from earmark.evaluation.blend import blend, pick_members
from earmark.evaluation.scorecard import Scorecard, make_scorecard, primary_metric
from earmark.flows.backbones import usual_backbone
from earmark.flows.experiment import claim
from earmark.flows.ladder_costs import (
    TRIAL_CLIPS,
    Estimate,
    estimate,
    for_trial,
    is_own_trial,
    joined_cost,
    measured_cost,
    most_seconds,
    within,
)
from earmark.flows.ladder_insight import insight
from earmark.flows.ladder_rungs import (
    BLEND,
    MISSING,
    PRETRAINED,
    Candidate,
    Stage,
    candidates,
    require_rung,
    shared,
    slowness,
)
from earmark.flows.prepare import leak_remarks, prepare, write_failures, write_leaks
from earmark.flows.run_config import FINETUNED, DataConfig, RunConfig
from earmark.flows.source_audit import audit_all
from earmark.flows.train import default_folder, pooled
from earmark.predictions import Predictions
from earmark.report.ladder_page import write_ladder_page
from earmark.run import Run

log = logging.getLogger("earmark")

JSON = "ladder.json"
LEFT_OUT = "Left out: beside quicker rungs, {} of the budget of {} would be left for it."
UNTRIED = "Left out, and not tried: those tried before it take up the budget of {}."


@dataclass(frozen=True)
class Climbed:
    """What a ladder made: its folder, the rungs, the page, and how many files were unreadable."""

    folder: Path
    ladder: Ladder
    page: Path
    n_failures: int


def ladder(
    data: Path | str,
    out: Path | str | None = None,
    *,
    on: Sequence[str] = (),
    rungs: Sequence[str] = (),
    budget: str | None = None,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    allow_leak: bool = False,
    progress: bool = True,
) -> Climbed:
    """From the shares of the labels to a blend: what each kind of model scores on this data, and what it costs.

    The same call again goes on after a kill; rungs that are done are read.

    Args:
        data: a table of files and labels, or a folder with a folder per class.
        out: the ladder's folder; default runs/NAME-ladder.
        on: pretrained networks, tagger files or runs for a rung each; default the best small one that is here.
        rungs: only these; a name that is no model is a backbone, "blend" is the last rung.
        budget: how long all may take, such as "10m": each rung is timed on a few clips, and what does not fit is left
            out and said.
        fraction: share of the data to use; what all of it would take is told.
        audio_dir, encoding, folder_tricks, merge, recipe, settings, allow_leak, progress: as for `train`.

    Raises:
        EarmarkError: the data, the settings or the names are at fault, or nothing fits into the budget.
    """
    started = time.monotonic()
    seconds = parse_time(budget) if budget else None
    refuse_finetuning(recipe, settings)
    for name in (*rungs, *on):
        require_rung(name)
    data = Path(data)
    folder = Path(out) if out else default_folder(data).with_name(f"{default_folder(data).name}-ladder")
    how = {"encoding": encoding, "folder_tricks": folder_tricks, "merge": merge, "fraction": fraction}
    given = DataConfig.at(data, audio_dir, allow_leak=allow_leak, **how)
    prepared = prepare(given, Path(recipe) if recipe else None, settings, Run(folder), progress)
    stage = Stage(folder, prepared.manifest, prepared.cache, progress)
    planned = candidates(prepared.config, on or (() if rungs else usual_backbone()), rungs)
    claim(stage.run, shared(prepared.config), prepared.manifest)
    write_failures(stage.run, prepared.failures)
    sources = [each.config.backbone.on for each in planned if each.kind == PRETRAINED]
    known = prepared.config.backbone.on
    leaks = audit_all(sources, stage.manifest, stage.cache, allow_leak=allow_leak, audited=known)
    write_leaks(stage.run, [*prepared.leaks, *leaks])
    remarks = [*prepared.remarks, *leak_remarks(leaks)]
    estimates: dict[str, Estimate] = {}
    fitting, left_out = planned, {}
    if seconds is not None:
        estimates, untried = try_out(stage, planned, shared(prepared.config), started + seconds)
        fitting, left_out = that_fit(planned, estimates, untried, seconds, time.monotonic() - started)
    scores, reasons = climb(stage, fitting)
    reasons |= left_out
    made = [told(stage, each, estimates.get(each.name), reasons.get(each.name)) for each in planned]
    if not rungs and not any(each.kind == PRETRAINED for each in planned):
        made.append(Rung(PRETRAINED, PRETRAINED, "a head on a pretrained network", reason=MISSING))
    if not rungs or BLEND in rungs:
        made.append(add_blend(stage, planned, scores))
    scorecard = judge(stage, scores, remarks)
    asked = best_on_features(planned, scorecard)
    told_by_features = insight(stage, asked) if asked else None
    found = Ladder(data.resolve().stem, tuple(made), scorecard, prepared.share, seconds, told_by_features)
    found.save(folder / JSON)
    return Climbed(folder, found, write_ladder_page(found, folder), len(prepared.failures))


def refuse_finetuning(recipe: Path | str | None, settings: Sequence[str]) -> None:
    """Stop before anything is read where the settings ask for what is no rung.

    Raises:
        ConfigError: the model is to be fine-tuned.
    """
    for values in (read_yaml(Path(recipe)) if recipe else {}, parse_assignments(settings)):
        if values.get("model") == FINETUNED:
            raise ConfigError(
                f"model: {FINETUNED} is no rung, the networks of a ladder stay as they are under their heads. Leave it "
                "away, and compare with `earmark train DATA --on NAME --finetune`."
            )


def try_out(
    stage: Stage, planned: Sequence[Candidate], config: RunConfig, until: float
) -> tuple[dict[str, Estimate], list[str]]:
    """What each rung that is not done yet would take, after one fold; those that are usually quick come first.

    Of few clips the fold is a classifier's own first one, and kept; else that of a trial on a few clips, in which
    networks train few epochs. Networks that surely fit are not tried, nor what would take the time of those that do.

    Args:
        config: of the run that the folder of the trial belongs to.
        until: when all has to be done, in seconds of `time.monotonic`.

    Returns:
        The estimates by name; the rungs for whose trial no time was left.
    """
    part = take_fraction(stage.manifest, min(0.5, TRIAL_CLIPS / len(stage.manifest)))
    trial = Stage(stage.folder / "trial", part, stage.cache, stage.progress)
    waiting = sorted((each for each in planned if not stage.cost_file(each).exists()), key=slowness)
    found: dict[str, Estimate] = {}
    longest = 0.0  # of the trials
    while waiting:
        began = time.monotonic()
        _, left = within(found, until - began)
        if left <= longest:
            break
        if not waiting[0].head and sum(most_seconds(each, stage.manifest) for each in waiting) <= left:
            return found, []
        each = waiting.pop(0)
        if is_own_trial(each, stage.manifest):
            tried = stage
            stage.try_out(each)
        else:
            tried = trial
            trial.experiment(for_trial(Candidate("", "summary", "", config)))  # before there is a rung's folder in it
            trial.try_out(for_trial(each))
        found[each.name] = estimate(tried, each, stage.manifest)
        log.info("%s: all folds would take about %s", each.name, duration(found[each.name].seconds))
        longest = max(longest, time.monotonic() - began)
    return found, [each.name for each in waiting]


def that_fit(
    planned: Sequence[Candidate],
    estimates: Mapping[str, Estimate],
    untried: Sequence[str],
    budget: float,
    spent: float,
) -> tuple[list[Candidate], dict[str, str]]:
    """The rungs that fit into what is left of the budget in seconds, the quickest first, and those without an estimate,
    which are done or surely fit; why the others are left out.

    Raises:
        ConfigError: none fits.
    """
    fitting, left = within(estimates, budget - spent)
    reasons = dict.fromkeys(untried, UNTRIED.format(duration(budget)))
    told = LEFT_OUT.format(duration(left) if left > 0 else "nothing", duration(budget))
    reasons |= {name: told for name in estimates if name not in fitting}
    chosen = [each for each in planned if each.name not in reasons]
    if not chosen:
        known = sorted((each.seconds, name) for name, each in estimates.items())
        takes = f", and the quickest rung, {known[0][1]}, takes about {duration(known[0][0])}" if known else ""
        raise ConfigError(
            f"--budget: {duration(spent)} of {duration(budget)} went into reading and trying{takes}. Give more, or "
            "take a --fraction."
        )
    return chosen, reasons


def climb(stage: Stage, fitting: Sequence[Candidate]) -> tuple[dict[str, Predictions], dict[str, str]]:
    """Out-of-fold scores by rung; and what a rung says against it that cannot be climbed on this data.

    Raises:
        ConfigError: what it says, if there is no other rung.
    """
    scores, reasons = {}, {}
    for each in fitting:
        try:
            scores[each.name] = climb_rung(stage, each)
        except ConfigError as error:  # k-NN of so much data that no file can carry it
            if len(fitting) == 1:
                raise
            reasons[each.name] = str(error)
            log.warning("%s", error)
    return scores, reasons


def climb_rung(stage: Stage, candidate: Candidate) -> Predictions:
    """Out-of-fold scores of the clips that count, kept beside those of the other rungs, and what the rung costs."""
    predictions = pooled(stage.experiment(candidate), stage.climb(candidate))
    predictions.save(stage.run.predictions(candidate.name))
    cost = measured_cost(stage, candidate)
    log.info(
        "%s: training %s, %.0f × realtime, %.1f MB",
        candidate.name,
        duration(cost.training_seconds),
        cost.realtime,
        cost.megabytes,
    )
    return predictions


def told(stage: Stage, candidate: Candidate, known: Estimate | None, reason: str | None) -> Rung:
    """A rung with its cost, or the reason why it was not climbed."""
    rung = Rung(candidate.name, candidate.kind, candidate.about, estimate_seconds=known.seconds if known else None)
    return replace(rung, reason=reason) if reason else replace(rung, cost=measured_cost(stage, candidate))


def add_blend(stage: Stage, planned: Sequence[Candidate], scores: dict[str, Predictions]) -> Rung:
    """The mean of the best few rungs, put among the scores; each fold's members are picked without that fold."""
    rung = Rung(BLEND, BLEND, "the mean of the best few rungs' scores")
    scored = stage.manifest.select(stage.manifest.scored)
    if len(scored.fold_numbers) < 2 or len(scores) < 2:
        return replace(
            rung,
            reason="Left out: picking members apart from the clips they are scored on takes two folds and two rungs.",
        )
    targets, weights = scored.present(), scored.label_weights()
    metric = primary_metric(scored.multi_label)
    tables = {name: each.scores for name, each in scores.items()}
    blended, members = blend(targets, tables, scored.folds, metric, weights)
    chosen = pick_members(targets, tables, metric, weights)
    of_members = [each for each in planned if each.name in chosen]
    cost = joined_cost(
        [measured_cost(stage, each) for each in of_members], [each.config.frontend.sample_rate for each in of_members]
    )
    scores[BLEND] = replace(next(iter(scores.values())), scores=blended)
    scores[BLEND].save(stage.run.predictions(BLEND))
    n_same = sum(set(each) == set(chosen) for each in members.values())
    who = f"mean of {', '.join(chosen)}" if len(chosen) > 1 else f"{chosen[0]} alone, which no other helps"
    about = f"{who}; picked alike in {n_same} of {len(members)} folds"
    return replace(rung, about=about, cost=cost)


def judge(stage: Stage, scores: Mapping[str, Predictions], remarks: Sequence[str]) -> Scorecard:
    """All rungs on the same clips and resamples."""
    scored = stage.manifest.select(stage.manifest.scored)
    return make_scorecard(
        scored.present(),
        {name: predictions.scores for name, predictions in scores.items()},
        labels=scored.vocabulary.labels,
        groups=scored.groups,
        folds=scored.folds,
        multi_label=scored.multi_label,
        weights=scored.label_weights(),
        remarks=remarks,
    )


def best_on_features(planned: Sequence[Candidate], scorecard: Scorecard) -> Candidate | None:
    """The best climbed rung on summary features that looks at them; None where there is none."""
    metric = scorecard.primary_metric
    values = {name: np.nan_to_num(model.metrics[metric].value, nan=-1.0) for name, model in scorecard.models.items()}
    found = [each for each in planned if each.kind == "summary" and each.head != "prior" and each.name in values]
    return max(found, key=lambda each: values[each.name], default=None)
