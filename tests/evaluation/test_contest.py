"""Several contenders: seeds pooled, pairs corrected, classes and clips told."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.evaluation import metrics, paired_difference
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.contest import Contender, hold_contest, signed
from earmark.evaluation.metrics import lwlrap

LABELS = ("cat", "dog", "rain", "wind")


def world(seed=0, n_clips=240, gains=(1.0, 0.0), n_seeds=1, multi_label=False):
    """Contenders that err on the same clips; each is better than the last by its gain."""
    generator = np.random.default_rng(seed)
    targets = np.eye(4)[generator.integers(4, size=n_clips)]
    if multi_label:
        targets = np.maximum(targets, generator.random(targets.shape) < 0.2)
    shared = generator.normal(size=targets.shape)
    contenders = [
        Contender(
            f"gain {gain}",
            tuple((1 + gain) * targets + shared + 0.3 * generator.normal(size=targets.shape) for _ in range(n_seeds)),
        )
        for gain in gains
    ]
    return contenders, targets, np.arange(n_clips) // 2


def contest(contenders, targets, groups, multi_label=False, **options):
    return hold_contest(
        contenders, targets, labels=LABELS, groups=groups, multi_label=multi_label, n_resamples=200, **options
    )


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_difference_is_the_paired_one_and_the_best_stands_first(multi_label):
    contenders, targets, groups = world(multi_label=multi_label)
    folds = groups % 3
    found = contest(contenders[::-1], targets, groups, multi_label, folds=folds)
    assert [entry.name for entry in found.entries] == ["gain 1.0", "gain 0.0"]
    for metric, each in found.pairs[0].comparisons.items():
        scores = [contender.scores[0] for contender in contenders]
        expected = paired_difference(targets, *scores, metric=metric, groups=groups, folds=folds, n_resamples=200)
        assert (each.interval.value, each.interval.low) == pytest.approx((expected.value, expected.low))
    assert found.pairs[0].is_sure and found.pairs[0].sentence.startswith("gain 1.0 is better than gain 0.0 by")
    assert sum(part.n_clips for part in found.folds) == 240
    assert [part.name for part in found.folds] == ["0", "1", "2"]


def test_seeds_are_averaged_in_their_scores_and_their_spread_is_told():
    contenders, targets, groups = world(1, n_seeds=3)
    found = contest(contenders, targets, groups)
    values = [metrics.accuracy(targets, scores) for scores in contenders[0].scores]
    assert found.entries[0].metrics["accuracy"].value == pytest.approx(np.mean(values))
    assert found.entries[0].spread("accuracy") == pytest.approx(np.std(values, ddof=1))
    assert f"from {min(values):.3f} to {max(values):.3f} over its 3 seeds" in found.seed_notes()[0]
    assert len(found.seed_notes()) == 2
    assert "not in an interval of one seed" in contest(*world(1)).seed_notes()[-1]


def test_the_noise_between_seeds_is_in_intervals_and_p():
    """Two recipes of equal worth whose seeds lie far apart: by clips alone one would surely be better."""
    generator = np.random.default_rng(3)
    targets, groups = np.eye(4)[np.arange(400) % 4], np.arange(400) // 2
    noise = generator.normal(size=targets.shape)

    def seeds(*skills):
        return tuple(skill * targets + noise for skill in skills)

    one = contest([Contender("a", seeds(2.0)), Contender("b", seeds(1.5))], targets, groups)
    assert one.pairs[0].is_sure
    three = contest([Contender("a", seeds(2.0, 1.2)), Contender("b", seeds(1.5, 0.9, 1.5))], targets, groups)
    pair = three.pairs[0]
    assert pair.first.interval.low < 0 < pair.first.interval.high and pair.p > 0.05
    assert pair.first.interval.standard_error > 3 * one.pairs[0].first.interval.standard_error
    spreads = [entry.spread("accuracy") / np.sqrt(n) for entry, n in zip(three.entries, (2, 3), strict=True)]
    assert pair.first.interval.standard_error == pytest.approx(np.hypot(*spreads), rel=0.25)
    high_low = three.entries[0].metrics["accuracy"]
    assert high_low.high - high_low.low > 2 * spreads[0]


def test_equal_contenders_are_inside_the_noise_however_many_there_are():
    alarms = 0
    for seed in range(12):
        found = contest(*world(seed, 120, gains=(0.5, 0.5001, 0.5002, 0.5003)))
        assert len(found.pairs) == 6
        alarms += any(pair.is_sure for pair in found.pairs)
    assert alarms <= 3
    assert "inside the noise" in found.pairs[-1].sentence


def test_an_interval_without_zero_is_no_proof_where_many_are_compared():
    for seed in range(200):
        found = contest(*world(seed, 120, gains=(0.75, 0.5, 0.5001, 0.5002)))
        some = [pair for pair in found.pairs if pair.first.interval.low > 0 and not pair.is_sure]
        if some:
            break
    assert "the difference is inside the noise" in some[0].sentence
    assert "corrected for 6 comparisons" in some[0].sentence
    assert "corrected for 6 comparisons" in found.power


def test_more_pairs_make_the_smallest_difference_that_shows_larger():
    two, four = contest(*world(2)), contest(*world(2, gains=(1.0, 0.0, 0.0001, 0.0002)))
    assert four.pairs[0].smallest_detectable > two.pairs[0].smallest_detectable
    assert "would be seen four times in five; a smaller" in two.power


def test_a_class_that_one_hears_better_is_named_and_the_rest_is_not():
    contenders, targets, groups = world(3, 800, gains=(0.5, 0.5001))
    better = contenders[0].scores[0].copy()
    better[:, 1] += 1.5 * targets[:, 1] - 0.4
    found = contest([Contender("ear", (better,)), contenders[1]], targets, groups)
    told = {part.name: part.verdict for part in found.classes}
    best = found.entries[0].name
    assert told["dog"] == ("better" if best == "ear" else "worse")
    assert sum(bool(verdict) for verdict in told.values()) <= 2
    part = next(part for part in found.classes if part.name == "dog")
    recalls = [metrics.recall_per_class(targets, each)[1] for each in (better, contenders[1].scores[0])]
    assert sorted((part.a, part.b)) == pytest.approx(sorted(recalls))
    values = [part.difference.value for part in found.classes]
    assert values == sorted(values)


def test_wins_and_losses_are_the_clips_that_only_one_has_right():
    contenders, targets, groups = world(4)
    found = contest(contenders, targets, groups)
    right = [each.scores[0].argmax(axis=1) == targets.argmax(axis=1) for each in contenders]
    assert found.wins.tolist() == np.flatnonzero(right[0] & ~right[1]).tolist()
    assert found.losses.tolist() == np.flatnonzero(~right[0] & right[1]).tolist()
    several = contest(*world(5, multi_label=True), multi_label=True)
    assert "clips gain 1.0 ranks better than gain 0.0" in several.notes()[2]


def test_labels_without_clips_have_no_part():
    contenders, targets, groups = world(6)
    targets[:, 3] = 0
    found = contest(contenders, targets, groups)
    assert {part.name for part in found.classes} == {"cat", "dog", "rain"}


def test_the_document_says_what_the_tables_say():
    contenders, targets, groups = world(7, gains=(1.0, 0.5, 0.0))
    found = contest(contenders, targets, groups, folds=groups % 2)
    document = found.to_dict()
    assert [pair["sentence"] for pair in document["pairs"]] == [pair.sentence for pair in found.pairs]
    assert document["n_wins"] == len(found.wins) and len(document["folds"]) == 2
    header, rows = found.table()
    assert header[1:] == [entry.name for entry in found.entries] and rows[0][0] == "accuracy"
    header, rows = found.pair_table()
    assert len(rows) == 3 and rows[0][-1] == "better" and rows[0][-2] == "< 0.001"
    assert [title for *_, title in found.part_tables()] == ["folds", "classes"]
    assert "4 classes that differ most" in found.part_tables(n_shown=1)[1][2].replace("2 of ", "")


def test_differences_have_their_sign_and_say_when_there_is_none():
    assert signed(Interval(np.nan, np.nan, np.nan, 3, True, 0, np.nan)) == "no value"
    assert signed(Interval(-0.1, np.nan, np.nan, 1, True, 0, np.nan)) == "-0.100"


def test_what_is_unknown_changes_nothing():
    contenders, targets, groups = world(8, multi_label=True)
    known = np.random.default_rng(9).random(targets.shape) < 0.7
    other = np.where(known, targets, 1 - targets)
    first, second = (contest(contenders, each, groups, True, weights=known) for each in (targets, other))
    assert first.pairs[0].first == second.pairs[0].first
    mean = np.mean([lwlrap(targets, scores, known) for scores in contenders[0].scores])
    assert first.entries[0].metrics["lwlrap"].value == pytest.approx(mean)
