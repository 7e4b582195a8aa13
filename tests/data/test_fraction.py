"""A fraction of the data: nested, of whole groups, with every class, and with the shares of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data import Manifest
from earmark.data.fraction import take_fraction
from earmark.errors import ConfigError


def make(seed: int, n_clips: int, n_classes: int, multi_label: bool, n_groups: int | None) -> Manifest:
    """Clips of classes from common to rare, in uneven groups or none, a tenth of them for testing, others in folds."""
    generator = np.random.default_rng(seed)
    odds = 1 / np.arange(1, n_classes + 1)
    labels = [{f"c{number}"} for number in generator.choice(n_classes, n_clips, p=odds / odds.sum())]
    if multi_label:
        labels = [one | {"c0"} if generator.random() < 0.3 else one for one in labels]
        labels[-1] = set()
    numbers = np.arange(n_clips)
    if n_groups:
        numbers = np.sort(generator.choice(n_groups, n_clips, p=generator.dirichlet(np.full(n_groups, 0.5))))
    folds = generator.integers(0, 3, n_clips + 50)[numbers]
    test = generator.random(n_clips + 50)[numbers] < 0.1
    manifest = Manifest.build(
        Path("root"),
        [f"{number}.wav" for number in range(n_clips)],
        [tuple(sorted(one)) for one in labels],
        folds=np.where(test, -1, folds),
        groups=[f"g{number}" for number in numbers] if n_groups else None,
    )
    return manifest.with_splits(np.where(test, "test", ""))


manifests = st.builds(
    make,
    seed=st.integers(0, 1000),
    n_clips=st.integers(2, 150),
    n_classes=st.integers(1, 6),
    multi_label=st.booleans(),
    n_groups=st.sampled_from([None, 5, 40]),
)


@given(manifests, st.integers(0, 3), st.floats(0.01, 1), st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_fractions_nest_keep_groups_whole_and_keep_every_class(manifest, seed, one, other):
    small, large = (take_fraction(manifest, fraction, seed) for fraction in sorted([one, other]))
    assert set(small.clip_ids) <= set(large.clip_ids) <= set(manifest.clip_ids)
    groups = set(small.groups)
    assert len(small) == sum(group in groups for group in manifest.groups)
    assert (small.vocabulary, small.multi_label) == (manifest.vocabulary, manifest.multi_label)
    carriers = {
        label: set(manifest.groups[manifest.targets()[:, column] > 0])
        for column, label in enumerate(manifest.vocabulary)
    }
    for label, whole in carriers.items():
        assert len(whole & groups) >= min(2, len(whole)), label


def test_the_whole_is_the_whole_in_its_order_and_seeds_differ():
    manifest = make(0, 150, 4, True, 40)
    assert take_fraction(manifest, 1.0) == manifest
    ids = manifest.clip_ids.tolist()
    part = take_fraction(manifest, 0.3, seed=1).clip_ids.tolist()
    assert part == sorted(part, key=ids.index)
    assert part != take_fraction(manifest, 0.3, seed=2).clip_ids.tolist()


@pytest.mark.parametrize("n_groups", [None, 1500])
@pytest.mark.parametrize("multi_label", [False, True])
def test_shares_of_classes_folds_and_test_are_those_of_the_whole(multi_label, n_groups):
    manifest = make(0, 6000, 6, multi_label, n_groups)
    for fraction in (0.1, 0.5):
        part = take_fraction(manifest, fraction)
        # Groups hold up to 40 clips, so a share of whole ones is less exact.
        assert abs(len(part) / len(manifest) - fraction) < (0.002 if not n_groups else 0.02)
        counts, wanted = part.targets().sum(axis=0), manifest.targets().sum(axis=0) * fraction
        assert np.abs(counts / wanted - 1).max() < (0.05 if not n_groups else 0.25)
        for side in set(manifest.sides):
            share = (part.sides == side).sum() / (manifest.sides == side).sum()
            assert abs(share - fraction) < (0.02 if not n_groups else 0.1), side


def test_the_two_groups_of_a_rare_class_are_of_different_folds_and_not_of_the_test_split():
    n_clips = 400
    labels = [("rare",) if number < 20 else ("common",) for number in range(n_clips)]
    folds = [number % 2 for number in range(n_clips)]
    manifest = Manifest.build(Path("root"), [f"{number}.wav" for number in range(n_clips)], labels, folds=folds)
    splits = ["test" if number < 10 else "" for number in range(n_clips)]
    manifest = manifest.with_splits(splits)
    for seed in range(5):
        part = take_fraction(manifest, 0.01, seed)
        rare = part.targets()[:, part.vocabulary.index("rare")] > 0
        assert {"fold 0", "fold 1"} <= set(part.sides[rare])


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match="expected a share of the data above 0 and at most 1"):
        take_fraction(make(0, 20, 2, False, None), fraction)
