"""What a ladder says of its rungs: which is best, which are level with it, which of those is the cheapest."""

from __future__ import annotations

import json

import numpy as np

from earmark.baselines.importance import Importance, Strength
from earmark.baselines.ladder import CHEAPEST_RULE, Cost, Insight, Ladder, Rung
from earmark.evaluation import make_scorecard
from earmark.evaluation.bootstrap import Interval

INSIGHT = Insight(
    "forest",
    (Importance("mfcc", 180, "accuracy", Interval(0.1, 0.05, np.nan, 40, False, 0, 0.02)),),
    {"a": (Strength("centroid", "spectral", 0.9, 0.4),), "b": ()},
)


def ladder_of(rungs: dict[str, tuple[float, float, float]], n_clips: int = 400) -> Ladder:
    """A ladder of rungs: name → (skill, × realtime, MB); the same skill is the same score."""
    targets = np.eye(4)[np.arange(n_clips) % 4]
    noise = np.random.default_rng(0).normal(size=targets.shape)
    scores = {name: skill * targets + noise for name, (skill, _, _) in rungs.items()}
    card = make_scorecard(targets, scores, labels="abcd", groups=None, multi_label=False, n_resamples=100)
    costs = {name: Cost(1.0, 10.0, speed, speed / 2, size) for name, (_, speed, size) in rungs.items()}
    made = [Rung(name, "summary", name, costs[name]) for name in rungs]
    left_out = Rung("late", "network", "late", reason="Left out.", estimate_seconds=60.0)
    return Ladder("sounds", (*made, left_out), card, 0.5, 600.0, INSIGHT)


def test_the_cheapest_is_the_fastest_of_those_that_are_level_with_the_best():
    ladder = ladder_of({"bad": (1.0, 9000, 1), "good": (2.9, 2000, 1), "best": (3.0, 500, 1), "slow": (2.9, 100, 1)})
    assert ladder.best.name == "best"
    assert [rung.name for rung in ladder.level] == ["good", "best", "slow"]
    assert ladder.cheapest.name == "good"
    assert not ladder.is_level("bad")
    assert ladder.behind("best") is None
    assert ladder.behind("bad").interval.low > 0


def test_of_rungs_about_as_fast_the_smallest_is_the_cheapest():
    ladder = ladder_of({"large": (3.0, 1000, 50), "small": (3.0, 950, 1), "slower": (3.0, 800, 0.1)})
    assert ladder.cheapest.name == "small"
    assert "10 %" in CHEAPEST_RULE


def test_the_best_itself_can_be_the_cheapest():
    assert ladder_of({"worse": (0.5, 9000, 1), "best": (3.0, 500, 1)}).cheapest.name == "best"


def test_what_was_not_climbed_is_no_candidate_and_is_told():
    ladder = ladder_of({"one": (1.0, 100, 1), "two": (2.0, 100, 1)})
    assert [rung.name for rung in ladder.climbed] == ["one", "two"]
    assert ladder.full_seconds(ladder.rungs[-1]) == 120  # half of the data was used
    assert ladder.full_seconds(ladder.rungs[0]) == 20


def test_an_hour_of_sound_takes_an_hour_over_the_speed():
    assert Cost(1, 1, 1800, 900, 1).seconds_per_hour == 2


def test_other_programs_find_the_best_the_cheapest_and_the_rule_in_its_json(tmp_path):
    ladder = ladder_of({"one": (1.0, 100, 1), "two": (2.0, 100, 1)})
    ladder.save(tmp_path / "ladder.json")
    document = json.loads((tmp_path / "ladder.json").read_text(encoding="utf-8"))
    assert (document["best"], document["cheapest"], document["rule"]) == ("two", "two", CHEAPEST_RULE)
    assert document["rungs"][0]["cost"]["realtime"] == 100
    assert document["rungs"][-1]["cost"] is None and document["rungs"][-1]["reason"] == "Left out."
    assert document["scorecard"]["models"]["two"]["metrics"]["accuracy"]["value"] > 0.5
    importance = document["insight"]["importances"][0]
    assert importance["beyond_noise"] is True and importance["loss"]["high"] is None
    assert document["insight"]["strongest"]["a"][0]["effect"] == 0.9
