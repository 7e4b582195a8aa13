"""Curves over few clips: what is drawn, what is learnt from it, and what the numbers say."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from earmark.baselines.classifier import Examples
from earmark.baselines.feature_graph import WindowFeatures
from earmark.baselines.few_shot import (
    FewShot,
    LabelledClips,
    draws,
    examples_of,
    few_shot,
    n_fits,
    usable_shots,
)
from earmark.errors import ConfigError
from earmark.run import to_json

N_CLASSES = 4
LABELS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class NearestMean:
    """A classifier that needs no library: softmax of minus the squared distance to the mean of each class."""

    means: np.ndarray
    seen: Examples
    source: str = "embedding"

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def predict(self, features: np.ndarray) -> np.ndarray:
        odds = np.exp(-np.square(features[:, None] - self.means).sum(axis=2))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


class Recorder:
    """Fits NearestMean and keeps what it was fitted on."""

    def __init__(self):
        self.seen: list[Examples] = []

    def __call__(self, examples: Examples, *, seed: int) -> NearestMean:
        self.seen.append(examples)
        shares = examples.targets * examples.weights
        means = shares.T @ examples.features / np.maximum(shares.sum(axis=0), 1e-9)[:, None]
        return NearestMean(means, examples)


def make_clips(n_per_class: int = 24, n_groups_per_class: int = 12, n_folds: int = 3) -> LabelledClips:
    classes = np.repeat(np.arange(N_CLASSES), n_per_class)
    takes = np.tile(np.arange(n_per_class), N_CLASSES)
    groups = np.array([f"{label}-{take % n_groups_per_class}" for label, take in zip(classes, takes, strict=True)])
    targets = np.eye(N_CLASSES, dtype=np.float32)[classes]
    return LabelledClips(LABELS, targets, np.ones_like(targets), takes % n_groups_per_class % n_folds, groups, False)


def make_features(clips: LabelledClips, distance: float, seed: int = 0) -> WindowFeatures:
    """One or two windows of each clip; the classes lie `distance` apart in noise of 1."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(clips)), 1 + np.arange(len(clips)) % 2)
    values = distance * clips.targets[owners] + generator.normal(size=(len(owners), N_CLASSES))
    return WindowFeatures(values.astype(np.float32), owners)


@pytest.fixture(scope="module")
def clips() -> LabelledClips:
    return make_clips()


@pytest.fixture(scope="module")
def found(clips) -> FewShot:
    features = {"good": make_features(clips, 2.5), "poor": make_features(clips, 0.8, seed=1)}
    return few_shot(clips, features, Recorder(), data="made", head="means", shots=(1, 2, 4, 8), n_draws=4)


def test_draws_hold_that_many_clips_of_each_class_from_the_training_side_and_nest(clips):
    for fold, _, chosen in draws(clips, [1, 2, 4, 8], 3, seed=0):
        smaller: set[int] = set()
        for k, positions in chosen.items():
            assert clips.targets[positions].sum(axis=0).tolist() == [k] * N_CLASSES
            assert (clips.folds[positions] != fold).all()
            assert smaller <= set(positions.tolist())
            smaller = set(positions.tolist())


def test_clips_come_from_as_many_groups_as_there_are(clips):
    """Eight groups of two clips of each class stand on a training side: eight clips are of eight groups."""
    for _, _, chosen in draws(clips, [8, 12], 3, seed=0):
        assert len(set(clips.groups[chosen[8]])) == 8 * N_CLASSES
        assert len(set(clips.groups[chosen[12]])) == 8 * N_CLASSES


def test_draws_differ_and_the_same_seed_repeats_them(clips):
    first, again, other = ([tuple(chosen[2]) for _, _, chosen in draws(clips, [2], 4, seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len(set(first)) == len(first)


def test_of_clips_with_several_labels_each_class_gets_at_least_its_share():
    generator = np.random.default_rng(0)
    clips = make_clips()
    targets = np.maximum(clips.targets, generator.random(clips.targets.shape) < 0.2).astype(np.float32)
    targets[::11] = 0
    clips = replace(clips, targets=targets, multi_label=True)
    for fold, _, chosen in draws(clips, [1, 2, 4], 2, seed=0):
        assert (clips.folds[chosen[4]] != fold).all()
        assert set(chosen[1]) <= set(chosen[2]) <= set(chosen[4])
        for k, positions in chosen.items():
            assert clips.targets[positions].sum(axis=0).min() >= k
            assert (clips.targets[positions].sum(axis=1) == 0).sum() == min(
                k, (targets[clips.folds != fold] == 0).all(axis=1).sum()
            )


def test_what_is_unknown_is_not_drawn_for(clips):
    weights = clips.weights.copy()
    doubtful = np.flatnonzero(clips.targets[:, 0])[::2]
    weights[doubtful] = 0
    for _, _, chosen in draws(replace(clips, weights=weights), [4], 2, seed=0):
        assert not np.isin(chosen[4], doubtful).any()


def test_a_class_with_too_few_clips_gives_all_it_has_and_that_is_said():
    clips = make_clips()
    kept = np.flatnonzero((clips.targets[:, 3] == 0) | (np.cumsum(clips.targets[:, 3]) <= 6))
    clips = LabelledClips(
        LABELS, *(each[kept] for each in (clips.targets, clips.weights, clips.folds, clips.groups)), False
    )
    for fold, _, chosen in draws(clips, [8], 1, seed=0):
        assert clips.targets[chosen[8], 3].sum() == (clips.targets[clips.folds != fold, 3]).sum() == 4
    features = {"x": make_features(clips, 2.0)}
    remarks = few_shot(clips, features, Recorder(), data="", head="", shots=(2, 8), n_draws=1).remarks
    assert remarks == ("8 clips per class: all there are of 1 classes that have fewer somewhere (d).",)


def test_inner_folds_hold_whole_groups_and_never_all_of_a_class(clips):
    recorder = Recorder()
    few_shot(clips, {"x": make_features(clips, 2.0)}, recorder, data="", head="", shots=(1, 2, 12), n_draws=1)
    for one, *more in zip(*(recorder.seen[start::3] for start in range(3)), strict=True):
        assert (one.parts == -1).all()
        for examples in more:
            for group in set(clips.groups[examples.clips]):
                assert len(set(examples.parts[clips.groups[examples.clips] == group])) == 1
            assert set(examples.parts) - {-1}
            for part in set(examples.parts) - {-1}:
                assert clips.targets[examples.clips[examples.parts != part]].sum(axis=0).min() >= 1


def test_each_clip_weighs_the_same_however_many_windows_it_has(clips):
    features = make_features(clips, 1.0)
    examples = examples_of(clips, features, np.array([0, 1, 5]), np.zeros(len(clips), dtype=np.int64))
    assert examples.clips.tolist() == [0, 1, 1, 5, 5]
    np.testing.assert_allclose(np.bincount(examples.clips, examples.weights[:, 0])[[0, 1, 5]], 1)


def test_no_head_sees_what_it_is_scored_on_and_all_features_learn_from_the_same_clips(clips):
    recorder = Recorder()
    features = {"one": make_features(clips, 2.0), "two": make_features(clips, 1.0, seed=3)}
    few_shot(clips, features, recorder, data="", head="", shots=(1, 4), n_draws=2)
    assert len(recorder.seen) == n_fits(clips, 2, (1, 4), 2) == 3 * 2 * 2 * 2
    for first, second in zip(recorder.seen[::2], recorder.seen[1::2], strict=True):
        np.testing.assert_array_equal(first.clips, second.clips)
        assert len(set(clips.folds[first.clips])) == 2  # of three folds


def test_more_clips_help_and_better_features_need_fewer(found):
    good, poor = found.curves
    values = [point.score.value for point in good.points]
    assert values[-1] > values[0] + 0.05
    assert good.points[1].score.value > poor.points[-1].score.value
    for curve in found.curves:
        for point in curve.points:
            assert point.score.low <= point.score.value <= point.score.high
            assert len(point.draws) == 4
            assert np.isclose(np.mean(point.draws), point.score.value)
            assert point.n_clips == N_CLASSES * point.shots


def test_differences_are_paired_and_said(found):
    (comparison,) = found.comparisons[8]
    good, poor = (curve.points[-1].score for curve in found.curves)
    assert np.isclose(comparison.interval.value, good.value - poor.value)
    assert comparison.interval.low > 0
    assert "good is better than poor" in comparison.sentence
    assert found.notes()[0].startswith("1 clip per class: ")


def test_the_interval_covers_the_luck_of_the_draw(clips):
    """Features that tell nothing but for a draw's luck: with more draws that differ the interval is wider."""
    features = {"good": make_features(clips, 1.2)}
    many = few_shot(clips, features, Recorder(), data="", head="", shots=(1,), n_draws=8).curves[0].points[0]
    spread = np.std(many.draws)
    assert spread > 0.02
    width = many.score.high - many.score.low
    assert width > 2 * 1.96 * spread / np.sqrt(8)


def test_the_same_seed_gives_the_same_curve(clips):
    features = {"x": make_features(clips, 1.5)}
    first, second = (
        few_shot(clips, features, Recorder(), data="", head="", shots=(2,), n_draws=2, seed=1) for _ in range(2)
    )
    assert first == second


def test_it_becomes_a_table_and_standard_json(found):
    header, rows = found.table()
    assert header == ["clips per class", "good", "poor"]
    assert [row[0] for row in rows] == ["1", "2", "4", "8"]
    document = json.loads(to_json(found.to_dict()))
    assert document["curves"][0]["points"][2]["shots"] == 4
    assert document["comparisons"]["8"][0]["a"] == "good"
    assert document["metric"] == "accuracy"


def test_numbers_that_no_class_has_are_left_out_and_said(clips):
    assert usable_shots(clips, [1, 16, 17, 100], 1) == [1, 16]
    found = few_shot(clips, {"x": make_features(clips, 1.0)}, Recorder(), data="", head="", shots=(1, 100), n_draws=1)
    assert found.remarks[0] == "Left out: 100 clips per class; no class has so many to learn from."


@pytest.mark.parametrize(("shots", "n_draws"), [((), 1), ((0, 1), 1), ((1,), 0)])
def test_shots_and_draws_are_whole_numbers_from_one_on(clips, shots, n_draws):
    with pytest.raises(ConfigError, match="expected whole numbers from 1 on"):
        usable_shots(clips, shots, n_draws)


def test_more_clips_than_any_class_has_are_refused(clips):
    with pytest.raises(ConfigError, match=r"no class has 50 clips .* \(the most are 16\)"):
        usable_shots(clips, [50, 60], 1)


def test_progress_is_told(clips):
    told: list[int] = []
    few_shot(
        clips,
        {"x": make_features(clips, 1.0)},
        Recorder(),
        data="",
        head="",
        shots=(1, 2),
        n_draws=1,
        progress=told.append,
    )
    assert told == list(range(1, 7))
