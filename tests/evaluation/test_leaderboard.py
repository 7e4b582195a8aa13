"""Pairs of validation and outside scores: kept, replaced, and what they say."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from earmark.errors import RunError
from earmark.evaluation import make_scorecard
from earmark.evaluation.leaderboard import FILE, Pair, add_pair, read_pairs, track
from earmark.run import Run, to_json, write_text


def make_run(folder, skill=1.0, model="", remarks=()):
    """A folder with the scorecard of a good network and a poor forest."""
    generator = np.random.default_rng(0)
    targets = np.eye(3)[np.arange(60) % 3]
    scores = {name: s * targets + generator.normal(size=(60, 3)) for name, s in (("se_cnn", 3), ("forest", skill))}
    card = make_scorecard(
        targets, scores, labels="abc", groups=None, multi_label=False, n_resamples=20, remarks=remarks
    )
    card.save(Run(folder).scorecard)
    if model:
        write_text(Run(folder).config, f"model: {model}\n")
    return card


def pairs_of(validation, outside, name="public"):
    rows = enumerate(zip(validation, outside, strict=True))
    return [Pair(f"run {n}", name, "se_cnn", "lwlrap", float(v), float(o)) for n, (v, o) in rows]


def test_a_pair_is_kept_beside_the_run_with_the_score_of_the_model_that_ships(tmp_path):
    card = make_run(tmp_path / "a", model="forest")
    pair, replaced = add_pair(tmp_path / "a", 0.71, name="public")
    expected = card.models["forest"].metrics["accuracy"].value
    assert pair == Pair("a", "public", "forest", "accuracy", expected, 0.71)
    assert replaced is None
    assert read_pairs(tmp_path) == [pair]


def test_without_settings_the_best_model_counts_and_the_metric_can_be_chosen(tmp_path):
    card = make_run(tmp_path / "a")
    pair, _ = add_pair(tmp_path / "a", 0.71, metric="lwlrap")
    assert (pair.model, pair.metric, pair.name) == ("se_cnn", "lwlrap", "outside")
    assert pair.validation == card.models["se_cnn"].metrics["lwlrap"].value


def test_the_same_run_and_name_replace_and_others_are_added(tmp_path):
    for name in "ab":
        make_run(tmp_path / name)
    first, _ = add_pair(tmp_path / "a", 0.5)
    second, _ = add_pair(tmp_path / "b", 0.6)
    third, none = add_pair(tmp_path / "a", 0.7, name="private")
    better, replaced = add_pair(tmp_path / "a", 0.55)
    assert (none, replaced) == (None, first)
    assert better.outside == 0.55
    assert read_pairs(tmp_path) == [better, second, third]


def test_a_run_that_was_allowed_a_leak_is_marked_in_the_file(tmp_path):
    make_run(tmp_path / "a", remarks=["Leak: a.wav is b.wav."])
    assert add_pair(tmp_path / "a", 0.5)[0].leak
    [pair] = read_pairs(tmp_path)
    assert pair.leak


def test_what_cannot_be_paired_is_refused(tmp_path):
    make_run(tmp_path / "a")
    with pytest.raises(RunError, match=r"the outside score is 71, expected 0 to 1. Write 71 % as 0\.71"):
        add_pair(tmp_path / "a", 71)
    with pytest.raises(RunError, match=r"has no score 'lwlrp' \(did you mean 'lwlrap'\?\)"):
        add_pair(tmp_path / "a", 0.7, metric="lwlrp")
    with pytest.raises(RunError, match="there is no scorecard"):
        add_pair(tmp_path / "b", 0.7)
    card = make_scorecard(np.eye(3)[:1] * 0, {"x": np.eye(3)[:1]}, labels="abc", groups=None, multi_label=True)
    card.save(Run(tmp_path / "c").scorecard)
    with pytest.raises(RunError, match="'lwlrap' has no value, so there is nothing to pair"):
        add_pair(tmp_path / "c", 0.7)
    assert not (tmp_path / FILE).exists()


def test_a_missing_or_damaged_leaderboard_is_said(tmp_path):
    with pytest.raises(RunError, match=r"there is no leaderboard yet\. `earmark leaderboard add"):
        read_pairs(tmp_path)
    header = "run,name,model,metric,validation,outside,leak\n"
    for row, message in (
        ("a,b,c,d,0.5,high,\n", "row 2: is no pair of scores"),
        ("a,b,c,d,nan,0.5,\n", "not a finite"),
    ):
        write_text(tmp_path / FILE, header + row)
        with pytest.raises(RunError, match=message):
            read_pairs(tmp_path)
    write_text(tmp_path / FILE, "run,score\na,0.5\n")
    with pytest.raises(RunError, match="is no pair of scores"):
        read_pairs(tmp_path)


def test_correlations_line_and_gap_are_scipys():
    generator = np.random.default_rng(1)
    validation = generator.uniform(0.5, 0.9, size=30)
    outside = 0.1 + 0.7 * validation + 0.02 * generator.normal(size=30)
    [found] = track(pairs_of(validation, outside))
    line = stats.linregress(validation, outside)
    assert found.pearson.value == pytest.approx(stats.pearsonr(validation, outside).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(validation, outside).statistic)
    assert (found.slope, found.offset) == pytest.approx((line.slope, line.intercept))
    assert found.gap == pytest.approx(np.median(outside - validation))
    assert found.pearson.low < found.pearson.value < found.pearson.high <= 1
    assert "They go together: Pearson 0.9" in " ".join(found.sentences)
    assert "typically outside is 0.1" in " ".join(found.sentences)


def test_ties_share_their_ranks():
    validation, outside = [0.5, 0.5, 0.6, 0.7, 0.8, 0.8], [0.4, 0.5, 0.5, 0.6, 0.6, 0.9]
    [found] = track(pairs_of(validation, outside))
    assert found.spearman.value == pytest.approx(stats.spearmanr(validation, outside).statistic)


def test_scores_without_relation_are_said_to_show_none():
    generator = np.random.default_rng(3)
    [found] = track(pairs_of(generator.random(25), generator.random(25)))
    assert found.pearson.low < 0 < found.pearson.high
    assert "That they go together is not shown" in " ".join(found.sentences)


def test_the_interval_covers_the_correlation_about_as_often_as_it_says():
    generator, hits = np.random.default_rng(4), 0
    for seed in range(60):
        validation, noise = generator.normal(size=(2, 25))
        [found] = track(pairs_of(0.5 + 0.1 * validation, 0.5 + 0.1 * (0.8 * validation + 0.6 * noise)), seed=seed)
        hits += found.pearson.low <= 0.8 <= found.pearson.high
    assert hits >= 50


scores = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=7)


@settings(deadline=None)
@given(scores)
def test_the_safe_gain_and_the_table_of_gains_are_what_counting_all_pairs_gives(rows):
    validation, outside = np.array(rows).T / 100
    [found] = track(pairs_of(validation, outside))
    gains = [(round((v - w) / 100, 9), o > p) for (v, o), (w, p) in permutations(rows, 2) if v > w]
    safe = [gain for gain, _ in gains if all(agrees for other, agrees in gains if other >= gain)]
    assert found.safe_gain == pytest.approx(min(safe, default=np.nan), nan_ok=True)
    assert sum(each.n for each in found.gains) == len(gains)
    assert sum(each.n_agree for each in found.gains) == sum(agrees for _, agrees in gains)
    for each in found.gains:
        inside = [agrees for gain, agrees in gains if each.low <= gain < each.high]
        assert (each.n, each.n_agree) == (len(inside), sum(inside))


def test_gains_are_told_in_sentences():
    [found] = track(pairs_of([0.70, 0.703, 0.71, 0.74, 0.80], [0.60, 0.59, 0.62, 0.63, 0.70]))
    said = " ".join(found.sentences)
    assert found.safe_gain == pytest.approx(0.007)
    assert "Every validation gain of 0.0070 or more was one outside, too." in said
    assert "Gains of 0 to 0.005: 0 of 1 were gains outside." in said
    assert "Gains of 0.05 or more: 4 of 4 were gains outside." in said
    [found] = track(pairs_of([0.5, 0.6, 0.7, 0.8, 0.9], [0.9, 0.8, 0.7, 0.6, 0.5]))
    assert np.isnan(found.safe_gain)
    assert "Not even the largest validation gain was one outside." in found.sentences


def test_few_or_equal_scores_are_said_not_correlated(recwarn):
    [found] = track(pairs_of([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8]))
    assert found.sentences == [
        "public: 4 pairs of validation lwlrap and outside score. "
        "Too few pairs: 5 are needed to say whether validation tracks."
    ]
    [found] = track(pairs_of([0.5] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    assert found.sentences[0].endswith("All validation or all outside scores are equal, so nothing can be said.")
    assert len(recwarn) == 0


def test_outside_scores_of_different_names_are_not_mixed():
    public, private = pairs_of([0.5, 0.6], [0.4, 0.5]), pairs_of([0.5], [0.3], name="private")
    assert [(each.name, each.n_pairs) for each in track([*public, *private])] == [("public", 2), ("private", 1)]
    assert track([]) == []


def test_leaks_are_said_and_all_of_it_goes_into_json():
    pairs = pairs_of(np.linspace(0.5, 0.8, 6), np.linspace(0.4, 0.7, 6))
    [found] = track([dataclasses.replace(pairs[0], leak=True), *pairs[1:]])
    assert found.sentences[-1] == "1 runs were allowed a leak: their validation scores may be too good."
    assert '"safe_gain"' in to_json(found.to_dict())
