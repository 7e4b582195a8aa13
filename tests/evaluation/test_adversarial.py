"""Whether training and test clips can be told apart, and by what."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.errors import EarmarkError
from earmark.evaluation import adversarial
from earmark.evaluation.adversarial import Adversarial, adversarial_validation

NAMES = ("seconds", "level_db", "sample_rate", "bandwidth_hz", "clipping")
GROUPS = np.arange(200) // 2
IS_TEST = GROUPS % 4 == 0


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(adversarial, "N_TREES", 25)


def alike(seed=0):
    """Features (200, 5) that know nothing of the sides; clips of a group resemble one another."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(100, 5))[GROUPS] + 0.5 * generator.normal(size=(200, 5))


def look(features, **changes):
    settings = {"names": NAMES, "is_test": IS_TEST, "groups": GROUPS} | changes
    return adversarial_validation(features, **settings)


def test_one_distribution_is_told_apart_no_oftener_than_by_chance():
    found = [look(alike(seed)) for seed in range(12)]
    assert sum(each.low <= 0.5 <= each.high for each in found) >= 9
    assert sum(each.differ for each in found) <= 2
    assert np.mean([each.auc for each in found]) == pytest.approx(0.5, abs=0.06)
    even = next(each for each in found if not each.differ)
    assert even.top == ()
    assert even.sentence.startswith("Train and test cannot be told apart (AUC 0.")
    assert (even.n_train, even.n_test) == (150, 50)


def test_a_planted_shift_is_found_and_named_first():
    features = alike()
    features[IS_TEST, 2] += 8
    found = look(features)
    assert found.auc > 0.98
    assert found.low <= found.auc <= found.high
    name, importance, direction = found.top[0]
    assert name == "sample_rate"
    assert importance > 0.05
    assert direction.startswith("higher in test, median ")
    assert found.sentence.startswith("Train and test can be told apart (AUC")
    assert "by sample_rate (higher in test, median" in found.sentence


def test_two_features_that_tell_the_same_are_both_named():
    features = alike()
    features[IS_TEST, 2] -= 8
    features[:, 3] = features[:, 2]
    found = look(features)
    assert {name for name, _, _ in found.top} == {"sample_rate", "bandwidth_hz"}
    assert all(direction.startswith("lower in test") for _, _, direction in found.top)


def test_groups_are_not_what_is_recognised():
    # Each group is a point of its own: whoever knew half of a group would know the other.
    features = np.random.default_rng(0).normal(size=(100, 5))[GROUPS]
    assert look(features).auc < 0.65
    assert look(features, groups=np.arange(200)).auc > 0.85


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    features = alike()
    features[IS_TEST, 0] += 1
    assert look(features, seed=3) == look(features, seed=3)
    assert look(features, seed=3).auc != look(features, seed=4).auc


def test_what_is_missing_or_infinite_on_one_side_tells_too():
    features = alike()
    features[IS_TEST, 1] = -np.inf
    found = look(features)
    assert found.auc > 0.98
    assert (found.top[0][0], found.top[0][2]) == ("level_db", "missing in 100% of test, 0% of train")


def test_directions_are_said_where_medians_are_equal_and_where_only_the_spread_differs():
    rates = np.where(IS_TEST | (np.arange(200) % 3 > 0), 44100.0, 16000.0)
    assert adversarial._direction(rates, IS_TEST) == "higher in test, mean 44100 against 34733"
    generator = np.random.default_rng(0)
    spread = generator.normal(size=200) * np.where(IS_TEST, 10, 1)
    assert adversarial._direction(spread, IS_TEST) == "spread otherwise in test"
    nowhere = np.where(IS_TEST & (np.arange(200) < 20), 1.0, np.nan)
    assert adversarial._direction(nowhere, IS_TEST) == "seldom known"


def test_a_large_side_is_sampled(monkeypatch):
    monkeypatch.setattr(adversarial, "MOST_CLIPS", 60)
    found = look(alike())
    assert (found.n_train, found.n_test) == (150, 50)
    assert not np.isnan(found.auc)


def test_too_few_clips_or_groups_of_a_side_are_said():
    few = look(alike(), is_test=np.arange(200) < 9)
    assert few.sentence == "Whether train and test differ cannot be said: test has 9 clips, 10 are needed."
    assert np.isnan(few.auc)
    assert not few.differ
    few = look(alike(), groups=np.where(IS_TEST, GROUPS, 7))
    assert few.sentence == "Whether train and test differ cannot be said: train has 1 groups, 5 are needed."


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(EarmarkError, match="do not fit together. Give a row per clip and a column per name"):
        look(alike(), names=NAMES[:4])
    with pytest.raises(EarmarkError, match="do not fit together"):
        look(alike(), groups=GROUPS[:10])


def test_the_sentence_lists_what_tells_them_apart():
    found = Adversarial(
        0.9, 0.85, 0.94, 80, 20, (("rms_db", 0.1, "lower in test"), ("seconds", 0.05, "higher in test"))
    )
    assert found.sentence == (
        "Train and test can be told apart (AUC 0.90, 0.85 to 0.94), "
        "by rms_db (lower in test), seconds (higher in test)."
    )
