"""`ladder` from folders of sounds to a page: the same folds for all, what it leaves, and that it goes on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from earmark.baselines.features import SummaryFeatures
from earmark.baselines.ladder import KINDS
from earmark.data.leakage import hash_contents
from earmark.data.readers import read_manifest
from earmark.data.seen import sketch
from earmark.errors import ConfigError, ManifestError, TaggerFileError
from earmark.evaluation.blend import blend, pick_members
from earmark.evaluation.metrics import accuracy
from earmark.flows.experiment import Experiment
from earmark.flows.ladder import Climbed, climb, that_fit, try_out
from earmark.flows.ladder import ladder as run_ladder
from earmark.flows.ladder_costs import Estimate
from earmark.flows.ladder_insight import insight
from earmark.flows.ladder_rungs import MISSING, NETWORKS, SUMMARY, Candidate, Stage, candidates
from earmark.flows.prepare import Prepared, prepare
from earmark.flows.run_config import DataConfig, RunConfig
from earmark.predictions import Predictions
from earmark.run import Run
from earmark.tagger import load_tagger, score_files
from earmark.tagger.home import converted, present

RATE = 16_000
GROUPS = ("mel", "level")
RUNGS = ("prior", "knn", "logistic", "tiny_cnn", "ears", "blend")
NAMES = ("prior", "knn", "logistic", "tiny_cnn", "ears+choice", "blend")


@pytest.fixture(scope="module")
def ears(tmp_path_factory, write_ears):
    """A home folder that holds one backbone, `ears`: a network of 16 kHz that has learnt nothing."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARMARK_HOME", str(home))
        write_ears(converted("ears"))
        yield home


@pytest.fixture(scope="module")
def ladder(small, settings, ears):
    """`ladder(data, out, *settings, **options)`: the whole flow, made small, on few features."""
    features = partial(SummaryFeatures, groups=GROUPS)

    def run(data, out, *more: str, **options) -> Climbed:
        other = any(each.startswith("model=") for each in more)  # which has not the options of the usual one
        usual = [each for each in settings if not (other and each.startswith("model"))]
        with small(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("earmark.flows.classifier_folds.SummaryFeatures", features)
            patch.setattr("earmark.flows.ladder_insight.SummaryFeatures", features)
            return run_ladder(data, out, settings=[*usual, *more], progress=False, **options)

    return run


@pytest.fixture(scope="module")
def climbed(ladder, folders, tmp_path_factory) -> Climbed:
    return ladder(folders, tmp_path_factory.mktemp("ladders") / "tones", rungs=RUNGS)


@pytest.fixture(scope="module")
def prepared(small, settings, folders, ears, tmp_path_factory) -> Prepared:
    """The rows and settings that all rungs share."""
    with small():
        run = Run(tmp_path_factory.mktemp("prepared"))
        return prepare(DataConfig(path=str(folders)), None, settings, run, False)


def scores_of(climbed: Climbed, name: str) -> Predictions:
    return Predictions.load(Run(climbed.folder).predictions(name))


def test_every_rung_is_climbed_in_order_and_has_scores_of_the_same_clips(climbed):
    assert tuple(rung.name for rung in climbed.ladder.climbed) == NAMES
    clips = read_manifest(climbed.folder / "manifest.csv").clip_ids.tolist()
    for name in NAMES:
        assert scores_of(climbed, name).clip_ids.tolist() == clips


def test_the_folder_holds_page_picture_json_and_the_settings(climbed):
    found = {path.name for path in climbed.folder.iterdir()}
    assert {"ladder.html", "ladder.svg", "ladder.json", "config.yaml", "manifest.csv", "environment.txt"} <= found
    assert climbed.page == climbed.folder / "ladder.html"
    document = json.loads((climbed.folder / "ladder.json").read_text(encoding="utf-8"))
    assert document["best"] == climbed.ladder.best.name
    assert [rung["name"] for rung in document["rungs"]] == list(NAMES)


@pytest.mark.parametrize(("name", "place"), [("logistic", ""), ("tiny_cnn", "tiny_cnn"), ("ears+choice", "on/ears")])
def test_scores_are_those_that_a_folds_file_gives_to_clips_it_never_saw(climbed, name, place):
    manifest, predictions = read_manifest(climbed.folder / "manifest.csv"), scores_of(climbed, name)
    for fold in manifest.fold_numbers:
        tagger = load_tagger(Run(climbed.folder / place).fold(fold, name).tagger)
        seen, held_out = manifest.select(manifest.folds != fold), manifest.select(manifest.folds == fold)
        assert tagger.metadata.trained_on["content_hash"] == seen.content_hash(hash_contents(seen))
        again, failures = score_files(tagger, held_out.clips())
        assert failures == []
        np.testing.assert_allclose(again.scores, predictions.align(again.clip_ids).scores, atol=1e-5)


def test_a_head_hears_at_the_rate_of_its_backbone_and_the_others_at_that_of_the_data(climbed):
    assert load_tagger(Run(climbed.folder / "on" / "ears").fold(0, "ears+choice").tagger).sample_rate == RATE
    assert load_tagger(Run(climbed.folder).fold(0, "logistic").tagger).sample_rate == 8000


def test_the_blend_is_that_of_the_other_rungs_scores_and_says_who_is_in_it(climbed):
    manifest = read_manifest(climbed.folder / "manifest.csv")
    tables = {name: scores_of(climbed, name).scores for name in NAMES[:-1]}
    given = manifest.present(), manifest.label_weights()
    expected, _ = blend(given[0], tables, manifest.folds, "accuracy", given[1])
    np.testing.assert_allclose(scores_of(climbed, "blend").scores, expected, atol=1e-6)
    about = climbed.ladder.climbed[-1].about
    assert all(name in about for name in pick_members(given[0], tables, "accuracy", given[1]))


def test_every_rung_has_its_price(climbed):
    for rung in climbed.ladder.climbed:
        assert 0 < rung.cost.realtime_from_files <= 1.05 * rung.cost.realtime
        assert rung.cost.training_seconds >= 0 and rung.cost.total_seconds > 0
    costs = {rung.name: rung.cost for rung in climbed.ladder.climbed}
    assert costs["tiny_cnn"].megabytes == pytest.approx(
        Run(climbed.folder / "tiny_cnn").fold(0, "tiny_cnn").tagger.stat().st_size / 1e6
    )


def test_a_rung_that_learns_beats_the_prior(climbed):
    manifest = read_manifest(climbed.folder / "manifest.csv")
    values = {name: accuracy(manifest.present(), scores_of(climbed, name).scores) for name in ("prior", "logistic")}
    assert values["logistic"] > 0.6 > values["prior"]
    metrics = climbed.ladder.scorecard.models["logistic"].metrics
    assert metrics["accuracy"].value == pytest.approx(values["logistic"])


def test_the_page_says_what_the_features_tell(climbed):
    found = climbed.ladder.insight
    assert found.model in ("knn", "logistic")
    assert set(found.strongest) == {"low", "high", "noise"}
    assert all(-1 <= each.effect <= 1 for told in found.strongest.values() for each in told)
    assert max(abs(told[0].effect) for told in found.strongest.values()) == pytest.approx(1.0)
    assert {each.group for each in found.importances} == set(GROUPS)


def times_of_making(folder):
    """When each thing was written that only fitting and measuring write."""
    made = [*folder.rglob("tagger.onnx"), *folder.rglob("result.json"), *folder.rglob("costs/*.json")]
    return {path: path.stat().st_mtime_ns for path in made}


def test_the_same_call_again_makes_nothing_and_says_the_same(ladder, climbed, folders):
    before = times_of_making(climbed.folder)
    again = ladder(folders, climbed.folder, rungs=RUNGS)
    assert times_of_making(climbed.folder) == before
    assert json.dumps(again.ladder.to_dict()) == json.dumps(climbed.ladder.to_dict())


def test_a_budget_leaves_out_what_does_not_fit_and_keeps_what_is_done(ladder, climbed, folders, monkeypatch):
    monkeypatch.setattr("earmark.flows.ladder.estimate", lambda *_: pytest.fail("what is done is not tried"))
    again = ladder(folders, climbed.folder, rungs=RUNGS, budget="1s")
    assert tuple(rung.name for rung in again.ladder.climbed) == NAMES


def test_a_long_rung_is_tried_and_left_out_with_its_estimate(ladder, folders, tmp_path):
    done = ladder(folders, tmp_path / "tones", "optim.epochs=100000", rungs=("prior", "tiny_cnn"), budget="2m")
    found = {rung.name: rung for rung in done.ladder.rungs}
    assert found["prior"].cost and found["prior"].estimate_seconds < 60
    assert found["tiny_cnn"].cost is None
    assert found["tiny_cnn"].estimate_seconds > 120
    assert found["tiny_cnn"].reason.startswith("Left out: beside quicker rungs, ")
    assert found["tiny_cnn"].reason.endswith(" of the budget of 2.0 min would be left for it.")
    assert not (tmp_path / "tones" / "tiny_cnn").exists()
    assert not (tmp_path / "tones" / "trial" / "fold_0").exists()  # of few clips the prior's own fold was its trial
    assert "Left out: beside quicker rungs" in done.page.read_text(encoding="utf-8")


def test_what_surely_fits_is_not_tried_in_whatever_order(ladder, folders, tmp_path):
    done = ladder(folders, tmp_path / "tones", rungs=("tiny_cnn", "prior"), budget="30m")
    assert [rung.name for rung in done.ladder.climbed] == ["tiny_cnn", "prior"]
    assert not (tmp_path / "tones" / "trial").exists()


def test_of_many_clips_classifiers_are_tried_on_a_few(ladder, folders, tmp_path, monkeypatch):
    monkeypatch.setattr("earmark.flows.ladder_costs.TRIAL_CLIPS", 7)
    done = ladder(folders, tmp_path / "tones", rungs=("prior", "tiny_cnn"), budget="30m")
    assert [rung.name for rung in done.ladder.climbed] == ["prior", "tiny_cnn"]
    assert (tmp_path / "tones" / "trial" / "fold_0" / "prior").is_dir()


def test_no_trial_begins_when_the_time_is_up(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(Stage, "try_out", lambda *_: pytest.fail("there is no time"))
    stage = Stage(tmp_path, prepared.manifest, prepared.cache, False)
    planned = candidates(prepared.config, (), ("tiny_cnn", "prior"))
    assert try_out(stage, planned, prepared.config, time.monotonic()) == ({}, ["prior", "tiny_cnn"])


def test_a_budget_that_nothing_fits_into_is_refused(prepared):
    planned = candidates(prepared.config, (), ("prior", "knn"))
    estimates = {"prior": Estimate("", 50, 10), "knn": Estimate("", 50, 20)}
    chosen, reasons = that_fit(planned, estimates, (), 100.0, spent=30.0)
    assert [each.name for each in chosen] == ["prior"]
    assert reasons == {"knn": "Left out: beside quicker rungs, 10 s of the budget of 1.7 min would be left for it."}
    chosen, reasons = that_fit(planned, {"prior": estimates["prior"]}, ["knn"], 100.0, spent=30.0)
    assert reasons == {"knn": "Left out, and not tried: those tried before it take up the budget of 1.7 min."}
    says = r"--budget: 60 s of 100 s went .* the quickest rung, prior, takes about 60 s\. Give more"
    with pytest.raises(ConfigError, match=says.replace("100 s", "1.7 min")):
        that_fit(planned, estimates, (), 100.0, spent=60.0)
    with pytest.raises(ConfigError, match="2.0 min of 1.7 min went into reading and trying. Give more, or"):
        that_fit(planned, {}, ["prior", "knn"], 100.0, spent=120.0)


def test_a_rung_that_the_data_is_too_large_for_is_left_out_with_its_reason(monkeypatch):
    def climb_rung(stage, candidate):
        if candidate.name == "knn":
            raise ConfigError("knn: a tagger would have to carry 9 GB. Take another head.")
        return "scores"

    monkeypatch.setattr("earmark.flows.ladder.climb_rung", climb_rung)
    knn, forest = (Candidate(name, "summary", name, RunConfig(), name) for name in ("knn", "forest"))
    assert climb(None, [knn, forest]) == (
        {"forest": "scores"},
        {"knn": "knn: a tagger would have to carry 9 GB. Take another head."},
    )
    with pytest.raises(ConfigError, match="would have to carry"):
        climb(None, [knn])


def test_a_part_of_the_data_and_no_pretrained_network_are_told(ladder, make_folders, tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("earmark.flows.ladder_rungs.SUMMARY", ("prior",))
    monkeypatch.setattr("earmark.flows.ladder_rungs.NETWORKS", ())
    found = ladder(make_folders(tmp_path / "sounds", 10), tmp_path / "part", fraction=0.5).ladder
    assert [rung.name for rung in found.rungs] == ["prior", "pretrained", "blend"]
    assert found.share == pytest.approx(0.5, abs=0.11)
    prior = found.rungs[0]
    assert found.full_seconds(prior) == pytest.approx(prior.cost.total_seconds / found.share)
    assert any(remark.startswith("A part of the data") for remark in found.scorecard.remarks)
    assert found.rungs[1].reason == MISSING
    assert "takes two folds and two rungs" in found.rungs[2].reason
    assert found.insight is None  # the prior looks at no feature


def test_the_usual_rungs_are_those_of_the_tables_and_the_networks_in_the_home_folder(prepared):
    found = candidates(prepared.config, present())
    assert [each.name for each in found] == [*SUMMARY, *NETWORKS, "ears+choice"]
    assert {each.kind for each in found} | {"blend"} == set(KINDS)
    assert [each.name for each in candidates(prepared.config, ("ears",), ("knn",))] == ["knn", "ears+choice"]


def test_options_of_a_model_are_not_asked_of_others(prepared):
    found = {each.name: each.config for each in candidates(prepared.config, present())}
    assert found["tiny_cnn"].model_options == {"width": "8"}
    assert found["se_cnn"].model_options == found["forest"].model_options == found["ears+choice"].model_options == {}


@pytest.mark.parametrize(
    ("rung", "error", "says"),
    [
        ("frost", ConfigError, r"'frost' is not a rung \(did you mean 'forest'\?\). Give a model, a pretrained"),
        ("gru", ConfigError, "'gru' is not a rung"),  # it needs patches, which summary features have not
        ("yamnet", TaggerFileError, "`earmark models get yamnet` brings it"),
        ("blend", ConfigError, "--rungs: blend leaves nothing to climb"),
    ],
)
def test_a_rung_that_is_not_here_is_refused(prepared, rung, error, says):
    with pytest.raises(error, match=says):
        candidates(prepared.config, (), (rung,))


def test_two_backbones_of_one_name_are_refused(prepared, tmp_path, write_ears):
    write_ears(tmp_path / "ears.tagger.onnx")
    with pytest.raises(ConfigError, match=r"--on: two rungs would be called ears\+choice"):
        candidates(prepared.config, ("ears", str(tmp_path / "ears.tagger.onnx")))


def knowing(folders, path, write_ears) -> str:
    """The path of a tagger file that says it was trained on these sounds."""
    manifest = read_manifest(folders)
    write_ears(path, sketch(manifest, hash_contents(manifest)))
    return str(path)


def test_a_backbone_that_has_learnt_what_is_held_out_stops_the_ladder(ladder, folders, tmp_path, write_ears):
    old = knowing(folders, tmp_path / "old.tagger.onnx", write_ears)
    with pytest.raises(ManifestError, match="was trained on sounds that are held out here"):
        ladder(folders, tmp_path / "out", rungs=("prior",), on=(old,))


def test_leaks_are_told_once_and_the_page_says_how_many_more(ladder, folders, tmp_path, write_ears):
    old = knowing(folders, tmp_path / "old.tagger.onnx", write_ears)
    given = {"rungs": ("prior",), "on": (old,), "allow_leak": True}
    done = ladder(folders, tmp_path / "out", f"backbone.on={old}", "model=choice", **given)
    told = [remark for remark in done.ladder.scorecard.remarks if remark.startswith("Leak: ")]
    assert len(told) == 6
    assert told[-1] == "Leak: 10 more, all in leaks.csv."
    rows = (tmp_path / "out" / "leaks.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 15  # of each leak the backbone and the clip


def test_a_finetuned_network_is_no_rung(ladder, folders, tmp_path, monkeypatch):
    monkeypatch.delattr("earmark.flows.ladder.prepare")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: finetuned\n", encoding="utf-8")
    for given in ({"recipe": recipe}, {"more": "model=finetuned"}):
        with pytest.raises(
            ConfigError, match=r"model: finetuned is no rung.* `earmark train DATA --on NAME --finetune`"
        ):
            ladder(folders, tmp_path / "out", *filter(None, [given.pop("more", "")]), **given)


def test_a_backbone_may_be_called_as_a_folder_of_the_ladder_is(prepared, tmp_path, write_ears):
    for name in ("costs", "trial", "fold_0"):
        write_ears(tmp_path / f"{name}.tagger.onnx")
        [rung] = candidates(prepared.config, (), (str(tmp_path / f"{name}.tagger.onnx"),))
        assert rung.place == f"on/{name}"


def test_groups_matter_by_how_the_run_pools(climbed, prepared, monkeypatch):
    monkeypatch.setattr("earmark.flows.ladder_insight.SummaryFeatures", partial(SummaryFeatures, groups=GROUPS))
    monkeypatch.setattr("earmark.flows.classifier_folds.SummaryFeatures", partial(SummaryFeatures, groups=GROUPS))
    asked = []

    def record(predict, features, targets, weights, clips, *_, **__):
        asked.append((predict(features), clips))
        return []

    monkeypatch.setattr("earmark.flows.ladder_insight.permutation_importance", record)
    for pool in ("mean", "max"):
        config = replace(prepared.config, window=replace(prepared.config.window, pool=pool))
        stage = Stage(climbed.folder, read_manifest(climbed.folder / "manifest.csv"), prepared.cache, False)
        [rung] = candidates(config, (), ("knn",))
        stage.experiment = lambda rung, stage=stage: Experiment(
            stage.run, rung.config, stage.manifest, stage.cache, progress=False
        )
        insight(stage, rung)
    (windows, clips), (largest, _) = asked
    assert len(set(clips)) < len(clips)
    for clip in set(clips):
        np.testing.assert_array_equal(largest[clips == clip].mean(axis=0), windows[clips == clip].max(axis=0))
