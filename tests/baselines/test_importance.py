"""What a classifier leans on: losses by group against a plain reference, strengths against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from earmark.baselines.classifier import Examples
from earmark.baselines.importance import Importance, permutation_importance, statement, strongest
from earmark.errors import EarmarkError
from earmark.evaluation.bootstrap import Interval

N_CLIPS, N_CLASSES, N_WINDOWS = 120, 3, 2
LABEL = np.arange(N_CLIPS) % N_CLASSES
COLUMNS = ["tells"] * N_CLASSES + ["idle"] * 4 + ["twin"] * N_CLASSES


def rows_of(values: np.ndarray) -> np.ndarray:
    return np.repeat(values, N_WINDOWS, axis=0)


@pytest.fixture
def features() -> np.ndarray:
    """Rows (clips · windows, 10): three that tell the class, four that say nothing, three that nobody listens to."""
    generator = np.random.default_rng(0)
    tells = rows_of(np.eye(N_CLASSES)[LABEL]) + 0.3 * generator.standard_normal((N_CLIPS * N_WINDOWS, N_CLASSES))
    idle = generator.standard_normal((len(tells), 4))
    return np.hstack([tells, idle, tells]).astype(np.float32)


def listen(features: np.ndarray) -> np.ndarray:
    """Scores from the columns that tell, and a little of an idle one."""
    return features[:, :N_CLASSES] + 1e-6 * features[:, 3:4]


def importances(features, predict=listen, **changes) -> dict[str, Importance]:
    given = {
        "targets": np.eye(N_CLASSES, dtype=np.float32)[LABEL],
        "weights": np.ones((N_CLIPS, N_CLASSES), dtype=np.float32),
        "clips": rows_of(np.arange(N_CLIPS)),
        "columns": COLUMNS,
        "recordings": np.arange(N_CLIPS) // 2,
        "folds": np.arange(N_CLIPS) // 24,
        "metric": "accuracy",
        "n_resamples": 200,
    }
    return {each.group: each for each in permutation_importance(predict, features, **{**given, **changes})}


def test_the_group_that_decides_costs_the_score_and_the_others_nothing(features):
    found = importances(features)
    assert list(found)[0] == "tells"
    assert found["tells"].loss.value == pytest.approx(1 - 1 / N_CLASSES, abs=0.12)
    assert found["tells"].beyond_noise and found["tells"].loss.low > 0.4
    for group in ("idle", "twin"):
        assert found[group].loss.value == 0
        assert not found[group].beyond_noise
    assert [found[group].n_features for group in ("tells", "idle", "twin")] == [3, 4, 3]
    assert found["tells"].to_dict()["beyond_noise"] is True


def test_groups_that_say_the_same_stand_in_for_one_another(features):
    both = importances(features, lambda values: values[:, :3] + values[:, -3:])
    assert 0 < both["tells"].loss.value < importances(features)["tells"].loss.value
    assert both["twin"].loss.value == pytest.approx(both["tells"].loss.value, abs=0.1)


def test_a_clip_gets_all_its_windows_from_one_other_clip_of_its_fold():
    marks = rows_of(np.arange(N_CLIPS, dtype=np.float32))[:, None] + np.array([[0.0]], dtype=np.float32)
    seen = []

    def predict(values: np.ndarray) -> np.ndarray:
        seen.append(values[:, 0].astype(int))
        return np.repeat(values, N_CLASSES, axis=1)

    importances(marks, predict, columns=["mark"])
    untouched, *shuffled = seen
    assert (untouched == rows_of(np.arange(N_CLIPS))).all()
    assert len(shuffled) == 5
    for order in shuffled:
        givers = order.reshape(N_CLIPS, N_WINDOWS)
        assert (givers[:, 0] == givers[:, 1]).all()
        assert sorted(givers[:, 0]) == list(range(N_CLIPS))
        assert (givers[:, 0] // 24 == np.arange(N_CLIPS) // 24).all()
        assert (givers[:, 0] != np.arange(N_CLIPS)).mean() > 0.8


def test_rows_may_come_in_any_order_and_clips_may_have_any_number_of_windows(features):
    plain = importances(features)
    order = np.random.default_rng(1).permutation(len(features))
    mixed = importances(features[order], clips=rows_of(np.arange(N_CLIPS))[order])
    assert mixed["tells"].loss.value == pytest.approx(plain["tells"].loss.value, abs=0.05)
    extra = np.append(np.arange(len(features)), [0, 0, 5])  # clips 0 and 2 have more windows than the others
    more = importances(features[extra], clips=rows_of(np.arange(N_CLIPS))[extra])
    assert more["tells"].loss.value == pytest.approx(plain["tells"].loss.value, abs=0.05)


def test_unknown_labels_do_not_count(features):
    known = np.ones((N_CLIPS, N_CLASSES), dtype=np.float32)
    known[::5, 1] = 0
    truth = np.eye(N_CLASSES, dtype=np.float32)[LABEL]
    lied = truth.copy()
    lied[::5, 1] = 1 - lied[::5, 1]
    first, second = (importances(features, targets=each, weights=known, metric="lwlrap") for each in (truth, lied))
    assert first["tells"].loss == second["tells"].loss
    assert first["tells"].metric == "lwlrap"


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(features):
    first, again, other = (importances(features, seed=seed)["tells"].loss.value for seed in (0, 0, 1))
    assert first == again != other


def test_a_score_that_chance_gave_adds_nothing_beyond_the_noise():
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((N_CLIPS * N_WINDOWS, 10)).astype(np.float32)
    matrix = generator.standard_normal((10, N_CLASSES))
    found = importances(noise, lambda values: values @ matrix)
    assert not any(each.beyond_noise for each in found.values())
    assert "Shuffled alone" not in statement(list(found.values()))
    assert statement(list(found.values())).startswith("Nothing beyond the noise: ")


def test_nothing_is_said_of_nothing():
    assert statement([]) == ""
    sure = Importance("mfcc", 1, "lwlrap", Interval(0.2, 0.1, 0.3, 40, False, 0, 0.05))
    assert statement([sure]) == "Shuffled alone, mfcc costs lwlrap (0.20)."


def examples(features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> Examples:
    """One window per clip."""
    numbers = np.arange(len(features))
    weights = np.ones_like(targets) if weights is None else weights
    return Examples(features, targets, weights, numbers, numbers % 2, multi_label=True)


def test_a_strength_is_the_rank_biserial_correlation_with_ties():
    generator = np.random.default_rng(0)
    features = generator.integers(0, 6, (90, 7)).astype(np.float32)
    targets = (generator.random((90, 4)) < 0.3).astype(np.float32)
    names = [f"feature {number}" for number in range(7)]
    for label, found in enumerate(strongest(examples(features, targets), names, names, n=7)):
        assert [abs(each.effect) for each in found] == sorted((abs(each.effect) for each in found), reverse=True)
        for each in found:
            auc = roc_auc_score(targets[:, label], features[:, names.index(each.feature)])
            assert each.effect == pytest.approx(2 * auc - 1, abs=1e-9)


def test_unknown_labels_leave_the_clip_out_of_their_class_alone():
    generator = np.random.default_rng(1)
    features = generator.standard_normal((60, 3)).astype(np.float32)
    targets = (generator.random((60, 4)) < 0.4).astype(np.float32)
    weights = (generator.random((60, 4)) < 0.7).astype(np.float32)
    weights[:, 3] = 1
    names = ["a", "b", "c"]
    for label, found in enumerate(strongest(examples(features, targets, weights), names, names)):
        known = weights[:, label] > 0
        for each in found:
            auc = roc_auc_score(targets[known, label], features[known, names.index(each.feature)])
            assert each.effect == pytest.approx(2 * auc - 1, abs=1e-9)


def test_the_sign_says_higher_or_lower_and_one_of_each_group_is_named(features):
    targets = rows_of(np.eye(N_CLASSES, dtype=np.float32)[LABEL])
    clips = rows_of(np.arange(N_CLIPS))
    given = Examples(features, targets, np.ones_like(targets), clips, clips % 2, multi_label=False)
    names = [f"{group} {number}" for number, group in enumerate(COLUMNS)]
    for label, found in enumerate(strongest(given, names, COLUMNS)):
        assert sorted(each.group for each in found) == ["idle", "tells", "twin"]
        assert found[0].feature == f"tells {label}" and found[0].effect > 0.95
        assert found[0].effect > found[0].by_chance
        assert found[-1].group == "idle"
    below = Examples(-features, targets, np.ones_like(targets), clips, clips % 2, multi_label=False)
    assert strongest(below, names, COLUMNS)[0][0].effect < -0.95
    assert len(strongest(given, names, COLUMNS, n=1)[0]) == 1


def test_a_clip_counts_once_however_many_windows_it_has():
    features = np.array([[1.0], [2.0], [9.0], [-9.0], [0.5]], dtype=np.float32)
    clips = np.array([0, 1, 2, 2, 3])  # the mean of clip 2 is 0, below all others
    targets = np.array([[1.0], [0.0], [1.0], [1.0], [0.0]], dtype=np.float32)
    given = Examples(features, targets, np.ones_like(targets), clips, clips % 2, multi_label=True)
    ((strength,),) = strongest(given, ["a"], ["a"])
    assert strength.effect == pytest.approx(2 * (1 / 4) - 1)  # of the four pairs, 1.0 over 0.5 alone


def test_chance_reaches_its_bound_about_once_in_twenty_classes():
    generator = np.random.default_rng(5)
    features = generator.standard_normal((100, 40)).astype(np.float32)
    targets = np.zeros((100, 400), dtype=np.float32)
    for label in range(400):
        targets[generator.choice(100, 20, replace=False), label] = 1
    found = strongest(examples(features, targets), [str(number) for number in range(40)], ["all"] * 40)
    exceeded = np.mean([abs(best.effect) > best.by_chance for (best,) in found])
    assert 0.01 < exceeded < 0.09


def test_a_class_that_all_clips_hold_or_none_has_no_strong_feature():
    targets = np.stack([np.ones(8), np.zeros(8), np.arange(8) % 2], axis=1).astype(np.float32)
    found = strongest(examples(np.arange(8, dtype=np.float32)[:, None], targets), ["a"], ["a"])
    assert [len(each) for each in found] == [0, 0, 1]


def test_names_that_do_not_fit_the_features_are_refused(features):
    with pytest.raises(EarmarkError, match=r"features: 10 columns, but 9 names or groups\. Take those of the very"):
        importances(features, columns=COLUMNS[1:])
    targets = np.ones((len(features), 1), dtype=np.float32)
    with pytest.raises(EarmarkError, match="10 columns, but 2 names or groups"):
        strongest(examples(features, targets), ["a", "b"], COLUMNS)
