"""What a sweep says of its trials: the best, what cannot be told apart from it, and what to take."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from earmark.baselines.ladder import Cost
from earmark.baselines.sweep import CSV_HEADER, Nested, Sweep, Trial, TrialRun
from earmark.evaluation.bootstrap import Interval
from earmark.evaluation.compare import Comparison
from earmark.run import to_json


def around(value: float, error: float = 0.01, few: bool = False) -> Interval:
    return Interval(value, value - 2 * error, value + 2 * error, 100, few, 0, error)


def trial(name: str, value: float, kind: str = "model", speed: float = 500, size: float = 1.0) -> Trial:
    runs = tuple(TrialRun(seed, around(value), 60.0) for seed in range(3))
    return Trial(name, kind, {"model": name}, runs, around(value), 0.005, Cost(5, 60, speed, 100, size))


def sweep_of(*trials: Trial, reference: str, missing=(), nested=None, error: float = 0.01) -> Sweep:
    values = {each.name: each.score.value for each in trials}
    kinds = {each.name: each.kind for each in trials}
    comparisons = []
    for name in values:
        if name != reference:
            a, b = (reference, name) if kinds[reference] in ("model", "drawn") else (name, reference)
            comparisons.append(Comparison(a, b, "accuracy", around(values[a] - values[b], error)))
    return Sweep(
        *("sounds", "accuracy", 200, 3, 3, (*trials, *missing), reference, tuple(comparisons), nested, 7200.0),
        ("Five folds.",),
    )


SEARCH = (
    trial("forest", 0.70, speed=2000),
    trial("se_cnn", 0.89, speed=100),
    trial("tiny_cnn", 0.88, speed=400),
    trial("se_cnn draw 1", 0.90, "drawn", speed=100),
)
CHANGES = (
    trial("se_cnn", 0.90, "base"),
    trial("n_mels=32", 0.80, "varied"),
    trial("n_mels=128", 0.91, "varied"),
    trial("without mask", 0.89, "ablated"),
)


def test_of_a_search_the_cheapest_that_cannot_be_told_from_the_best_is_to_take():
    found = sweep_of(*SEARCH, reference="se_cnn draw 1")
    assert [each.name for each in found.level] == ["se_cnn draw 1", "se_cnn", "tiny_cnn"]
    assert found.to_take.name == "tiny_cnn"
    assert found.verdict() == (
        "se_cnn draw 1 is best of 4: accuracy 0.900 (0.88 to 0.92). 3 cannot be told apart (se_cnn draw 1, se_cnn, "
        "tiny_cnn): take the cheapest, tiny_cnn. 1 draw brought nothing that is surely better than se_cnn as given: "
        "more like these are not worth their time."
    )


def test_a_best_that_stands_alone_is_taken():
    found = sweep_of(*SEARCH, reference="se_cnn draw 1", error=0.0001)
    assert found.verdict().endswith("All others are worse, beyond the noise.")
    assert found.to_take.name == "se_cnn draw 1"
    assert sweep_of(SEARCH[0], reference="forest").verdict() == "forest is best of 1: accuracy 0.700 (0.68 to 0.72)."


def test_of_changes_those_beyond_the_noise_are_named_and_the_others_called_noise():
    found = sweep_of(*CHANGES, reference="se_cnn")
    assert not found.is_search
    assert [each.name for each in found.worse] == ["n_mels=32"] and found.better == []
    assert found.verdict() == (
        "1 of 3 changes moves accuracy beyond the noise. Worse: n_mels=32. 3 cannot be told apart (n_mels=128, se_cnn, "
        "without mask): take the cheapest, n_mels=128."
    )


def test_a_change_that_is_better_beyond_the_noise_is_taken():
    found = sweep_of(*CHANGES, reference="se_cnn", error=0.001)
    assert [each.name for each in found.better] == ["n_mels=128"]
    assert found.verdict().endswith("Better: n_mels=128. Worse: without mask, n_mels=32. Take n_mels=128.")
    only_worse = sweep_of(CHANGES[0], CHANGES[1], reference="se_cnn")
    assert only_worse.verdict() == "1 of 1 changes moves accuracy beyond the noise. Worse: n_mels=32. Keep the base."
    assert sweep_of(CHANGES[0], reference="se_cnn").verdict() == "Nothing but the base, se_cnn, was made."


def test_many_comparisons_take_more_for_a_difference():
    two = [trial("base", 0.9, "base"), trial("other", 0.878, "varied")]  # 2.2 standard errors
    assert not sweep_of(*two, reference="base").is_level("other")
    more = [trial(f"same {number}", 0.9, "varied") for number in range(9)]
    assert sweep_of(*two, *more, reference="base").is_level("other")


def test_what_the_choice_is_worth_and_what_is_missing_stand_below_the_table():
    nested = Nested(around(0.87), {0: "se_cnn", 1: "se_cnn draw 1"})
    late = Trial("resnet", "model", {"model": "resnet"}, reason="not run for want of time: seed 0.")
    notes = sweep_of(*SEARCH, reference="se_cnn draw 1", nested=nested, missing=[late]).notes()
    assert (
        "Chosen among 4 on the very folds that it is scored on, se_cnn draw 1 is a little flattered. Chosen for each "
        "fold by the others: accuracy 0.870 (0.85 to 0.89); in 1 of 2 folds the choice was the same."
    ) in notes
    assert any(note.startswith("p is corrected for 3 comparisons (Holm)") for note in notes)
    assert notes[-2:] == ["resnet: not run for want of time: seed 0.", "Five folds."]


def test_one_seed_and_few_recordings_are_said():
    alone = [replace(each, runs=each.runs[:1], spread=math.nan, score=around(0.9, few=True)) for each in SEARCH]
    notes = sweep_of(*alone, reference="forest").notes()
    assert any(note.startswith("One seed each: the noise of training is in no interval") for note in notes)
    assert any(note.startswith("Too few groups: 100 recordings") for note in notes)


def test_the_table_goes_from_best_to_worst_with_difference_and_p():
    header, rows = sweep_of(*SEARCH, reference="se_cnn draw 1").table()
    assert header[1] == "accuracy (95 % interval)" and len(header) == len(rows[0]) == 6
    assert [row[0] for row in rows] == ["se_cnn draw 1", "se_cnn", "tiny_cnn", "forest"]
    assert rows[0][2:] == ["3 ± 0.005", "", "", "best"]
    assert rows[3][3:] == ["0.200 (0.18 to 0.22)", "< 0.001", ""]
    assert rows[2][-1] == "take"


def test_a_difference_without_a_value_is_level_and_says_so():
    found = sweep_of(*SEARCH[:2], reference="se_cnn")
    nothing = Interval(math.nan, math.nan, math.nan, 100, False, 0, math.nan)
    found = replace(found, comparisons=(Comparison("se_cnn", "forest", "accuracy", nothing),))
    assert found.is_level("forest")
    assert found.difference_texts(found.of("forest")) == ("no value", "")


def test_json_and_csv_hold_every_run_and_every_reason():
    late = Trial("resnet", "model", {"model": "resnet"}, reason="broke: too much.")
    found = sweep_of(*SEARCH, reference="se_cnn draw 1", missing=[late])
    document = json.loads(to_json(found.to_dict()))
    assert (document["take"], document["reference"]) == ("tiny_cnn", "se_cnn draw 1")
    assert len(document["trials"]) == 5 and document["p_values"]["forest"] < 0.001
    rows = found.csv_rows()
    assert len(rows) == 4 * 3 + 1 and {len(row) for row in rows} == {len(CSV_HEADER)}
    assert rows[0][:6] == ("forest", "model", "model=forest", 0, "accuracy", pytest.approx(0.7))
    assert rows[-1][-1] == "broke: too much."
