"""`ensemble` from runs to a tagger: trained ones into one file, others into a folder; and again after a kill."""

from __future__ import annotations

import json

import numpy as np
import pytest

from earmark.data.readers import read_manifest
from earmark.ensemble import ENSEMBLES
from earmark.errors import ConfigError, EarmarkError, RunError
from earmark.flows.ensemble import STANDING, ensemble
from earmark.flows.evaluate import evaluate
from earmark.flows.run_config import RunConfig
from earmark.flows.teaching import find_teacher
from earmark.predictions import Predictions
from earmark.run import Run, to_json
from earmark.tagger import load_tagger
from earmark.tagger.combination import combine
from earmark.tagger.metadata import calibrate
from earmark.training.optim_config import OptimConfig


@pytest.fixture(scope="module")
def logistic(train, folders, tmp_path_factory):
    return train(folders, tmp_path_factory.mktemp("runs") / "logistic", "model=logistic")


@pytest.fixture(scope="module")
def joined(trained, logistic, tmp_path_factory):
    """All kinds of ensembles of a network and a classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("earmark.ensemble.stack.EPOCHS", 2)
        return ensemble([trained.run.folder, logistic.run.folder], tmp_path_factory.mktemp("runs") / "both")


def test_every_kind_stands_beside_the_best_member(joined, trained, logistic):
    assert joined.members == ("tones", "logistic")
    assert {each.a for each in joined.comparisons} == set(ENSEMBLES)
    assert {each.b for each in joined.comparisons} == {joined.best_member}
    for each in (trained, logistic):
        own = each.scorecard.models[each.model].metrics["accuracy"].value
        assert joined.scorecard.models[each.run.name].metrics["accuracy"].value == pytest.approx(own)
    _, rows = joined.table()
    assert len(rows) == 2 + len(ENSEMBLES)
    assert {row[3] for row in rows} >= {"best member"}
    assert sum("shipped" in row[3] for row in rows) == 1
    folder = joined.tagger.parent
    document = json.loads((folder / STANDING).read_text())
    assert np.shape(document["error_correlations"]) == (2, 2)
    for kind in ENSEMBLES:
        assert len(Predictions.load(Run(folder).predictions(kind))) == 15


def test_members_of_one_framing_become_one_file_that_scores_as_they_do_together(joined, trained, logistic, folders):
    tagger = load_tagger(joined.tagger.parent)
    assert tagger.path == joined.tagger
    assert joined.tagger.name == "both.tagger.onnx"
    fits = json.loads((joined.tagger.parent / "fits" / f"{joined.shipped}.json").read_text())
    sound = folders / "low" / "0.wav"
    files = [made.run.fold("refit", made.model).tagger for made in (trained, logistic)]
    scores = [load_tagger(file).score(sound).scores for file in files]
    combined = combine(np.stack(scores, axis=1), fits["final"], False)
    found = json.loads(Run(joined.tagger.parent).calibration.read_text(encoding="utf-8"))
    expected = calibrate(combined, found["levels"]["window"]["calibration"], False)
    np.testing.assert_allclose(tagger.score(sound).scores, expected, atol=1e-4)
    facts = tagger.metadata
    assert facts.trained_on["ensemble"] == joined.shipped
    assert facts.scores["of"].startswith("nested")
    assert facts.thresholds["clip"] == (0.0, 0.0, 0.0)


def test_it_knows_the_clips_that_its_members_were_trained_on(joined, folders):
    with pytest.raises(EarmarkError, match="was trained on 15 of these 15 clips"):
        evaluate(joined.tagger, folders)


def test_it_teaches_a_network_that_is_still_held_against_the_labels(joined, trained):
    manifest = read_manifest(trained.run.manifest)
    folder = joined.tagger.parent
    config = RunConfig(optim=OptimConfig(teacher=str(folder)))
    config, remarks = find_teacher(config, manifest, manifest)
    assert config.optim.teacher == str(Run(folder).predictions(joined.shipped).resolve())
    assert "50% of what the networks learn of 15 of 15 clips is what both says of them, out of fold" in remarks[0]


def test_an_ensemble_is_no_member_of_another(joined, trained):
    with pytest.raises(RunError, match="both: holds no finished run, so it cannot be a member"):
        ensemble([trained.run.folder, joined.tagger.parent], joined.tagger.parent.parent / "more")


def test_the_same_command_again_reads_what_is_there(joined, trained, logistic, monkeypatch):
    monkeypatch.setattr("earmark.flows.ensemble.fit_nested", None)
    again = ensemble([trained.run.folder, logistic.run.folder], joined.tagger.parent)
    assert to_json(again.to_dict()) == to_json(joined.to_dict())


def test_folders_of_others_are_left_alone(joined, trained, logistic, tmp_path):
    with pytest.raises(RunError, match="holds an ensemble of other members, or a run has changed since"):
        ensemble([logistic.run.folder, trained.run.folder], joined.tagger.parent)
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(RunError, match="is there already and holds no ensemble. Choose another --out"):
        ensemble([trained.run.folder, logistic.run.folder], tmp_path)
    with pytest.raises(ConfigError, match="'mode' is not an ensemble .did you mean 'mean'"):
        ensemble([trained.run.folder, logistic.run.folder], tmp_path / "new", how="mode")


def test_members_that_hear_other_windows_become_a_folder(train, trained, folders, tmp_path):
    other = train(folders, tmp_path / "short", "model=logistic", "window.seconds=0.4")
    found = ensemble([trained.run.folder, other.run.folder], tmp_path / "apart", how="geometric")
    assert found.tagger == tmp_path / "apart" / "apart.tagger"
    tagger = load_tagger(tmp_path / "apart")
    windows = tagger.score(folders / "low" / "0.wav")
    own = load_tagger(trained.run.tagger).score(folders / "low" / "0.wav")
    assert windows.starts.tolist() == own.starts.tolist()
    assert tagger.tag(folders / "low" / "0.wav")[0].label in ("low", "high", "noise")
