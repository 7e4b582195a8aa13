"""Heads over a sequence: what they learn that a mean does not, and that the file scores as they do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from earmark.baselines import sequence
from earmark.baselines.classifier import Examples, classifier_graph
from earmark.baselines.linear_solver import base_logits
from earmark.baselines.sequence import SequenceHead, fit_attention, fit_gru, fit_mean_pool
from earmark.export.backbone import patch_graph
from earmark.windows import Framing

HEADS = {"mean_pool": fit_mean_pool, "attention": fit_attention, "gru": fit_gru}
N_PATCHES, N_FEATURES = 6, 8


@pytest.fixture(autouse=True, scope="module")
def brief():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence, "MOST_ROUNDS", 24)
        patch.setattr(sequence, "PATIENCE", 4)
        yield


def make(features: np.ndarray, classes: np.ndarray, n_classes: int, multi_label: bool = False) -> Examples:
    """A row per clip in three inner folds."""
    n_rows = len(features)
    targets = np.eye(n_classes, dtype=np.float32)[classes]
    numbers = np.arange(n_rows)
    weights = np.ones_like(targets)
    return Examples(features.astype(np.float32), targets, weights, numbers, numbers % 3, multi_label)


def easy(n_rows: int = 90, n_classes: int = 3, seed: int = 0) -> Examples:
    """Each class shifts a feature of every patch."""
    generator = np.random.default_rng(seed)
    classes = generator.permutation(np.arange(n_rows) % n_classes)
    features = generator.normal(size=(n_rows, N_PATCHES, N_FEATURES))
    features[:, :, :n_classes] += 1.5 * np.eye(n_classes)[classes][:, None]
    return make(features, classes, n_classes)


def in_order(n_rows: int, seed: int) -> Examples:
    """Two events, and the class is which of them comes first: their mean is the same."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(2, size=n_rows)
    features = 0.3 * generator.normal(size=(n_rows, N_PATCHES, N_FEATURES))
    for row, swapped in enumerate(classes):
        first, second = np.sort(generator.choice(N_PATCHES, 2, replace=False))
        features[row, first, swapped] += 3
        features[row, second, 1 - swapped] += 3
    return make(features, classes, 2)


def one_tells(n_rows: int, seed: int) -> Examples:
    """One patch, marked by its first feature, tells the class; all others say something at random and louder."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(2, size=n_rows)
    features = generator.normal(size=(n_rows, N_PATCHES, N_FEATURES))
    features[:, :, 0] = 0
    features[:, :, 1] = 2 * generator.choice([-1, 1], size=(n_rows, N_PATCHES))
    places = generator.integers(N_PATCHES, size=n_rows)
    features[np.arange(n_rows), places, 0] = 3
    features[np.arange(n_rows), places, 1] = 2 * (2 * classes - 1)
    return make(features, classes, 2)


def accuracy(head: SequenceHead, examples: Examples) -> float:
    return float((head.predict(examples.features).argmax(axis=1) == examples.targets.argmax(axis=1)).mean())


def in_runtime(head: SequenceHead, features: np.ndarray) -> dict[str, np.ndarray]:
    """What the head's nodes alone give in ONNX Runtime."""
    nodes, constants = head.nodes()
    shapes = {"scores": ("batch", head.extra_outputs["patch_scores"][-1]), **head.extra_outputs}
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, ["batch", *features.shape[1:]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        constants,
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(shapes, session.run(list(shapes), {"sequence": features}), strict=True))


@pytest.fixture(scope="module")
def fitted() -> dict[tuple[str, bool], SequenceHead]:
    """Every head, fitted on an easy problem, for one label and for several."""
    return {
        (name, several): fit(replace(easy(), multi_label=several), seed=0)
        for name, fit in HEADS.items()
        for several in (False, True)
    }


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_the_nodes_score_as_the_head_does_windows_and_patches(fitted, name, several):
    head, features = fitted[name, several], easy(20, seed=5).features
    found = in_runtime(head, features)
    np.testing.assert_allclose(found["scores"], head.predict(features), atol=1e-5)
    np.testing.assert_allclose(found["patch_scores"], head.predict_patches(features), atol=1e-5)
    assert found["patch_scores"].shape == (20, N_PATCHES, 3)
    alone = in_runtime(head, features[:1])
    np.testing.assert_allclose(alone["scores"], found["scores"][:1], atol=1e-6)
    for scores in found.values():
        assert scores.min() >= 0
        assert scores.max() <= 1
        if not several:
            np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-5)


def test_waveform_to_scores_is_one_graph_of_backbone_and_head(fitted):
    """A backbone of one matrix hears patches of 10 samples, of which a window of 35 has six."""
    matrix = np.random.default_rng(0).normal(size=(10, N_FEATURES)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["waveform", "matrix"], ["embedding"])],
        "backbone",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 10])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", N_FEATURES])],
        [onnx.numpy_helper.from_array(matrix, "matrix")],
    )
    backbone = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    features = patch_graph(backbone, Framing(8000, 10, 5, "zeros"), 35)
    windows = np.random.default_rng(1).normal(size=(4, 35)).astype(np.float32)
    for name in HEADS:
        head = fitted[name, False]
        model = classifier_graph(features, head, 3)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        names = ["scores", "patch_scores", "sequence"]
        scores, patch_scores, sequences = session.run(names, {"waveform": windows})
        assert sequences.shape == (4, N_PATCHES, N_FEATURES)
        np.testing.assert_allclose(scores, head.predict(sequences), atol=1e-5)
        np.testing.assert_allclose(patch_scores, head.predict_patches(sequences), atol=1e-5)


def test_inner_names_keep_clear_of_the_feature_graph(fitted):
    nodes, constants = fitted["gru", False].nodes()
    names = [output for node in nodes for output in node.output] + [each.name for each in constants]
    assert {name for name in names if not name.startswith("head_")} == {"scores", "patch_scores"}
    assert {node.domain for node in nodes} == {""}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_what_each_patch_says(fitted, name):
    assert accuracy(fitted[name, False], easy(120, seed=9)) > 0.9


def test_only_the_recurrent_head_hears_the_order():
    training, unheard = in_order(200, 0), in_order(200, 1)
    found = {name: accuracy(fit(training, seed=0), unheard) for name, fit in HEADS.items()}
    assert found["gru"] > 0.9
    assert found["mean_pool"] < 0.65
    assert found["attention"] < 0.75


def test_attention_finds_the_one_patch_that_tells():
    training, unheard = one_tells(300, 0), one_tells(200, 1)
    found = {name: accuracy(HEADS[name](training, seed=0), unheard) for name in ("mean_pool", "attention")}
    assert found["attention"] > found["mean_pool"] + 0.15
    assert found["attention"] > 0.85


def test_a_patch_is_scored_by_itself_so_that_a_file_can_say_when():
    examples = easy()
    head = fit_mean_pool(examples, seed=0)
    mixed = examples.features[:1].copy()
    other = examples.features[examples.targets.argmax(axis=1) != examples.targets[0].argmax()][0]
    mixed[0, N_PATCHES // 2 :] = other[N_PATCHES // 2 :]
    logits = np.log(head.predict_patches(mixed))
    np.testing.assert_allclose(logits[0, 0], np.log(head.predict_patches(examples.features[:1]))[0, 0], atol=1e-5)
    assert np.abs(logits[0, -1] - np.log(head.predict_patches(examples.features[:1]))[0, -1]).max() > 0.1


@pytest.mark.parametrize("several", [False, True])
def test_unknown_labels_say_nothing(several):
    examples = replace(easy(60), multi_label=several)
    weights = examples.weights.copy()
    weights[::3, 0] = 0
    weights[1::7] = 0
    lies = examples.targets.copy()
    lies[weights == 0] = 1 - lies[weights == 0]
    heads = [
        fit_attention(replace(examples, targets=each, weights=weights), seed=0) for each in (examples.targets, lies)
    ]
    first, second = (head.predict(examples.features) for head in heads)
    np.testing.assert_array_equal(first, second)


def test_a_clip_of_two_windows_counts_as_the_clip_of_one():
    """Weights are shared among a clip's rows: a repeated row of half the weight changes the prior by nothing."""
    examples = easy(30)
    twice = examples.select(np.repeat(np.arange(30), 2))
    twice = replace(twice, weights=twice.weights / 2)
    priors = [base_logits(each) for each in (examples, twice)]
    views = [sequence._view(each) for each in (examples, twice)]
    np.testing.assert_allclose(priors[0], priors[1], atol=1e-6)
    np.testing.assert_allclose(views[0].standardisation.mean, views[1].standardisation.mean, atol=1e-5)


def test_the_same_seed_gives_the_same_head_and_leaves_the_random_state_alone(monkeypatch):
    monkeypatch.setattr(sequence, "MOST_ROUNDS", 3)
    examples = easy(30)
    state = sequence.torch.random.get_rng_state()
    first, second = (fit_gru(examples, seed=3).predict(examples.features) for _ in range(2))
    other = fit_gru(examples, seed=4).predict(examples.features)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-4
    assert (sequence.torch.random.get_rng_state() == state).all()


def test_a_rare_class_is_found():
    examples = easy(200)
    rows = np.flatnonzero((examples.targets[:, 0] == 0) | (np.arange(200) < 30))
    head = fit_attention(examples.select(rows), seed=0)
    unheard = easy(150, seed=8)
    rare = unheard.targets[:, 0] > 0
    assert (head.predict(unheard.features)[rare].argmax(axis=1) == 0).mean() > 0.7


def test_soft_targets_are_answered_softly():
    examples = easy(90)
    soft = replace(examples, targets=0.6 * examples.targets + 0.1, multi_label=True)
    scores = fit_mean_pool(soft, seed=0).predict(examples.features)
    assert scores[examples.targets > 0].mean() < 0.75
    assert scores[examples.targets > 0].mean() > scores[examples.targets == 0].mean() + 0.3


def test_facts_say_what_chose_the_rounds():
    examples = easy(30)
    chosen = fit_mean_pool(examples, seed=0).facts
    assert chosen["chosen_by"] == "3 inner folds"
    assert 0 < chosen["rounds"] <= sequence.MOST_ROUNDS
    alone = fit_mean_pool(replace(examples, parts=np.zeros(30, dtype=np.int64)), seed=0).facts
    assert alone["rounds"] == sequence.USUAL_ROUNDS
    assert "default" in alone["chosen_by"]


def test_what_cannot_be_learnt_is_not():
    """Labels at random: inner folds stop at once, and the scores stay near the shares of the classes."""
    examples = easy(90)
    shuffled = replace(examples, targets=np.random.default_rng(1).permutation(examples.targets))
    head = fit_gru(shuffled, seed=0)
    assert head.facts["rounds"] <= 3
    assert np.abs(head.predict(easy(50, seed=4).features) - 1 / 3).max() < 0.5


@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=12, deadline=None)
@given(
    features=arrays(np.float32, (7, 3, 4), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    weights=arrays(np.float32, (7, 2), elements=st.sampled_from([0.0, 0.5, 1.0])),
    classes=arrays(np.int64, 7, elements=st.integers(0, 1)),
    several=st.booleans(),
)
def test_whatever_the_features_scores_are_finite_and_the_file_agrees(name, features, weights, classes, several):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence, "MOST_ROUNDS", 2)
        patch.setattr(sequence, "USUAL_ROUNDS", 2)
        examples = replace(make(features, classes, 2, several), weights=weights)
        head = HEADS[name](examples, seed=0)
    scores = head.predict(features)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(in_runtime(head, features)["scores"], scores, atol=1e-4)


def test_heads_that_are_fitted_side_by_side_are_those_fitted_alone():
    examples = in_order(80, 0)
    alone = fit_gru(examples, seed=0).predict(examples.features)
    with ThreadPoolExecutor(2) as pool:
        for fitted in pool.map(lambda _: fit_gru(examples, seed=0), range(3)):
            np.testing.assert_array_equal(fitted.predict(examples.features), alone)
