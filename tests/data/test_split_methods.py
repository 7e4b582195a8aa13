"""Test splits, folds in time, and how even the dealing is against other ways to stratify."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from scipy import sparse
from sklearn.model_selection import StratifiedGroupKFold

from earmark.data import Manifest, choose_folds
from earmark.data.splits import SPLITS, class_balance, split_test
from earmark.data.splits.dealing import deal
from earmark.errors import ConfigError, ManifestError

REAL = Path("../shared/data")
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at ../shared/data")


def make(seed: int, n_clips: int, n_classes: int, multi_label: bool, n_groups: int | None, **columns) -> Manifest:
    """Clips of common and rare classes, each at least three times, in groups of very uneven size or in none."""
    generator = np.random.default_rng(seed)
    odds = 1 / np.arange(1, n_classes + 1)
    drawn = generator.choice(n_classes, n_clips, p=odds / odds.sum())
    drawn[: 3 * n_classes] = np.arange(3 * n_classes) % n_classes
    labels = [{f"c{number:02}"} for number in drawn]
    if multi_label:
        labels = [one | {"c00"} if generator.random() < 0.2 else one for one in labels]
        labels[-1] = set()
    groups = None
    if n_groups:
        groups = generator.choice(n_groups, n_clips, p=generator.dirichlet(np.full(n_groups, 0.3)))
        groups = [f"g{group}" for group in groups]
    paths = [f"{number}.wav" for number in range(n_clips)]
    return Manifest.build(Path("root"), paths, [tuple(sorted(one)) for one in labels], groups=groups, **columns)


manifests = st.builds(
    make,
    seed=st.integers(0, 1000),
    n_clips=st.integers(60, 150),
    n_classes=st.integers(2, 6),
    multi_label=st.booleans(),
    n_groups=st.sampled_from([None, 30, 60]),
)


@given(
    manifests,
    st.sampled_from([None, "grouped", "stratified_grouped", "temporal:minute"]),
    st.sampled_from([(0.2, 0.0), (0.15, 0.15), (0.0, 0.3)]),
)
@settings(max_examples=60, deadline=None)
def test_a_test_split_keeps_groups_whole_and_folds_stay_out_of_it(manifest, method, fractions):
    test, validation = fractions
    minutes = [str(number // 3) for number in range(len(manifest))]
    manifest = Manifest.build(
        Path("root"),
        manifest.table["path"],
        manifest.table["labels"],
        groups=manifest.table["group"],
        extras={"minute": minutes},
    ).with_folds(np.arange(len(manifest)) % 4)
    split, used = split_test(manifest, test, 1, method, validation)
    assert used == (method or ("stratified_grouped" if manifest.has_groups else "stratified")).partition(":")[0]
    wanted = {"train", *(["test"] if test else []), *(["validation"] if validation else [])}
    assert set(split.splits) == wanted
    roles_of: dict[str, set[str]] = {}
    for group, role in zip(split.groups, split.splits, strict=True):
        roles_of.setdefault(group, set()).add(role)
    assert all(len(roles) == 1 for roles in roles_of.values())
    training = split.splits == "train"
    assert (split.folds[~training] == -1).all()
    assert (split.folds[training] == manifest.folds[training]).all()
    if used != "temporal":
        assert split.targets()[training].any(axis=0).all()
    again = split_test(manifest, test, 1, method, validation)[0]
    assert (again.splits == split.splits).all()


def test_shares_and_classes_of_a_stratified_test_split_are_exact_where_clips_are_free():
    labels = [(f"c{number % 4}",) for number in range(400)]
    split, _ = split_test(Manifest.build(Path("root"), [f"{n}.wav" for n in range(400)], labels), 0.2, 0, None, 0.1)
    balance = class_balance(split)
    assert balance.sides == ("train", "validation", "test")
    assert balance.sizes.tolist() == [280, 40, 80]
    assert (balance.counts == [70, 10, 20]).all()
    assert np.abs(balance.deviations).max() == 0


def test_folds_are_drawn_from_what_is_not_set_aside():
    manifest = make(0, 120, 3, False, 40)
    split, _ = split_test(manifest, 0.2, 0, None, 0.1)
    folded, _, sentence = choose_folds(split, 4)
    aside = folded.splits != "train"
    assert (folded.folds[aside] == -1).all()
    assert set(folded.folds[~aside]) == {0, 1, 2, 3}
    assert sentence.startswith("4 folds")
    assert class_balance(folded).sides == ("fold 0", "fold 1", "fold 2", "fold 3", "validation", "test")


def test_given_splits_are_kept_unless_a_method_is_named():
    manifest = make(0, 80, 2, False, None).with_splits(["test"] * 40 + ["train"] * 40)
    assert split_test(manifest, 0.2) == (manifest, "given")
    assert (split_test(manifest, 0.2, method="stratified")[0].splits == "test").sum() == 16


def test_the_only_group_of_a_class_is_never_set_aside():
    labels = [("rare",)] * 3 + [("dog",)] * 20 + [("cat",)] * 20
    groups = ["only"] * 3 + [f"g{number // 2}" for number in range(40)]
    manifest = Manifest.build(Path("root"), [f"{n}.wav" for n in range(43)], labels, groups=groups)
    for seed in range(10):
        split, _ = split_test(manifest, 0.5, seed)
        assert set(split.splits[:3]) == {"train"}
        assert ("rare", "test") in class_balance(split).absent


@pytest.mark.parametrize(("test", "validation"), [(0.0, 0.0), (0.5, 0.5), (-0.1, 0.3), (1.0, 0.0)])
def test_shares_that_leave_nothing_are_refused(test, validation):
    with pytest.raises(ConfigError, match="expected shares that together are above 0 and below 1"):
        split_test(make(0, 60, 2, False, None), test, 0, None, validation)


def test_too_few_groups_for_a_test_split_are_refused():
    manifest = Manifest.build(Path("root"), ["1.wav", "2.wav"], [("dog",), ("cat",)])
    with pytest.raises(ManifestError, match="no clip is left for test: 2 groups are too few to take that from"):
        split_test(manifest, 0.5)


def test_folds_of_nothing_but_a_test_split_are_refused():
    manifest = make(0, 60, 2, False, None).with_splits(["test"] * 60)
    with pytest.raises(ManifestError, match="every clip is set aside for validation or test. Leave some"):
        choose_folds(manifest)


def test_methods_are_known_by_name_and_only_temporal_takes_a_column():
    manifest = make(0, 60, 2, False, None)
    with pytest.raises(ConfigError, match=r"'temporl' is not a split \(did you mean 'temporal'\?\)"):
        choose_folds(manifest, method="temporl")
    with pytest.raises(ConfigError, match="only temporal takes a column. Leave out ':site'"):
        choose_folds(manifest, method="random:site")
    with pytest.raises(ManifestError, match="no clip has a fold, so none can be held out in turn"):
        choose_folds(manifest, method="given")
    for method in {*SPLITS} - {"given", "temporal"}:
        assert choose_folds(manifest, method=method)[1] == method


def test_random_folds_part_groups_and_grouped_ones_do_not():
    manifest = make(0, 150, 2, False, 30)
    for method, parts in (("random", True), ("stratified", True), ("grouped", False)):
        folded = choose_folds(manifest, 5, method=method)[0]
        assert any(len(set(folded.folds[folded.groups == group])) > 1 for group in set(folded.groups)) == parts


def dated(values, column="date", **columns) -> Manifest:
    paths = [f"{number}.wav" for number in range(len(values))]
    labels = [("dog",) if number % 2 else ("cat",) for number in range(len(values))]
    return Manifest.build(Path("root"), paths, labels, extras={column: values}, **columns)


def test_time_makes_blocks_and_the_latest_is_the_test_split():
    days = [f"2024-{month:02}-15" for month in (3, 1, 2, 5, 4, 6, 9, 8, 7, 10)]
    split, method = split_test(dated(days), 0.2, method="temporal", validation_fraction=0.1)
    assert method == "temporal"
    assert [days[row] for row in np.flatnonzero(split.splits == "test")] == ["2024-09-15", "2024-10-15"]
    assert [days[row] for row in np.flatnonzero(split.splits == "validation")] == ["2024-08-15"]
    folded, _, sentence = choose_folds(dated(days), 5, method="temporal")
    assert folded.folds.tolist() == [1, 0, 0, 2, 1, 2, 4, 3, 3, 4]
    assert sentence.startswith("5 folds, blocks in the order of time; 2 clips each.")


def test_clips_of_one_day_and_of_one_group_stay_in_one_block():
    days = ["2024-01-01"] * 5 + ["2024-01-02"] * 2 + ["2024-01-03"] * 3
    groups = [""] * 6 + ["long"] + [""] * 2 + ["long"]
    folds = choose_folds(dated(days, groups=groups), 2, method="temporal")[0].folds
    assert folds.tolist() == [0] * 5 + [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "times",
    [
        ["2024-05-31T04:30:00+02:00", "2024-05-31T03:30:00+00:00", "2024-05-31T06:30", "2024-06-01"],
        ["1999", "2024", "2025.5", "30000"],
        ["20231231", "20240101", "20240102", "20250101"],
    ],
)
def test_times_are_read_as_dates_with_zones_and_as_numbers(times):
    order = [2, 0, 3, 1]
    folds = choose_folds(dated([times[number] for number in order]), 4, method="temporal")[0].folds
    assert folds.tolist() == order


def test_time_is_found_in_a_named_column_in_a_usual_one_or_in_file_names():
    values = ["4", "3", "2", "1"]
    assert choose_folds(dated(values, "Year"), 4, method="temporal")[0].folds.tolist() == [3, 2, 1, 0]
    assert choose_folds(dated(values, "hour"), 4, method="temporal:hour")[0].folds.tolist() == [3, 2, 1, 0]
    names = ["b/S4A_20240531_043001.wav", "b/S4A_20240531_043000.wav", "a/2024-05-30.wav", "c/20240601T01-02-03.wav"]
    manifest = Manifest.build(Path("root"), names, [("dog",), ("cat",)] * 2)
    assert choose_folds(manifest, 4, method="temporal")[0].folds.tolist() == [2, 1, 0, 3]


def test_times_that_are_missing_wrong_or_too_few_are_refused():
    with pytest.raises(ManifestError, match=r"2 values of column 'date' are no times(?s:.*)'31/05/2024'"):
        choose_folds(dated(["2024-05-31", "31/05/2024", ""]), 2, method="temporal")
    with pytest.raises(ManifestError, match="3 files have no date in their names and the table no column datetime"):
        choose_folds(dated(["1", "2", "3"], "site"), 2, method="temporal")
    with pytest.raises(ManifestError, match="2 different times cannot be cut into 3 blocks"):
        choose_folds(dated(["2024", "2024", "2025"]), 3, method="temporal")


def test_noisy_clips_and_curated_ones_are_each_spread_evenly():
    labels = [(f"c{number % 3}",) for number in range(240)]
    subsets = ["curated" if number < 60 else "noisy" for number in range(240)]
    paths = [f"{number}.wav" for number in range(240)]
    folds = choose_folds(Manifest.build(Path("root"), paths, labels, subsets=subsets), 4)[0].folds
    for rows in (slice(0, 60), slice(60, 240)):
        assert len(set(np.bincount(folds[rows]))) == 1


def test_soft_labels_below_half_and_unsure_ones_do_not_count():
    n_clips = 40
    manifest = Manifest.build(
        Path("root"),
        [f"{number}.wav" for number in range(n_clips)],
        [("dog", "cat")] * n_clips,
        strengths=[(1.0, 0.4)] * 20 + [(0.4, 1.0)] * 20,
        unsure=[()] * 30 + [("cat",)] * 10,
    )
    counts = class_balance(choose_folds(manifest, 2)[0]).counts
    assert counts.tolist() == [[5, 5], [10, 10]]


def deviations(counts: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Share of each class in each fold, less the fold's due share."""
    n_folds = folds.max() + 1
    held = np.array([counts[folds == fold].sum(axis=0) for fold in range(n_folds)])
    return np.abs(held / counts.sum(axis=0) - 1 / n_folds)


@pytest.mark.parametrize("seed", range(3))
def test_free_clips_are_dealt_as_evenly_as_iterative_stratification_deals_them(seed):
    targets = make(seed, 1500, 20, True, None).targets().astype(np.int64)
    ours = deal(sparse.csr_array(targets), np.ones(1500), [0.2] * 5, seed)
    theirs = np.empty(1500, dtype=np.int64)
    splitter = MultilabelStratifiedKFold(5, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(targets, targets)):
        theirs[held_out] = fold
    assert deviations(targets, ours).mean() <= deviations(targets, theirs).mean() * 1.01
    assert np.ptp(np.bincount(ours)) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_dealt_more_evenly_than_scikit_learn_deals_them(seed):
    manifest = make(seed, 2000, 10, False, 150)
    targets = manifest.targets()
    ours = choose_folds(manifest, 5, seed, "stratified_grouped")[0].folds
    theirs = np.empty(2000, dtype=np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(targets, targets.argmax(axis=1), manifest.groups)):
        theirs[held_out] = fold
    assert (deviations(targets, ours) ** 2).sum() < (deviations(targets, theirs) ** 2).sum()


def test_two_hundred_thousand_clips_of_heavy_tailed_groups_are_dealt_in_seconds():
    generator = np.random.default_rng(0)
    n_groups, n_classes = 20_000, 80
    sizes = np.minimum((generator.pareto(1.5, n_groups) * 5).astype(int) + 1, 2000)
    odds = 1 / np.arange(1, n_classes + 1)
    held = [np.bincount(generator.choice(n_classes, size, p=odds / odds.sum()), minlength=n_classes) for size in sizes]
    began = time.perf_counter()
    folds = deal(sparse.csr_array(np.array(held)), sizes, [0.2] * 5, 0)
    assert time.perf_counter() - began < 10
    assert deviations(np.array(held), folds).max() < 0.01


@real
def test_real_multi_label_windows_of_whole_recordings_are_nearly_as_even_as_free_ones():
    with open(REAL / "esc10-mixtures" / "events.csv", newline="", encoding="utf-8") as file:
        events = [
            (row["path"], float(row["onset_s"]), float(row["offset_s"]), row["label"]) for row in csv.DictReader(file)
        ]
    labels: dict[tuple[str, int], set[str]] = {}
    for path, onset, offset, label in events:
        for window in range(5):
            labels.setdefault((path, window), set()).update(
                {label} if onset < 2 * window + 2 and offset > 2 * window else ()
            )
    starts = [2.0 * window for _, window in labels]
    manifest = Manifest.build(
        REAL,
        [path for path, _ in labels],
        [tuple(one) for one in labels.values()],
        starts=starts,
        ends=np.add(starts, 2),
    )
    balance = class_balance(choose_folds(manifest, 5)[0])
    free = class_balance(choose_folds(manifest, 5, method="stratified")[0])
    assert np.abs(free.deviations).max() < 0.01
    assert np.abs(balance.deviations).max() < 0.02
