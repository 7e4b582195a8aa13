"""What every classifier in BASELINES must do, unasked."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from earmark.baselines import BASELINES, SEQUENCE_HEADS
from earmark.baselines.classifier import Classifier, Examples, classifier_graph
from earmark.export.graph import open_graph, stamp
from earmark.lookup import lookup
from earmark.tagger.metadata import TaggerMetadata

N_CLIPS, N_FEATURES, N_PATCHES, N_CLASSES = 90, 6, 3, 3
NAMES = sorted(BASELINES)


@pytest.fixture(autouse=True, scope="module")
def brief():
    """Small forests and short trainings teach these tests as much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("earmark.baselines.trees.N_TREES", 15)
        patch.setattr("earmark.baselines.boosting.ROUNDS", (5, 15))
        patch.setattr("earmark.baselines.mlp.EPOCHS", (5, 20))
        patch.setattr("earmark.baselines.sequence.MOST_ROUNDS", 10)
        patch.setattr("earmark.baselines.sequence.PATIENCE", 2)
        yield


def easy(name: str, multi_label: bool, seed: int = 0) -> Examples:
    """One or two windows of each clip; each class moves two features. Two features say nothing, and one is constant."""
    generator = np.random.default_rng(seed)
    clips = np.repeat(np.arange(N_CLIPS), 1 + np.arange(N_CLIPS) % 2)
    targets = np.eye(N_CLASSES, dtype=np.float32)[np.arange(N_CLIPS) % N_CLASSES]
    if multi_label:
        targets[::4, 0] = 1
        targets[1::7] = 0
    features = generator.normal(size=(len(clips), N_PATCHES, N_FEATURES))
    features[:, :, :N_CLASSES] += 4 * targets[clips][:, None]
    features[:, :, -1] = 7.0
    if name not in SEQUENCE_HEADS:
        features = features[:, 0]
    shares = np.bincount(clips)[clips]
    weights = np.ones((len(clips), N_CLASSES), np.float32) / shares[:, None].astype(np.float32)
    return Examples(features.astype(np.float32), targets[clips], weights, clips, clips // 10 % 3, multi_label)


@functools.cache
def fitted(name: str, multi_label: bool) -> Classifier:
    return fit(name, easy(name, multi_label))


def fit(name: str, examples: Examples, seed: int = 0) -> Classifier:
    return lookup(BASELINES, name, "classifier")(examples, seed=seed)


def graph_of(classifier: Classifier, shape: tuple[int, ...], n_classes: int = N_CLASSES) -> onnx.ModelProto:
    """The classifier behind a feature graph that passes its input on."""
    value, sizes = helper.make_tensor_value_info, ["batch", *shape]
    outputs = [value(classifier.source, TensorProto.FLOAT, sizes)]
    node = helper.make_node("Identity", ["waveform"], [classifier.source])
    inputs = [value("waveform", TensorProto.FLOAT, sizes)]
    features = helper.make_model(helper.make_graph([node], "features", inputs, outputs))
    return classifier_graph(features, classifier, n_classes)


@functools.cache
def session(name: str, multi_label: bool):
    shape = easy(name, multi_label).features.shape[1:]
    model = graph_of(fitted(name, multi_label), shape)
    stamp(model, TaggerMetadata("made", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=multi_label))
    return open_graph(model)


def right(classifier: Classifier, examples: Examples) -> float:
    answers = classifier.predict(examples.features) >= 0.5 if examples.multi_label else None
    if examples.multi_label:
        return float((answers == examples.targets).mean())
    return float((classifier.predict(examples.features).argmax(1) == examples.targets.argmax(1)).mean())


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_file_scores_as_the_classifier_does(name, multi_label):
    features = easy(name, multi_label, seed=1).features
    expected = fitted(name, multi_label).predict(features)
    (scores,) = session(name, multi_label).run(["scores"], {"waveform": features})
    assert scores.shape == expected.shape == (len(features), N_CLASSES)
    assert scores.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    (alone,) = session(name, multi_label).run(["scores"], {"waveform": features[:1]})
    np.testing.assert_allclose(alone, expected[:1], atol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_shares_of_one_where_one_label_is_right(name, multi_label):
    scores = fitted(name, multi_label).predict(easy(name, multi_label, seed=1).features)
    assert scores.min() >= 0 and scores.max() <= 1
    if not multi_label:
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"prior"}))
def test_an_easy_problem_is_learnt(name, multi_label):
    assert right(fitted(name, multi_label), easy(name, multi_label, seed=1)) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_means_the_same_twice(name):
    features = easy(name, False).features
    again = fit(name, easy(name, False)).predict(features)
    np.testing.assert_array_equal(again, fitted(name, False).predict(features))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_unknown_cannot_change_the_classifier(name, multi_label):
    examples = easy(name, multi_label)
    clip_known = np.random.default_rng(2).random((N_CLIPS, N_CLASSES if multi_label else 1)) < 0.8
    weights = examples.weights * clip_known[examples.clips]
    one = fit(name, replace(examples, weights=weights))
    turned = np.where(weights > 0, examples.targets, 1 - examples.targets)
    other = fit(name, replace(examples, weights=weights, targets=turned))
    np.testing.assert_array_equal(one.predict(examples.features), other.predict(examples.features))
    assert name == "prior" or right(one, easy(name, multi_label, seed=1)) > 0.85


def odd(name: str, kind: str) -> Examples:
    """Training sets that hold little."""
    examples = easy(name, multi_label=kind == "nothing known")
    first = examples.targets[:, 0] == 1
    if kind == "one inner fold":
        return replace(examples, parts=np.zeros_like(examples.parts))
    if kind == "never held out":
        return replace(examples, parts=np.where(examples.parts == 2, -1, examples.parts))
    if kind == "a class without a clip":
        return examples.select(~first)
    if kind == "a single clip of a class":
        return examples.select(~first | (examples.clips == examples.clips[first][0]))
    if kind == "constant features":
        return replace(examples, features=np.ones_like(examples.features))
    if kind == "soft targets":
        return replace(examples, targets=0.8 * examples.targets + 0.2 / N_CLASSES)
    if kind == "one stray value":
        examples.features[3, ..., 0] = 1e30
        return examples
    if kind == "two clips":
        return examples.select(examples.clips < 2)
    if kind == "one window":
        return examples.select(examples.clips < 1)
    return replace(examples, weights=np.zeros_like(examples.weights))


@pytest.mark.parametrize(
    "kind",
    [
        "one inner fold",
        "never held out",
        "a class without a clip",
        "a single clip of a class",
        "constant features",
        "soft targets",
        "one stray value",
        "two clips",
        "one window",
        "nothing known",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_odd_training_sets_give_a_classifier(name, kind):
    examples = odd(name, kind)
    classifier = fit(name, examples)
    features = easy(name, False, seed=1).features
    scores = classifier.predict(features)
    assert np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1
    exported = open_graph(stamped(graph_of(classifier, features.shape[1:]), examples.multi_label))
    np.testing.assert_allclose(exported.run(["scores"], {"waveform": features})[0], scores, atol=1e-5)
    if kind == "a class without a clip":
        assert scores[:, 0].max() < 0.5


def stamped(model: onnx.ModelProto, multi_label: bool) -> onnx.ModelProto:
    stamp(model, TaggerMetadata("made", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=multi_label))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_json_and_names_are_the_heads_own(name):
    classifier = fitted(name, False)
    assert json.loads(json.dumps(classifier.facts)) == dict(classifier.facts)
    nodes, constants = classifier.nodes()
    made = {output for node in nodes for output in node.output if output} | {tensor.name for tensor in constants}
    assert {found for found in made if not found.startswith("head_")} <= {"scores", "patch_scores"}
    assert {node.domain for node in nodes} <= {"", "ai.onnx.ml"}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wild_features_get_scores_and_file_and_classifier_agree(name, data):
    shape = (2, *easy(name, False).features.shape[1:])
    bounded = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
    features = data.draw(arrays(np.float32, shape, elements=bounded))
    scores = fitted(name, False).predict(features)
    assert np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1
    (exported,) = session(name, False).run(["scores"], {"waveform": features})
    np.testing.assert_allclose(exported, scores, atol=1e-5)
