"""The story of `earmark sweep`: models first, then settings around the best; or one change at a time against a base.

Every trial is an ordinary training run on the same folds, from several seeds; what differs by no more than the noise of
clips and seeds is called that.
"""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.baselines.sweep import CSV_HEADER, SEARCHED, Nested, Sweep, Trial, TrialRun
from earmark.config import parse_assignments, read_yaml
from earmark.data.manifest import Manifest
from earmark.durations import duration, parse_time
from earmark.errors import ConfigError, RunError
from earmark.evaluation.bootstrap import Resamples, draw
from earmark.evaluation.choice import choose_nested
from earmark.evaluation.compare import Comparison
from earmark.evaluation.repeats import Repeats, mean_difference, mean_interval, measure_repeats, seed_spread
from earmark.evaluation.scorecard import primary_metric
from earmark.flows.backbones import usual_backbone
from earmark.flows.experiment import claim
from earmark.flows.first_look import stands_on
from earmark.flows.prepare import prepare, write_failures, write_leaks
from earmark.flows.run_config import DataConfig, RunConfig
from earmark.flows.settings import layered
from earmark.flows.sweep_bench import Bench, kind_of
from earmark.flows.sweep_draws import draw_settings
from earmark.flows.sweep_trials import Planned, ablated, model_settings, of_models, parse_varied, varied
from earmark.flows.train import default_folder
from earmark.report.sweep_page import write_sweep_page
from earmark.run import Run, write_atomically, write_json, write_text

log = logging.getLogger("earmark")

USUAL_MODELS = ("forest", "tiny_cnn", "se_cnn")
MOST_DRAWS = 200  # that a budget is filled with
GIVE_UP = 5  # draws in a row that do not fit
RECIPE = "best.yaml"


@dataclass(frozen=True)
class Swept:
    """What a sweep made: its folder, the trials, the page, and how many files were unreadable."""

    folder: Path
    found: Sweep
    page: Path
    n_failures: int

    @property
    def recipe(self) -> Path:
        """Settings of the trial to take, for `earmark train --recipe`."""
        return self.folder / RECIPE


def sweep(
    data: Path | str,
    out: Path | str | None = None,
    *,
    models: Sequence[str] = (),
    n_seeds: int = 3,
    budget: str | None = None,
    n_draws: int | None = None,
    vary: Sequence[str] = (),
    ablate: bool = False,
    audio_dir: Path | str | None = None,
    encoding: str | None = None,
    folder_tricks: bool = False,
    merge: bool = True,
    fraction: float = 1.0,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    allow_leak: bool = False,
    progress: bool = True,
) -> Swept:
    """Which model, which settings, and is the difference more than noise?

    The same call again goes on after a kill: runs that are done are read, one that broke is tried again. More models,
    values or seeds in a folder that is there add to it.

    Args:
        data: a table of files and labels, or a folder with a folder per class. Clips of a test split are not looked at.
        out: the sweep's folder; default runs/NAME-sweep.
        models: networks, classifiers, backbones or BACKBONE+HEAD; default a few cheap ones and the best small
            pretrained network that is here. With `vary` or `ablate` one, the base; default that of the settings.
        n_seeds: runs of each trial.
        budget: how long all may take, such as "2h": no run is begun that would not be done.
        n_draws: settings to draw around the best model; default none, or with a budget as many as fit.
        vary: "key=value,value" each: a trial for every value, all else as in the base.
        ablate: a trial without each part of the base's settings that is on.
        audio_dir, encoding, folder_tricks, merge, fraction, recipe, settings, allow_leak, progress: as for `train`.

    Raises:
        EarmarkError: the data, the settings or the names are at fault, or no run could be made.
    """
    started = time.monotonic()
    seconds = parse_time(budget) if budget else None
    varying = parse_varied(vary)
    given = layered(read_yaml(Path(recipe)) if recipe else {}, parse_assignments(settings))
    names = names_of(models, given, one=bool(varying or ablate))
    require_numbers(n_seeds, n_draws)
    folder = Path(out) if out else default_folder(Path(data)).with_name(f"{default_folder(Path(data)).name}-sweep")
    how = {"encoding": encoding, "folder_tricks": folder_tricks, "merge": merge, "fraction": fraction}
    of_data = DataConfig.at(data, audio_dir, allow_leak=allow_leak, **how)
    run = Run(folder)
    prepared = prepare(of_data, Path(recipe) if recipe else None, settings, run, progress)
    claim(run, prepared.config, prepared.manifest)
    write_failures(run, prepared.failures)
    write_leaks(run, prepared.leaks)
    shared = {**how, "data": data, "audio_dir": audio_dir, "allow_leak": allow_leak, "progress": progress}
    until = None if seconds is None else started + seconds
    bench = Bench(folder, prepared, shared, until, time.monotonic() - started)
    seeds = range(prepared.config.seed, prepared.config.seed + n_seeds)
    if varying or ablate:
        planned = changes_of(bench, base_of(given, names[0]), varying, ablate)
        run_rounds(bench, planned, seeds)
        remarks: list[str] = []
    else:
        planned = of_models(given, names)
        for each in planned:
            bench.config(each)  # what is wrong with one is said before an hour goes into another
        run_rounds(bench, planned, seeds)
        drawn, remarks = search(bench, planned, seeds, MOST_DRAWS if n_draws is None and budget else n_draws or 0)
        planned += drawn
    title = Path(data).resolve().stem
    found = judge(bench, planned, seeds, title, seconds, [*remarks, *prepared.remarks])
    return write(bench, planned, found, len(prepared.failures))


def names_of(models: Sequence[str], given: Mapping[str, Any], *, one: bool) -> list[str]:
    """The models to try: those asked for, else the usual ones, or where there is to be one that of the settings.

    Raises:
        ConfigError: several are given where one is the base, or one is no model.
    """
    on = stands_on(given)
    own = given.get("model", RunConfig.model)
    own = f"{on}+{own}" if on else own
    names = list(models) or ([own] if one or "model" in given else [*USUAL_MODELS, *usual_backbone()])
    if one and len(names) > 1:
        raise ConfigError(
            f"--models {','.join(names)}: with --vary and --ablate one model is the base, and all else stays as it is. "
            "Give one."
        )
    for name in names:
        model_settings(name)
    return names


def require_numbers(n_seeds: int, n_draws: int | None) -> None:
    """Refuse numbers that make no sense.

    Raises:
        ConfigError: there is no seed, or fewer draws than none.
    """
    if n_seeds < 1 or (n_draws is not None and n_draws < 0):
        raise ConfigError(f"--seeds {n_seeds}, --draws {n_draws}: expected at least one seed, and draws from 0 on.")


def base_of(given: Mapping[str, Any], name: str) -> Planned:
    """What changes are held against."""
    [model] = of_models(given, [name])
    return Planned(model.name, "base", model.settings)


def changes_of(bench: Bench, base: Planned, varying: Mapping[str, Sequence[Any]], ablate: bool) -> list[Planned]:
    """The base and a trial for each change; changes that change nothing are left away.

    Raises:
        EarmarkError: a change does not go with the base's settings.
    """
    config = bench.config(base)
    changes = [*varied(base, varying), *(ablated(base, config) if ablate else [])]
    found = [each for each in changes if bench.config(each) != config]
    for each in changes:
        if each not in found:
            log.info("%s: is so in the base already", each.name)
    return [base, *found]


def run_rounds(bench: Bench, planned: Sequence[Planned], seeds: Sequence[int]) -> None:
    """All trials with the first seed, then with the next: wherever time ends, they can be compared."""
    for seed in seeds:
        for each in planned:
            bench.attempt(each, seed)


def search(
    bench: Bench, models: Sequence[Planned], seeds: Sequence[int], n_draws: int
) -> tuple[list[Planned], list[str]]:
    """Settings drawn around the best model while draws and time are left, each run with all seeds or none.

    Returns:
        Those that were begun, and what is to be said of the others.
    """
    found: list[Planned] = []
    around = best_of(bench, models, seeds) if n_draws else None
    if around is None:
        return found, []
    config = bench.config(around)
    misses = 0
    for number in range(1, n_draws + 1):
        drawn = draw_settings(around, config, bench.prepared.config.seed, number, bench.config)
        if drawn is None or misses == GIVE_UP:
            break
        missing = [seed for seed in seeds if not bench.is_done(drawn, seed)]
        begun = not missing
        for place, seed in enumerate(missing):
            begun = bench.attempt(drawn, seed, at_once=len(missing) - place) or begun
            if not begun:
                break
        if begun or drawn.name in bench.broken:
            found.append(drawn)
            misses = 0
        else:
            misses += 1
    remarks = []
    if bench.until is not None:
        remarks.append(f"The time held {len(found)} draws around {around.name}.")
    return found, remarks


def best_of(bench: Bench, models: Sequence[Planned], seeds: Sequence[int]) -> Planned | None:
    """The model with the best mean over its seeds; None where nothing was made."""
    measured = measure(bench, models, seeds)
    made = [each for each in models if each.name in measured]
    return max(made, key=lambda each: measured[each.name].mean, default=None)


def measure(bench: Bench, planned: Sequence[Planned], seeds: Sequence[int]) -> dict[str, Repeats]:
    """Trial → its runs' scores, all on the same clips and resamples; without those that broke."""
    scored = bench.prepared.manifest.select(bench.prepared.manifest.scored)
    resamples = draw(scored.groups)
    found = {}
    for each in planned:
        if done := done_seeds(bench, each, seeds):
            found[each.name] = _measured(scored, {seed: bench.scores(each, seed) for seed in done}, resamples)
    return found


def done_seeds(bench: Bench, planned: Planned, seeds: Sequence[int]) -> list[int]:
    """Those whose runs count."""
    return [] if planned.name in bench.broken else [seed for seed in seeds if bench.is_done(planned, seed)]


def _measured(scored: Manifest, scores: Mapping[int, Any], resamples: Resamples) -> Repeats:
    metric = primary_metric(scored.multi_label)
    weights = scored.label_weights()
    return measure_repeats(metric, scored.present(), scores, resamples, folds=scored.folds, weights=weights)


def judge(
    bench: Bench,
    planned: Sequence[Planned],
    seeds: Sequence[int],
    data: str,
    budget: float | None,
    remarks: Sequence[str],
) -> Sweep:
    """All trials beside one another, and held against the best or the base.

    Raises:
        RunError: no run was made, or none of the base.
    """
    measured = measure(bench, planned, seeds)
    reference = planned[0].name if planned[0].kind not in SEARCHED else None
    if not measured or (reference and reference not in measured):
        why = [f"{name}: {reason}" for name, reason in bench.broken.items()]
        why += [f"{name}: {_late(bench, name)}" for name in bench.left_out if name not in bench.broken]
        raise RunError(
            f"{bench.folder}: no run {'of the base ' if measured else ''}was made, so that there is nothing to tell. "
            "Mend what is said below, or give more time.\n" + "\n".join(why)
        )
    manifest = bench.prepared.manifest
    scored = manifest.select(manifest.scored)
    metric = primary_metric(scored.multi_label)
    spreads = spreads_of(planned, measured)
    trials = tuple(told(bench, each, measured.get(each.name), spreads.get(each.name, math.nan)) for each in planned)
    best = reference or max(measured, key=lambda name: measured[name].mean)
    comparisons = []
    for name in measured:
        pair = (best, name) if reference is None else (name, best)
        if name == best or not set(measured[name].values) & set(measured[best].values):
            continue
        of_both = [measured[each] for each in pair], [spreads[each] for each in pair]
        comparisons.append(Comparison(*pair, metric, mean_difference(*of_both[0], *of_both[1])))
    chosen = None if reference else nested_of(bench, planned, measured)
    n_classes = len(scored.vocabulary)
    return Sweep(
        *(data, metric, len(scored), n_classes, len(seeds), trials, best, tuple(comparisons), chosen, budget),
        tuple(remarks),
    )


def spreads_of(planned: Sequence[Planned], measured: Mapping[str, Repeats]) -> dict[str, float]:
    """Trial → how far its seeds are apart, told by all trials of the same model together."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for each in planned:
        if each.name in measured:
            kinds.setdefault(kind_of(each), []).append(each.name)
    return {name: seed_spread(measured[each] for each in names) for names in kinds.values() for name in names}


def told(bench: Bench, planned: Planned, found: Repeats | None, spread: float) -> Trial:
    """A trial with what its runs score and cost, and why some are missing."""
    broken = bench.broken.get(planned.name)
    reason = f"broke: {broken}" if broken else _late(bench, planned.name) if planned.name in bench.left_out else ""
    if found is None:
        return Trial(planned.name, planned.kind, planned.changes, reason=reason)
    runs = tuple(TrialRun(seed, found.interval_of(seed), bench.seconds(planned, seed)) for seed in found.values)
    cost = bench.cost(planned, list(found.values))
    score = mean_interval(found, spread)
    return Trial(planned.name, planned.kind, planned.changes, runs, score, spread, cost, reason)


def _late(bench: Bench, name: str) -> str:
    """What is said of seeds that did not fit."""
    seeds = bench.left_out[name]
    takes = bench.expected.get(name)
    about = f", which would take about {duration(takes)} each" if takes else ""
    return f"not run for want of time: seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}{about}."


def nested_of(bench: Bench, planned: Sequence[Planned], measured: Mapping[str, Repeats]) -> Nested | None:
    """What the choice of the best is worth, made for each fold without it."""
    manifest = bench.prepared.manifest
    scored = manifest.select(manifest.scored)
    if len(measured) < 2 or len(scored.fold_numbers) < 2:
        return None
    scores = {
        each.name: [bench.scores(each, seed) for seed in measured[each.name].values]
        for each in planned
        if each.name in measured
    }
    given = scored.folds, primary_metric(scored.multi_label), scored.label_weights()
    composed, chosen = choose_nested(scored.present(), scores, *given)
    found = _measured(scored, dict(enumerate(composed)), draw(scored.groups))
    return Nested(mean_interval(found, seed_spread([found])), chosen)


def write(bench: Bench, planned: Sequence[Planned], found: Sweep, n_failures: int) -> Swept:
    """JSON, CSV, the page, and the recipe of what to take."""
    write_json(bench.folder / "sweep.json", found.to_dict())
    path = bench.folder / "sweep.csv"
    with write_atomically(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([CSV_HEADER, *found.csv_rows()])
    taken = next(each for each in planned if each.name == found.to_take.name)
    write_text(bench.folder / RECIPE, bench.recipe(taken).read_text(encoding="utf-8"))
    return Swept(bench.folder, found, write_sweep_page(found, bench.folder), n_failures)
