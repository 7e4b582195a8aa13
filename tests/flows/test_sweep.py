"""`sweep` from folders of sounds to a page: the same folds for all, it goes on, and what breaks or is late is a row."""

from __future__ import annotations

import csv
import json
import math
import time
from functools import partial

import numpy as np
import pytest

from earmark.baselines.features import SummaryFeatures
from earmark.baselines.ladder import Cost
from earmark.config import read_yaml
from earmark.data.readers import read_manifest
from earmark.errors import ConfigError, RunError
from earmark.evaluation.metrics import accuracy
from earmark.evaluation.repeats import Repeats
from earmark.flows.prepare import Prepared, prepare
from earmark.flows.run_config import DataConfig
from earmark.flows.settings import layered
from earmark.flows.sweep import Swept, names_of, require_numbers, search, spreads_of
from earmark.flows.sweep import sweep as run_sweep
from earmark.flows.sweep_bench import A_ROUND, BESIDES, MORE_THAN_STEPS, OTHER_FOLDS, Bench
from earmark.flows.sweep_trials import Planned, nested, of_models
from earmark.predictions import Predictions
from earmark.run import Run

MODELS = ("prior", "logistic")
HEADS = ("svm", "logistic")


@pytest.fixture(scope="module")
def sweep(small, settings):
    """`sweep(data, out, *settings, **options)`: the whole flow, made small, on few features and without reports."""
    features = partial(SummaryFeatures, groups=("mel", "level"))

    def run(data, out, *more: str, **options) -> Swept:
        with small(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("earmark.flows.classifier_folds.SummaryFeatures", features)
            patch.setattr("earmark.flows.train.BASELINE", "prior")
            patch.setattr("earmark.flows.train.write_report", lambda _: None)
            return run_sweep(data, out, settings=[*settings, *more], progress=False, **options)

    return run


@pytest.fixture(scope="module")
def swept(sweep, folders, tmp_path_factory) -> Swept:
    return sweep(folders, tmp_path_factory.mktemp("sweeps") / "tones", models=MODELS, n_seeds=2)


@pytest.fixture(scope="module")
def prepared(small, settings, folders, tmp_path_factory) -> Prepared:
    with small():
        return prepare(DataConfig.at(folders), None, settings, Run(tmp_path_factory.mktemp("prepared")), False)


@pytest.fixture
def bench(prepared, tmp_path) -> Bench:
    """With nothing done yet, and all the time there is."""
    return Bench(tmp_path / "bench", prepared, {}, None, 2.0)


@pytest.fixture
def network(settings) -> Planned:
    given = nested(dict(each.split("=", 1) for each in settings))
    return of_models(given, ["tiny_cnn"])[0]


def times_of_making(folder):
    return {path: path.stat().st_mtime_ns for path in (*folder.rglob("tagger.onnx"), *folder.rglob("seed_*.json"))}


def test_every_trial_is_an_ordinary_run_on_the_same_folds(swept):
    ours = read_manifest(swept.folder / "manifest.csv")
    for model in MODELS:
        for seed in (0, 1):
            run = Run(swept.folder / "trials" / model / f"seed_{seed}")
            assert run.card.exists() and run.tagger.exists()
            theirs = read_manifest(run.manifest)
            assert (theirs.clip_ids.tolist(), theirs.folds.tolist()) == (ours.clip_ids.tolist(), ours.folds.tolist())
            assert read_yaml(run.config)["seed"] == str(seed)


def test_scores_are_those_of_the_runs_the_best_first(swept):
    found = swept.found
    manifest = read_manifest(swept.folder / "manifest.csv")
    for each in found.made:
        for run in each.runs:
            predictions = Predictions.load(
                Run(swept.folder / "trials" / each.name / f"seed_{run.seed}").predictions(each.name)
            )
            scores = predictions.align(manifest.clip_ids).scores
            assert run.score.value == pytest.approx(accuracy(manifest.present(), scores))
            assert run.seconds > 0
    assert [each.name for each in found.made] == ["logistic", "prior"]
    assert (found.reference, found.metric, found.n_seeds, found.n_clips) == ("logistic", "accuracy", 2, 15)
    assert found.of("logistic").spread == 0.0  # nothing is drawn in it
    assert found.nested.chosen == {0: "logistic", 1: "logistic"}
    assert found.nested.score.value == pytest.approx(found.of("logistic").score.value)


def test_the_folder_holds_page_json_csv_and_the_recipe_of_what_to_take(swept):
    document = json.loads((swept.folder / "sweep.json").read_text(encoding="utf-8"))
    assert document["take"] == "logistic"
    with open(swept.folder / "sweep.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["seed"]) for row in rows] == [(name, str(seed)) for name in MODELS for seed in (0, 1)]
    assert "logistic is best of 2" in swept.page.read_text(encoding="utf-8")
    recipe = read_yaml(swept.recipe)
    assert (recipe["model"], recipe["optim"]["epochs"]) == ("logistic", "2")
    assert "ship" not in recipe and "model_options" not in recipe


def test_the_same_call_again_makes_nothing_and_says_the_same(sweep, swept, folders, monkeypatch):
    before = times_of_making(swept.folder)
    monkeypatch.setattr("earmark.flows.sweep_bench.train", lambda **_: pytest.fail("what is done is read"))
    again = sweep(folders, swept.folder, models=MODELS, n_seeds=2, budget="1h", n_draws=0)
    assert times_of_making(swept.folder) == before
    assert again.found.trials == swept.found.trials


def test_other_settings_in_the_same_folder_are_refused(sweep, swept, folders):
    with pytest.raises(RunError, match="holds a run with other settings"):
        sweep(folders, swept.folder, "optim.epochs=3", models=MODELS, n_seeds=2)


def test_one_setting_is_varied_against_its_base_and_a_broken_trial_is_a_row(sweep, folders, tmp_path, monkeypatch):
    from earmark.flows.train import train

    def breaking(out, **given):
        if "seconds=0.3" in str(out):
            raise RuntimeError("no memory left\nat all")
        return train(out=out, **given)

    monkeypatch.setattr("earmark.flows.sweep_bench.train", breaking)
    asked = {"models": ["prior"], "vary": ["window.seconds=0.5,0.3,0.4"], "n_seeds": 1}
    found = sweep(folders, tmp_path / "varied", **asked).found
    assert [each.name for each in found.trials] == ["prior", "window.seconds=0.3", "window.seconds=0.4"]
    assert found.reference == "prior" and not found.is_search and found.nested is None
    [comparison] = found.comparisons
    assert (comparison.a, comparison.b) == ("window.seconds=0.4", "prior")
    assert found.trials[1].reason == "broke: no memory left"
    trials = tmp_path / "varied" / "trials"
    error = (trials / "window.seconds=0.3" / "error.txt").read_text(encoding="utf-8")
    assert "RuntimeError: no memory left" in error
    config = read_yaml(trials / "window.seconds=0.4" / "seed_0" / "config.yaml")
    assert (config["window"]["seconds"], config["window"]["hop_seconds"], config["ship"]) == ("0.4", "0.2", "ensemble")
    (trials / "prior" / "seed_0.json").unlink()
    monkeypatch.setattr("earmark.flows.sweep_bench.train", lambda **_: 1 / 0)
    with pytest.raises(RunError, match="no run of the base was made, so that there is nothing"):
        sweep(folders, tmp_path / "varied", **asked)


def test_a_network_is_trained_and_its_scores_are_read(sweep, folders, tmp_path):
    found = sweep(folders, tmp_path / "network", n_seeds=1, budget="10h", n_draws=0).found
    assert [each.name for each in found.made] == ["tiny_cnn"]
    assert found.of("tiny_cnn").cost.training_seconds > 0
    assert found.remarks[0] == "2 folds, stratified by class; 7 to 8 clips each."


def test_without_any_run_the_reasons_are_said(sweep, folders, tmp_path, monkeypatch):
    def breaking(**_):
        raise RunError("training broke off with exit code 3.")

    monkeypatch.setattr("earmark.flows.sweep_bench.train", breaking)
    with pytest.raises(RunError, match=r"no run was made, so that .*\nprior: training broke off with exit code 3"):
        sweep(folders, tmp_path / "none", models=["prior"], n_seeds=2)


def test_a_run_that_would_not_be_done_in_time_is_not_begun(bench, network, monkeypatch):
    monkeypatch.setattr("earmark.flows.sweep_bench.train", lambda **_: pytest.fail("it does not fit"))
    monkeypatch.setattr(Bench, "forecast", lambda *_: 100.0)
    bench.until = time.monotonic() + 2 + 100 - 1
    assert not bench.attempt(network, 0)
    assert not bench.attempt(network, 1)
    assert bench.left_out == {"tiny_cnn": [0, 1]}
    assert bench.expected["tiny_cnn"] == pytest.approx(2 + 100)


def test_what_runs_took_says_what_the_next_ones_take(bench, network, monkeypatch):
    other = Planned("wide", "drawn", network.settings)
    bench.until = time.monotonic() + 1e6
    monkeypatch.setattr(Bench, "forecast", lambda self, planned: {"tiny_cnn": 10.0, "wide": 30.0}[planned.name])
    monkeypatch.setattr(Bench, "seconds", lambda *_: 52.0)
    assert bench.expect(other) == 2 + 30
    bench._note(network, 0)
    assert bench.expect(network) == 52
    assert bench.expect(other) == 2 + 30 * (52 - 2) / 10  # five times the steps
    forest = of_models({}, ["forest"])[0]
    monkeypatch.setattr("earmark.flows.sweep_bench.slowdown", lambda: 3.0)
    assert bench.expect(forest) == 2 + 3 * BESIDES  # on three quarters of a core that others use
    bench._note(forest, 0)
    assert bench.expect(Planned("forest draw 1", "drawn", forest.settings)) == 52


def test_a_forecast_is_of_all_folds_steps_and_what_every_run_does_on_a_machine_as_busy_as_it_is(
    bench, network, monkeypatch
):
    monkeypatch.setattr("earmark.training.pace.seconds_a_step", lambda *_: 60.0)
    monkeypatch.setattr("earmark.flows.workers.slowdown", lambda: 4.0)
    monkeypatch.setattr("earmark.flows.workers.visible_gpus", list)
    monkeypatch.setattr("earmark.flows.sweep_bench.jobs_at_once", lambda _: 2)
    folds = bench.prepared.manifest.folds
    steps = sum(int((folds != fold).sum()) // 4 for fold in (0, 1))
    alone = BESIDES + A_ROUND + MORE_THAN_STEPS * 60.0 * 2 * steps / 2
    assert bench.forecast(network) == pytest.approx(4 * alone)


def test_the_first_run_on_a_backbone_hears_all_clips_and_the_next_do_not(bench, write_ears, tmp_path, monkeypatch):
    write_ears(tmp_path / "ears.onnx")
    on = str(tmp_path / "ears.onnx")
    monkeypatch.setattr("earmark.flows.sweep_bench.slowdown", lambda: 2.0)
    bench.until = time.monotonic() + 1e6
    svm, logistic = (Planned(head, "model", {"model": head, "backbone": {"on": on}}) for head in HEADS)
    heard = (bench.expect(svm) - 2) / 2 - BESIDES
    assert 0 < heard == (bench.expect(logistic) - 2) / 2 - BESIDES  # measured once
    monkeypatch.setattr(Bench, "seconds", lambda *_: 52.0)
    bench._note(svm, 0)
    assert bench.expect(logistic) == 2 + 2 * BESIDES


def test_other_folds_are_not_compared(bench, network, monkeypatch):
    manifest = bench.prepared.manifest

    def train(out, **_):
        manifest.with_folds(1 - manifest.folds).write(Run(out).manifest)

    monkeypatch.setattr("earmark.flows.sweep_bench.train", train)
    assert not bench.attempt(network, 0)
    assert bench.broken == {"tiny_cnn": OTHER_FOLDS}


def test_a_recipe_of_other_settings_under_the_same_name_is_refused(bench, network):
    bench.recipe(network)
    with pytest.raises(RunError, match="holds other settings than tiny_cnn has now"):
        bench.recipe(Planned("tiny_cnn", "model", layered(network.settings, {"optim": {"epochs": "9"}})))


def test_draws_are_made_around_the_best_while_all_their_seeds_fit(bench, network, monkeypatch):
    forest = of_models({}, ["forest"])[0]
    measured = {"tiny_cnn": 0.8, "forest": 0.7}
    values = {name: Repeats({0: value}, np.zeros((1, 2)), 0, 9) for name, value in measured.items()}
    monkeypatch.setattr("earmark.flows.sweep.measure", lambda *_: values)
    monkeypatch.setattr(Bench, "config", lambda *_: bench.prepared.config)
    asked = []

    def attempt(self, planned, seed, at_once=1):
        asked.append((planned.name, seed, at_once))
        return "draw 2" not in planned.name

    monkeypatch.setattr(Bench, "attempt", attempt)
    found, remarks = search(bench, [forest, network], [0, 1], 3)
    assert [each.name for each in found] == ["tiny_cnn draw 1", "tiny_cnn draw 3"]
    assert asked[:3] == [("tiny_cnn draw 1", 0, 2), ("tiny_cnn draw 1", 1, 1), ("tiny_cnn draw 2", 0, 2)]
    assert remarks == [] and search(bench, [forest, network], [0, 1], 0) == ([], [])
    bench.until = time.monotonic() + 60
    monkeypatch.setattr(Bench, "attempt", lambda *_, **__: False)
    assert search(bench, [forest, network], [0], 100) == ([], ["The time held 0 draws around tiny_cnn."])


def test_models_share_no_spread_with_others(network):
    forest = of_models({}, ["forest"])[0]
    draw = Planned("tiny_cnn draw 1", "drawn", network.settings)
    measured = {
        "forest": Repeats({0: 0.5}, np.zeros((1, 2)), 0, 9),
        "tiny_cnn": Repeats({0: 0.5, 1: 0.7}, np.zeros((2, 2)), 0, 9),
        "tiny_cnn draw 1": Repeats({0: 0.6, 1: 0.6}, np.zeros((2, 2)), 0, 9),
    }
    found = spreads_of([forest, network, draw], measured)
    assert math.isnan(found["forest"])
    assert found["tiny_cnn"] == found["tiny_cnn draw 1"] == pytest.approx(0.1)


def test_without_names_the_models_are_the_usual_ones_or_that_of_the_settings(monkeypatch):
    monkeypatch.setattr("earmark.flows.sweep.usual_backbone", list)
    assert names_of((), {}, one=False) == ["forest", "tiny_cnn", "se_cnn"]
    assert names_of((), {}, one=True) == ["se_cnn"]
    assert names_of((), {"model": "tiny_cnn"}, one=False) == ["tiny_cnn"]
    with pytest.raises(ConfigError, match="--vary and --ablate one model is the base"):
        names_of(("forest", "se_cnn"), {}, one=True)


@pytest.mark.parametrize(("seeds", "draws"), [(0, None), (1, -1)])
def test_numbers_that_make_no_sense_are_refused(seeds, draws):
    with pytest.raises(ConfigError, match="expected at least one seed, and draws from 0 on"):
        require_numbers(seeds, draws)


def test_the_cost_is_measured_once(swept, prepared, settings):
    bench = Bench(swept.folder, prepared, {}, None, 0.0)
    given = nested(dict(each.split("=", 1) for each in settings))
    [planned] = of_models(given, ["logistic"])
    kept = swept.folder / "trials" / "logistic" / "cost.json"
    before = kept.stat().st_mtime_ns
    cost = bench.cost(planned, [0, 1])
    assert isinstance(cost, Cost) and kept.stat().st_mtime_ns == before
    assert cost.total_seconds == pytest.approx(np.mean([bench.seconds(planned, seed) for seed in (0, 1)]))
    assert cost.megabytes > 0.01 and cost.realtime > 0 and cost.training_seconds > 0
