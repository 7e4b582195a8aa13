"""The forest in the file is scikit-learn's forest."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from earmark.baselines.features import SummaryFeatures
from earmark.baselines.forest import FeatureGraph, WindowFeatures, fit_forest, forest_graph
from earmark.export.graph import stamp
from earmark.models.frontend import FrontendConfig, LogMel
from earmark.tagger.metadata import TaggerMetadata
from earmark.windows import Framing

FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=128, n_mels=12)
FRAMING = Framing(8000, 4000, 2000, "repeat")


@pytest.fixture(scope="module")
def graph() -> FeatureGraph:
    return FeatureGraph(FRONTEND, FRAMING)


@pytest.fixture(scope="module")
def features(graph) -> WindowFeatures:
    """Features of 60 clips of one or two windows of noise, each class of its own loudness and colour."""
    generator = np.random.default_rng(0)
    clips = []
    for number in range(60):
        sound = generator.standard_normal(4000 + 2000 * (number % 2)) * (0.02, 0.1, 0.1)[number % 3]
        clips.append((np.cumsum(sound) * 0.1 if number % 3 == 2 else sound).astype(np.float32))
    return graph.of_clips(clips)


def test_features_are_statistics_of_the_bands_over_time():
    waveform = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    bands = LogMel(FRONTEND)(waveform)[:, 0].double().numpy()
    change = np.diff(bands, axis=2)
    expected = [bands.mean(2), bands.std(2), bands.min(2), bands.max(2), np.abs(change).mean(2), change.std(2)]
    found = SummaryFeatures(LogMel(FRONTEND))(waveform).numpy()
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-4)


def test_exported_features_equal_those_of_torch(graph):
    windows = (0.1 * np.random.default_rng(1).standard_normal((3, 4000))).astype(np.float32)
    expected = SummaryFeatures(LogMel(FRONTEND))(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(graph(windows), expected, atol=1e-2)


def test_each_window_knows_its_clip(features):
    assert len(features.values) == 90
    assert np.bincount(features.clips).tolist() == [1, 2] * 30


@pytest.mark.parametrize("several_labels", [False, True])
def test_the_graph_scores_as_scikit_learn_does(graph, features, several_labels):
    targets = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    if several_labels:
        targets[::4, 0] = 1
        targets[1::7] = 0
    forest = fit_forest(features, targets, np.arange(40), seed=0)
    model = forest_graph(graph.model, forest, 3)
    stamp(model, TaggerMetadata("forest", ("a", "b", "c"), 8000, 0.5, 0.25, multi_label=several_labels))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    windows = (0.05 * np.random.default_rng(2).standard_normal((50, 4000))).astype(np.float32)
    scores, embedding = session.run(["scores", "embedding"], {"waveform": windows})
    np.testing.assert_allclose(scores, forest.predict(embedding), atol=1e-5)
    if not several_labels:
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)


def test_a_regression_forest_on_one_hot_targets_is_as_good_as_a_classifier(features):
    targets = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    rows, held_out = features.clips < 40, features.clips >= 40
    forest = fit_forest(features, targets, np.arange(40), seed=0)
    classifier = RandomForestClassifier(300, random_state=0).fit(features.values[rows], features.clips[rows] % 3)
    truth = features.clips[held_out] % 3
    ours = (forest.predict(features.values[held_out]).argmax(axis=1) == truth).mean()
    theirs = (classifier.predict(features.values[held_out]) == truth).mean()
    assert ours > 0.9
    assert ours >= theirs - 0.05


def test_only_the_chosen_clips_are_learnt(features):
    targets = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    changed = targets.copy()
    changed[40:] = changed[40:, ::-1]
    spoilt = WindowFeatures(features.values.copy(), features.clips)
    spoilt.values[features.clips >= 40] = 1e6
    first = fit_forest(features, targets, np.arange(40), seed=0)
    second = fit_forest(spoilt, changed, np.arange(40), seed=0)
    np.testing.assert_array_equal(first.predict(features.values), second.predict(features.values))


def test_the_file_holds_one_tree_node_and_only_the_classes_in_each_leaf(graph, features):
    targets = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    forest = fit_forest(features, targets, np.arange(60), seed=0)
    model = forest_graph(graph.model, forest, 3)
    (node,) = [node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    weights = next(onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "target_weights")
    n_leaves = sum(int((estimator.tree_.children_left < 0).sum()) for estimator in forest.estimators_)
    assert len(weights) < 1.5 * n_leaves
