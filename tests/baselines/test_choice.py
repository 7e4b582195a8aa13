"""A classifier chosen out of fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from earmark.baselines import choice, trees
from earmark.baselines.choice import fit_choice
from earmark.baselines.classifier import classifier_graph
from earmark.baselines.inner import brier, clip_score
from earmark.baselines.linear import fit_logistic, fit_svm
from earmark.errors import ConfigError
from earmark.export.graph import open_graph


@pytest.fixture
def either_or(make_examples):
    """The label is the sign of the product of two features: no line parts the classes."""
    examples = make_examples(240, 2, 2, distance=0.0)
    return replace(examples, targets=np.eye(2, dtype=np.float32)[(examples.features.prod(axis=1) > 0).astype(int)])


def test_the_best_on_inner_folds_is_taken(make_examples, either_or):
    bent = fit_choice(either_or, seed=0, candidates=("logistic", "knn"))
    assert np.atleast_1d(bent.facts["taken"])[0] == "knn"
    assert bent.facts["inner_scores"]["knn"] > bent.facts["inner_scores"]["logistic"] + 0.2
    assert "carries" in str(bent.facts)  # what a card must say of the one taken
    straight = make_examples(n_features=60, distance=2.0)
    assert np.atleast_1d(fit_choice(straight, seed=0, candidates=("knn", "logistic")).facts["taken"])[0] == "logistic"


def test_what_is_taken_is_the_classifier_itself_fitted_on_all(make_examples):
    examples = make_examples()
    chosen = fit_choice(examples, seed=0, candidates=("logistic", "prior"))
    alone = fit_logistic(examples, seed=0)
    np.testing.assert_array_equal(chosen.predict(examples.features), alone.predict(examples.features))
    assert chosen.facts["inner_scores"]["logistic"] == round(clip_score(examples, alone.held_out), 4)
    assert chosen.facts["penalty"] == alone.facts["penalty"]


def test_a_candidate_that_left_no_inner_scores_is_fitted_once_per_inner_fold(make_examples, monkeypatch):
    monkeypatch.setattr(trees, "N_TREES", 10)
    chosen = fit_choice(make_examples(distance=3.0), seed=0, candidates=("forest", "prior"))
    assert chosen.facts["taken"] == "forest"
    assert chosen.facts["inner_scores"]["forest"] > 0.7
    assert np.isfinite(chosen.held_out).all()


def test_the_first_of_those_that_cannot_be_compared_is_taken(make_examples):
    easy = make_examples(distance=12.0)
    alone = replace(easy, parts=np.zeros_like(easy.parts))
    chosen = fit_choice(alone, seed=0, candidates=("svm", "logistic"))
    assert chosen.facts["taken"] == "svm"
    assert "default" in chosen.facts["chosen_by"]


@pytest.mark.parametrize("candidates", [("knn", "logistic", "svm"), ("knn", "logistic")])
def test_neighbours_too_many_for_a_file_are_left_out_before_they_could_fail_on_all_clips(
    make_examples, monkeypatch, candidates
):
    examples = make_examples()
    monkeypatch.setattr(choice, "MAX_BYTES", 2 * examples.features.nbytes)
    assert "knn" in fit_choice(examples, seed=0, candidates=candidates).facts["inner_scores"]
    monkeypatch.setattr(choice, "MAX_BYTES", 2 * examples.features.nbytes - 1)
    chosen = fit_choice(examples, seed=0, candidates=candidates)
    assert set(chosen.facts["inner_scores"]) == set(candidates) - {"knn"}
    assert chosen.facts["left_out"].startswith("knn: ")
    alone = fit_choice(replace(examples, parts=np.zeros_like(examples.parts)), seed=0, candidates=candidates)
    assert (alone.facts["taken"], alone.facts["left_out"]) == ("logistic", chosen.facts["left_out"])
    assert fit_choice(examples, seed=0, candidates=("knn",)).facts["taken"] == "knn"  # refused by itself, if at all


@pytest.mark.parametrize("candidates", [(), ("choice",), ("logistic", "choice")])
def test_a_choice_needs_other_classifiers(make_examples, candidates):
    with pytest.raises(ConfigError, match="candidates must be classifiers other than choice itself"):
        fit_choice(make_examples(), seed=0, candidates=candidates)


def test_a_misspelt_candidate_gets_a_hint(make_examples):
    with pytest.raises(ConfigError, match="did you mean 'logistic'"):
        fit_choice(make_examples(), seed=0, candidates=("logistik",))


def test_several_are_averaged_where_that_does_better_on_inner_folds(make_examples):
    examples = make_examples(300, 4, 12, distance=1.0)
    chosen = fit_choice(examples, seed=0, candidates=("svm", "logistic"))
    names = chosen.facts["taken"]
    assert isinstance(names, list)
    alone = [fit(examples, seed=0).held_out for fit in (fit_svm, fit_logistic)]
    assert brier(examples, chosen.held_out) < min(brier(examples, found) for found in alone)
    assert chosen.facts["inner_score_of_mean"] == round(clip_score(examples, chosen.held_out), 4)
    alone = [each.predict(examples.features) for each in chosen.taken]
    np.testing.assert_allclose(chosen.predict(examples.features), np.mean(alone, axis=0), atol=1e-6)
    assert set(names) < set(chosen.facts)
    features = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["waveform"], ["embedding"])],
        "features",
        [onnx.helper.make_tensor_value_info("waveform", onnx.TensorProto.FLOAT, ["batch", 12])],
        [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", 12])],
    )
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = classifier_graph(onnx.helper.make_model(features, opset_imports=opsets, ir_version=10), chosen, 4)
    onnx.checker.check_model(model)
    found = open_graph(model).run(["scores"], {"waveform": examples.features})[0]
    np.testing.assert_allclose(found, chosen.predict(examples.features), atol=1e-5)
