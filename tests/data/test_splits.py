"""Folds: a partition, no group in two, every class in training, balanced, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data import Manifest, choose_folds, inner_split, read_manifest
from earmark.data.splits import SPLITS
from earmark.errors import ConfigError, ManifestError
from earmark.lookup import load

REAL = Path("../shared/data")
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")


def make(seed: int, n_clips: int, n_classes: int, multi_label: bool, n_groups: int | None) -> Manifest:
    """Clips with random labels; each class in several clips; in groups of uneven size, or in none."""
    generator = np.random.default_rng(seed)
    names = [f"class{number}" for number in range(n_classes)]
    # Dealing the classes out in turn puts each into several groups.
    labels = [{names[clip % n_classes]} for clip in range(n_clips)]
    groups = None
    if multi_label:
        for one in labels:
            one |= {name for name in names if generator.random() < 0.15}
        labels[0] = set()
    if n_groups:
        draws = np.sort(generator.integers(0, n_groups, n_clips - n_groups * 2))
        groups = [f"g{number}" for number in [*np.repeat(np.arange(n_groups), 2), *draws]]
    return Manifest.build(
        Path("root"),
        [f"{clip}.wav" for clip in range(n_clips)],
        [tuple(sorted(one)) for one in labels],
        groups=groups,
    )


manifests = st.builds(
    make,
    seed=st.integers(0, 1000),
    n_clips=st.integers(60, 120),
    n_classes=st.integers(2, 5),
    multi_label=st.booleans(),
    n_groups=st.sampled_from([None, 12, 25]),
)


def no_group_in_both(manifest: Manifest, one: np.ndarray, other: np.ndarray) -> bool:
    return not set(manifest.groups[one]) & set(manifest.groups[other])


@given(manifests, st.integers(2, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_folds_partition_keep_groups_whole_and_train_every_class(manifest, n_folds, seed):
    folded, method, _ = choose_folds(manifest, n_folds, seed)
    assert method == ("stratified_grouped" if manifest.has_groups else "stratified")
    assert set(folded.folds) == set(range(n_folds))
    targets = folded.targets()
    for fold in range(n_folds):
        held_out = folded.folds == fold
        assert no_group_in_both(folded, held_out, ~held_out)
        assert targets[~held_out].any(axis=0).all()
    assert (choose_folds(manifest, n_folds, seed)[0].folds == folded.folds).all()


@given(manifests, st.sampled_from([0.1, 0.15, 0.25, 0.5]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_inner_split_partitions_keeps_groups_whole_and_trains_every_class(manifest, fraction, seed):
    train, validation = inner_split(manifest, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(manifest)))
    assert len(validation)
    assert no_group_in_both(manifest, train, validation)
    assert manifest.targets()[train].any(axis=0).all()
    again = inner_split(manifest, fraction, seed)
    assert (again[0] == train).all()
    assert (again[1] == validation).all()


def test_inner_split_ignores_given_folds_and_takes_about_the_fraction():
    manifest = make(0, 400, 4, False, None)
    train, validation = inner_split(manifest, 0.1, 0)
    assert len(validation) == 40
    assert manifest.targets()[validation].sum(axis=0).tolist() == [10, 10, 10, 10]
    folded = manifest.with_folds(np.arange(400) % 5)
    assert (inner_split(folded, 0.1, 0)[1] == validation).all()
    assert (inner_split(manifest, 0.1, 1)[1] != validation).any()


def test_inner_split_never_takes_the_only_group_of_a_class_from_training():
    labels = [("rare",)] * 3 + [("dog",)] * 20 + [("cat",)] * 20
    groups = ["only"] * 3 + [f"g{number // 2}" for number in range(40)]
    manifest = Manifest.build(Path("root"), [f"{n}.wav" for n in range(43)], labels, groups=groups)
    for seed in range(10):
        _, validation = inner_split(manifest, 0.5, seed)
        assert not set(validation) & {0, 1, 2}


def test_inner_split_says_when_nothing_can_be_set_aside():
    manifest = Manifest.build(Path("root"), ["1.wav", "2.wav"], [("dog",), ("cat",)])
    with pytest.raises(ManifestError, match="no clips can be set aside"):
        inner_split(manifest, 0.1, 0)


@pytest.mark.parametrize("multi_label", [False, True])
def test_stratified_folds_are_balanced(multi_label):
    manifest = make(1, 500, 5, multi_label, None)
    folds = choose_folds(manifest)[0].folds
    counts = np.array([manifest.targets()[folds == fold].sum(axis=0) for fold in range(5)])
    expected = manifest.targets().sum(axis=0) / 5
    assert np.abs(counts - expected).max() <= (1 if not multi_label else 4)
    assert np.abs(np.bincount(folds) - 100).max() <= (0 if not multi_label else 10)


@pytest.mark.parametrize("multi_label", [False, True])
def test_grouped_folds_are_balanced_as_far_as_groups_allow(multi_label):
    manifest = make(1, 1000, 5, multi_label, 150)
    folds = choose_folds(manifest)[0].folds
    counts = np.array([manifest.targets()[folds == fold].sum(axis=0) for fold in range(5)])
    assert (np.abs(counts / manifest.targets().sum(axis=0) - 0.2) < 0.05).all()


def test_seeds_give_different_folds():
    manifest = make(1, 100, 4, False, None)
    assert (choose_folds(manifest, seed=0)[0].folds != choose_folds(manifest, seed=1)[0].folds).any()


def test_given_folds_are_kept_whatever_is_asked_for():
    manifest = make(1, 60, 3, False, None).with_folds(np.arange(60) // 3 % 4 + 1)
    folded, method, sentence = choose_folds(manifest, 5)
    assert (method, folded.folds.tolist()) == ("given", manifest.folds.tolist())
    assert sentence == "4 folds, given in the data; 15 clips each."


def test_given_folds_that_leave_a_class_untrained_are_said():
    manifest = make(1, 60, 3, False, None)
    folds = np.where(manifest.targets()[:, 0] > 0, 0, np.arange(60) % 2)
    said = "1 of 3 classes are in one fold alone, so their clips were scored without one trained on, and count so: cl"
    assert said in choose_folds(manifest.with_folds(folds))[2]


def test_few_groups_make_fewer_folds_and_it_is_said():
    manifest = make(1, 60, 2, False, None)
    grouped = Manifest.build(
        Path("root"),
        manifest.table["path"],
        manifest.table["labels"],
        groups=[f"g{n % 3}" for n in range(60)],
    )
    folded, _, sentence = choose_folds(grouped, 5)
    assert len(set(folded.folds)) == 3
    assert sentence == "3 folds, stratified by class, 3 groups kept whole; 20 clips each."


def test_rare_class_stays_in_training_and_is_said():
    labels = [("rare",)] * 2 + [("dog",)] * 20 + [("cat",)] * 20
    manifest = Manifest.build(Path("root"), [f"{n}.wav" for n in range(42)], labels)
    folded, _, sentence = choose_folds(manifest, 5)
    assert folded.folds[0] != folded.folds[1]
    assert sentence.endswith("Not in every fold: rare.")


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (["dog"] * 4, None, "'dog' is the only class, so there is nothing to tell apart"),
        (["dog"] * 4 + ["cat"], None, r"1 classes lie in a single clip.*: cat \(1 clips\)"),
        (["dog"] * 4 + ["cat"] * 2, list("abcdee"), r"1 classes lie in a single group.*: cat \(2 clips\)"),
    ],
)
def test_what_cannot_be_split_is_refused(labels, groups, message):
    paths = [f"{number}.wav" for number in range(len(labels))]
    with pytest.raises(ManifestError, match=message):
        choose_folds(Manifest.build(Path("root"), paths, [(label,) for label in labels], groups=groups))


def test_single_given_fold_and_single_wanted_fold_are_refused():
    manifest = make(1, 60, 3, False, None)
    with pytest.raises(ManifestError, match="all are in fold 2, so none can be held out in turn"):
        choose_folds(manifest.with_folds(np.full(60, 2)))
    with pytest.raises(ConfigError, match="n_folds is 1"):
        choose_folds(manifest, 1)


def test_clips_that_cannot_be_spread_are_refused():
    # Each class lies in two of three clips, so all three would have to be in different ones of two folds.
    manifest = Manifest.build(Path("root"), ["1.wav", "2.wav", "3.wav"], [("a", "b"), ("b", "c"), ("a", "c")])
    with pytest.raises(ManifestError, match="20 tries to spread the groups over 2 folds"):
        choose_folds(manifest)


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_gives_each_clip_a_fold(name):
    manifest = make(2, 90, 3, False, 15).with_folds(np.arange(90) % 3)
    manifest = Manifest.build(
        Path("root"),
        manifest.table["path"],
        manifest.table["labels"],
        folds=manifest.folds,
        extras={"date": [f"2024-01-{1 + number // 5:02}" for number in range(90)]},
    )
    folds = load(SPLITS[name])(manifest, [1 / 3] * 3, 0)
    assert folds.shape == (90,)
    assert set(folds) == {0, 1, 2}


@real
def test_real_drum_recordings_split_by_song():
    manifest = read_manifest(REAL / "drums/manifest.csv")
    folded, method, _ = choose_folds(manifest, 5)
    assert method == "stratified_grouped"
    for fold in set(folded.folds):
        assert no_group_in_both(folded, folded.folds == fold, folded.folds != fold)
